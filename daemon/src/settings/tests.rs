use std::ffi::OsString;
use std::io::Write as _;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use super::*;

#[derive(Debug, Parser)]
#[command(name = "thing")]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Run),
    Other,
}

#[derive(Debug, Args)]
struct Run {
    /// Settings file.
    #[arg(long, env = "THING_CONFIG")]
    config: Option<PathBuf>,
    /// How many.
    #[arg(long, env = "THING_COUNT", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9))]
    count: u64,
    /// Names.
    #[arg(long, env = "THING_NAMES", value_delimiter = ',', required = true)]
    names: Vec<String>,
    /// Where.
    #[arg(long, hide_env_values = true, env = "THING_DATABASE_URL", requires = "names")]
    database_url: Option<String>,
    /// Or not.
    #[arg(long)]
    brave: bool,
}

const PROGRAM: Program = Program { subcommand: Some("run"), default_file: "/nonexistent/thing.toml" };

fn asked(text: &str, flags: &[&str]) -> Result<Asked<Cli>, SettingsError> {
    let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let mut arguments: Vec<OsString> = vec!["thing".into()];
    arguments.extend(flags.iter().map(OsString::from));
    arguments.extend(["--config".into(), path.clone().into()]);
    load(Cli::command(), PROGRAM, arguments)
}

fn run(text: &str, flags: &[&str]) -> Result<Run, String> {
    let mut all = vec!["run"];
    all.extend(flags);
    match asked(text, &all) {
        Ok(Asked::Run(Cli { command: Verb::Run(run) }, _)) => Ok(run),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_file_counts_unless_a_flag_does() {
    let text = "count = 5\nnames = [\"a\", \"b\"]\nbrave = true\ndatabase-url = 'postgres://u:p@h/d'\n";
    let read = run(text, &[]).unwrap();
    assert_eq!((read.count, read.names.len(), read.brave), (5, 2, true));
    assert_eq!(read.database_url.as_deref(), Some("postgres://u:p@h/d"));
    let read = run(text, &["--count", "7", "--names", "c"]).unwrap();
    assert_eq!((read.count, read.names), (7, vec!["c".to_owned()]));
    let read = run("names = \"a\"", &[]).unwrap();
    assert_eq!((read.count, read.brave, read.config.is_some()), (3, false, true));
}

#[test]
fn errors_name_the_key_the_place_and_what_is_allowed() {
    for (text, flags, words) in [
        (
            "names = [\"a\"]\ncuont = 5",
            &[][..],
            [".toml:2", "no setting \"cuont\"", "did you mean \"count\""],
        ),
        ("names = \"a\"\n\ndatabase_url = 'x'", &[], [".toml:3", "\"database_url\"", "\"database-url\""]),
        ("[server]\ncount = 5", &[], [".toml:1", "\"server\"", "config reference"]),
        ("config = 'x'", &[], [".toml:1", "\"config\"", "no setting"]),
        ("\n\ncount = 12\nnames = 'a'", &[], [".toml:3: count", "\"12\"", "1..=9"]),
        // Also what a flag overrides.
        ("count = 'x'\nnames = 'a'", &["--count", "2"], [".toml:1: count", "\"x\"", "invalid digit"]),
        ("names = 'a'\ncount = [1, 2]", &[], [".toml:2: count", "one value", "not a list"]),
        ("names = 'a'\nbrave = 'yes'", &[], [".toml:2: brave", "true", "false"]),
        ("names = 'a'\ncount = = 2", &[], [".toml:2", "", ""]),
        ("names = 'a'\nnames = 'b'", &[], [".toml:2", "duplicate", ""]),
        ("count = 2", &[], ["--names", "required", ""]),
        ("names = 'a'", &["--count", "77"], ["--count", "77", "1..=9"]),
    ] {
        let error = run(text, flags).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{text:?} {flags:?}: {word:?} is not in {error}");
        }
    }
    let error = load::<Cli>(
        Cli::command(),
        PROGRAM,
        ["thing", "run", "--config", "/nonexistent/other.toml"].map(OsString::from),
    );
    assert!(error.unwrap_err().to_string().contains("/nonexistent/other.toml"));
}

#[test]
fn questions_are_answered_and_passwords_kept() {
    let text = "names = ['a', 'b']\ndatabase-url = 'postgres://u:p@ss@h:1/d?password=p@ss'\n";
    let Ok(Asked::Print(shown)) = asked(text, &["config", "show", "--count", "4"]) else { panic!() };
    assert!(shown.contains("count = \"4\"  # flag --count"), "{shown}");
    assert!(shown.contains("names = \"a,b\"  # ") && shown.contains(".toml:1"), "{shown}");
    assert!(shown.contains("\"postgres://u:***@h:1/d?***\"") && !shown.contains("p@ss"), "{shown}");
    assert!(shown.contains("brave = \"false\"  # default"), "{shown}");

    assert!(matches!(asked(text, &["config", "check"]), Ok(Asked::Check(..))));
    let error = asked("count = 44\nnames = 'a'", &["config", "check"]).unwrap_err().to_string();
    assert!(error.contains(".toml:1: count"), "{error}");

    let Ok(Asked::Print(page)) = asked("", &["config", "reference"]) else { panic!() };
    assert!(page.contains("| `count` | `THING_COUNT` | `3` | How many. |"), "{page}");
    assert!(page.contains("| `names` | `THING_NAMES` | must be set | Names. A list. |"), "{page}");
}

#[test]
fn other_commands_read_no_file() {
    let arguments = ["thing", "other"].map(OsString::from);
    let program = Program { default_file: "/dev/null/nothing", ..PROGRAM };
    assert!(matches!(
        load::<Cli>(Cli::command(), program, arguments),
        Ok(Asked::Run(Cli { command: Verb::Other }, _))
    ));
}

#[test]
fn what_is_secret_is_masked() {
    for (value, shown) in [
        ("postgres://u:secret@h/d", "postgres://u:***@h/d"),
        ("postgres://h/d", "postgres://h/d"),
        ("postgres:///d?host=/run&password=secret", "postgres:///d?***"),
        ("secret", "***"),
    ] {
        assert_eq!(show::masked(value), shown);
    }
}
