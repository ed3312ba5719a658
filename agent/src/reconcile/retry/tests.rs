use super::*;
use crate::plan::tests::{VOLUME, stamp, volume};
use crate::vm::HypervisorError;

const OBJECT: Object = Object::Volume(VOLUME);

fn ledger(generation: u64) -> Snapshot {
    let mut ledger = Snapshot::default();
    let mut volume = volume();
    volume.generation = generation;
    ledger.volumes.insert(VOLUME, Arc::new(VolumeRecord { stamp: stamp(), listed: true, volume }));
    ledger
}

fn error() -> ActionError {
    ActionError::Panicked("boom".into())
}

#[test]
fn waits_double_up_to_a_minute() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    let mut waits = Vec::new();
    for _ in 0..8 {
        retries.attempt(OBJECT, &ledger(1));
        retries.failed(&OBJECT, &error(), now);
        waits.push(retries.wait(&OBJECT, now).unwrap().as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(retries.wait(&OBJECT, now + LONGEST_WAIT), None);
    assert_eq!(retries.failures()[&OBJECT].reason, "AgentFault");
    retries.succeeded(&OBJECT);
    assert!(retries.failures().is_empty());
}

#[test]
fn a_wrong_image_is_brought_again_ever_more_rarely() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    let blob = crate::plan::tests::blob();
    let mut waits = Vec::new();
    for _ in 0..12 {
        retries.attempt(OBJECT, &ledger(1));
        let (digest, cause) = (blob.sha256.clone(), "its digest is another".to_owned());
        retries.failed(&OBJECT, &DiskError::ImageRefused { digest, cause }.into(), now);
        waits.push(retries.wait(&OBJECT, now).unwrap().as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
    let said = &retries.failures()[&OBJECT];
    assert_eq!(said.reason, "ImageRefused");
    assert!(said.detail.contains("its digest is another"), "{said:?}");
}

#[test]
fn a_new_wish_starts_over() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    retries.attempt(OBJECT, &ledger(1));
    retries.failed(&OBJECT, &error(), now);
    retries.keep(|_, desired| desired.is_held_by(&ledger(1)));
    assert!(retries.wait(&OBJECT, now).is_some());
    retries.keep(|_, desired| desired.is_held_by(&ledger(2)));
    assert_eq!(retries.wait(&OBJECT, now), None);
}

#[test]
fn the_return_of_the_hypervisor_starts_over_what_wanted_it() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    let unavailable = ActionError::Hypervisor(HypervisorError::Unavailable("gone".into()));
    for (error, starts_over) in [(unavailable, true), (error(), false)] {
        retries.attempt(OBJECT, &ledger(1));
        retries.failed(&OBJECT, &error, now);
        retries.hypervisor_is_back();
        assert_eq!(retries.wait(&OBJECT, now).is_none(), starts_over);
    }
}
