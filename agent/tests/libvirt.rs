//! The agent's hypervisor against a real libvirtd and real QEMUs. No guest has an operating system: the firmware finds
//! nothing to boot, which is all this needs.
//!
//! Needs root and what `scripts/setup` installs.

#![allow(clippy::unwrap_used)]

mod crash;
mod private_host;

use private_host::PrivateHost;
use rempart_agent::vm::definition::SLOTS;
use rempart_agent::vm::libvirt::Libvirt;
use rempart_agent::vm::{
    Acceleration, Domain, Firmware, Guest, GuestDisk, Hypervisor, HypervisorError, OffCause,
};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, getpid, kill_process, pidfd_getfd, pidfd_open,
};
use std::fs;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;

/// Everything in one test, because a libvirtd of one's own costs ten seconds.
#[test]
fn guests_and_libvirtd_come_and_go() {
    let host = PrivateHost::start();
    let libvirt = timed("connect", || Libvirt::connect(&host.uri()).unwrap());
    let bench = Bench { bell: libvirt.changes(), host, libvirt };
    let survey = timed("survey", || bench.libvirt.survey().unwrap());
    eprintln!("{survey:?}");
    assert_eq!(survey.acceleration == Acceleration::Kvm, survey.reason.contains("run on the CPU"));
    assert!(survey.libvirt_version.split('.').count() == 3);
    // "QEMU 7.2.22" has the machine type pc-q35-7.2.
    let machine =
        survey.hypervisor_version.replace("QEMU ", "pc-q35-").rsplit_once('.').unwrap().0.to_owned();

    bench.a_life(&bench.guest("bios", &machine, Firmware::Bios));
    if survey.uefi {
        bench.a_life(&bench.guest("uefi", &machine, Firmware::Uefi));
    }
    bench.a_full_house(&machine);
    bench.hostile_names(&machine);
    bench.refusals(&machine);
    bench.a_foreign_domain();
    bench.crashes(&machine);
    bench.restarts_of_libvirtd(&machine);
    bench.a_libvirtd_that_hangs();
    bench.the_end();
}

struct Bench {
    host: PrivateHost,
    libvirt: Libvirt,
    bell: watch::Receiver<u64>,
}

impl Bench {
    /// A guest with a blank disk; its files exist.
    fn guest(&self, name: &str, machine: &str, firmware: Firmware) -> Guest {
        let files = self.host.files().join(name);
        fs::create_dir_all(&files).unwrap();
        let guest = Guest {
            uuid: Uuid::now_v7(),
            machine: machine.into(),
            cpu_model: "qemu64".into(),
            firmware,
            vcpus: 1,
            memory_mib: 64,
            disks: vec![GuestDisk { path: files.join("boot.qcow2"), slot: 0, serial: "boot".into() }],
            seed: files.join("seed.img"),
            run_dir: files.clone(),
        };
        fs::write(&guest.seed, vec![0; 1 << 20]).unwrap();
        blank(&guest.disks[0]);
        guest
    }

    /// The domain as listed.
    fn domain(&self, uuid: Uuid) -> Option<Domain> {
        self.libvirt.domains().unwrap().into_iter().find(|domain| domain.uuid == uuid)
    }

    /// The domain's state in virsh's words.
    fn state(&self, uuid: Uuid) -> String {
        self.host.virsh(&["domstate", &uuid.to_string()]).trim().to_owned()
    }

    fn check(&self, guest: &Guest, running: bool, off_cause: Option<OffCause>) {
        let domain = self.domain(guest.uuid).unwrap();
        assert_eq!(domain.name, format!("rempart-{}", guest.uuid));
        assert_eq!(domain.definition, Some(guest.digest()));
        assert_eq!((domain.running, domain.off_cause), (running, off_cause));
    }

    /// Does something that must ring.
    fn ringing<T>(&self, what: &str, act: impl FnOnce() -> T) -> T {
        let mut bell = self.bell.clone();
        bell.borrow_and_update();
        let outcome = act();
        await_that(what, Duration::from_secs(20), || bell.has_changed().unwrap().then_some(()));
        outcome
    }

    fn a_life(&self, guest: &Guest) {
        let uuid = guest.uuid;
        self.ringing("define", || timed("define", || self.libvirt.define(guest).unwrap()));
        self.check(guest, false, None);
        timed("define again", || self.libvirt.define(guest).unwrap());
        self.ringing("start", || timed("start", || self.libvirt.start(uuid).unwrap()));
        self.check(guest, true, None);
        self.libvirt.start(uuid).unwrap();
        assert_eq!(self.state(uuid), "paused", "it executes nothing yet");
        self.ringing("resume", || self.libvirt.resume(uuid).unwrap());
        assert_eq!(self.state(uuid), "running");
        self.libvirt.resume(uuid).unwrap();
        let disk = &guest.disks[0].path;
        self.libvirt.grow_disk(uuid, disk, 64 << 20).unwrap();
        self.libvirt.grow_disk(uuid, disk, 64 << 20).unwrap();
        let other = refusal(self.libvirt.grow_disk(uuid, &guest.seed.with_extension("none"), 64 << 20));
        assert!(other.contains("not found"), "{other}");
        for file in ["serial.sock", "serial.log"] {
            assert!(guest.run_dir.join(file).exists(), "{file}");
        }
        // Nobody is there to act upon it.
        self.libvirt.press_power_button(uuid).unwrap();
        self.check(guest, true, None);
        assert!(refusal(self.libvirt.undefine(uuid)).contains("running"));
        self.check(guest, true, None);
        self.ringing("power off", || timed("power off", || self.libvirt.power_off(uuid).unwrap()));
        self.check(guest, false, Some(OffCause::Destroyed));
        self.libvirt.power_off(uuid).unwrap();
        self.libvirt.press_power_button(uuid).unwrap();

        let mut larger = guest.clone();
        larger.memory_mib *= 2;
        self.libvirt.define(&larger).unwrap();
        self.check(&larger, false, Some(OffCause::Destroyed));
        assert_ne!(larger.digest(), guest.digest());

        let nvram = guest.run_dir.join("nvram.fd");
        assert_eq!(nvram.exists(), guest.firmware == Firmware::Uefi);
        self.ringing("undefine", || timed("undefine", || self.libvirt.undefine(uuid).unwrap()));
        assert_eq!(self.domain(uuid), None);
        assert!(!nvram.exists());
        self.libvirt.undefine(uuid).unwrap();
        self.libvirt.power_off(uuid).unwrap();
    }

    /// Every slot has a disk, and libvirt and QEMU take it.
    fn a_full_house(&self, machine: &str) {
        let mut guest = self.guest("full", machine, Firmware::Bios);
        for slot in 1..SLOTS {
            let disk =
                GuestDisk { path: guest.run_dir.join(slot.to_string()), slot, serial: slot.to_string() };
            blank(&disk);
            guest.disks.push(disk);
        }
        timed("define with 88 disks", || self.libvirt.define(&guest).unwrap());
        timed("start with 88 disks", || self.libvirt.start(guest.uuid).unwrap());
        self.check(&guest, true, None);
        self.remove(&guest);
    }

    /// What is data for us is data for libvirt and QEMU too.
    fn hostile_names(&self, machine: &str) {
        let mut guest = self.guest("hostile", machine, Firmware::Bios);
        for (slot, name) in (1..).zip(["<source>&lt;'\",x=y", "a,format=raw", "\u{e9} ]]> \t%s"]) {
            let disk = GuestDisk { path: guest.run_dir.join(name), slot, serial: "data".into() };
            fs::rename(blank_at(&guest.run_dir.join("plain")), &disk.path).unwrap();
            guest.disks.push(disk);
        }
        self.libvirt.define(&guest).unwrap();
        self.libvirt.start(guest.uuid).unwrap();
        self.libvirt.resume(guest.uuid).unwrap();
        self.check(&guest, true, None);
        self.remove(&guest);
    }

    fn refusals(&self, machine: &str) {
        let guest = self.guest("refused", machine, Firmware::Bios);
        assert!(refusal(self.libvirt.start(guest.uuid)).contains("not defined"));
        let nul = Guest { cpu_model: "a\0b".into(), ..guest.clone() };
        assert!(refusal(self.libvirt.define(&nul)).contains("character"));
        let unknown = Guest { cpu_model: "NoSuchCpu".into(), ..guest.clone() };
        self.libvirt.define(&unknown).unwrap();
        assert!(refusal(self.libvirt.start(guest.uuid)).contains("NoSuchCpu"));
        self.check(&unknown, false, Some(OffCause::Crashed));
        self.libvirt.define(&guest).unwrap();
        fs::remove_file(&guest.disks[0].path).unwrap();
        assert!(refusal(self.libvirt.start(guest.uuid)).contains("boot.qcow2"));
        self.remove(&guest);
    }

    fn a_foreign_domain(&self) {
        let document = self.host.files().join("foreign.xml");
        let uuid = Uuid::now_v7();
        let xml = format!(
            "<domain type='qemu'><name>foreign</name><uuid>{uuid}</uuid><memory>65536</memory><os><type>hvm</type></os>\
             <metadata><x:y xmlns:x='urn:x' definition='z'/></metadata></domain>"
        );
        fs::write(&document, xml).unwrap();
        self.ringing("someone defines", || self.host.virsh(&["define", document.to_str().unwrap()]));
        let domain = self.domain(uuid).unwrap();
        assert_eq!((domain.name.as_str(), domain.running, domain.definition), ("foreign", false, None));
        self.host.virsh(&["undefine", "foreign"]);
    }

    fn crashes(&self, machine: &str) {
        let guest = self.guest("crash", machine, Firmware::Bios);
        self.libvirt.define(&guest).unwrap();
        self.libvirt.start(guest.uuid).unwrap();
        self.libvirt.resume(guest.uuid).unwrap();
        let qemu = self.host.guest_pid(&format!("rempart-{}", guest.uuid));
        self.ringing("crash", || signal(qemu, Signal::KILL));
        await_that("crash", Duration::from_secs(5), || (!self.domain(guest.uuid)?.running).then_some(()));
        self.check(&guest, false, Some(OffCause::Crashed));
        self.libvirt.start(guest.uuid).unwrap();
        self.libvirt.resume(guest.uuid).unwrap();
        self.check(&guest, true, None);
        self.remove(&guest);
    }

    fn restarts_of_libvirtd(&self, machine: &str) {
        let guest = self.guest("survivor", machine, Firmware::Bios);
        let crashed = self.guest("crashed", machine, Firmware::Bios);
        for guest in [&guest, &crashed] {
            self.libvirt.define(guest).unwrap();
            self.libvirt.start(guest.uuid).unwrap();
            self.libvirt.resume(guest.uuid).unwrap();
        }
        for round in 0..3 {
            self.ringing("loss", || self.host.stop_daemon());
            let lost = timed("call without libvirtd", || self.libvirt.domains());
            assert!(
                matches!(&lost, Err(HypervisorError::Unavailable(reason)) if reason.contains("libvirtd at"))
            );
            eprintln!("{}", lost.unwrap_err());
            assert!(matches!(self.libvirt.start(guest.uuid), Err(HypervisorError::Unavailable(_))));
            if round == 0 {
                signal(self.host.guest_pid(&format!("rempart-{}", crashed.uuid)), Signal::KILL);
            }
            self.ringing("return", || self.host.start_daemon());
            timed("usable again after", || self.await_return());
            self.check(&guest, true, None);
            self.check(&crashed, false, Some(OffCause::Crashed).filter(|_| round == 0));
            // Events come over the new connection too.
            self.ringing("an event", || self.host.virsh(&["reset", &format!("rempart-{}", guest.uuid)]));
        }
        self.ringing("power off", || self.libvirt.power_off(guest.uuid).unwrap());
        await_use(Usage { connections: 1, threads: 1 });
        self.remove(&guest);
        self.remove(&crashed);
    }

    fn a_libvirtd_that_hangs(&self) {
        let daemon = self.host.daemon_pid();
        signal(daemon, Signal::STOP);
        let hung = timed("call to a stopped libvirtd", || self.libvirt.domains());
        assert!(matches!(hung, Err(HypervisorError::Unavailable(_))), "{hung:?}");
        let again = timed("next call", || self.libvirt.domains());
        assert!(matches!(again, Err(HypervisorError::Unavailable(_))), "{again:?}");
        self.ringing("return", || signal(daemon, Signal::CONT));
        self.await_return();
    }

    /// A dropped hypervisor leaves nothing behind.
    fn the_end(self) {
        drop(self.libvirt);
        await_use(Usage { connections: 0, threads: 0 });
    }

    fn await_return(&self) {
        await_that("libvirt again", Duration::from_secs(20), || self.libvirt.domains().ok());
    }

    fn remove(&self, guest: &Guest) {
        self.libvirt.power_off(guest.uuid).unwrap();
        self.libvirt.undefine(guest.uuid).unwrap();
    }
}

/// What a hypervisor has of this process: one connection, and the thread that keeps it. A test beside this one has its own.
#[derive(Debug, PartialEq, Eq)]
struct Usage {
    connections: usize,
    threads: usize,
}

impl Usage {
    fn now() -> Self {
        // By the name that libvirtd itself gave it, on its side of the mounts.
        let is_libvirtd =
            |peer: &SocketAddr| peer.as_pathname().is_some_and(|path| path.ends_with("libvirt-sock"));
        let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let fds = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        let fds = fds.filter_map(|fd| fd.file_name().to_str()?.parse::<i32>().ok());
        // One that is closed meanwhile is none.
        let files = fds.filter_map(|fd| pidfd_getfd(&this, fd, PidfdGetfdFlags::empty()).ok());
        let peers = files.filter_map(|file| UnixStream::from(file).peer_addr().ok());
        let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        let ours = ["libvirt-link", "libvirt-call"];
        Self {
            connections: peers.filter(is_libvirtd).count(),
            threads: names.filter(|name| ours.contains(&name.trim())).count(),
        }
    }
}

/// The thread of a call may still be on its way out.
fn await_use(expected: Usage) {
    await_that(&format!("{expected:?}"), Duration::from_secs(10), || {
        (Usage::now() == expected).then_some(())
    });
}

fn refusal(outcome: Result<(), HypervisorError>) -> String {
    match outcome {
        Err(HypervisorError::Refused { cause, .. }) => cause,
        other => panic!("not refused: {other:?}"),
    }
}

fn blank(disk: &GuestDisk) {
    blank_at(&disk.path);
}

fn blank_at(path: &std::path::Path) -> &std::path::Path {
    let status = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(path).arg("1M").status();
    assert!(status.unwrap().success());
    path
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn await_that<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let outcome = act();
    eprintln!("{what}: {:.3} s", begin.elapsed().as_secs_f64());
    outcome
}
