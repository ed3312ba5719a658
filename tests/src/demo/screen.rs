//! What the person who watches sees: lines with the time since the start, and commands with what they answer.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};
use rempart_tests::binary;

/// Writes a line.
pub(crate) fn say(line: &str) {
    // A closed pipe is no reason to stop half-way.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The time since the start, and the CLI.
pub(crate) struct Screen {
    start: Instant,
    config: PathBuf,
    cli: PathBuf,
}

impl Screen {
    /// With contexts kept in `config`, so that the user's own stay untouched.
    ///
    /// # Errors
    /// When the CLI is not built.
    pub(crate) fn new(config: &Path) -> anyhow::Result<Screen> {
        Ok(Screen { start: Instant::now(), config: config.to_owned(), cli: binary("rempart")? })
    }

    /// Says what is done, and after how long.
    pub(crate) fn done(&self, what: &str) {
        say(&format!("  {:>5.1} s  {what}", self.start.elapsed().as_secs_f64()));
    }

    /// Runs the CLI as a person would, who sees the command and all it writes.
    ///
    /// # Errors
    /// When it fails; it has said why.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let line: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
        say(&format!("\n$ rempart {}", line.join(" ")));
        let status = self.command(arguments).stdin(Stdio::null()).status().context("running the CLI")?;
        if !status.success() {
            bail!("that command failed ({status}); everything is left as it is");
        }
        Ok(())
    }

    /// What the CLI answers, without showing it.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn answer(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(arguments).stdin(Stdio::null()).output().context("running the CLI")?;
        if !output.status.success() {
            bail!("rempart {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cli);
        // Variables of the user's own would win over the demo's contexts.
        for name in ["SERVER", "TOKEN", "CA_FILE", "TENANT", "WORKSPACE", "CONTEXT"] {
            command.env_remove(format!("REMPART_{name}"));
        }
        command.env("REMPART_CONFIG", &self.config).args(arguments);
        command
    }
}

/// As a shell would want it.
fn quoted(argument: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,@~".contains(character);
    if argument.chars().all(plain) { argument.to_owned() } else { format!("'{argument}'") }
}
