//! A libvirtd of the test's own, with its guests; all of it ends with the test, however the test ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// One `scripts/hypervisor`.
pub(crate) struct PrivateHost {
    directory: TempDir,
}

impl PrivateHost {
    /// Starts it. Takes some 10 s: libvirt asks QEMU what it can do.
    pub(crate) fn start() -> Self {
        // Unix socket paths are short, so not below the default temporary directory's possibly long name.
        let directory = tempfile::Builder::new().prefix("rvm-").tempdir_in("/tmp").unwrap();
        let host = Self { directory };
        host.script("start");
        host
    }

    pub(crate) fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}/run/libvirt-sock", self.hypervisor().display())
    }

    /// Ends libvirtd; guests run on.
    pub(crate) fn stop_daemon(&self) {
        self.script("stop-daemon");
    }

    /// Starts libvirtd again.
    pub(crate) fn start_daemon(&self) {
        self.script("start-daemon");
    }

    /// libvirtd's process.
    pub(crate) fn daemon_pid(&self) -> i32 {
        read_pid(&self.hypervisor().join("run/libvirtd.pid"))
    }

    /// The QEMU of a running domain.
    pub(crate) fn guest_pid(&self, domain: &str) -> i32 {
        read_pid(&self.hypervisor().join(format!("run/qemu/{domain}.pid")))
    }

    /// Runs virsh, as an operator would beside the agent, and returns what it says.
    pub(crate) fn virsh(&self, arguments: &[&str]) -> String {
        run(Command::new("virsh").args(["-q", "-c", &self.uri()]).args(arguments))
    }

    /// A directory for this test's files.
    pub(crate) fn files(&self) -> PathBuf {
        let files = self.directory.path().join("f");
        fs::create_dir_all(&files).unwrap();
        files
    }

    fn hypervisor(&self) -> PathBuf {
        self.directory.path().join("h")
    }

    fn script(&self, command: &str) {
        run(self.command(command));
    }

    fn command(&self, command: &str) -> Command {
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/hypervisor"));
        script.arg(command).arg(self.hypervisor());
        script
    }
}

impl Drop for PrivateHost {
    fn drop(&mut self) {
        // No panic here: one may be on its way. The script ends exactly the processes of this directory.
        match self.command("stop").status() {
            Ok(status) if status.success() => {}
            outcome => eprintln!("{} is not stopped: {outcome:?}", self.hypervisor().display()),
        }
    }
}

fn run(mut command: impl std::borrow::BorrowMut<Command>) -> String {
    let command = command.borrow_mut();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn read_pid(file: &Path) -> i32 {
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}
