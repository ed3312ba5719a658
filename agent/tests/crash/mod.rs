//! An agent killed at every step of making and removing a guest, against a real libvirtd: in the end there is exactly
//! one of each, or nothing.
//!
//! The steps are those the plan asks for, whatever they are: an agent that nobody disturbs counts them first. Then, for
//! each of them, one agent ends itself right after it, and one is killed while it is at it. Agents are processes of
//! their own (this program, run again), so that what they leave is what a killed agent leaves. The pure plan is
//! tried at every pair of points in `plan::tests::crash`. Images are on the host already.

use crate::private_host::PrivateHost;
use rempart_agent::desired::wire::Desired;
use rempart_agent::desired::{
    Blob, Digest, Disk, Hardware, ImageFormat, Instance, Power, Presence, Seed, Stamp, Volume,
};
use rempart_agent::disk::fetch::ImageSource;
use rempart_agent::disk::image::ImageStore;
use rempart_agent::durable;
use rempart_agent::execute::{Executor, SharedLedger};
use rempart_agent::identity::Controllers;
use rempart_agent::layout::DataDir;
use rempart_agent::ledger::Ledger;
use rempart_agent::plan::{self, Input};
use rempart_agent::stop::Stopper;
use rempart_agent::vm::libvirt::Libvirt;
use rempart_agent::world::{Host, World};
use rempart_identity::{Ca, Credentials, Identity, Key};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const MIB: u64 = 1 << 20;

/// What an agent of this test is told, by its environment.
const DIRECTORY: &str = "CRASH_DIRECTORY";
const URI: &str = "CRASH_URI";
const END_AFTER: &str = "CRASH_END_AFTER";

#[test]
fn an_agent_killed_at_every_step_leaves_one_of_each() {
    let stage = Stage::new();
    let mut log_index = 0;
    let (mut making, mut removing) = (usize::MAX, usize::MAX);
    let mut turn = 0;
    // The first turn is undisturbed and counts.
    while turn == 0 || turn <= 2 * making.max(removing) {
        let death = |steps: usize| match turn {
            0 => Death::None,
            _ if turn % 2 == 1 => Death::After((turn - 1) / 2 % steps + 1),
            _ => Death::During((turn - 1) / 2 % steps + 1),
        };
        let wanted = Wanted::new(&stage.blob);
        stage.forget_verifications();
        log_index += 1;
        stage.desire(&wanted, Presence::Present, log_index);
        let steps = stage.agents(death(making));
        if turn == 0 {
            making = steps;
        }
        stage.expect_one_of_each(&wanted, turn);
        log_index += 1;
        stage.desire(&wanted, Presence::Absent, log_index);
        let steps = stage.agents(death(removing));
        if turn == 0 {
            removing = steps;
        }
        stage.expect_nothing(&wanted, turn);
        turn += 1;
    }
    // Creating two volumes, directory, seed, definition, power; and all of it back.
    assert!(
        making >= 8 && removing >= 5,
        "{making} steps to make, {removing} to remove: something is not tried"
    );
    eprintln!("{making} steps of making and {removing} of removing, each ended at twice: {turn} guests");
}

/// When the first of two agents ends.
#[derive(Debug, Clone, Copy)]
enum Death {
    None,
    After(usize),
    During(usize),
}

/// One guest.
struct Wanted {
    instance: Instance,
    volumes: [Volume; 2],
}

impl Wanted {
    /// With a boot volume from the image and a blank one.
    fn new(blob: &Blob) -> Self {
        let volume = |source: Option<Blob>| Volume {
            uid: Uuid::now_v7(),
            generation: 1,
            epoch: 1,
            presence: Presence::Present,
            size_bytes: 16 * MIB,
            source,
            capture: None,
            request_id: None,
        };
        let volumes = [volume(Some(blob.clone())), volume(None)];
        let disk = |position: usize| Disk {
            volume: volumes[position].uid,
            slot: u32::try_from(position).unwrap(),
            serial: format!("disk{position}"),
        };
        let hardware = Hardware {
            machine: "pc-q35-7.2".into(),
            cpu_model: "qemu64".into(),
            uefi: false,
            vcpus: 1,
            memory_mib: 64,
            disks: vec![disk(0), disk(1)],
            nics: vec![],
        };
        let instance = Instance {
            uid: Uuid::now_v7(),
            generation: 1,
            epoch: 1,
            presence: Presence::Present,
            hardware: Some(hardware),
            seed: Seed { hostname: "torn".into(), ..Seed::default() },
            power: Power { on: true, generation: 1, restart: false },
            request_id: None,
        };
        Self { instance, volumes }
    }
}

struct Stage {
    libvirt: PrivateHost,
    directory: PathBuf,
    blob: Blob,
}

impl Stage {
    fn new() -> Self {
        let libvirt = PrivateHost::start();
        let directory = libvirt.files();
        let base = directory.join("base");
        let made =
            Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&base).arg("16M").status();
        assert!(made.unwrap().success());
        let bytes = fs::read(&base).unwrap();
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let blob = Blob {
            sha256: Digest::parse(&digest).unwrap(),
            format: ImageFormat::Qcow2,
            size_bytes: bytes.len() as u64,
            virtual_size_bytes: 16 * MIB,
        };
        let host = host(&directory);
        host.data.prepare().unwrap();
        fs::create_dir_all(directory.join("images")).unwrap();
        fs::rename(base, host.images.file(&blob)).unwrap();
        Self { libvirt, directory, blob }
    }

    /// So that each guest takes every step, the one of reading its image included.
    fn forget_verifications(&self) {
        for record in content(&host(&self.directory).data.image_records_dir()) {
            fs::remove_file(record).unwrap();
        }
    }

    /// Writes to the ledger, as a session does.
    fn desire(&self, wanted: &Wanted, presence: Presence, applied_index: u64) {
        let generation = applied_index;
        let volumes = wanted.volumes.iter().cloned().map(|volume| Volume { presence, generation, ..volume });
        let instance = Instance { presence, generation, ..wanted.instance.clone() };
        let stamp = Stamp { cluster_id: "c".into(), incarnation: 1, applied_index };
        let desired = Desired {
            stamp,
            whole: true,
            volumes: volumes.collect(),
            instances: vec![instance],
            invalid: vec![],
        };
        Ledger::open(&host(&self.directory).data.ledger_dir()).unwrap().accept(desired).unwrap();
    }

    /// One agent that dies, if so wished, and one that does what is left. Returns the steps of the last.
    fn agents(&self, death: Death) -> usize {
        match death {
            Death::None => {}
            Death::After(step) => {
                let (status, steps) = self.agent(Some(step), None);
                assert!(!status.success() && steps == step, "{death:?}: {status}, {steps} steps");
            }
            Death::During(step) => {
                let (status, steps) = self.agent(None, Some(step));
                assert!(!status.success() && steps + 1 >= step, "{death:?}: {status}, {steps} steps");
            }
        }
        let (status, steps) = self.agent(None, None);
        assert!(status.success(), "the agent after {death:?}: {status}");
        steps
    }

    /// Runs an agent to its end, and counts the steps it ended.
    fn agent(&self, end_after: Option<usize>, kill_during: Option<usize>) -> (ExitStatus, usize) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "crash::an_agent", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(DIRECTORY, &self.directory).env(URI, self.libvirt.uri());
        if let Some(step) = end_after {
            command.env(END_AFTER, step.to_string());
        }
        let mut child: Child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (mut begun, mut ended) = (0, 0);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            match line.unwrap().split_whitespace().next() {
                Some("begin") => {
                    begun += 1;
                    if kill_during == Some(begun) {
                        child.kill().unwrap();
                    }
                }
                Some("end") => ended += 1,
                _ => {}
            }
        }
        (child.wait().unwrap(), ended)
    }

    fn expect_one_of_each(&self, wanted: &Wanted, turn: usize) {
        let data = host(&self.directory).data;
        let uid = wanted.instance.uid.to_string();
        assert_eq!(self.libvirt.virsh(&["list", "--all", "--uuid"]).trim(), uid, "turn {turn}");
        assert_eq!(self.libvirt.virsh(&["list", "--uuid"]).trim(), uid, "turn {turn}: it does not run");
        let definition = self.libvirt.virsh(&["dumpxml", &uid]);
        let mut volumes = Vec::new();
        for volume in &wanted.volumes {
            let file = data.volume_file(volume.uid);
            assert!(definition.contains(file.to_str().unwrap()), "turn {turn}: {definition}");
            volumes.push(file);
        }
        volumes.sort();
        assert_eq!(content(&data.volumes_dir()), volumes, "turn {turn}");
        assert_eq!(content(&data.seeds_dir()), [data.seed_file(wanted.instance.uid)], "turn {turn}");
        assert_eq!(
            content(&self.directory.join("guests")),
            [data.run_dir(wanted.instance.uid)],
            "turn {turn}"
        );
        assert_eq!(processes_of(&uid), 1, "turn {turn}");
    }

    fn expect_nothing(&self, wanted: &Wanted, turn: usize) {
        let data = host(&self.directory).data;
        assert_eq!(self.libvirt.virsh(&["list", "--all", "--uuid"]).trim(), "", "turn {turn}");
        for directory in [data.volumes_dir(), data.seeds_dir(), self.directory.join("guests")] {
            assert_eq!(content(&directory), Vec::<PathBuf>::new(), "turn {turn}");
        }
        assert_eq!(processes_of(&wanted.instance.uid.to_string()), 0, "turn {turn}");
    }
}

fn host(directory: &Path) -> Host {
    let data = DataDir::new(directory);
    let images = ImageStore::new(directory.join("images"), data.image_records_dir());
    Host { boot_id: "boot".into(), data, images }
}

fn content(directory: &Path) -> Vec<PathBuf> {
    let mut content: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    content.sort();
    content
}

/// How many QEMUs run for a guest.
fn processes_of(uid: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command);
            command.contains("qemu-system") && command.contains(uid)
        })
        .count()
}

/// No controllers at all.
fn nobody() -> Controllers {
    let (ca, key) = (Ca::create("test").unwrap(), Key::generate().unwrap());
    let identity = Identity::Host("h1".to_owned());
    let certificate = ca.sign_own(&identity, &key, Duration::from_secs(3600)).unwrap();
    Controllers::new(vec![], Credentials::new(ca.certificate().clone(), certificate, &key).unwrap())
}

/// An agent without controllers: takes one step after the other until there is none left.
#[test]
#[ignore = "a process of the test above"]
fn an_agent() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let end_after = std::env::var(END_AFTER).ok().map(|text| text.parse::<usize>().unwrap());
    let host = host(&directory);
    let _lock = host.data.prepare().unwrap();
    for swept in [host.data.volumes_dir(), host.data.seeds_dir(), host.data.image_records_dir()] {
        durable::sweep_unfinished(&swept).unwrap();
    }
    let ledger = SharedLedger::new(Ledger::open(&host.data.ledger_dir()).unwrap());
    let hypervisor = Arc::new(Libvirt::connect(&std::env::var(URI).unwrap()).unwrap());
    // Nothing is fetched: the image is there.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = {
        let _entered = runtime.enter();
        ImageSource::new(nobody(), Stopper::new().1)
    };
    let executor = Executor { host, hypervisor, source, image_grace: Duration::MAX, ledger };
    let mut steps = 0;
    loop {
        let ledger = executor.ledger.lock().snapshot();
        let (world, error) = World::observe(&executor.host, &ledger, executor.hypervisor.as_ref());
        assert!(error.is_none(), "{error:?}");
        let input = Input { ledger: &ledger, world: &world, host: &executor.host, pressed: &BTreeMap::new() };
        let plans = plan::plan(input);
        let Some(action) = plans.values().find_map(|plan| plan.actions.first()) else {
            let stuck = plans.values().find(|plan| plan.progress != plan::Progress::Reached);
            assert!(stuck.is_none(), "{stuck:?}");
            return;
        };
        steps += 1;
        assert!(steps < 100, "there is no end to it: {}", action.name());
        say(&format!("begin {steps} {}", action.name()));
        executor.run(action).unwrap();
        say(&format!("end {steps}"));
        if end_after == Some(steps) {
            std::process::abort();
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // After what the test harness may have left on the line.
    write!(out, "\n{line}\n").unwrap();
    out.flush().unwrap();
}
