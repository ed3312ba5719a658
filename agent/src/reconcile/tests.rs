use super::*;
use crate::desired::wire::Desired;
use crate::desired::{Blob, Digest, ImageFormat, Power};
use crate::disk::fetch::ImageSource;
use crate::disk::fetch::tests::Giver;
use crate::disk::image::ImageStore;
use crate::disk::local::Local;
use crate::execute::SharedLedger;
use crate::layout::{DataDir, DataDirLock};
use crate::ledger::Ledger;
use crate::plan::tests::{INSTANCE, VOLUME, instance, stamp, volume};
use crate::stop::{Stop, Stopper};
use crate::vm::OffCause;
use crate::world::Host;
use rempart_proto::agent::v1 as wire;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

mod pool;
pub(crate) mod stage;

use stage::StageHypervisor;

const PATIENCE: Duration = Duration::from_secs(10);
/// Beyond any test's patience: what they see came of a bell.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// A host with a real data directory, real qemu-img and a hypervisor on stage, which outlives the agents on it.
pub(crate) struct TestHost {
    _temp: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) hypervisor: Arc<StageHypervisor>,
    /// Where controllers are.
    controllers: Vec<String>,
}

/// One run of the agent's core.
pub(crate) struct TestAgent {
    pub(crate) ledger: SharedLedger,
    pub(crate) bell: Arc<Notify>,
    pub(crate) observations: Observations,
    pub(crate) stop: Stop,
    stopper: Stopper,
    task: JoinHandle<()>,
    _lock: DataDirLock,
}

impl TestHost {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().to_path_buf();
        Self { _temp: temp, root, hypervisor: StageHypervisor::new(), controllers: Vec::new() }
    }

    pub(crate) fn agent(&self, boot_id: &str) -> TestAgent {
        let (core, mut agent) = self.core(boot_id);
        agent.task = tokio::spawn(core.run(agent.stop.clone()));
        agent
    }

    /// An agent whose core does not run.
    fn core(&self, boot_id: &str) -> (Core, TestAgent) {
        let data = DataDir::new(self.root.join("data"));
        let lock = data.prepare().unwrap();
        let images = ImageStore::new(self.root.join("images"), data.image_records_dir());
        let ledger = SharedLedger::new(Ledger::open(&data.ledger_dir()).unwrap());
        let host = Host { boot_id: boot_id.into(), data, images };
        let (stopper, stop) = Stopper::new();
        let controllers = crate::identity::tests::controllers(self.controllers.clone());
        let source = ImageSource::new(controllers, stop.clone());
        let disks = Arc::new(Local { data: host.data.clone(), images: host.images.clone(), source });
        let executor = Executor {
            host,
            hypervisor: self.hypervisor.clone(),
            disks,
            image_grace: Duration::from_secs(3600),
            ledger: ledger.clone(),
        };
        let (core, bell, observations) = Core::new(executor, LOOK_EVERY);
        let task = tokio::spawn(async {});
        (core, TestAgent { ledger, bell, observations, stop, stopper, task, _lock: lock })
    }

    /// A raw image of these bytes as it would be declared, and where its file would be.
    fn image(&self, content: &[u8]) -> (Blob, PathBuf) {
        let images = self.root.join("images");
        std::fs::create_dir(&images).unwrap();
        let sha256 = Digest::parse(&format!("{:x}", Sha256::digest(content))).unwrap();
        let file = images.join(format!("{sha256}.raw"));
        let (format, size_bytes) = (ImageFormat::Raw, content.len() as u64);
        (Blob { sha256, format, size_bytes, virtual_size_bytes: size_bytes }, file)
    }

    pub(crate) fn volume_file(&self) -> PathBuf {
        DataDir::new(self.root.join("data")).volume_file(VOLUME)
    }
}

impl TestAgent {
    /// Desires a blank volume and an instance on it, with changes.
    fn want(&self, change: impl FnOnce(&mut Desired)) {
        let mut desired = Desired {
            stamp: stamp(),
            whole: true,
            volumes: vec![blank_volume()],
            instances: vec![instance()],
            invalid: vec![],
            orders: None,
        };
        change(&mut desired);
        self.ledger.lock().accept(desired).unwrap();
        self.bell.notify_one();
    }

    /// Waits for an observation.
    pub(crate) async fn sees(&self, expected: impl Fn(&Observation) -> bool) -> Arc<Observation> {
        let mut observations = self.observations.clone();
        let seen = observations.wait_for(|seen| seen.as_deref().is_some_and(&expected));
        let seen = tokio::time::timeout(PATIENCE, seen).await.expect("never seen");
        seen.unwrap().clone().unwrap()
    }

    async fn sees_running(&self, running: bool, generation: u64) {
        self.sees(|seen| {
            let instance = seen.instances.get(&INSTANCE);
            instance.is_some_and(|i| i.running == running && i.power_generation == generation)
        })
        .await;
    }

    /// Ends as on SIGTERM.
    pub(crate) async fn end(self) {
        self.stopper.stop();
        self.task.await.unwrap();
    }

    /// Ends as on SIGKILL, as far as the core goes.
    async fn die(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

pub(crate) fn blank_volume() -> crate::desired::Volume {
    crate::desired::Volume { source: None, size_bytes: 8 << 20, ..volume() }
}

fn set_power(on: bool, generation: u64, restart: bool) -> impl FnOnce(&mut Desired) {
    move |desired| desired.instances[0].power = Power { on, generation, restart }
}

fn volume_failure(observation: &Observation) -> Option<&str> {
    Some(observation.volumes.get(&VOLUME)?.failure.as_ref()?.reason.as_str())
}

fn failure_of(observation: &Observation) -> Option<&str> {
    Some(observation.instances.get(&INSTANCE)?.failure.as_ref()?.reason.as_str())
}

#[tokio::test]
async fn from_nothing_to_running_to_nothing() {
    let host = TestHost::new();
    let agent = host.agent("boot-1");
    agent.want(|_| {});
    agent.sees_running(true, 1).await;
    assert!(host.volume_file().is_file());
    agent.want(|desired| {
        desired.instances[0].presence = Presence::Absent;
        desired.volumes[0].presence = Presence::Absent;
    });
    let gone = wire::Presence::Absent as i32;
    agent
        .sees(|seen| {
            seen.instances.get(&INSTANCE).is_some_and(|i| i.presence == gone)
                && seen.volumes.get(&VOLUME).is_some_and(|v| v.presence == gone)
        })
        .await;
    assert!(!host.volume_file().exists());
    assert!(host.hypervisor.domain(INSTANCE).is_none());
    agent.want(|desired| (desired.volumes, desired.instances) = (vec![], vec![]));
    agent.sees(|seen| seen.instances.is_empty() && seen.volumes.is_empty()).await;
    let left = |directory: &str| std::fs::read_dir(host.root.join("data").join(directory)).unwrap().count();
    assert_eq!(["ledger/volumes", "ledger/instances", "ledger/power", "seeds", "guests"].map(left), [0; 5]);
    agent.end().await;
}

#[tokio::test]
async fn a_guest_outlives_its_agent_and_is_started_once() {
    let host = TestHost::new();
    let agent = host.agent("boot-1");
    agent.want(|_| {});
    agent.sees_running(true, 1).await;
    agent.die().await;
    let agent = host.agent("boot-1");
    agent.sees_running(true, 1).await;
    assert_eq!(host.hypervisor.starts(), 1);
    agent.end().await;
    // The host went down and came up: no controller is needed for the guest to come back.
    host.hypervisor.go_off(INSTANCE, OffCause::Destroyed);
    let agent = host.agent("boot-2");
    agent.sees_running(true, 1).await;
    assert_eq!(host.hypervisor.starts(), 2);
}

#[tokio::test]
async fn what_shut_itself_down_while_no_agent_looked_stays_off_across_a_reboot() {
    let host = TestHost::new();
    let agent = host.agent("boot-1");
    agent.want(|_| {});
    agent.sees_running(true, 1).await;
    agent.end().await;
    host.hypervisor.go_off(INSTANCE, OffCause::Shutdown);
    for boot in ["boot-1", "boot-2"] {
        let agent = host.agent(boot);
        let seen = agent.sees(|seen| seen.instances.get(&INSTANCE).is_some_and(|i| !i.running)).await;
        assert_eq!(seen.instances[&INSTANCE].off_cause(), wire::PowerOffCause::Guest, "{boot}");
        // What was begun is brought to its end first.
        agent.end().await;
        assert_eq!(host.hypervisor.starts(), 1, "{boot}");
    }
}

#[tokio::test]
async fn stop_and_restart_go_through_the_power_button() {
    let host = TestHost::new();
    let agent = host.agent("boot-1");
    agent.want(|_| {});
    agent.sees_running(true, 1).await;
    agent.want(set_power(true, 2, true));
    agent.sees_running(true, 2).await;
    assert_eq!((host.hypervisor.starts(), host.hypervisor.presses()), (2, 1));
    agent.want(set_power(false, 3, false));
    agent.sees_running(false, 3).await;
    let seen = agent.sees(|_| true).await;
    assert_eq!(seen.instances[&INSTANCE].off_cause(), wire::PowerOffCause::Requested);
}

#[tokio::test]
async fn a_guest_that_cannot_start_is_tried_again_without_haste() {
    let host = TestHost::new();
    host.hypervisor.refuse_starts(true);
    let agent = host.agent("boot-1");
    agent.want(|_| {});
    agent.sees(|seen| failure_of(seen) == Some("StartFailed")).await;
    // A failed start rings the hypervisor's bell; that must not bring the next try forward.
    for _ in 0..10 {
        host.hypervisor.ring();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(host.hypervisor.attempts(), 1);
    host.hypervisor.refuse_starts(false);
    agent.sees_running(true, 1).await;
    agent.sees(|seen| failure_of(seen).is_none()).await;
}

#[tokio::test]
async fn a_silent_hypervisor_is_reported_and_nothing_is_said_of_guests() {
    let host = TestHost::new();
    let agent = host.agent("boot-1");
    agent.want(|_| {});
    agent.sees_running(true, 1).await;
    host.hypervisor.answer(false);
    let seen = agent.sees(|seen| !seen.hypervisor.available).await;
    assert!(seen.instances[&INSTANCE].running, "the last word stands");
    agent.want(set_power(false, 2, false));
    host.hypervisor.answer(true);
    agent.sees(|seen| seen.hypervisor.available).await;
    agent.sees_running(false, 2).await;
}

#[tokio::test]
async fn a_missing_image_is_waited_for_and_a_wrong_one_refused() {
    let host = TestHost::new();
    let content = vec![7; 1 << 20];
    let (blob, file) = host.image(&content);
    let agent = host.agent("boot-1");
    agent.want(|desired| desired.volumes[0].source = Some(blob));
    agent.sees(|seen| volume_failure(seen) == Some("ImageFetchFailed")).await;
    std::fs::write(&file, vec![8; 1 << 20]).unwrap();
    agent.bell.notify_one();
    agent.sees(|seen| volume_failure(seen) == Some("ImageRefused")).await;
    assert!(!Path::new(&host.volume_file()).exists());
    std::fs::write(&file, content).unwrap();
    agent.sees_running(true, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_rotted_is_fetched_anew_for_the_next_volume() {
    let mut host = TestHost::new();
    let content = vec![7; 1 << 20];
    let (blob, file) = host.image(&content);
    let mut rotten = content.clone();
    rotten[700_000] ^= 1;
    std::fs::write(&file, &rotten).unwrap();
    // The first controller's copy is rotten, too.
    let givers = [Giver::of(&rotten, rotten.len()), Giver::of(&content, content.len())];
    for giver in &givers {
        host.controllers.push(giver.start().await);
    }
    let agent = host.agent("boot-1");
    agent.want(|desired| desired.volumes[0].source = Some(blob));
    let refused = agent.sees(|seen| volume_failure(seen) == Some("ImageRefused")).await;
    let failure = refused.volumes[&VOLUME].failure.as_ref().unwrap();
    assert!(failure.detail.contains("digest"), "{failure:?}");
    assert!(!host.volume_file().exists());
    agent.sees_running(true, 1).await;
    assert_eq!(std::fs::read(&file).unwrap(), content);
    assert!(givers.iter().all(|giver| giver.asked.lock().unwrap().len() == 1));
    agent.sees(|seen| volume_failure(seen).is_none()).await;
}

/// Time passes only where something waits for it.
#[tokio::test(start_paused = true)]
async fn what_rings_long_after_a_look_at_everything_is_not_kept_waiting() {
    let host = TestHost::new();
    let agent = host.agent("boot-1");
    agent.sees(|_| true).await;
    tokio::time::sleep(2 * GAP_AFTER_EVERYTHING).await;
    let rang = tokio::time::Instant::now();
    agent.want(|desired| (desired.whole, desired.instances) = (false, vec![]));
    agent.sees(|seen| seen.volumes.contains_key(&VOLUME)).await;
    assert_eq!(rang.elapsed(), Duration::ZERO);
    agent.end().await;
}

/// Its steps wait for their turn, and nothing is there yet.
#[tokio::test]
async fn what_is_about_to_be_made_is_not_said_to_be_gone() {
    let host = TestHost::new();
    let (mut core, agent) = host.core("boot-1");
    agent.want(|desired| {
        desired.volumes[0].presence = Presence::Absent;
        desired.instances[0].presence = Presence::Absent;
    });
    let absent = wire::Presence::Absent as i32;
    let said = |agent: &TestAgent| {
        let seen = agent.observations.borrow().clone().unwrap();
        let volume = seen.volumes.get(&VOLUME).is_some_and(|volume| volume.presence == absent);
        (volume, seen.instances.get(&INSTANCE).is_some_and(|instance| instance.presence == absent))
    };
    for (claims, gone) in [
        (vec![Claim::Volume(VOLUME), Claim::Instance(INSTANCE)], (false, false)),
        (vec![Claim::Volume(VOLUME)], (false, true)),
        (vec![Claim::Captures(VOLUME)], (true, true)),
    ] {
        core.claimed = claims.into_iter().collect();
        core.agenda.look_at_everything();
        core.round().await;
        assert_eq!(said(&agent), gone, "{:?}", core.claimed);
    }
    // Nor is it forgotten, should the controllers speak of it no more.
    core.claimed = [Claim::Volume(VOLUME), Claim::Instance(INSTANCE)].into();
    agent.want(|desired| (desired.volumes, desired.instances) = (vec![], vec![]));
    core.agenda.look_at_everything();
    core.round().await;
    let known = |agent: &TestAgent| {
        let ledger = agent.ledger.lock().snapshot();
        (ledger.volumes.len(), ledger.instances.len())
    };
    assert_eq!(known(&agent), (1, 1));
    core.claimed.clear();
    core.agenda.look_at_everything();
    core.round().await;
    assert_eq!(known(&agent), (0, 0));
}
