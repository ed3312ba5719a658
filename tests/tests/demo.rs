//! The demo as people use it: begun twice at once, killed half-way, begun again, every command of its last screen
//! tried, taken down. Nothing of it is left then: no process, no mount, no file.
//!
//! It is the program that `make demo` runs, in a directory of its own and at any free ports.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use rempart_tests::{binary, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// A demo's directory, taken down also when the test fails.
struct Demo {
    dir: PathBuf,
}

impl Demo {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("rempart-demo").expect("it is built"));
        command.args(arguments).env("REMPART_DEMO_DIR", &self.dir).env("REMPART_DEMO_PORT", "0");
        // As in a shell that has read the demo's `env`, which the demo's own controllers must not take for theirs.
        command.env("REMPART_CONFIG", self.dir.join("cli.toml")).env("REMPART_TENANT", "acme");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    fn begin(&self) -> Beginning {
        let mut child = self.command(&["up"]).stderr(Stdio::inherit()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Beginning { child, lines }
    }

    /// Processes that are the demo's by what the kernel says of them, and mounts of theirs.
    fn left(&self) -> Vec<String> {
        let dir = self.dir.display().to_string();
        let mut left = Vec::new();
        for process in fs::read_dir("/proc").expect("it is mounted").flatten() {
            for what in ["cmdline", "environ", "mountinfo"] {
                let text = fs::read(process.path().join(what)).unwrap_or_default();
                if String::from_utf8_lossy(&text).contains(&dir) {
                    let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                    left.push(format!("{} {what} of {}", process.path().display(), name.trim()));
                }
            }
        }
        left
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

/// An `up` at work.
struct Beginning {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Beginning {
    /// What it has said until a line contains `words`.
    fn said(&mut self, words: &str) -> String {
        let mut said = String::new();
        while self.lines.read_line(&mut said).expect("text") > 0 {
            if said.lines().last().is_some_and(|line| line.contains(words)) {
                return said;
            }
        }
        panic!("it ended without {words:?}:\n{said}");
    }

    fn kill(mut self) {
        self.child.kill().expect("a signal");
        self.child.wait().expect("it ends");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Commands of the last screen, without their comments.
fn steps(screen: &str) -> Vec<&str> {
    let after = screen.split("What to try next").nth(1).expect("the last screen").lines().skip(1);
    let commands = after.map(|line| line.split("  # ").next().unwrap_or_default().trim());
    commands.filter(|command| !command.is_empty()).collect()
}

/// A shell that stops at the first command that fails. The console wants a terminal, and Ctrl-] to leave it.
fn script(commands: &[&str]) -> String {
    let line = |command: &&str| match command.contains(" console ") {
        true => format!("printf '\\r\\035' | script -qefc '{command}' /dev/null"),
        false => (*command).to_owned(),
    };
    let lines: Vec<String> = commands.iter().map(line).collect();
    format!("set -euo pipefail\nPS4='$ '\nset -x\n{}\n", lines.join("\n"))
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[tokio::test]
async fn survives_interruption_keeps_what_its_screen_says_and_leaves_nothing() {
    let outer = tempfile::Builder::new().prefix("rd").tempdir_in("/tmp").expect("a temporary directory");
    fs::set_permissions(outer.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).expect("set");
    let demo = Demo { dir: outer.path().join("d") };

    let nothing = demo.run(&["down"]);
    assert!(text(&nothing.stdout).contains("nothing to take down"), "{nothing:?}");
    let early = demo.run(&["start", "c1"]);
    assert!(text(&early.stderr).contains("no demo is in"), "{early:?}");

    // Killed while its hypervisors start, in scripts which go on for a while; two others wanted it at the same time.
    let mut first = demo.begin();
    first.said("controller 1");
    for command in ["up", "down"] {
        let second = demo.run(&[command]);
        let said = text(&second.stderr);
        assert!(!second.status.success() && said.contains("is at work in"), "{command}: {said}");
        assert!(said.trim().lines().count() == 1, "one paragraph, no backtrace: {said}");
    }
    until("a hypervisor to be starting", PATIENCE, || demo.dir.join("hv1/.lock").exists()).await;
    first.kill();
    assert!(!demo.left().is_empty(), "what it had started is there");

    // Killed once more when a guest runs, then begun over what is left.
    let mut second = demo.begin();
    assert!(second.said("$ rempart run web-2").contains("taking it down first"));
    second.kill();
    let mut third = demo.begin();
    let mut screen = third.said("What to try next");
    third.lines.read_to_string(&mut screen).expect("text");
    assert!(third.child.wait().expect("it ends").success(), "{screen}");
    assert!(screen.contains("taking it down first") && screen.contains("tiny: user-data | message: bonjour"));

    let commands = steps(&screen);
    let (down, others) = commands.split_last().expect("commands");
    assert!(down.ends_with("make demo-down") && others.len() > 10, "{commands:?}");
    let shell = |script: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-c", script]).current_dir(repository()).env_remove("REMPART_CONFIG");
        let output = shell.stdin(Stdio::null()).output().expect("a shell");
        assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    };
    let said = shell(&script(others));
    assert!(said.contains("serial console of instance") && said.contains("the guest goes on"), "{said}");
    assert!(said.contains("c1 runs again"), "{said}");
    // An agent comes back, too, by the same word.
    let env = format!(". {}/env", demo.dir.display());
    let kill = format!("kill -9 $(cat {}/host-1.pid)", demo.dir.display());
    let said = shell(&script(&[&env, &kill, "rempart-demo start host-1", "rempart-demo start host-1"]));
    assert!(said.contains("host-1 runs again") && said.contains("runs already"), "{said}");

    assert!(shell(&script(&[down])).contains("The demo is gone"));
    assert_eq!(demo.left(), Vec::<String>::new(), "processes and mounts");
    assert!(!demo.dir.exists());
}
