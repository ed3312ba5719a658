//! Hypervisors: a private libvirtd in its own namespaces, and an agent that drives it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::Layout;
use crate::daemon::{Daemon, binary};
use crate::image::repository;

const POWER_CUT_WITHIN: Duration = Duration::from_secs(20);

/// A private libvirt of this machine. Stopped, guests and all, when dropped.
pub struct Hypervisor {
    dir: PathBuf,
}

impl Hypervisor {
    /// Starts one in `dir`, whose path must be short: unix sockets are below it.
    ///
    /// # Errors
    /// When it does not start; what was said is in the error.
    pub fn start(dir: &Path) -> anyhow::Result<Hypervisor> {
        let hypervisor = Hypervisor { dir: dir.to_owned() };
        hypervisor.script("start")?;
        Ok(hypervisor)
    }

    /// Where clients connect.
    pub fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}/run/libvirt-sock", self.dir.display())
    }

    /// Ends libvirtd; guests keep running.
    ///
    /// # Errors
    /// When that fails.
    pub fn stop_daemon(&self) -> anyhow::Result<()> {
        self.script("stop-daemon").map(|_| ())
    }

    /// Starts libvirtd again.
    ///
    /// # Errors
    /// When that fails.
    pub fn start_daemon(&self) -> anyhow::Result<()> {
        self.script("start-daemon").map(|_| ())
    }

    /// Cuts its power: libvirtd and all guests are killed at once, in no order.
    ///
    /// # Errors
    /// When one of them is still there after a while.
    pub fn cut_power(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + POWER_CUT_WITHIN;
        loop {
            let left = self.processes()?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("processes {left:?} of the hypervisor in {} do not end", self.dir.display());
            }
            for pid in left {
                // It may have ended by itself since the list was made.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Its processes: those that see its run directory where libvirt's is, as `scripts/hypervisor` tells them.
    fn processes(&self) -> anyhow::Result<Vec<Pid>> {
        let own = fs::metadata(self.dir.join("run"))?;
        let sees = |entry: &fs::DirEntry| {
            let seen = fs::metadata(entry.path().join("root/run/libvirt"));
            seen.is_ok_and(|seen| (seen.dev(), seen.ino()) == (own.dev(), own.ino()))
        };
        let ours = fs::read_dir("/proc")?.flatten().filter(sees);
        Ok(ours.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect())
    }

    /// Starts all of it again, as a machine does when power is back: guests are off.
    ///
    /// # Errors
    /// When it does not start.
    pub fn power_up(&self) -> anyhow::Result<()> {
        self.script("start").map(|_| ())
    }

    /// What libvirtd holds to be the state of a guest's QEMU, "paused" or "running"; none without one. To be had
    /// thousands of times a second: it is read off libvirtd's own notes.
    pub fn noted_state(&self, uid: &str) -> Option<String> {
        let notes = fs::read_to_string(self.dir.join(format!("run/qemu/rempart-{uid}.xml"))).ok()?;
        let (_, from) = notes.split_once("<domstatus state='")?;
        Some(from.split_once('\'')?.0.to_owned())
    }

    /// What `virsh` says.
    ///
    /// # Errors
    /// When it fails.
    pub fn virsh(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("virsh").args(["-q", "-c", &self.uri()]).args(arguments).output()?;
        checked(output, &format!("virsh {}", arguments.join(" ")))
    }

    /// UUIDs of all domains.
    ///
    /// # Errors
    /// When virsh fails.
    pub fn domains(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.virsh(&["list", "--all", "--uuid"])?.split_whitespace().map(str::to_owned).collect())
    }

    fn script(&self, verb: &str) -> anyhow::Result<String> {
        let output =
            Command::new(repository().join("scripts/hypervisor")).arg(verb).arg(&self.dir).output()?;
        checked(output, &format!("scripts/hypervisor {verb}"))
    }
}

impl Drop for Hypervisor {
    fn drop(&mut self) {
        if let Err(error) = self.script("stop") {
            eprintln!("stopping the hypervisor in {}: {error}", self.dir.display());
        }
    }
}

fn checked(output: Output, what: &str) -> anyhow::Result<String> {
    if !output.status.success() {
        bail!("{what} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An agent of the lab.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Name of its host.
    pub host: String,
    /// Where it keeps its ledger and volumes.
    pub data_dir: PathBuf,
    /// The libvirt it drives.
    pub libvirt_uri: String,
    /// Controllers.
    pub controllers: String,
    /// What it joins with when it first starts.
    pub join_token_file: PathBuf,
    /// Further settings from the next start on, as environment variables.
    pub environment: Vec<(&'static str, String)>,
}

impl Agent {
    /// An agent named `host` in `dir`, with a token to join `layout`'s cluster.
    ///
    /// # Errors
    /// When its token cannot be made.
    pub fn new(dir: &Path, host: &str, layout: &Layout, libvirt_uri: &str) -> anyhow::Result<Agent> {
        fs::create_dir_all(dir)?;
        let join_token_file = dir.join(format!("{host}.token"));
        let token = layout.join_token(&["--host", host])?;
        write_secret(&join_token_file, &token).context("writing the agent's token")?;
        Ok(Agent {
            host: host.to_owned(),
            data_dir: dir.join(host),
            libvirt_uri: libvirt_uri.to_owned(),
            controllers: layout.internal_addresses(),
            join_token_file,
            environment: Vec::new(),
        })
    }

    /// The command that runs it.
    ///
    /// # Errors
    /// When the binary is not built.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(binary("rempart-agent")?);
        command.args(["--host", &self.host, "--zone", "a", "--controllers", &self.controllers]);
        command.args(["--memory-mib", "16384", "--libvirt-uri", &self.libvirt_uri]);
        command.arg("--join-token-file").arg(&self.join_token_file);
        command.arg("--data-dir").arg(&self.data_dir);
        command.args(["--metrics-listen", "127.0.0.1:0"]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self) -> anyhow::Result<Daemon> {
        let log = self.data_dir.with_extension("log");
        Daemon::spawn(&format!("agent {}", self.host), self.command()?, &log)
    }
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// When it cannot be written.
pub fn write_secret(path: &Path, content: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())
}

/// What a guest has said on its serial console so far.
pub fn console(agent: &Agent, uid: &str) -> String {
    let path = agent.data_dir.join("guests").join(uid).join("serial.log");
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
