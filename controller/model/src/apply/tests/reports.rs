//! Which words of a host count, and what failures do.

use super::*;

const VM: fn() -> Urn = || instance("vm");

/// Applies one report that must be dropped: nothing may change.
fn dropped(world: &mut World, host: &str, report: InstanceReport) {
    let rows = world.rows();
    let command =
        Command::Report(ReportCommand { host: host.into(), objects: vec![ObjectReport::Instance(report)] });
    let envelope = world.envelope(command);
    let applied = world.apply_envelope(&envelope);
    assert_eq!(applied.changes, []);
    assert_eq!(world.rows(), rows);
}

#[test]
fn words_about_the_past_or_the_future_are_dropped() {
    let mut world = World::with_active_instance();
    world.join("h2", "a", host_report());
    world.updated(&VM(), instance_with("boot", json!({"userData": "#new"})));
    let honest = instance_report(&world.state, world.get(&VM()));
    assert_eq!(honest.generation, 2);
    dropped(&mut world, "h1", InstanceReport { generation: 1, ..honest.clone() });
    dropped(&mut world, "h1", InstanceReport { generation: 1, failure: failure("Old"), ..honest.clone() });
    dropped(&mut world, "h1", InstanceReport { generation: 3, ..honest.clone() });
    dropped(&mut world, "h1", InstanceReport { epoch: 0, ..honest.clone() });
    dropped(&mut world, "h1", InstanceReport { epoch: 2, ..honest.clone() });
    dropped(&mut world, "h1", InstanceReport { uid: Uuid::from_u128(99 << 90), ..honest.clone() });
    let volume = world.get(&volume("boot")).uid;
    dropped(&mut world, "h1", InstanceReport { uid: volume, ..honest.clone() });
    dropped(&mut world, "h1", InstanceReport { power_generation: 1, ..honest.clone() });
    dropped(&mut world, "h1", InstanceReport { present: false, ..honest.clone() });
    dropped(&mut world, "h2", honest.clone());
    dropped(&mut world, "nobody", honest);
    world.report("h1");
    assert!(world.history(&VM()).starts_with("active updating"));
}

#[test]
fn the_same_words_again_change_nothing() {
    let mut world = World::with_running_instance();
    let honest = instance_report(&world.state, world.get(&VM()));
    dropped(&mut world, "h1", honest);
}

#[test]
fn a_failed_creation_is_an_error_that_heals_through_creating() {
    let mut world = World::with_instance();
    world.say_of(&VM(), |report| (report.present, report.failure) = (false, failure("ImageMissing")));
    assert_eq!(world.history(&VM()), "error creating pending");
    world.report("h1");
    assert_eq!(world.history(&VM()), "active creating error creating pending");
    assert_eq!(world.version(&VM()), 1);
}

#[test]
fn a_failed_change_is_an_error_that_heals_through_updating() {
    let mut world = World::with_active_instance();
    world.updated(&VM(), instance_with("boot", json!({"userData": "#new"})));
    world.say_of(&VM(), |report| report.failure = failure("SeedFailed"));
    assert_eq!(world.history(&VM()), "error updating active creating pending");
    let why = world.why(&VM()).unwrap();
    assert_eq!(why.reason, "SeedFailed");
    assert_eq!(why.tenant, "Its disk is broken. It is tried again by itself.");
    assert!(why.operator.contains("h1") && why.operator.contains("/dev/sdb"));
    world.report("h1");
    assert_eq!(world.history(&VM()), "active updating error updating active creating pending");
    assert_eq!(world.why(&VM()), None);
}

#[test]
fn a_put_on_a_failed_instance_asks_the_host_to_try_again() {
    let mut world = World::with_instance();
    world.say_of(&VM(), |report| (report.present, report.failure) = (false, failure("ImageMissing")));
    world.updated(&VM(), instance_spec("boot"));
    assert_eq!(world.history(&VM()), "creating error creating pending", "it was never created");
    // Were the generation the old one, the host would have nothing new to say.
    world.say_of(&VM(), |report| {
        assert_eq!(report.generation, 2);
        (report.present, report.failure) = (false, failure("ImageMissing"));
    });
    assert_eq!(world.history(&VM()), "error creating error creating pending");
    world.report("h1");
    assert!(world.history(&VM()).starts_with("active creating error"));
}

#[test]
fn an_active_instance_with_trouble_stays_active_and_says_so() {
    let mut world = World::with_running_instance();
    world.say_of(&VM(), |report| report.failure = failure("VolumeUnreadable"));
    assert!(world.history(&VM()).starts_with("active"));
    assert_eq!(world.status(&VM())["conditions"][0]["reason"], "VolumeUnreadable");
    world.updated(&VM(), instance_spec("boot"));
    assert!(world.history(&VM()).starts_with("updating active"));
    world.say_of(&VM(), |report| report.failure = failure("VolumeUnreadable"));
    assert!(world.history(&VM()).starts_with("error updating active"));
    world.report("h1");
    assert!(world.history(&VM()).starts_with("active updating error updating active"));
}

#[test]
fn an_error_that_clears_while_work_is_left_is_an_open_transition_again() {
    let mut world = World::with_active_instance();
    world.start(&VM()).unwrap();
    let not_started = |report: &mut InstanceReport| (report.running, report.power_generation) = (false, 0);
    world.say_of(&VM(), |report| {
        not_started(report);
        report.failure = failure("Broken");
    });
    world.say_of(&VM(), not_started);
    assert_eq!(world.history(&VM()), "updating error updating active creating pending");
    world.report("h1");
    assert_eq!(world.history(&VM()), "active updating error updating active creating pending");
}

#[test]
fn a_volume_with_trouble_stays_active_and_says_so() {
    let mut world = World::with_active_instance();
    let uid = world.get(&volume("boot")).uid;
    let report = VolumeReport {
        uid,
        generation: 1,
        epoch: 1,
        present: false,
        failure: failure("PoolFull"),
        capture_failure: None,
    };
    world.say("h1", vec![ObjectReport::Volume(report)]);
    assert_eq!(world.history(&volume("boot")), "active creating pending");
    assert_eq!(world.why(&volume("boot")).unwrap().reason, "PoolFull");
    world.report("h1");
    assert_eq!(world.why(&volume("boot")), None);
}

#[test]
fn one_report_may_speak_of_many_and_the_bad_parts_do_not_spoil_the_good() {
    let mut world = World::with_instance();
    let mut objects = world.honest("h1");
    let stranger =
        InstanceReport { uid: Uuid::from_u128(77 << 90), ..instance_report(&world.state, world.get(&VM())) };
    objects.insert(0, ObjectReport::Instance(stranger));
    world.say("h1", objects);
    assert_eq!(world.history(&VM()), "active creating pending");
}
