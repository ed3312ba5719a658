use super::*;
use crate::desired::wire::Desired;
use crate::desired::{Disk, Instance, Power, Presence, Stamp, Volume};
use crate::disk::image::ImageStore;
use crate::disk::simulated::SimulatedDisks;
use crate::execute::SharedLedger;
use crate::layout::DataDir;
use crate::ledger::{Gone, Ledger};
use crate::plan::tests::{instance, stamp, volume};
use crate::reconcile::{Core, Observations};
use crate::report::Observation;
use crate::vm::simulated::{Behaviour, Simulated};
use crate::vm::{Domain, OffCause};
use crate::world::Host;
use proptest::prelude::*;
use rempart_proto::agent::v1 as wire;
use std::sync::Arc;
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const PLACES: u128 = 4;

fn volume_uid(place: u128) -> Uuid {
    Uuid::from_u128(1000 + place)
}

fn instance_uid(place: u128) -> Uuid {
    Uuid::from_u128(2000 + place)
}

/// What happens to a host.
#[derive(Debug, Clone)]
enum Event {
    /// A volume is desired, with a size.
    Volume(u128, u64),
    /// An instance is desired, on its own volume and perhaps on another one; on or off.
    Instance(u128, Option<u128>, bool),
    /// They are desired to be gone.
    NoVolume(u128),
    NoInstance(u128),
    /// A guest ends by itself.
    Ends(u128),
    /// Somebody else defines or removes a domain.
    Foreign(bool),
    /// The hypervisor goes, or comes back.
    Answers(bool),
    /// What is said to be gone is acknowledged.
    Acknowledged,
    /// Steps under way end, and everything that follows.
    Settles,
}

fn event() -> impl Strategy<Value = Event> {
    let place = 0..PLACES;
    prop_oneof![
        3 => (place.clone(), 1_u64..4).prop_map(|(place, size)| Event::Volume(place, size)),
        4 => (place.clone(), proptest::option::of(place.clone()), any::<bool>())
            .prop_map(|(place, other, on)| Event::Instance(place, other, on)),
        2 => place.clone().prop_map(Event::NoVolume),
        2 => place.clone().prop_map(Event::NoInstance),
        1 => place.prop_map(Event::Ends),
        1 => any::<bool>().prop_map(Event::Foreign),
        1 => any::<bool>().prop_map(Event::Answers),
        2 => Just(Event::Acknowledged),
        3 => Just(Event::Settles),
    ]
}

struct Stage {
    _temp: tempfile::TempDir,
    core: Core,
    ledger: SharedLedger,
    hypervisor: Arc<Simulated>,
    observations: Observations,
    index: u64,
}

impl Stage {
    fn new() -> Stage {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::new(temp.path().join("data"));
        drop(data.prepare().unwrap());
        let images = ImageStore::new(data.images_dir(), data.image_records_dir());
        let ledger = SharedLedger::new(Ledger::open(&data.ledger_dir()).unwrap());
        let disks = Arc::new(SimulatedDisks::new(data.clone(), images.clone()));
        let hypervisor = Arc::new(Simulated::on(disks.clone(), Behaviour::default()));
        let executor = Executor {
            host: Host { boot_id: "boot".into(), data, images },
            hypervisor: hypervisor.clone(),
            disks,
            image_grace: Duration::from_secs(3600),
            ledger: ledger.clone(),
        };
        let (core, _, observations) = Core::new(executor, Duration::from_secs(3600));
        Stage { _temp: temp, core, ledger, hypervisor, observations, index: 1 }
    }

    /// Accepts a difference, as from a controller.
    fn want(&mut self, volumes: Vec<Volume>, instances: Vec<Instance>) {
        self.index += 1;
        let stamp = Stamp { applied_index: self.index, ..stamp() };
        let desired = Desired { stamp, whole: false, volumes, instances, invalid: vec![], orders: None };
        self.ledger.lock().accept(desired).unwrap();
    }

    fn happens(&mut self, event: &Event) {
        let generation = self.index + 1;
        let held = self.ledger.lock().snapshot();
        match event {
            Event::Volume(place, size) => {
                let uid = volume_uid(*place);
                let size_bytes = size * MIB;
                self.want(vec![Volume { uid, generation, size_bytes, source: None, ..volume() }], vec![]);
            }
            Event::NoVolume(place) => {
                if let Some(record) = held.volumes.get(&volume_uid(*place)) {
                    let presence = Presence::Absent;
                    self.want(vec![Volume { generation, presence, ..record.volume.clone() }], vec![]);
                }
            }
            Event::Instance(place, other, on) => {
                let mut wanted = Instance { uid: instance_uid(*place), generation, ..instance() };
                let places = [*place].into_iter().chain(other.filter(|other| other != place));
                let disk = |(slot, place): (u32, u128)| Disk {
                    volume: volume_uid(place),
                    slot,
                    serial: format!("{place}"),
                };
                wanted.hardware.as_mut().unwrap().disks = (0..).zip(places).map(disk).collect();
                wanted.power = Power { on: *on, generation, restart: false };
                self.want(vec![], vec![wanted]);
            }
            Event::NoInstance(place) => {
                if let Some(record) = held.instances.get(&instance_uid(*place)) {
                    let presence = Presence::Absent;
                    self.want(vec![], vec![Instance { generation, presence, ..record.instance.clone() }]);
                }
            }
            Event::Ends(place) => self.hypervisor.end(instance_uid(*place), OffCause::Shutdown),
            Event::Foreign(there) => {
                let uuid = Uuid::from_u128(7);
                if *there {
                    // One of ours that the ledger does not know: it might use any volume.
                    let definition = Some("unknown".to_owned());
                    let name = "stranger".to_owned();
                    let domain =
                        Domain { uuid, name, running: false, paused: false, off_cause: None, definition };
                    self.hypervisor.add_foreign(domain);
                } else {
                    // What is not there is fine; so is a hypervisor that does not answer.
                    let _ = crate::vm::Hypervisor::undefine(self.hypervisor.as_ref(), uuid);
                }
            }
            Event::Answers(answers) => self.hypervisor.set_trouble((!answers).then_some("away")),
            Event::Acknowledged => {
                let said = self.observations.borrow().clone().unwrap_or_default();
                let gone: Vec<Gone> =
                    crate::report::difference(None, &said).iter().flat_map(crate::report::gone).collect();
                self.ledger.lock().close(&gone);
            }
            Event::Settles => {}
        }
    }

    /// A round that ends the steps it hands out.
    async fn round(&mut self) {
        self.core.round().await;
        while let Some(ended) = self.core.running.join_next().await {
            self.core.collect(ended);
        }
    }

    /// Rounds until one has nothing to look at any more.
    async fn settle(&mut self) {
        for _ in 0..50 {
            self.round().await;
            let quiet = self.core.agenda.stirred.is_empty() && self.core.agenda.waiting.is_empty();
            if quiet && self.ledger.lock().is_quiet() && self.hypervisor.is_quiet() {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.core.agenda);
    }

    fn said(&self) -> Observation {
        Observation::clone(&self.observations.borrow().clone().expect("it was looked at"))
    }
}

async fn run(events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut stage = Stage::new();
    stage.settle().await;
    for event in &events {
        stage.happens(event);
        match event {
            Event::Settles => stage.settle().await,
            _ => _ = stage.core.round().await,
        }
    }
    // What failed for want of the hypervisor is tried again when it is back, and not only after a wait.
    stage.happens(&Event::Answers(false));
    stage.settle().await;
    stage.happens(&Event::Answers(true));
    stage.happens(&Event::Foreign(false));
    stage.settle().await;
    stage.settle().await;
    let said = stage.said();
    stage.core.agenda.look_at_everything();
    stage.core.round().await;
    // Its last word, and nothing left to do: no round about what changed left anything out.
    prop_assert_eq!(stage.said(), said);
    prop_assert!(stage.core.running.is_empty());
    let ledger = stage.ledger.lock().snapshot();
    for (uid, record) in &ledger.instances {
        let wanted = record.instance.presence == Presence::Present;
        let whole = record.instance.volumes().all(|volume| {
            let record = ledger.volumes.get(&volume);
            record.is_some_and(|record| record.volume.presence == Presence::Present)
        });
        let said = stage.said().instances.get(uid).map(|said| said.presence());
        if wanted && whole {
            prop_assert!(said.is_some(), "{uid} is wanted, and nothing is said of it");
        }
        if !wanted {
            prop_assert_eq!(said, Some(wire::Presence::Absent));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn rounds_about_what_changed_leave_nothing_to_a_look_at_everything(
        events in proptest::collection::vec(event(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(run(events))?;
    }
}
