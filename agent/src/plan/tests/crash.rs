//! A crash at every point: before each step, after each step, and twice.

use super::*;

/// Brings the stage of `prepare` to its end without a crash, then once for every pair of steps after which the
/// agent dies (losing what it only remembered), and expects the same end.
fn check(prepare: impl Fn() -> Stage, starts: std::ops::RangeInclusive<usize>) {
    let mut expected = prepare();
    let steps = expected.drive();
    assert!(steps > 0, "nothing was exercised");
    for first in 0..=steps {
        for second in 0..=steps {
            let mut stage = prepare();
            for steps in [first, second] {
                stage.drive_for(steps);
                stage.pressed.clear();
            }
            stage.drive();
            assert_eq!(stage.world, expected.world, "after crashes at {first} and {second}");
            assert_eq!(stage.step(), expected.step());
            let begun = stage.starts - prepare().starts;
            assert!(starts.contains(&begun), "{begun} starts after crashes at {first} and {second}");
            assert!(stage.plan().values().all(|plan| plan.progress == Progress::Reached));
        }
    }
}

fn after(settled: impl Fn(&mut Stage)) -> impl Fn() -> Stage {
    move || {
        let mut stage = Stage::settled();
        settled(&mut stage);
        stage
    }
}

#[test]
fn from_nothing_to_one_running_domain_on_the_right_disk() {
    check(Stage::desired, 1..=1);
    let mut stage = Stage::desired();
    stage.drive();
    let domains = stage.world.domains.as_ref().unwrap();
    assert_eq!(domains.len(), 1);
    assert!(domains[&INSTANCE].running);
    let VolumeState::File(file) = &stage.world.volumes[&VOLUME] else { panic!() };
    assert_eq!(file.base, Some((stage.host.images.file(&blob()), "qcow2".into())));
}

#[test]
fn a_guest_that_shuts_itself_down_at_once_is_not_started_again() {
    check(|| Stage { brief: true, ..Stage::desired() }, 1..=1);
}

#[test]
fn from_running_to_nothing() {
    let gone = |stage: &mut Stage| {
        stage.want(|instance| instance.presence = Presence::Absent);
        stage.want_volume(|volume| volume.presence = Presence::Absent);
    };
    check(after(gone), 0..=0);
    let mut stage = after(gone)();
    stage.drive();
    assert!(
        stage.world.volumes.is_empty() && stage.world.seeds.is_empty() && stage.world.run_dirs.is_empty()
    );
}

#[test]
fn stops_and_restarts_of_guests_polite_and_deaf() {
    for polite in [true, false] {
        check(after(|stage| (stage.polite, _) = (polite, stage.power(false, 2, false))), 0..=0);
        check(after(|stage| (stage.polite, _) = (polite, stage.power(true, 2, true))), 1..=1);
    }
}

#[test]
fn a_start_asked_for_during_a_stop() {
    let interrupted = |stage: &mut Stage| {
        stage.polite = false;
        stage.power(false, 2, false);
        stage.drive_for(2);
        assert_eq!(stage.step(), Some(PowerStep::Stopping));
        stage.power(true, 3, false);
    };
    check(after(interrupted), 1..=1);
}

#[test]
fn a_reboot_of_the_host_in_any_state() {
    check(after(|stage| stage.reboot("boot-2")), 1..=1);
    let steps = after(|stage| stage.power(true, 2, true))().drive();
    for cut in 0..=steps {
        check(
            after(|stage| {
                stage.power(true, 2, true);
                stage.drive_for(cut);
                stage.reboot("boot-2");
            }),
            1..=1,
        );
    }
}

#[test]
fn new_hardware_and_a_larger_disk_for_a_guest_that_is_off() {
    let changed = |stage: &mut Stage| {
        stage.power(false, 2, false);
        stage.drive();
        stage.want_volume(|volume| volume.size_bytes *= 2);
        stage.want(|instance| instance.hardware.as_mut().unwrap().memory_mib = 512);
        stage.want(|instance| instance.seed.hostname = "web-2".into());
        stage.power(true, 3, false);
    };
    check(after(changed), 1..=1);
}
