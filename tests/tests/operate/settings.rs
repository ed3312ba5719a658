//! Settings of the real daemons: documentation, errors, and what is shown of secrets.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rempart_tests::binary;

use crate::repository;

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(binary(program).expect("built")).args(arguments).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_documentation_lists_every_setting_as_it_is() {
    let path = repository().join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).expect("docs/configuration.md");
    let mut now = page.clone();
    for program in ["rempart-controller", "rempart-agent"] {
        let output = run(program, &["config", "reference"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let (begin, end) = (format!("<!-- {program} -->\n"), format!("<!-- end of {program} -->\n"));
        let from = now.find(&begin).expect("the mark is there") + begin.len();
        let to = now.find(&end).expect("the other mark is there");
        now.replace_range(from..to, &format!("\n{}\n", text(&output.stdout)));
    }
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, &now).expect("written");
    } else {
        assert!(
            page == now,
            "docs/configuration.md is not what the daemons have; write it anew with \
             WRITE_DOCS=1 cargo test -p rempart-tests --test operate documentation"
        );
    }
}

fn file(dir: &Path, content: &str) -> PathBuf {
    let path = dir.join("controller.toml");
    std::fs::write(&path, content).expect("written");
    path
}

#[test]
fn a_wrong_setting_is_named_with_its_place_and_nothing_is_touched() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let good = format!(
        "cluster-dir = {0:?}\nreplica-id = 1\npeers = [\"1=127.0.0.1:7080\"]\ndata-dir = {0:?}\n\
         database-url = \"postgres://rempart:hunter2@db/rempart\"\n",
        data.display().to_string()
    );
    for (more, words) in [
        ("htp-listen = \"x\"", [":6", "\"htp-listen\"", "did you mean \"http-listen\""]),
        ("http-listen = \"here\"", [":6: http-listen", "\"here\"", "invalid socket address"]),
        ("election-ms = 5", [":6: election-ms", "\"5\"", "200..=60000"]),
        ("log = \"rempart=loud\"", [":6: log", "rempart=loud", "not allowed"]),
        ("metrics-listen = \"9464\"", [":6: metrics-listen", "ADDRESS:PORT", "9464"]),
        ("status-table = \"x\"", [":6: status-table", "one of", "x"]),
    ] {
        let path = file(dir.path(), &format!("{good}{more}\n"));
        let path = path.to_str().expect("UTF-8");
        for command in [&["run", "--config", path][..], &["config", "check", "--config", path]] {
            let output = run("rempart-controller", command);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            for word in words {
                assert!(said.contains(word), "{word:?} is not in {said}");
            }
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
    // One that only shows beside another.
    let path = file(dir.path(), &good.replace("replica-id = 1", "replica-id = 4"));
    let output = run("rempart-controller", &["config", "check", "--config", path.to_str().expect("UTF-8")]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains(":3: peers") && said.contains("4=HOST:PORT"), "{said}");

    let path = file(dir.path(), &good);
    let path = path.to_str().expect("UTF-8");
    let output = run("rempart-controller", &["config", "check", "--config", path]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = run("rempart-controller", &["config", "show", "--config", path, "--replica-id", "1"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("database-url = \"postgres://rempart:***@db/rempart\""), "{shown}");
    assert!(
        !shown.contains("hunter2") && shown.contains("replica-id = \"1\"  # flag --replica-id"),
        "{shown}"
    );
    assert!(!data.exists(), "nothing was made");

    let mut agent = Command::new(binary("rempart-agent").expect("built"));
    agent.args(["config", "check", "--host", "h1", "--zone", "a", "--controllers", "127.0.0.1:1"]);
    let output = agent.env("REMPART_AGENT_VCPUS", "many").output().expect("it runs");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("environment variable REMPART_AGENT_VCPUS") && said.contains("many"), "{said}");
}
