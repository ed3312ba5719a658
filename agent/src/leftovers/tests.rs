use super::*;
use crate::desired::wire::Desired;
use crate::disk::image::ImageStore;
use crate::disk::simulated::SimulatedDisks;
use crate::layout::DataDir;
use crate::plan::tests::{INSTANCE, VOLUME, stamp};
use crate::reconcile::tests::TestHost;
use crate::report::Observation;
use crate::vm::simulated::{Behaviour, Simulated};

const STRAY: Uuid = Uuid::from_u128(0x5);

fn domain(uuid: Uuid, running: bool, definition: Option<&str>) -> Domain {
    let definition = definition.map(str::to_owned);
    Domain { uuid, name: "stray".into(), running, paused: false, off_cause: None, definition }
}

/// An agent's directories, a hypervisor, and a ledger that knows nothing.
struct Stage {
    _temp: tempfile::TempDir,
    host: Host,
    hypervisor: Simulated,
    ledger: Snapshot,
}

impl Stage {
    fn new() -> Stage {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::new(temp.path().join("data"));
        drop(data.prepare().unwrap());
        let images = ImageStore::new(temp.path().join("images"), data.image_records_dir());
        let host = Host { boot_id: "boot".into(), data, images };
        let hypervisor = Simulated::new(Behaviour::default());
        Stage { _temp: temp, host, hypervisor, ledger: Snapshot::default() }
    }

    fn disks(&self) -> SimulatedDisks {
        SimulatedDisks::new(self.host.data.clone(), self.host.images.clone())
    }

    /// Files of `uid` everywhere.
    fn strew(&self, uid: Uuid) {
        let data = &self.host.data;
        fs::write(data.volume_file(uid), "disk").unwrap();
        fs::write(data.seed_file(uid), "seed").unwrap();
        fs::create_dir(data.run_dir(uid)).unwrap();
        fs::write(data.run_dir(uid).join("nvram.fd"), "variables").unwrap();
        fs::write(data.capture_file(uid, Uuid::from_u128(9)), "copy").unwrap();
    }

    fn tidy(&self) -> Vec<wire::Leftover> {
        let (world, error) = World::observe("boot", &self.ledger, true, &self.hypervisor, &self.disks());
        assert!(error.is_none(), "{error:?}");
        tidy(&self.host, &self.ledger, &world, &self.hypervisor, &BTreeSet::new()).unwrap()
    }

    fn order(&mut self, order: Order) {
        self.ledger.orders = [(STRAY, order)].into();
    }
}

fn parts(found: &[wire::Leftover]) -> Vec<Part> {
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].parts().collect()
}

fn left(seen: &Observation) -> &[wire::Leftover] {
    seen.leftovers.as_deref().unwrap_or_default()
}

const ALL: [Part; 5] = [Part::Domain, Part::Volume, Part::Seed, Part::GuestDirectory, Part::Capture];

#[test]
fn what_nobody_knows_is_found_and_left_alone_until_it_is_ordered_aside() {
    let mut stage = Stage::new();
    stage.strew(STRAY);
    stage.hypervisor.add_foreign(domain(STRAY, false, Some("d")));
    // Names that this agent would not make are none of its business.
    fs::write(stage.host.data.volumes_dir().join("notes.qcow2"), "").unwrap();
    fs::write(stage.host.data.volumes_dir().join(format!("{}.qcow2", STRAY.simple())), "").unwrap();
    for _ in 0..2 {
        let found = stage.tidy();
        assert_eq!(parts(&found), ALL);
        assert!(found[0].bytes >= 4 * 512 && !found[0].running, "{found:?}");
    }
    stage.order(Order::Remove);
    assert_eq!(parts(&stage.tidy()), ALL, "nothing was moved aside");
    stage.order(Order::Quarantine);
    assert_eq!(parts(&stage.tidy()), [Part::Quarantined]);
    let aside = stage.host.data.quarantine_of(STRAY);
    let read = |name: &str| fs::read_to_string(aside.join(name)).unwrap();
    assert_eq!(["volume.qcow2", "seed.img", "guest/nvram.fd"].map(read), ["disk", "seed", "variables"]);
    assert_eq!(read(&format!("capture.{}.qcow2", Uuid::from_u128(9))), "copy");
    assert_eq!(stage.hypervisor.domains().unwrap(), []);
    assert_eq!(parts(&stage.tidy()), [Part::Quarantined], "once more is the same");
    // What comes to lie there later does not take the place of what was moved aside before.
    fs::write(stage.host.data.volume_file(STRAY), "another").unwrap();
    let found = stage.tidy();
    assert_eq!(parts(&found), [Part::Volume, Part::Quarantined]);
    assert!(found[0].trouble.contains("moving"), "{found:?}");
    assert_eq!(fs::read_to_string(aside.join("volume.qcow2")).unwrap(), "disk");
    fs::remove_file(stage.host.data.volume_file(STRAY)).unwrap();
    stage.order(Order::Remove);
    assert_eq!(stage.tidy(), []);
    assert!(!aside.exists());
}

#[test]
fn what_runs_or_is_not_ours_is_not_touched() {
    for (running, definition) in [(true, Some("d")), (false, None)] {
        let mut stage = Stage::new();
        stage.strew(STRAY);
        stage.hypervisor.add_foreign(domain(STRAY, running, definition));
        stage.order(Order::Quarantine);
        let found = stage.tidy();
        assert!(!found[0].trouble.is_empty(), "{found:?}");
        assert!(
            stage.host.data.volume_file(STRAY).exists() && !stage.host.data.quarantine_of(STRAY).exists()
        );
        assert_eq!(stage.hypervisor.domains().unwrap().len(), 1);
    }
}

#[test]
fn what_steps_are_at_work_on_is_no_leftover() {
    let stage = Stage::new();
    stage.strew(STRAY);
    let (world, _) = World::observe("boot", &stage.ledger, true, &stage.hypervisor, &stage.disks());
    let found = tidy(&stage.host, &stage.ledger, &world, &stage.hypervisor, &[STRAY].into()).unwrap();
    assert_eq!(found, []);
}

#[tokio::test]
async fn an_agent_reports_leftovers_and_does_as_it_is_told() {
    let host = TestHost::new();
    let agent = host.agent("boot-1");
    let desired = |orders: Option<BTreeMap<Uuid, Order>>| Desired {
        stamp: stamp(),
        whole: true,
        volumes: vec![crate::reconcile::tests::blank_volume()],
        instances: vec![crate::plan::tests::instance()],
        invalid: vec![],
        orders,
    };
    agent.ledger.lock().accept(desired(None)).unwrap();
    agent.bell.notify_one();
    agent.sees(|seen| seen.instances.get(&INSTANCE).is_some_and(|instance| instance.running)).await;
    // The controllers have forgotten it: it runs on, and is told of. What is known is never touched, whatever is ordered.
    let orders = Some([(VOLUME, Order::Quarantine), (INSTANCE, Order::Quarantine)].into());
    agent.ledger.lock().accept(desired(orders.clone())).unwrap();
    agent.bell.notify_one();
    // An order that makes it look, whatever it has looked at before.
    let another = Some([(STRAY, Order::Remove)].into());
    agent.ledger.lock().accept(Desired { volumes: vec![], instances: vec![], ..desired(another) }).unwrap();
    agent.bell.notify_one();
    let seen = agent.sees(|seen| left(seen).len() == 2).await;
    assert_eq!(parts(&left(&seen)[..1]), [Part::Volume]);
    assert!(left(&seen)[1].running, "{seen:?}");
    agent.ledger.lock().accept(Desired { volumes: vec![], instances: vec![], ..desired(orders) }).unwrap();
    agent.bell.notify_one();
    let told = |seen: &Observation| left(seen).iter().any(|left| !left.trouble.is_empty());
    let seen = agent.sees(told).await;
    assert_eq!(parts(&left(&seen)[..1]), [Part::Quarantined], "{seen:?}");
    assert!(host.hypervisor.domain(INSTANCE).is_some_and(|domain| domain.running), "a guest is not killed");
    agent.end().await;
}
