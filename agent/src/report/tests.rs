use super::*;
use crate::ledger::power::PowerStep;
use crate::plan::tests::{INSTANCE, VOLUME, instance, stamp, volume};
use crate::vm::Domain;
use std::sync::Arc;

/// A host on which volume and instance are as desired and the guest runs.
struct Scene {
    ledger: Snapshot,
    world: World,
    plans: BTreeMap<Object, ObjectPlan>,
    failures: BTreeMap<Object, wire::Failure>,
    hypervisor: wire::HypervisorHealth,
}

fn planned(progress: Progress) -> ObjectPlan {
    ObjectPlan { actions: vec![], claims: [].into(), progress, wake_after: None }
}

fn scene() -> Scene {
    let mut ledger = Snapshot::default();
    ledger.volumes.insert(VOLUME, Arc::new(VolumeRecord { stamp: stamp(), listed: true, volume: volume() }));
    let record = InstanceRecord {
        stamp: stamp(),
        listed: true,
        former_volumes: [].into(),
        instance: instance(),
        seed_fingerprint: String::new(),
    };
    ledger.put_instance(record);
    let power = PowerRecord {
        incarnation: 1,
        generation: 1,
        boot_id: "boot".into(),
        step: PowerStep::Settled,
        settled_generation: 1,
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
    let plans = [Object::Volume(VOLUME), Object::Instance(INSTANCE)]
        .map(|object| (object, planned(Progress::Reached)));
    Scene {
        ledger,
        world: World { boot_id: "boot".into(), domains, ..World::default() },
        plans: plans.into(),
        failures: BTreeMap::new(),
        hypervisor: wire::HypervisorHealth { available: true, ..Default::default() },
    }
}

impl Scene {
    fn look(&self, last: &Observation) -> Observation {
        let Self { ledger, world, plans, failures, hypervisor } = self;
        observe(
            last,
            Sources {
                scope: &Scope::Everything,
                ledger,
                world,
                plans,
                failures,
                hypervisor,
                leftovers: None,
            },
        )
    }

    fn instance(&mut self, change: impl FnOnce(&mut InstanceRecord)) {
        change(Arc::make_mut(self.ledger.instances.get_mut(&INSTANCE).unwrap()));
    }

    fn set(&mut self, object: Object, progress: Progress) {
        self.plans.insert(object, planned(progress));
    }
}

/// Changes the scene after a first look; expects this of the instance: presence, generation, failure's reason.
fn check(change: impl FnOnce(&mut Scene), expected: (wire::Presence, u64, &str)) {
    let mut scene = scene();
    let first = scene.look(&Observation::default());
    change(&mut scene);
    let observed = scene.look(&first).instances[&INSTANCE].clone();
    let reason = observed.failure.as_ref().map_or("", |failure| failure.reason.as_str());
    assert_eq!((observed.presence(), observed.generation, reason), expected);
}

#[test]
fn presence_and_generation_say_what_is_real() {
    const OBJECT: Object = Object::Instance(INSTANCE);
    check(|_| {}, (wire::Presence::Present, 1, ""));
    let newer = |scene: &mut Scene| scene.instance(|record| record.instance.generation = 2);
    check(newer, (wire::Presence::Present, 2, ""));
    let working = |scene: &mut Scene| {
        newer(scene);
        scene.set(OBJECT, Progress::Working);
    };
    check(working, (wire::Presence::Present, 1, ""));
    let failed = |scene: &mut Scene| {
        working(scene);
        scene.failures.insert(OBJECT, wire::Failure { reason: "StartFailed".into(), ..Default::default() });
    };
    check(failed, (wire::Presence::Unspecified, 2, "StartFailed"));
    let leaving = |scene: &mut Scene| scene.instance(|record| record.instance.presence = Presence::Absent);
    check(
        |scene| {
            failed(scene);
            leaving(scene);
        },
        (wire::Presence::Present, 2, "StartFailed"),
    );
    check(leaving, (wire::Presence::Absent, 1, ""));
}

#[test]
fn a_wait_for_a_volume_is_a_failure_only_if_the_volume_failed() {
    let waits = |scene: &mut Scene| {
        let progress = Progress::Blocked(Obstacle::Volumes(vec![VOLUME]));
        scene.set(Object::Instance(INSTANCE), progress);
        scene.set(Object::Volume(VOLUME), Progress::Working);
    };
    check(waits, (wire::Presence::Present, 1, ""));
    let blocked = Progress::Blocked(Obstacle::ShrinkRefused);
    let failed = |scene: &mut Scene| {
        waits(scene);
        scene.set(Object::Volume(VOLUME), blocked);
    };
    check(failed, (wire::Presence::Unspecified, 1, "VolumeUnavailable"));
    let unknown = |scene: &mut Scene| {
        waits(scene);
        scene.ledger.volumes.clear();
    };
    check(unknown, (wire::Presence::Unspecified, 1, "VolumeMissing"));
}

#[test]
fn the_cause_of_being_off_is_said_only_when_it_is_known() {
    let cause = |change: &dyn Fn(&mut Scene)| {
        let mut scene = scene();
        let domain = scene.world.domains.as_mut().unwrap().get_mut(&INSTANCE).unwrap();
        (domain.running, domain.off_cause) = (false, Some(OffCause::Shutdown));
        change(&mut scene);
        scene.look(&Observation::default()).instances[&INSTANCE].off_cause()
    };
    let seen = |off_cause| {
        move |scene: &mut Scene| {
            scene.world.domains.as_mut().unwrap().get_mut(&INSTANCE).unwrap().off_cause = off_cause;
        }
    };
    let ended = |scene: &mut Scene| {
        seen(None)(scene);
        scene.ledger.power.get_mut(&INSTANCE).unwrap().ended = Some(Ended::ByGuest);
    };
    let stopped = |scene: &mut Scene| scene.instance(|record| record.instance.power.on = false);
    assert_eq!(cause(&|_| {}), wire::PowerOffCause::Guest);
    assert_eq!(cause(&seen(Some(OffCause::Crashed))), wire::PowerOffCause::Crashed);
    assert_eq!(cause(&seen(Some(OffCause::Destroyed))), wire::PowerOffCause::Unspecified);
    assert_eq!(cause(&ended), wire::PowerOffCause::Guest);
    assert_eq!(cause(&stopped), wire::PowerOffCause::Requested);
    assert_eq!(cause(&|scene| scene.world.boot_id = "later".into()), wire::PowerOffCause::Unspecified);
    assert_eq!(cause(&|scene| scene.ledger.power.clear()), wire::PowerOffCause::Unspecified);
}

#[test]
fn domains_nobody_asked_for_are_named() {
    let mut scene = scene();
    assert!(scene.look(&Observation::default()).unexpected.is_empty());
    scene.instance(|record| record.listed = false);
    let seen = scene.look(&Observation::default());
    assert_eq!(seen.unexpected[0].uuid, INSTANCE.to_string());
    assert!(seen.instances.is_empty());
    scene.world.domains = None;
    assert_eq!(scene.look(&seen).unexpected, seen.unexpected, "unknown is not empty");
}

#[test]
fn only_what_changed_is_sent_and_never_too_much_at_once() {
    let scene = scene();
    let now = scene.look(&Observation::default());
    let whole = difference(None, &now);
    assert_eq!((whole.len(), whole[0].volumes.len(), whole[0].instances.len()), (1, 1, 1));
    assert!(whole[0].hypervisor.is_some() && whole[0].unexpected.is_some());
    assert!(difference(Some(&now), &now).is_empty());
    let mut later = now.clone();
    Arc::make_mut(later.instances.get_mut(&INSTANCE).unwrap()).running = false;
    let news = difference(Some(&now), &later);
    assert_eq!((news.len(), news[0].volumes.len(), news[0].instances.len()), (1, 0, 1));
    assert!(news[0].hypervisor.is_none());
    for number in 0..1200 {
        later.volumes.insert(Uuid::from_u128(number), Arc::default());
    }
    let sizes: Vec<usize> =
        difference(Some(&now), &later).iter().map(|m| m.volumes.len() + m.instances.len()).collect();
    assert_eq!(sizes.iter().max(), Some(&OBJECTS_PER_MESSAGE));
    assert_eq!(sizes.iter().sum::<usize>(), 1200 + 1);
}

#[test]
fn only_a_new_volume_that_is_well_waits_for_more() {
    let scene = scene();
    let whole = scene.look(&Observation::default());
    let without = |change: &dyn Fn(&mut Observation)| {
        let mut known = whole.clone();
        change(&mut known);
        known
    };
    let volume_alone = without(&|known| _ = known.volumes.remove(&VOLUME));
    assert!(can_wait(&volume_alone, &whole));
    assert!(!can_wait(&without(&|known| known.volumes.clear()), &without(&|known| known.instances.clear())));
    assert!(!can_wait(&without(&|known| _ = known.instances.remove(&INSTANCE)), &whole));
    assert!(!can_wait(&without(&|known| known.hypervisor.available = false), &whole));
    let before = without(&|known| Arc::make_mut(known.volumes.get_mut(&VOLUME).unwrap()).generation += 1);
    assert!(!can_wait(&before, &whole), "it was told of before: somebody waits for what was changed");
    let mut fails = whole.clone();
    Arc::make_mut(fails.volumes.get_mut(&VOLUME).unwrap()).failure = Some(wire::Failure::default());
    assert!(!can_wait(&volume_alone, &fails));
}

#[test]
fn what_the_door_refused_is_said_with_its_own_generation() {
    let mut scene = scene();
    let object = Object::Instance(INSTANCE);
    let invalid = crate::desired::wire::Invalid {
        object: Some(object),
        generation: 9,
        epoch: 1,
        why: "no disks".into(),
    };
    scene.ledger.invalid.insert(object, invalid);
    scene.ledger.damaged.insert(Object::Volume(VOLUME));
    let now = scene.look(&Observation::default());
    let refused = &now.instances[&INSTANCE];
    assert_eq!((refused.generation, refused.running), (9, true));
    assert_eq!(refused.failure.as_ref().unwrap().reason, "DesiredInvalid");
    assert_eq!(now.volumes[&VOLUME].failure.as_ref().unwrap().reason, "LedgerDamaged");
}
