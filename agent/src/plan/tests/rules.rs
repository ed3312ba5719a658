//! One rule a test: what is planned in one situation.

use super::*;

const OTHER: Uuid = Uuid::from_u128(0xc);

/// Expects exactly these steps, by name, of all objects in order.
fn check(stage: &Stage, expected: &[&str]) {
    let plans = stage.plan();
    let names: Vec<&str> = plans.values().flat_map(|plan| plan.actions.iter().map(Action::name)).collect();
    assert_eq!(names, expected, "{plans:?}");
}

fn obstacle(stage: &Stage, object: Object) -> Option<Obstacle> {
    match &stage.plan()[&object].progress {
        Progress::Blocked(obstacle) => Some(obstacle.clone()),
        _ => None,
    }
}

#[test]
fn a_fresh_pair_is_prepared_in_order() {
    let mut stage = Stage::desired();
    check(&stage, &["verify base image", "create volume"]);
    stage.drive_for(2);
    let rest = [
        "create run directory",
        "write seed",
        "define",
        "record power",
        "start",
        "record power",
        "resume",
        "record power",
    ];
    check(&stage, &rest);
    stage.drive();
    check(&stage, &[]);
}

#[test]
fn a_missing_image_is_fetched_and_holds_up_nobody_else() {
    let mut stage = Stage::desired();
    stage.world.images.insert(blob(), ImageState::Missing);
    check(&stage, &["fetch image"]);
    assert_eq!(stage.plan()[&Object::Volume(VOLUME)].claims, [Claim::Image(blob().sha256)].into());
    assert_eq!(obstacle(&stage, Object::Instance(INSTANCE)), Some(Obstacle::Volumes(vec![VOLUME])));
    stage.drive();
    assert!(stage.is_running());
}

#[test]
fn an_image_that_rotted_is_fetched_anew() {
    let mut stage = Stage::desired();
    stage.world.images.insert(blob(), ImageState::Refused);
    check(&stage, &["fetch image"]);
    stage.drive();
    assert!(stage.is_running());
}

#[test]
fn an_existing_file_is_never_made_again() {
    let mut stage = Stage::desired();
    let file = VolumeFile { virtual_size_bytes: GIB, base: None };
    stage.world.volumes.insert(VOLUME, VolumeState::File(file));
    assert_eq!(obstacle(&stage, Object::Volume(VOLUME)), Some(Obstacle::VolumeMismatch));
    stage.world.volumes.insert(VOLUME, VolumeState::Unreadable("garbage".into()));
    check(&stage, &[]);
}

#[test]
fn nothing_is_concluded_from_a_silent_hypervisor() {
    let mut stage = Stage::settled();
    stage.world.domains = None;
    stage.want(|instance| instance.presence = Presence::Absent);
    stage.want_volume(|volume| volume.presence = Presence::Absent);
    check(&stage, &[]);
    assert!(stage.plan().values().all(|plan| plan.progress == Progress::Unknown));
}

#[test]
fn a_volume_outlives_every_domain_that_may_use_it() {
    let mut stage = Stage::settled();
    stage.want_volume(|volume| volume.presence = Presence::Absent);
    check(&stage, &[]);
    assert_eq!(obstacle(&stage, Object::Volume(VOLUME)), Some(Obstacle::VolumeInUse));
    // Detached on paper: the running guest still has it.
    stage.want(|instance| instance.hardware.as_mut().unwrap().disks[0].volume = OTHER);
    assert_eq!(obstacle(&stage, Object::Volume(VOLUME)), Some(Obstacle::VolumeInUse));
    // A ledger that lost the instance does not make its disk free.
    stage.ledger.instances.clear();
    check(&stage, &[]);
    assert_eq!(obstacle(&stage, Object::Volume(VOLUME)), Some(Obstacle::UnexpectedDomain));
    stage.domain().definition = None;
    check(&stage, &["delete volume"]);
}

#[test]
fn a_volume_grows_under_its_guest_and_never_shrinks() {
    let mut stage = Stage::settled();
    stage.want_volume(|volume| volume.size_bytes *= 2);
    check(&stage, &["grow running volume"]);
    assert_eq!(obstacle(&stage, Object::Instance(INSTANCE)), None, "the guest is where it should be");
    stage.go_off(OffCause::Shutdown);
    check(&stage, &["grow volume", "record power"]);
    stage.want_volume(|volume| volume.size_bytes /= 4);
    assert_eq!(obstacle(&stage, Object::Volume(VOLUME)), Some(Obstacle::ShrinkRefused));
}

#[test]
fn a_running_guest_keeps_its_definition_and_seed() {
    let mut stage = Stage::settled();
    stage.want(|instance| instance.hardware.as_mut().unwrap().vcpus = 2);
    stage.want(|instance| instance.seed.user_data = "new".into());
    check(&stage, &[]);
    stage.power(true, 2, true);
    check(&stage, &["record power", "press power button"]);
    stage.drive_for(2);
    check(
        &stage,
        &["write seed", "define", "record power", "start", "record power", "resume", "record power"],
    );
}

#[test]
fn what_the_guest_does_itself_is_let_be_and_remembered() {
    for (cause, ended) in [
        (OffCause::Shutdown, Some(crate::ledger::power::Ended::ByGuest)),
        (OffCause::Crashed, Some(crate::ledger::power::Ended::Crashed)),
        (OffCause::Destroyed, None),
    ] {
        let mut stage = Stage::settled();
        stage.go_off(cause);
        stage.drive();
        assert!(!stage.is_running());
        // The hypervisor forgets, the agent restarts: still off.
        stage.domain().off_cause = None;
        stage.pressed.clear();
        check(&stage, &[]);
        assert_eq!(stage.ledger.power[&INSTANCE].ended, ended);
        // A new generation starts it. Another boot brings back only what had not ended by itself: the host may have gone
        // down before the controllers heard of it.
        let mut again = stage.clone();
        again.power(true, 2, false);
        again.drive();
        assert!(again.is_running());
        stage.reboot("boot-2");
        stage.drive();
        assert_eq!(stage.is_running(), ended.is_none());
    }
}

#[test]
fn domains_the_ledger_does_not_list_are_left_alone() {
    let mut stage = Stage::settled();
    let mut record = InstanceRecord::clone(&stage.ledger.instances[&INSTANCE]);
    record.listed = false;
    record.instance.power = Power { on: false, generation: 2, restart: false };
    stage.ledger.put_instance(record);
    check(&stage, &[]);
    stage.ledger.instances.clear();
    check(&stage, &[]);
}

#[test]
fn claims_keep_a_volume_and_its_instance_apart() {
    let stage = Stage::desired();
    let plans = stage.plan();
    assert!(plans[&Object::Volume(VOLUME)].claims.contains(&Claim::Image(blob().sha256)));
    let mut stage = Stage::settled();
    stage.power(false, 2, false);
    let claims = &stage.plan()[&Object::Instance(INSTANCE)].claims;
    assert!(claims.contains(&Claim::Volume(VOLUME)) && claims.contains(&Claim::Instance(INSTANCE)));
}

#[test]
fn steps_show_no_tenant_data_in_logs() {
    let mut stage = Stage::desired();
    stage.want(|instance| instance.seed.user_data = "hunter2".into());
    stage.drive_for(2);
    let shown = format!("{:?}", stage.plan());
    assert!(shown.contains("WriteSeed") && !shown.contains("hunter2"));
}

/// The image a volume is copied to, in these tests.
const IMAGE: Uuid = Uuid::from_u128(0xd);

#[test]
fn a_volume_is_copied_while_no_guest_runs_on_it() {
    let mut stage = Stage::settled();
    stage.want_volume(|volume| volume.capture = Some(IMAGE));
    check(&stage, &[]);
    assert_eq!(stage.plan()[&Object::Volume(VOLUME)].progress, Progress::Reached, "nothing is wrong with it");
    stage.world.domains = None;
    check(&stage, &[]);
    stage.world.domains = Stage::settled().world.domains;
    stage.power(false, 2, false);
    stage.drive_for(2);
    check(&stage, &["capture volume", "record power"]);
    let claims = |stage: &Stage| stage.plan()[&Object::Volume(VOLUME)].claims.clone();
    assert_eq!(claims(&stage), [Claim::Volume(VOLUME)].into(), "a guest that is to start waits");
    stage.drive_for(1);
    check(&stage, &["send capture", "record power"]);
    assert_eq!(claims(&stage), [Claim::Captures(VOLUME)].into(), "a guest may start");
    stage.drive_for(1);
    assert_eq!(stage.sent, [IMAGE]);
    // Until the controllers say that they have it.
    check(&stage, &["send capture", "record power"]);
    stage.want_volume(|volume| volume.capture = None);
    check(&stage, &["drop capture", "record power"]);
    stage.drive();
    assert!(stage.world.captures.is_empty());
}

#[test]
fn a_copy_of_before_is_not_taken_for_the_one_that_is_asked_for() {
    let mut stage = Stage::settled();
    stage.world.captures.insert(VOLUME, [OTHER].into());
    stage.want_volume(|volume| volume.capture = Some(IMAGE));
    check(&stage, &["drop capture"]);
    // Nor does one stay when its volume goes.
    stage.world.captures.insert(VOLUME, [IMAGE].into());
    stage.want(|instance| instance.presence = Presence::Absent);
    stage.want_volume(|volume| volume.presence = Presence::Absent);
    stage.drive();
    assert!(stage.world.captures.is_empty() && stage.world.volumes.is_empty());
}

#[test]
fn a_disk_that_is_gone_is_not_made_anew() {
    let mut stage = Stage::settled();
    stage.world.volumes.clear();
    check(&stage, &[]);
    assert_eq!(obstacle(&stage, Object::Volume(VOLUME)), Some(Obstacle::VolumeLost));
    // Nor while nobody can tell: it may have been there.
    stage.world.domains = None;
    assert_eq!(stage.plan()[&Object::Volume(VOLUME)].progress, Progress::Unknown);
    check(&stage, &[]);
}

#[test]
fn a_disk_that_was_never_there_is_made_also_for_a_guest_that_is_defined() {
    let mut stage = Stage::settled();
    stage.power(false, 2, false);
    stage.drive();
    let volume = Volume { uid: OTHER, source: None, ..volume() };
    stage.ledger.volumes.insert(OTHER, Arc::new(VolumeRecord { stamp: stamp(), listed: true, volume }));
    stage.want(|instance| {
        let disk = Disk { volume: OTHER, slot: 1, serial: "data".into() };
        instance.hardware.as_mut().unwrap().disks.push(disk);
    });
    let plans = stage.plan();
    let names: Vec<_> = plans[&Object::Volume(OTHER)].actions.iter().map(Action::name).collect();
    assert_eq!(names, ["create volume"]);
}
