//! Settings by file, environment and flag, declared once.
//!
//! The list of settings is the daemon's clap command: a flag `--http-listen` is at the same time the key
//! `http-listen` of the file (TOML) and the environment variable that the flag names. Its doc comment is its help and
//! its documentation. What counts: flag, else environment, else file, else default.
//!
//! What always holds: every value of the file and of the environment is checked, also one that a flag overrides; a
//! key that does not exist is an error; each error names the key and the place. Nothing is touched meanwhile.
//!
//! Deliberately absent: tables, includes and interpolation in the file; settings that change while a daemon runs.

mod file;
mod reference;
mod show;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::OsStr;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use file::Entry;

/// The flag that names the file.
const FILE_FLAG: &str = "config";

/// A daemon, as far as its settings go.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The subcommand whose flags are the settings; none where the program itself has them.
    pub subcommand: Option<&'static str>,
    /// The file that is read if it is there and no other is named.
    pub default_file: &'static str,
}

/// What was asked for on the command line.
#[derive(Debug)]
pub enum Asked<T> {
    /// To do what the program does, with these settings.
    Run(T, Sources),
    /// `config check`: to say whether the settings are right, and nothing else.
    Check(T, Sources),
    /// `config show` and `config reference`: to print this.
    Print(String),
}

/// Where each setting came from, for errors about a setting that are found later.
#[derive(Debug, Default, Clone)]
pub struct Sources(Vec<(String, String)>);

impl Sources {
    /// Where the setting `key` was set, in words: `/etc/rempart/agent.toml:3: zone`.
    #[must_use]
    pub fn place(&self, key: &str) -> String {
        match self.0.iter().find(|(known, _)| known == key) {
            Some((_, place)) => place.clone(),
            None => key.to_owned(),
        }
    }
}

/// Settings that cannot be used. Says which, where it stands, and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("reading the settings in {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{place}: {why}")]
    Syntax {
        /// File and line.
        place: String,
        /// What is wrong there.
        why: String,
    },
    /// A key that does not exist.
    #[error("{place}: there is no setting {key:?}{hint}")]
    Unknown {
        /// File and line.
        place: String,
        /// What stands there.
        key: String,
        /// What may have been meant.
        hint: String,
    },
    /// A value that is not allowed.
    #[error("{place}: {why}")]
    Invalid {
        /// File, line and key; or the environment variable.
        place: String,
        /// What is wrong with it, and what is allowed.
        why: String,
    },
    /// What clap says of the command line; also help and version, which are no errors.
    #[error("{0}")]
    CommandLine(#[from] clap::Error),
}

impl SettingsError {
    /// Prints what is to be printed and says how the program should end: 0 after help, 2 for a wrong setting.
    pub fn report(&self, program: &str) -> u8 {
        use std::io::Write as _;
        if let SettingsError::CommandLine(error) = self {
            // A closed terminal is no reason for another error.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
        let _ = writeln!(std::io::stderr(), "{program}: {self}");
        2
    }
}

/// Reads the command line, and for the program's main command the file and the environment as well.
///
/// # Errors
/// [`SettingsError`]: nothing was done yet.
pub fn load<T: FromArgMatches>(
    command: Command,
    program: Program,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Asked<T>, SettingsError> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let question = take_question(&mut arguments, program);
    let is_main = match program.subcommand {
        Some(name) => arguments.get(1).is_some_and(|first| first == name),
        None => true,
    };
    if !is_main {
        let matches = command.try_get_matches_from(arguments)?;
        return Ok(Asked::Run(T::from_arg_matches(&matches)?, Sources::default()));
    }
    let settings = flags_of(&command, program);
    if question == Some(Question::Reference) {
        return Ok(Asked::Print(reference::page(&settings, program)));
    }
    let file = file_to_read(&settings, &arguments, program);
    let entries = match &file {
        Some(path) => file::read(path, &settings)?,
        None => Vec::new(),
    };
    for setting in &settings {
        check_environment(setting)?;
    }
    let matches = with_defaults(command, program, &entries).try_get_matches_from(arguments)?;
    let sources = sources(&matches, &settings, &entries, program);
    if question == Some(Question::Show) {
        return Ok(Asked::Print(show::page(main_matches(&matches, program), &settings, &sources)));
    }
    let value = T::from_arg_matches(&matches)?;
    Ok(if question == Some(Question::Check) {
        Asked::Check(value, sources)
    } else {
        Asked::Run(value, sources)
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Check,
    Show,
    Reference,
}

/// `PROGRAM config check FLAGS` is asked of what `PROGRAM run FLAGS` would use.
fn take_question(arguments: &mut Vec<OsString>, program: Program) -> Option<Question> {
    if arguments.get(1)? != "config" {
        return None;
    }
    let question = match arguments.get(2)?.to_str()? {
        "check" => Question::Check,
        "show" => Question::Show,
        "reference" => Question::Reference,
        _ => return None,
    };
    arguments.splice(1..3, program.subcommand.map(OsString::from));
    Some(question)
}

fn flags_of(command: &Command, program: Program) -> Vec<Arg> {
    let command = match program.subcommand {
        Some(name) => command.find_subcommand(name),
        None => Some(command),
    };
    let all = command.into_iter().flat_map(Command::get_arguments);
    all.filter(|arg| arg.get_long().is_some_and(|long| !matches!(long, "help" | "version")))
        .cloned()
        .collect()
}

/// The file's own flag is looked for before the others are understood: what they mean depends on the file.
fn file_to_read(settings: &[Arg], arguments: &[OsString], program: Program) -> Option<PathBuf> {
    let mut named = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        if text == "--config" {
            named = rest.next().map(PathBuf::from);
        } else if let Some(path) = text.strip_prefix("--config=") {
            named = Some(PathBuf::from(path));
        }
    }
    let from_environment = || {
        let flag = settings.iter().find(|arg| arg.get_long() == Some(FILE_FLAG))?;
        std::env::var_os(flag.get_env()?).map(PathBuf::from)
    };
    let default = || Some(PathBuf::from(program.default_file)).filter(|path| path.exists());
    named.or_else(from_environment).or_else(default)
}

/// Checks the value of a setting as clap would, whatever else is set.
fn check_value(setting: &Arg, values: &[String], place: &str) -> Result<(), SettingsError> {
    let long = setting.get_long().unwrap_or_default();
    // Made anew: what it requires or conflicts with is looked at when all are known.
    let alone = Arg::new("value")
        .long(long.to_owned())
        .action(setting.get_action().clone())
        .value_parser(setting.get_value_parser().clone())
        .value_delimiter(setting.get_value_delimiter());
    let flags = values.iter().map(|value| format!("--{long}={value}"));
    let checked = Command::new("settings").no_binary_name(true).arg(alone).try_get_matches_from(flags);
    checked.map(drop).map_err(|error| SettingsError::Invalid {
        place: place.to_owned(),
        why: if setting.is_hide_env_values_set() {
            "this value is not allowed".to_owned()
        } else {
            words(&error, values)
        },
    })
}

/// Clap's reason without its usage and colours.
fn words(error: &clap::Error, values: &[String]) -> String {
    use clap::error::{ContextKind, ContextValue};
    use std::error::Error as _;
    let value = values.join(",");
    if let Some(source) = error.source() {
        return format!("{value:?} is not allowed: {source}");
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(allowed)) if !allowed.is_empty() => {
            format!("{value:?} is not allowed; one of: {}", allowed.join(", "))
        }
        _ => format!("{value:?} is not allowed"),
    }
}

fn check_environment(setting: &Arg) -> Result<(), SettingsError> {
    let Some(name) = setting.get_env() else { return Ok(()) };
    let Some(value) = std::env::var_os(name) else { return Ok(()) };
    if is_switch(setting) {
        // Clap reads these as true or false by itself.
        return Ok(());
    }
    let place = format!("environment variable {}", name.to_string_lossy());
    let Ok(value) = value.into_string() else {
        return Err(SettingsError::Invalid { place, why: "it is not UTF-8".to_owned() });
    };
    check_value(setting, &[value], &place)
}

fn is_switch(setting: &Arg) -> bool {
    matches!(setting.get_action(), ArgAction::SetTrue | ArgAction::SetFalse)
}

fn with_defaults(command: Command, program: Program, entries: &[Entry]) -> Command {
    let apply = |mut command: Command| {
        for entry in entries {
            let values: Vec<OsStr> = entry.values.iter().cloned().map(OsStr::from).collect();
            command = command.mut_arg(&entry.id, |arg| arg.required(false).default_values(values));
        }
        command
    };
    match program.subcommand {
        Some(name) => command.mut_subcommand(name, apply),
        None => apply(command),
    }
}

fn main_matches(matches: &ArgMatches, program: Program) -> &ArgMatches {
    match program.subcommand {
        Some(name) => matches.subcommand_matches(name).unwrap_or(matches),
        None => matches,
    }
}

fn sources(matches: &ArgMatches, settings: &[Arg], entries: &[Entry], program: Program) -> Sources {
    let matches = main_matches(matches, program);
    let place = |setting: &Arg| {
        let key = setting.get_long().unwrap_or_default();
        let id = setting.get_id().as_str();
        let place = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => format!("flag --{key}"),
            Some(ValueSource::EnvVariable) => {
                let name = setting.get_env().map(|name| name.to_string_lossy().into_owned());
                format!("environment variable {}", name.unwrap_or_default())
            }
            _ => match entries.iter().find(|entry| entry.id == id) {
                Some(entry) => format!("{}: {key}", entry.place),
                None => key.to_owned(),
            },
        };
        (key.to_owned(), place)
    };
    Sources(settings.iter().map(place).collect())
}

/// File and line of a byte.
fn line_of(path: &Path, text: &str, at: usize) -> String {
    let line = 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
    format!("{}:{line}", path.display())
}
