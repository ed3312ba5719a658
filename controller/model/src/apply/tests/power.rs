//! Start, stop, restart, and a guest's own will.

use super::*;
use crate::object::OffCause;

const VM: fn() -> Urn = || instance("vm");

#[test]
fn an_instance_is_off_until_it_is_started() {
    let mut world = World::with_active_instance();
    assert_eq!(world.power_state(&VM()), "off");
    world.start(&VM()).unwrap();
    assert_eq!(world.history(&VM()), "updating active creating pending");
    assert_eq!(world.version(&VM()), 2);
    assert_eq!(world.why(&VM()).unwrap().reason, "Starting");
    world.report("h1");
    assert_eq!(world.history(&VM()), "active updating active creating pending");
    assert_eq!(world.power_state(&VM()), "on");
    assert_eq!(world.status(&VM())["powerStateSince"], json!(world.state.core().clock));
    assert_eq!(world.why(&VM()), None);
}

#[test]
fn a_stop_turns_it_off_and_a_restart_moves_the_time_it_came_on() {
    let mut world = World::with_running_instance();
    let since = world.detail(&VM()).power_state_since;
    world.restart(&VM()).unwrap();
    let desired = &world.detail(&VM()).power;
    assert!(desired.on && desired.restart && desired.generation == 2);
    world.report("h1");
    assert_eq!(world.power_state(&VM()), "on");
    assert!(world.detail(&VM()).power_state_since > since);
    assert!(!world.detail(&VM()).power.restart, "a restart is asked for once");
    world.stop(&VM()).unwrap();
    assert_eq!(world.why(&VM()).unwrap().reason, "Stopping");
    world.report("h1");
    assert_eq!(world.power_state(&VM()), "off");
    assert_eq!(world.version(&VM()), 4);
    assert_eq!(world.history(&VM()).matches("active updating").count(), 3);
}

#[test]
fn actions_are_legal_only_from_the_right_power_state() {
    let mut world = World::with_active_instance();
    refused(world.stop(&VM()), RefusalClass::Conflict, "is off; only a running instance");
    refused(world.restart(&VM()), RefusalClass::Conflict, "is off; only a running instance");
    world.start(&VM()).unwrap();
    world.report("h1");
    refused(world.start(&VM()), RefusalClass::Conflict, "is on already");
}

#[test]
fn actions_wait_for_the_open_transition() {
    let mut world = World::with_instance();
    for action in [PowerAction::Start, PowerAction::Stop, PowerAction::Restart] {
        refused(
            world.power(&VM(), action),
            RefusalClass::Conflict,
            "is creating; power actions are accepted when",
        );
    }
    world.report("h1");
    world.start(&VM()).unwrap();
    refused(world.stop(&VM()), RefusalClass::Conflict, "is updating");
    refused(world.start(&VM()), RefusalClass::Conflict, "is updating");
    world.report("h1");
    world.deleted(&VM());
    refused(world.stop(&VM()), RefusalClass::Conflict, "is deleting");
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&VM(), instance_spec("boot"));
    refused(world.start(&VM()), RefusalClass::Conflict, "is pending");
    refused(world.start(&instance("none")), RefusalClass::NotFound, "does not exist");
    refused(world.start(&volume("boot")), RefusalClass::Conflict, "has no power to switch");
}

#[test]
fn a_stop_is_legal_from_error() {
    let mut world = World::with_active_instance();
    world.start(&VM()).unwrap();
    world.say_of(&VM(), |report| {
        (report.failure, report.running, report.power_generation) = (failure("Broken"), false, 0)
    });
    assert!(world.history(&VM()).starts_with("error updating"));
    refused(world.start(&VM()), RefusalClass::Conflict, "is error");
    world.stop(&VM()).unwrap();
    world.report("h1");
    assert_eq!(world.power_state(&VM()), "off");
    assert!(world.history(&VM()).starts_with("active updating error updating active"));
}

#[test]
fn every_action_has_a_generation_of_its_own() {
    let mut world = World::with_active_instance();
    for (generation, action) in [
        PowerAction::Start,
        PowerAction::Restart,
        PowerAction::Restart,
        PowerAction::Stop,
        PowerAction::Start,
    ]
    .into_iter()
    .enumerate()
    {
        world.power(&VM(), action).unwrap();
        assert_eq!(world.detail(&VM()).power.generation, generation as u64 + 1);
        assert_eq!(world.detail(&VM()).executed_power_generation, generation as u64);
        world.report("h1");
        assert_eq!(world.detail(&VM()).executed_power_generation, generation as u64 + 1);
    }
}

#[test]
fn a_power_action_is_done_only_when_its_generation_was_executed() {
    let mut world = World::with_running_instance();
    world.restart(&VM()).unwrap();
    world.say_of(&VM(), |report| report.power_generation = 1);
    assert!(world.history(&VM()).starts_with("updating"), "it runs, but was not restarted yet");
    world.say_of(&VM(), |report| (report.power_generation, report.running) = (1, false));
    assert!(
        world.history(&VM()).starts_with("updating") && world.detail(&VM()).power.on,
        "in the midst of it"
    );
    world.report("h1");
    assert!(world.history(&VM()).starts_with("active updating"));
}

#[test]
fn a_guest_that_shuts_itself_down_is_off_because_it_wanted_to_be() {
    for cause in [OffCause::Guest, OffCause::Crashed] {
        let mut world = World::with_running_instance();
        let (history, version) = (world.history(&VM()), world.version(&VM()));
        let modified_at = world.get(&VM()).modified_at;
        world.say_of(&VM(), |report| (report.running, report.off_cause) = (false, Some(cause)));
        assert_eq!(world.power_state(&VM()), "off");
        assert!(!world.detail(&VM()).power.on, "nobody starts it again");
        assert_eq!(world.detail(&VM()).power_state_since, Some(world.state.core().clock));
        assert_eq!(world.history(&VM()), history);
        assert_eq!((world.version(&VM()), world.get(&VM()).modified_at), (version, modified_at));
        let reason = if cause == OffCause::Guest { "GuestShutdown" } else { "GuestCrashed" };
        assert_eq!(world.why(&VM()).unwrap().reason, reason);
        world.start(&VM()).unwrap();
        world.report("h1");
        assert_eq!(world.power_state(&VM()), "on");
        assert_eq!(world.why(&VM()), None);
    }
}

#[test]
fn a_guest_that_is_off_for_a_reason_nobody_vouches_for_comes_back() {
    let mut world = World::with_running_instance();
    world.say_of(&VM(), |report| report.running = false);
    assert_eq!(world.power_state(&VM()), "off");
    assert!(world.detail(&VM()).power.on, "the host was down; it starts the guest again by itself");
    assert_eq!(world.why(&VM()).unwrap().reason, "Returning");
    world.report("h1");
    assert_eq!(world.power_state(&VM()), "on");
    assert_eq!(world.why(&VM()), None);
}

#[test]
fn a_shutdown_under_an_older_generation_does_not_undo_a_newer_action() {
    let mut world = World::with_running_instance();
    world.restart(&VM()).unwrap();
    world.say_of(&VM(), |report| {
        (report.power_generation, report.running, report.off_cause) = (1, false, Some(OffCause::Guest));
    });
    assert!(world.detail(&VM()).power.on);
    world.report("h1");
    assert_eq!(world.power_state(&VM()), "on");
}

#[test]
fn a_start_that_failed_is_not_the_guests_will() {
    let mut world = World::with_active_instance();
    world.start(&VM()).unwrap();
    world.say_of(&VM(), |report| {
        (report.failure, report.running, report.power_generation) = (failure("Broken"), false, 0)
    });
    assert!(world.detail(&VM()).power.on, "it is tried again");
    world.report("h1");
    assert_eq!(world.history(&VM()), "active updating error updating active creating pending");
    assert_eq!(world.power_state(&VM()), "on");
}

#[test]
fn a_guest_turned_on_behind_our_back_can_be_changed_and_stopped() {
    let mut world = World::with_active_instance();
    world.say_of(&VM(), |report| report.running = true);
    assert_eq!(world.power_state(&VM()), "on");
    world.updated(&VM(), instance_spec("boot"));
    assert!(world.history(&VM()).starts_with("active updating"), "nothing is left to wait for");
    world.stop(&VM()).unwrap();
    world.report("h1");
    assert_eq!(world.power_state(&VM()), "off");
}

#[test]
fn the_boot_volume_changes_only_while_off() {
    let mut world = World::with_running_instance();
    world.created(&volume("boot2"), volume_spec(1));
    let pointer = refused(world.put(&VM(), instance_spec("boot2")), RefusalClass::Conflict, "stop it first");
    assert_eq!(pointer, "/spec/bootVolume/deviceRef");
    world.stop(&VM()).unwrap();
    world.report("h1");
    world.updated(&VM(), instance_spec("boot2"));
    world.report("h1");
    assert!(world.history(&VM()).starts_with("active updating active"));
}
