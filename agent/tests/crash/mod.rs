//! An agent killed at every step of making, changing and removing a guest, against a real libvirtd: in the end there is
//! exactly one of each, or nothing.
//!
//! The steps are those the plan asks for, whatever they are: an agent that nobody disturbs counts them first. Then, for
//! each of them, one agent ends itself right after it, and one is killed while it is at it. Agents are processes of
//! their own (this program, run again), so that what they leave is what a killed agent leaves. That no kind of step is
//! left out is asserted. The pure plan is tried at every pair of points in `plan::tests::crash`.

mod giver;

use crate::private_host::PrivateHost;
use rempart_agent::desired::wire::Desired;
use rempart_agent::desired::{
    Blob, Digest, Disk, Hardware, ImageFormat, Instance, Power, Presence, Seed, Stamp, Volume,
};
use rempart_agent::disk::fetch::ImageSource;
use rempart_agent::disk::image::ImageStore;
use rempart_agent::disk::local::Local;
use rempart_agent::disk::volume;
use rempart_agent::execute::{Executor, SharedLedger};
use rempart_agent::identity::Controllers;
use rempart_agent::layout::DataDir;
use rempart_agent::ledger::Ledger;
use rempart_agent::plan::{self, Action, Input, Pressed};
use rempart_agent::stop::Stopper;
use rempart_agent::vm::libvirt::Libvirt;
use rempart_agent::world::Host;
use rempart_identity::Identity;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
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

/// Where it connects to for images.
const CONTROLLER: &str = "CRASH_CONTROLLER";

/// What is asked of the host, one after the other.
const STAGES: [Part; 7] =
    [Part::Make, Part::GrowRunning, Part::Stop, Part::GrowOff, Part::Capture, Part::Captured, Part::Remove];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Make,
    GrowRunning,
    Stop,
    GrowOff,
    Capture,
    Captured,
    Remove,
}

#[test]
fn an_agent_killed_at_every_step_leaves_one_of_each() {
    let stage = Stage::new();
    let mut log_index = 0;
    let mut tried: [BTreeSet<String>; 2] = Default::default();
    let mut guests = 0;
    // An image is fetched, or only verified: both are steps of making a volume.
    for fetched in [true, false] {
        let mut steps = [0; STAGES.len()];
        let mut turn = 0_usize;
        // The first turn is undisturbed and counts. An image that is there makes a difference to the first step only.
        while turn == 0 || turn <= 2 * if fetched { *steps.iter().max().unwrap() } else { 1 } {
            // Once a guest's changes have had all their deaths, those of its beginning and end go on alone.
            let changes = turn == 0 || turn.div_ceil(2) <= *steps[1..STAGES.len() - 1].iter().max().unwrap();
            let mut wanted = Wanted::new(&stage.blob);
            stage.forget_images(fetched);
            for (position, now) in STAGES.into_iter().enumerate() {
                if !changes && !matches!(now, Part::Make | Part::Remove) {
                    continue;
                }
                // Stages of fewer steps have had all of theirs.
                let at = turn.div_ceil(2);
                // A guest that was not changed is on, and has to be turned off first.
                let on = usize::from(!changes && now == Part::Remove);
                let death = match turn {
                    _ if turn == 0 || at > steps[position] + on => Death::None,
                    _ if turn % 2 == 1 => Death::After(at),
                    _ => Death::During(at),
                };
                wanted.next(now);
                log_index += 1;
                stage.desire(&wanted, log_index);
                let (count, killed) = stage.agents(death);
                if turn == 0 {
                    steps[position] = count;
                }
                match death {
                    Death::None => {}
                    Death::After(_) => tried[0].extend(killed),
                    Death::During(_) => tried[1].extend(killed),
                }
                stage.expect(&wanted, now, turn);
            }
            turn += 1;
            guests += 1;
        }
        eprintln!("steps of each stage, each ended at twice: {steps:?}");
    }
    let all = kinds_of_steps();
    assert!(all.len() >= 20, "{all:?}");
    for (when, tried) in ["after", "during"].iter().zip(&tried) {
        assert_eq!(&all, tried, "an agent died {when} each kind of step");
    }
    eprintln!("{guests} guests");
}

/// What `Action::name` can say, which the compiler keeps complete.
fn kinds_of_steps() -> BTreeSet<String> {
    let source = include_str!("../../src/plan.rs");
    let names = source.split_once("fn name(&self)").unwrap().1;
    let names = names.split_once("impl SharedSeed").unwrap().0;
    let arms = names.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \""));
    arms.map(|(_, name)| name.split('"').next().unwrap().to_owned()).collect()
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
    image: Uuid,
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
        Self { instance, volumes, image: Uuid::now_v7() }
    }

    /// What is wanted from this stage on.
    fn next(&mut self, stage: Part) {
        match stage {
            Part::Make => {}
            Part::GrowRunning => self.volumes[1].size_bytes *= 2,
            Part::Stop => self.instance.power = Power { on: false, generation: 2, restart: false },
            Part::GrowOff => self.volumes[0].size_bytes *= 2,
            Part::Capture => self.volumes[0].capture = Some(self.image),
            Part::Captured => self.volumes[0].capture = None,
            Part::Remove => {
                self.instance.presence = Presence::Absent;
                for volume in &mut self.volumes {
                    volume.presence = Presence::Absent;
                }
            }
        }
    }
}

struct Stage {
    libvirt: PrivateHost,
    directory: PathBuf,
    blob: Blob,
    bytes: Vec<u8>,
    controller: giver::Running,
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
        fs::remove_file(base).unwrap();
        let controller = giver::start(bytes.clone(), &directory);
        Self { libvirt, directory, blob, bytes, controller }
    }

    /// So that each guest takes every step: its image has to come, or to be read.
    fn forget_images(&self, fetched: bool) {
        let host = host(&self.directory);
        for record in content(&host.data.image_records_dir()) {
            fs::remove_file(record).unwrap();
        }
        let file = host.images.file(&self.blob);
        let _ = fs::remove_file(&file);
        if !fetched {
            fs::write(file, &self.bytes).unwrap();
        }
    }

    /// Writes to the ledger, as a session does.
    fn desire(&self, wanted: &Wanted, applied_index: u64) {
        let generation = applied_index;
        let volumes = wanted.volumes.iter().cloned().map(|volume| Volume { generation, ..volume });
        let instance = Instance { generation, ..wanted.instance.clone() };
        let stamp = Stamp { cluster_id: "c".into(), incarnation: 1, applied_index };
        let desired = Desired {
            stamp,
            whole: true,
            volumes: volumes.collect(),
            instances: vec![instance],
            invalid: vec![],
            orders: None,
        };
        Ledger::open(&host(&self.directory).data.ledger_dir()).unwrap().accept(desired).unwrap();
    }

    /// One agent that dies, if so wished, and one that does what is left. Returns the steps of the last, and the name of
    /// the one that the first died at.
    fn agents(&self, death: Death) -> (usize, Option<String>) {
        let mut killed = None;
        match death {
            Death::None => {}
            Death::After(step) => {
                let (status, begun, ended) = self.agent(Some(step), None);
                assert!(!status.success() && ended == step, "{death:?}: {status}, {ended} steps");
                killed = begun.last().cloned();
            }
            Death::During(step) => {
                let (status, begun, ended) = self.agent(None, Some(step));
                assert!(!status.success() && ended + 1 >= step, "{death:?}: {status}, {ended} steps");
                killed = begun.get(step - 1).cloned();
            }
        }
        let (status, _, steps) = self.agent(None, None);
        assert!(status.success(), "the agent after {death:?}: {status}");
        (steps, killed)
    }

    /// Runs an agent to its end. Returns the steps it began, and how many it ended.
    fn agent(
        &self,
        end_after: Option<usize>,
        kill_during: Option<usize>,
    ) -> (ExitStatus, Vec<String>, usize) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "crash::an_agent", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(DIRECTORY, &self.directory).env(URI, self.libvirt.uri());
        command.env(CONTROLLER, &self.controller.address);
        if let Some(step) = end_after {
            command.env(END_AFTER, step.to_string());
        }
        let mut child: Child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (mut begun, mut ended) = (Vec::new(), 0);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(name) = line.strip_prefix("begin ") {
                begun.push(name.to_owned());
                if kill_during == Some(begun.len()) {
                    child.kill().unwrap();
                }
            } else if line.starts_with("end ") {
                ended += 1;
            }
        }
        (child.wait().unwrap(), begun, ended)
    }

    /// What has to be true once a stage is over, whoever died in it.
    fn expect(&self, wanted: &Wanted, stage: Part, turn: usize) {
        if stage == Part::Remove {
            return self.expect_nothing(wanted, turn);
        }
        let running = matches!(stage, Part::Make | Part::GrowRunning);
        self.expect_one_of_each(wanted, running, turn);
        let data = host(&self.directory).data;
        for volume in &wanted.volumes {
            let file = volume::read(&data.volume_file(volume.uid)).unwrap().unwrap();
            assert_eq!(file.virtual_size_bytes, volume.size_bytes, "turn {turn}, {stage:?}");
        }
        let copies = if stage == Part::Capture {
            vec![data.capture_file(wanted.volumes[0].uid, wanted.image)]
        } else {
            vec![]
        };
        assert_eq!(content(&data.captures_dir()), copies, "turn {turn}, {stage:?}");
        let taken = self.controller.taken(&wanted.image.to_string());
        assert_eq!(taken >= 1, matches!(stage, Part::Capture | Part::Captured), "turn {turn}, {stage:?}");
    }

    fn expect_one_of_each(&self, wanted: &Wanted, running: bool, turn: usize) {
        let data = host(&self.directory).data;
        let uid = wanted.instance.uid.to_string();
        assert_eq!(self.libvirt.virsh(&["list", "--all", "--uuid"]).trim(), uid, "turn {turn}");
        let runs = if running { uid.as_str() } else { "" };
        assert_eq!(self.libvirt.virsh(&["list", "--uuid"]).trim(), runs, "turn {turn}: whether it runs");
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
        assert_eq!(processes_of(&uid), usize::from(running), "turn {turn}");
    }

    fn expect_nothing(&self, wanted: &Wanted, turn: usize) {
        let data = host(&self.directory).data;
        assert_eq!(self.libvirt.virsh(&["list", "--all", "--uuid"]).trim(), "", "turn {turn}");
        for directory in
            [data.volumes_dir(), data.captures_dir(), data.seeds_dir(), self.directory.join("guests")]
        {
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

/// An agent whose desired state is in its ledger already: takes one step after the other until there is none left.
#[test]
#[ignore = "a process of the test above"]
fn an_agent() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let end_after = std::env::var(END_AFTER).ok().map(|text| text.parse::<usize>().unwrap());
    let host = host(&directory);
    let _lock = host.data.prepare().unwrap();
    host.data.sweep(&directory.join("images")).unwrap();
    let ledger = SharedLedger::new(Ledger::open(&host.data.ledger_dir()).unwrap());
    let hypervisor = Arc::new(Libvirt::connect(&std::env::var(URI).unwrap()).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Kept: without it, whatever is under way ends.
    let (_stopper, stop) = Stopper::new();
    let source = {
        let _entered = runtime.enter();
        let controller = std::env::var(CONTROLLER).unwrap();
        let own = giver::credentials(&directory, &Identity::Host("h1".to_owned()));
        let controllers = Controllers::new(vec![controller.clone()], own);
        controllers.set_leader(Some(controller));
        ImageSource::new(controllers, stop)
    };
    let disks = Arc::new(Local { data: host.data.clone(), images: host.images.clone(), source });
    let executor = Executor { host, hypervisor, disks, image_grace: Duration::MAX, ledger };
    let (mut steps, mut pressed, mut sent) = (0, BTreeMap::new(), false);
    loop {
        let ledger = executor.ledger.lock().snapshot();
        let (world, error) = executor.look(&ledger, true);
        assert!(error.is_none(), "{error:?}");
        let input = Input { ledger: &ledger, world: &world, host: &executor.host, pressed: &pressed };
        let plans = plan::plan(input);
        // A copy is sent until the controllers ask for it no more, which they do not here.
        let first = |plan: &'_ plan::ObjectPlan| {
            plan.actions
                .first()
                .filter(|action| !(sent && matches!(action, Action::SendCapture { .. })))
                .cloned()
        };
        let Some(action) = plans.values().find_map(first) else {
            let stuck = plans.values().find(|plan| plan.progress != plan::Progress::Reached);
            assert!(stuck.is_none(), "{stuck:?}");
            return;
        };
        steps += 1;
        assert!(steps < 100, "there is no end to it: {}", action.name());
        say(&format!("begin {}", action.name()));
        executor.run(&action).unwrap();
        match action {
            // The guest has no operating system that would hear it: as if its time were up.
            Action::PressPowerButton(uid, generation) => {
                let ago = Duration::from_secs(3600);
                pressed.insert(uid, Pressed { generation, ago, last_ago: Duration::ZERO });
            }
            Action::SendCapture { .. } => sent = true,
            _ => {}
        }
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
