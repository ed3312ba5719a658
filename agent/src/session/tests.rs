use super::dial::Pace;
use super::introduction::memory_mib;
use super::*;
use crate::identity::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use crate::plan::tests::{INSTANCE, VOLUME};
use crate::reconcile::tests::{TestAgent, TestHost};
use uuid::Uuid;

mod controller;

use controller::{Controller, desired};

/// An agent's session, dialling `controllers` until the test ends.
fn dial(host: &TestHost, agent: &TestAgent, controllers: &[&str]) -> JoinHandle<()> {
    let introduction = Introduction {
        host: "host-1".into(),
        zone: "a".into(),
        boot_id: "boot-1".into(),
        capacity: wire::Capacity { vcpus: 2, memory_mib: 1024, disk_mib: 1024 },
        hypervisor: host.hypervisor.clone(),
        ledger: agent.ledger.clone(),
    };
    let controllers = controllers.iter().map(ToString::to_string).collect();
    let controllers = crate::identity::tests::controllers(controllers);
    let data = crate::layout::DataDir::new(&host.root);
    let context = Context {
        consoles: Consoles::new(data, host.hypervisor.clone(), controllers.clone()),
        introduction: Arc::new(introduction),
        ledger: agent.ledger.clone(),
        bell: agent.bell.clone(),
        observations: agent.observations.clone(),
        stop: agent.stop.clone(),
    };
    tokio::spawn(run(controllers, context))
}

fn says_running(observed: &wire::Observed) -> bool {
    observed.instances.iter().any(|instance| instance.uid == INSTANCE.to_string() && instance.running)
}

#[tokio::test]
async fn desired_becomes_real_and_is_reported() {
    let (host, mut controller) = (TestHost::new(), Controller::start(None).await);
    controller.push(desired(1, true));
    let agent = host.agent("boot-1");
    let session = dial(&host, &agent, &[&controller.address]);
    let hello = controller.hello().await;
    assert_eq!((hello.host.as_str(), hello.boot_id.as_str(), hello.ledger), ("host-1", "boot-1", None));
    assert_eq!(hello.virtualization.unwrap().acceleration(), wire::Acceleration::Emulation);
    assert_eq!(controller.caller(), Some(rempart_identity::Identity::Host("host-1".into())));
    controller.reported(says_running).await;
    // Differences follow on the same stream; so do domains nobody asked for.
    controller.push(desired(2, false));
    controller
        .reported(|observed| {
            observed.instances.iter().any(|instance| {
                !instance.running
                    && instance.power_generation == 2
                    && instance.off_cause() == wire::PowerOffCause::Requested
            })
        })
        .await;
    let foreign = Uuid::from_u128(0xf);
    host.hypervisor.add_foreign(foreign);
    let unexpected = |observed: &wire::Observed| observed.unexpected.clone().unwrap_or_default().domains;
    controller.reported(|observed| unexpected(observed).iter().any(|d| d.uuid == foreign.to_string())).await;
    agent.end().await;
    session.await.unwrap();
}

#[tokio::test]
async fn a_volume_alone_is_told_of_all_the_same() {
    let (host, mut controller) = (TestHost::new(), Controller::start(None).await);
    let agent = host.agent("boot-1");
    let _session = dial(&host, &agent, &[&controller.address]);
    controller.hello().await;
    // Otherwise it might be part of the first report, which waits for nothing.
    controller.reported(|observed| observed.hypervisor.is_some()).await;
    let mut alone = desired(1, true);
    alone.instances.clear();
    controller.push(alone);
    controller.reported(|observed| observed.volumes.iter().any(|v| v.uid == VOLUME.to_string())).await;
}

#[tokio::test]
async fn a_controller_that_comes_back_is_told_everything_again() {
    let (host, mut controller) = (TestHost::new(), Controller::start(None).await);
    controller.push(desired(1, true));
    let agent = host.agent("boot-1");
    let _session = dial(&host, &agent, &[&controller.address]);
    controller.reported(says_running).await;
    let address = controller.address.clone();
    controller.end().await;
    host.hypervisor.go_off(INSTANCE, crate::vm::OffCause::Shutdown);
    agent.sees(|seen| !seen.instances[&INSTANCE].running).await;
    let mut controller = Controller::start_at(&address, None).await;
    let hello = controller.hello().await;
    assert_eq!(hello.ledger.unwrap().applied_index, 1);
    controller
        .reported(|observed| {
            let guest_is_off = |i: &wire::InstanceObserved| i.off_cause() == wire::PowerOffCause::Guest;
            observed.instances.iter().any(guest_is_off)
                && observed.volumes.iter().any(|v| v.uid == VOLUME.to_string())
                && observed.hypervisor.is_some()
        })
        .await;
}

#[tokio::test]
async fn a_follower_shows_the_way() {
    let (host, mut leader) = (TestHost::new(), Controller::start(None).await);
    let mut follower = Controller::start(Some(leader.address.clone())).await;
    leader.push(desired(1, true));
    let agent = host.agent("boot-1");
    let _session = dial(&host, &agent, &[&follower.address]);
    follower.hello().await;
    leader.hello().await;
    leader.reported(says_running).await;
}

#[tokio::test]
async fn an_older_state_is_refused_and_another_controller_asked() {
    let (host, mut stale, mut fresh) =
        (TestHost::new(), Controller::start(None).await, Controller::start(None).await);
    fresh.push(desired(5, true));
    let agent = host.agent("boot-1");
    let session = dial(&host, &agent, &[&fresh.address, &stale.address]);
    fresh.reported(says_running).await;
    stale.push(desired(4, false));
    fresh.end().await;
    stale.hello().await;
    // It leaves the stale one by itself and comes again; the guest was not touched.
    stale.hello().await;
    assert_eq!((host.hypervisor.presses(), host.hypervisor.starts()), (0, 1));
    agent.end().await;
    session.await.unwrap();
}

/// A controller of the cluster before a restore, whose log is far longer by now, and which does not look at what a host has heard.
#[tokio::test]
async fn a_controller_of_the_cluster_before_is_refused_and_the_restored_one_heard_again() {
    let of = |incarnation: u64, mut desired: wire::Desired| {
        desired.stamp.as_mut().unwrap().incarnation = incarnation;
        desired
    };
    let (host, mut former, mut restored) =
        (TestHost::new(), Controller::start(None).await, Controller::start(None).await);
    restored.push(of(2, desired(5, true)));
    let agent = host.agent("boot-1");
    let session = dial(&host, &agent, &[&restored.address, &former.address]);
    restored.reported(says_running).await;
    let mut gone = of(1, desired(1000, false));
    gone.instances[0].presence = wire::Presence::Absent.into();
    gone.volumes[0].presence = wire::Presence::Absent.into();
    former.push(gone);
    let address = restored.address.clone();
    restored.end().await;
    former.hello().await;
    // What it said in the first session was refused by the time the next begins.
    let held = former.hello().await.ledger.unwrap();
    assert_eq!((held.incarnation, held.applied_index), (2, 5));
    assert_eq!((host.hypervisor.presses(), host.hypervisor.starts()), (0, 1));
    let mut restored = Controller::start_at(&address, None).await;
    restored.push(of(2, desired(6, false)));
    restored.reported(|observed| observed.instances.iter().any(|instance| !instance.running)).await;
    agent.end().await;
    session.await.unwrap();
}

#[tokio::test]
async fn a_controller_that_vanishes_without_a_word_is_noticed_in_seconds() {
    let (host, mut controller) = (TestHost::new(), Controller::start(None).await);
    let wire = controller::Wire::to(&controller.address).await;
    let agent = host.agent("boot-1");
    let _session = dial(&host, &agent, &[&wire.address, &controller.address]);
    controller.hello().await;
    wire.cut();
    let cut = Instant::now();
    controller.hello().await;
    assert!(cut.elapsed() < KEEPALIVE_INTERVAL + KEEPALIVE_TIMEOUT + Duration::from_secs(3));
}

#[tokio::test]
async fn a_hypervisor_that_comes_later_is_introduced_then() {
    let (host, mut controller) = (TestHost::new(), Controller::start(None).await);
    host.hypervisor.answer(false);
    let agent = host.agent("boot-1");
    let _session = dial(&host, &agent, &[&controller.address]);
    let hello = controller.hello().await;
    assert!(hello.virtualization.is_none() && !hello.hypervisor.unwrap().available);
    host.hypervisor.answer(true);
    assert!(controller.hello().await.virtualization.is_some());
}

#[test]
fn controllers_are_never_dialled_in_a_tight_loop() {
    let (mut pace, short) = (Pace::default(), Duration::from_millis(1));
    let lost = End::Lost(String::new());
    let pauses: Vec<Duration> = (0..20).map(|_| pace.after(&lost, short, 255)).collect();
    assert_eq!(pauses[0], Duration::from_millis(200));
    assert_eq!(pauses[19], Duration::from_secs(10));
    assert!(pauses.is_sorted());
    assert_eq!(
        pace.after(&lost, Duration::from_secs(60), 0),
        Duration::from_millis(100),
        "a lasting session"
    );
    let elsewhere = End::NotLeader(Some("x".into()));
    let circle: Vec<Duration> = (0..9).map(|_| pace.after(&elsewhere, short, 0)).collect();
    assert!(circle[8] > Duration::from_secs(1), "two followers that name each other: {circle:?}");
}

#[test]
fn memory_is_read_from_meminfo() {
    assert_eq!(memory_mib("MemFree: 1 kB\nMemTotal:       24689764 kB\n").unwrap(), 24111);
    assert_eq!(memory_mib("MemTotal:  2048 kB").unwrap(), 2);
    assert!(memory_mib("MemFree: 1 kB").is_err());
}
