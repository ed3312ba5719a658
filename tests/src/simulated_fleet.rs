//! A fleet of simulated hosts as a process (`rempart-simulated-fleet`), from outside.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::cluster::Layout;
use crate::daemon::{Daemon, binary};
use crate::hypervisor::write_secret;

/// Ten thousand hosts join in minutes.
const PATIENCE: Duration = Duration::from_secs(600);
/// Names on one command line.
const TOKENS_AT_ONCE: usize = 2000;

/// Hosts in a process of their own, which ends with this.
pub struct SimulatedFleet {
    daemon: Daemon,
    input: ChildStdin,
    lines: mpsc::UnboundedReceiver<Value>,
    /// How many hosts it has.
    pub hosts: usize,
    /// How long all of them took to join.
    pub joined_in: Duration,
}

/// What is on all its hosts together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Seen {
    /// Hosts that have joined.
    pub hosts: usize,
    /// Domains.
    pub domains: usize,
    /// Domains that run.
    pub running: usize,
    /// What ledgers hold of instances and volumes.
    pub records: usize,
    /// Volumes, seeds and directories of guests.
    pub files: usize,
}

impl SimulatedFleet {
    /// Hosts `h<first>`, `h<first+1>`, ... of the cluster, joined and dialling. Everything of theirs is in `dir`, which should be short, and on
    /// a tmpfs: each host fsyncs its ledger. `controllers` are where they dial, `more` are flags of the program.
    ///
    /// # Errors
    /// When they cannot be started, or do not join.
    pub async fn start(
        dir: &Path,
        layout: &Layout,
        hosts: std::ops::Range<usize>,
        controllers: &str,
        more: &[&str],
    ) -> anyhow::Result<SimulatedFleet> {
        std::fs::create_dir_all(dir)?;
        let tokens = dir.join("tokens");
        write_secret(&tokens, &mint(layout, hosts.clone())?)?;
        let mut command = Command::new(binary("rempart-simulated-fleet")?);
        command.args(["--controllers", controllers]).args(more);
        command.arg("--dir").arg(dir).arg("--tokens").arg(&tokens);
        let (daemon, input, output) =
            Daemon::spawn_with_pipes("the simulated fleet", command, &dir.join("fleet.log"))?;
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut fleet =
            SimulatedFleet { daemon, input, lines, hosts: hosts.len(), joined_in: Duration::default() };
        let joined = fleet.hear("event", "joined").await?;
        fleet.joined_in = Duration::from_secs_f64(joined["seconds"].as_f64().context("seconds")?);
        Ok(fleet)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Open sessions by the internal address of the controller.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn sessions(&mut self) -> anyhow::Result<BTreeMap<String, usize>> {
        let answer = self.ask("sessions").await?;
        Ok(serde_json::from_value(answer["sessions"].clone())?)
    }

    /// What is on its hosts.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn look(&mut self) -> anyhow::Result<Seen> {
        let answer = self.ask("look").await?;
        Ok(serde_json::from_value(answer["seen"].clone())?)
    }

    /// Tells it to end, and waits for that.
    ///
    /// # Errors
    /// When it ends otherwise than well.
    pub fn stop(self) -> anyhow::Result<()> {
        drop(self.input);
        let log = self.daemon.log();
        match self.daemon.terminate() {
            Some(status) if status.success() => Ok(()),
            other => bail!("the simulated fleet ended with {other:?}: {log}"),
        }
    }

    async fn ask(&mut self, command: &str) -> anyhow::Result<Value> {
        writeln!(self.input, "{command}").and_then(|()| self.input.flush()).context("asking the fleet")?;
        self.hear("answer", command).await
    }

    async fn hear(&mut self, member: &str, what: &str) -> anyhow::Result<Value> {
        loop {
            match tokio::time::timeout(PATIENCE, self.lines.recv()).await {
                Ok(Some(line)) if line[member] == what => return Ok(line),
                Ok(Some(_)) => {}
                Ok(None) => bail!("the simulated fleet has ended: {}", self.daemon.log()),
                Err(_) => {
                    bail!("no {what} of the simulated fleet within {PATIENCE:?}: {}", self.daemon.log())
                }
            }
        }
    }
}

/// Lines of the hosts' names and join tokens.
fn mint(layout: &Layout, hosts: std::ops::Range<usize>) -> anyhow::Result<String> {
    let names: Vec<String> = hosts.map(|number| format!("h{number}")).collect();
    let mut lines = String::new();
    for some in names.chunks(TOKENS_AT_ONCE) {
        let tokens = layout.join_token(&["--lifetime-seconds", "86400", "--host", &some.join(",")])?;
        let tokens: Vec<&str> = tokens.lines().collect();
        anyhow::ensure!(tokens.len() == some.len(), "{} tokens for {} hosts", tokens.len(), some.len());
        for (name, token) in some.iter().zip(tokens) {
            writeln!(lines, "{name} {token}")?;
        }
    }
    Ok(lines)
}

/// A new directory for a fleet: in memory where this machine has a tmpfs for all, else where temporary files are. Short.
///
/// # Panics
/// When it cannot be made.
pub fn fleet_directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory } else { Path::new("/tmp") };
    tempfile::Builder::new().prefix("rf").tempdir_in(parent).expect("a temporary directory")
}
