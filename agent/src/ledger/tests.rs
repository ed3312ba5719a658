use super::power::PowerStep;
use super::*;
use crate::desired::wire::Desired;
use crate::desired::{Power, Presence};
use crate::plan::tests::{INSTANCE, VOLUME, instance, stamp, volume};
use std::fs;

fn message(change: impl FnOnce(&mut Desired)) -> Desired {
    let mut desired = Desired {
        stamp: stamp(),
        whole: true,
        volumes: vec![volume()],
        instances: vec![instance()],
        invalid: vec![],
        orders: None,
    };
    change(&mut desired);
    desired
}

fn opened() -> (tempfile::TempDir, Ledger) {
    let temp = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(temp.path()).unwrap();
    (temp, ledger)
}

/// Offers a message to a ledger that accepted the sound one; expects it refused or these objects changed.
fn check(change: impl FnOnce(&mut Desired), expected: Option<&[Object]>) {
    let (temp, mut ledger) = opened();
    ledger.accept(message(|_| {})).unwrap();
    let before = ledger.snapshot();
    let outcome = ledger.accept(message(change)).ok().map(|accepted| accepted.changed);
    assert_eq!(outcome.as_deref(), expected);
    if expected.is_none() {
        assert_eq!(ledger.snapshot().instances, before.instances);
    }
    let reopened = Ledger::open(temp.path()).unwrap();
    assert_eq!(reopened.snapshot().instances, ledger.snapshot().instances, "what is held is on disk");
    assert_eq!(reopened.snapshot().volumes, ledger.snapshot().volumes);
    assert_eq!(reopened.stamp(), ledger.stamp());
}

#[test]
fn states_are_taken_in_order_and_never_back() {
    // Of an earlier index, incarnation or generation, or of another cluster.
    check(|_| {}, Some(&[]));
    check(|m| m.stamp.applied_index = 0, None);
    check(|m| (m.stamp.incarnation, m.stamp.applied_index) = (0, 99), None);
    check(|m| m.stamp.cluster_id = "another".into(), None);
    let both = [Object::Volume(VOLUME), Object::Instance(INSTANCE)];
    check(|m| (m.stamp.incarnation, m.stamp.applied_index) = (2, 0), Some(&both));
    check(|m| m.instances[0].power = Power { on: false, generation: 2, restart: false }, Some(&both[1..]));
}

#[test]
fn an_object_older_than_the_one_held_is_left_out() {
    check(|m| (m.volumes[0].generation, m.volumes[0].size_bytes) = (0, 512), Some(&[]));
    check(|m| m.instances[0].epoch = 0, Some(&[]));
    let restored = |m: &mut Desired| (m.stamp.incarnation, m.instances[0].generation) = (2, 0);
    check(restored, Some(&[Object::Volume(VOLUME), Object::Instance(INSTANCE)]));
}

#[test]
fn what_a_whole_state_does_not_list_is_kept_but_left_alone() {
    let (temp, mut ledger) = opened();
    ledger.accept(message(|_| {})).unwrap();
    ledger.accept(message(|m| (m.whole, m.volumes, m.instances) = (false, vec![], vec![]))).unwrap();
    assert!(ledger.snapshot().instances[&INSTANCE].listed, "a difference says nothing of the others");
    ledger.accept(message(|m| (m.volumes, m.instances) = (vec![], vec![]))).unwrap();
    let reopened = Ledger::open(temp.path()).unwrap().snapshot();
    assert!(!reopened.instances[&INSTANCE].listed && !reopened.volumes[&VOLUME].listed);
    ledger.accept(message(|_| {})).unwrap();
    assert!(ledger.snapshot().instances[&INSTANCE].listed);
}

#[test]
fn a_gone_object_is_forgotten_when_the_controllers_close_it() {
    let (_temp, mut ledger) = opened();
    ledger.accept(message(|m| m.volumes[0].presence = Presence::Absent)).unwrap();
    assert!(ledger.snapshot().closed.is_empty());
    ledger.accept(message(|m| m.volumes = vec![])).unwrap();
    assert_eq!(ledger.snapshot().closed, [Object::Volume(VOLUME)].into());
    ledger.forget(Object::Volume(VOLUME)).unwrap();
    assert!(ledger.snapshot().volumes.is_empty());
}

#[test]
fn what_is_on_its_way_out_keeps_no_secrets() {
    let (temp, mut ledger) = opened();
    let secret = "0f1e2d3c4b5a";
    let told = |m: &mut Desired| m.instances[0].seed.user_data = secret.to_owned();
    let on_disk = || {
        let mut files = fs::read_dir(temp.path().join("instances")).unwrap();
        files.any(|file| fs::read_to_string(file.unwrap().path()).unwrap().contains(secret))
    };
    ledger.accept(message(told)).unwrap();
    assert!(on_disk(), "a guest starts without controllers");
    let gone = |m: &mut Desired| {
        told(m);
        m.instances[0].generation += 1;
        m.instances[0].presence = Presence::Absent;
    };
    assert_eq!(ledger.accept(message(gone)).unwrap().changed, [Object::Instance(INSTANCE)]);
    assert!(!on_disk());
    assert_eq!(ledger.accept(message(gone)).unwrap().changed, [], "said again, it is the same");
}

#[test]
fn volumes_of_former_definitions_are_remembered_until_redefined() {
    let (_temp, mut ledger) = opened();
    ledger.accept(message(|_| {})).unwrap();
    let other = Uuid::from_u128(0xc);
    let changed = |m: &mut Desired| m.instances[0].hardware.as_mut().unwrap().disks[0].volume = other;
    ledger.accept(message(changed)).unwrap();
    assert_eq!(ledger.snapshot().instances[&INSTANCE].former_volumes, [VOLUME].into());
    ledger.release_former_volumes(INSTANCE).unwrap();
    assert!(ledger.snapshot().instances[&INSTANCE].former_volumes.is_empty());
}

#[test]
fn a_damaged_record_is_set_aside_and_named() {
    let (temp, mut ledger) = opened();
    ledger.accept(message(|_| {})).unwrap();
    let file = temp.path().join(format!("instances/{INSTANCE}.json"));
    let sound = fs::read(&file).unwrap();
    let flipped: Vec<u8> = String::from_utf8(sound.clone()).unwrap().replace("web-1", "web-2").into();
    for damage in [&sound[..sound.len() / 2], &[], b"{}\n{}\n", &flipped] {
        fs::write(&file, damage).unwrap();
        let reopened = Ledger::open(temp.path()).unwrap();
        assert_eq!(reopened.snapshot().damaged, [Object::Instance(INSTANCE)].into());
        assert!(reopened.snapshot().instances.is_empty());
        assert_eq!(fs::read(file.with_extension("json.damaged")).unwrap(), damage);
        fs::write(&file, &sound).unwrap();
    }
    fs::write(&file, b"").unwrap();
    let mut reopened = Ledger::open(temp.path()).unwrap();
    reopened.accept(message(|_| {})).unwrap();
    assert!(reopened.snapshot().damaged.is_empty() && reopened.snapshot().instances.len() == 1);
}

#[test]
fn a_lost_stamp_does_not_open_the_door_to_the_past() {
    let (temp, mut ledger) = opened();
    ledger.accept(message(|_| {})).unwrap();
    fs::write(temp.path().join("stamp.json"), b"torn").unwrap();
    let mut reopened = Ledger::open(temp.path()).unwrap();
    assert_eq!(reopened.stamp(), Some(&stamp()));
    assert!(reopened.accept(message(|m| m.stamp.applied_index = 0)).is_err());
}

#[test]
fn executed_power_survives() {
    let (temp, mut ledger) = opened();
    let record = PowerRecord {
        incarnation: 1,
        generation: 4,
        boot_id: "boot".into(),
        step: PowerStep::Settled,
        settled_generation: 4,
        ended: None,
    };
    ledger.record_power(INSTANCE, record.clone()).unwrap();
    assert_eq!(Ledger::open(temp.path()).unwrap().snapshot().power[&INSTANCE], record);
}

#[test]
fn tenant_data_is_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (temp, mut ledger) = opened();
    ledger.accept(message(|_| {})).unwrap();
    let file = temp.path().join(format!("instances/{INSTANCE}.json"));
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_the_controllers_heard_to_be_gone_is_closed_unless_it_was_asked_for_anew() {
    let (_temp, mut ledger) = opened();
    ledger.accept(message(|_| {})).unwrap();
    let gone = |object, generation| Gone { object, epoch: 1, generation };
    // Not while it should be here.
    ledger.close(&[gone(Object::Volume(VOLUME), 1), gone(Object::Instance(INSTANCE), 1)]);
    assert!(ledger.snapshot().closed.is_empty());
    let absent = |m: &mut Desired| {
        (m.volumes[0].presence, m.volumes[0].generation) = (Presence::Absent, 3);
        (m.instances[0].presence, m.instances[0].generation) = (Presence::Absent, 3);
    };
    ledger.accept(message(absent)).unwrap();
    // Nor for the word of another time.
    ledger.close(&[gone(Object::Volume(VOLUME), 2), gone(Object::Instance(INSTANCE), 2)]);
    assert!(ledger.snapshot().closed.is_empty());
    ledger.close(&[gone(Object::Volume(VOLUME), 3), gone(Object::Instance(INSTANCE), 3)]);
    assert_eq!(ledger.snapshot().closed, [Object::Volume(VOLUME), Object::Instance(INSTANCE)].into());
    // Sent again, it is no history.
    ledger.accept(message(absent)).unwrap();
    assert!(ledger.snapshot().closed.is_empty());
}
