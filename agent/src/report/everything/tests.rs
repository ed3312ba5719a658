use super::*;
use crate::desired::Stamp;
use crate::ledger::power::{PowerRecord, PowerStep};
use crate::ledger::{InstanceRecord, Snapshot, VolumeRecord};
use crate::plan::tests::{INSTANCE, VOLUME, instance, stamp, volume};
use crate::vm::{Domain, OffCause};
use crate::world::World;
use std::sync::Arc;

const STRAY: Uuid = Uuid::from_u128(77);

/// A host with one guest, as its ledger has it, and a volume of which its ledger knows nothing.
struct Scene {
    ledger: Snapshot,
    world: World,
    leftovers: Option<Vec<wire::Leftover>>,
}

fn scene() -> Scene {
    let mut ledger = Snapshot::default();
    ledger.asked = Some(Stamp { incarnation: 2, ..stamp() });
    ledger.volumes.insert(VOLUME, Arc::new(VolumeRecord { stamp: stamp(), listed: true, volume: volume() }));
    let record = InstanceRecord {
        stamp: stamp(),
        listed: false,
        former_volumes: [].into(),
        instance: instance(),
        seed_fingerprint: String::new(),
    };
    ledger.put_instance(record);
    let power = PowerRecord {
        incarnation: 1,
        generation: instance().power.generation,
        boot_id: "boot".into(),
        step: PowerStep::Settled,
        settled_generation: instance().power.generation,
        ended: None,
    };
    ledger.power.insert(INSTANCE, power);
    let domain = Domain {
        uuid: INSTANCE,
        name: "x".into(),
        running: true,
        paused: false,
        off_cause: None,
        definition: Some("d".into()),
    };
    let domains = Some([(INSTANCE, domain)].into());
    let stray =
        wire::Leftover { uid: STRAY.to_string(), parts: vec![Part::Volume.into()], ..Default::default() };
    Scene {
        ledger,
        world: World { boot_id: "boot".into(), domains, ..World::default() },
        leftovers: Some(vec![stray]),
    }
}

impl Scene {
    fn see(&self) -> Option<wire::Everything> {
        super::see(Sources {
            scope: &crate::reconcile::agenda::Scope::Everything,
            ledger: &self.ledger,
            world: &self.world,
            plans: &BTreeMap::new(),
            failures: &BTreeMap::new(),
            hypervisor: &wire::HypervisorHealth::default(),
            leftovers: self.leftovers.as_ref(),
        })
    }

    fn thing(&self, uid: Uuid) -> wire::Thing {
        let things = self.see().expect("it was asked for").things;
        things.into_iter().find(|thing| thing.uid == uid.to_string()).expect("it is told")
    }

    fn domain(&mut self) -> &mut Domain {
        self.world.domains.as_mut().unwrap().get_mut(&INSTANCE).unwrap()
    }
}

#[test]
fn what_is_here_and_what_the_ledger_holds_is_told_under_the_stamp_it_was_asked_under() {
    let scene = scene();
    let everything = scene.see().unwrap();
    assert_eq!(everything.ledger.unwrap().incarnation, 2);
    assert_eq!(everything.things.len(), 3);
    let guest = scene.thing(INSTANCE);
    assert!(guest.here && guest.running && !guest.going, "{guest:?}");
    let lost = scene.thing(VOLUME);
    assert!(!lost.here && !lost.going, "its file is not there: {lost:?}");
    assert!(scene.thing(STRAY).here);
}

#[test]
fn nothing_is_said_unasked_or_of_what_was_not_seen() {
    let mut unasked = scene();
    unasked.ledger.asked = None;
    let mut silent = scene();
    silent.world.domains = None;
    let mut early = scene();
    early.leftovers = None;
    for scene in [unasked, silent, early] {
        assert_eq!(scene.see(), None);
    }
}

#[test]
fn why_a_guest_is_off_is_told_if_it_is_known() {
    let mut scene = scene();
    let domain = scene.domain();
    (domain.running, domain.off_cause) = (false, Some(OffCause::Shutdown));
    assert_eq!(scene.thing(INSTANCE).off_cause(), wire::PowerOffCause::Guest);
    scene.domain().off_cause = None;
    assert_eq!(scene.thing(INSTANCE).off_cause(), wire::PowerOffCause::Unspecified);
    let record = Arc::make_mut(scene.ledger.instances.get_mut(&INSTANCE).unwrap());
    record.instance.power.on = false;
    assert_eq!(scene.thing(INSTANCE).off_cause(), wire::PowerOffCause::Requested);
    let record = Arc::make_mut(scene.ledger.instances.get_mut(&INSTANCE).unwrap());
    record.instance.presence = Presence::Absent;
    assert!(scene.thing(INSTANCE).going);
}
