//! The window of answered requests.

use super::*;
use crate::answer::Recorded;
use crate::state::WINDOW;

#[test]
fn a_request_that_comes_again_gets_the_same_answer_and_changes_nothing() {
    let mut world = World::with_active_instance();
    let put = world.put_command(&workspace("w2"), json!({}));
    let start = PowerCommand { urn: instance("vm"), if_unmodified_since: None, action: PowerAction::Start };
    let missing = DeleteCommand { urn: volume("none"), if_unmodified_since: None };
    for command in [Command::Put(Box::new(put)), Command::Power(start), Command::Delete(missing)] {
        let envelope = world.envelope(command);
        let first = world.apply_envelope(&envelope);
        assert!(!first.repeated && first.recorded.is_some());
        let rows = world.rows();
        let later = Envelope { time: Timestamp::MAX, ..envelope };
        let second = world.apply_envelope(&later);
        assert!(second.repeated && second.changes.is_empty() && second.recorded.is_none());
        assert_eq!(second.outcome, first.outcome);
        assert_eq!(world.rows(), rows);
        assert_ne!(world.state.core().clock, Timestamp::MAX);
    }
}

#[test]
fn a_put_whose_resource_has_gone_since_says_so() {
    let mut world = World::new();
    let put = world.put_command(&workspace("w2"), json!({}));
    let envelope = world.envelope(Command::Put(Box::new(put)));
    world.apply_envelope(&envelope).outcome.unwrap();
    world.deleted(&workspace("w2"));
    refused(world.apply_envelope(&envelope).outcome, RefusalClass::Conflict, "has been deleted since");
    world.created(&workspace("w2"), json!({}));
    refused(world.apply_envelope(&envelope).outcome, RefusalClass::Conflict, "has been deleted since");
}

#[test]
fn the_control_planes_own_commands_leave_no_answer_when_they_succeed() {
    let mut world = World::with_instance();
    let objects = world.honest("h1");
    let envelope = world.envelope(Command::Report(ReportCommand { host: "h1".into(), objects }));
    assert_eq!(world.apply_envelope(&envelope).recorded, None);
    assert!(!world.apply_envelope(&envelope).repeated);
}

#[test]
fn a_report_or_an_introduction_applied_twice_is_harmless() {
    let mut world = World::with_instance();
    let report = Command::Report(ReportCommand { host: "h1".into(), objects: world.honest("h1") });
    let envelope = world.envelope(report);
    world.apply_envelope(&envelope);
    let rows = world.rows();
    world.apply_envelope(&envelope);
    assert_eq!(world.rows(), rows);
}

#[test]
fn the_oldest_answers_are_forgotten_and_consumers_told() {
    let mut state = World::new().state;
    let missing = DeleteCommand { urn: volume("none"), if_unmodified_since: None };
    let request = |number: u128| Envelope {
        format: crate::ENVELOPE_FORMAT,
        request_id: Uuid::from_u128(number << 32),
        actor: "alice".into(),
        trace: None,
        time: Timestamp::from_unix_ms(START),
        command: Command::Delete(missing.clone()),
    };
    let held = state.answers.len();
    let mut dropped = Vec::new();
    let count = WINDOW + 3 - held;
    for number in 1..=count {
        let applied = state.apply(state.applied_index() + 1, &request(number as u128));
        assert!(matches!(applied.recorded, Some(Recorded::Refused(_))));
        dropped.extend(applied.dropped_answers_to);
    }
    assert_eq!(state.answers.len(), WINDOW);
    assert_eq!(dropped.len(), 3);
    assert!(
        dropped.is_sorted() && state.answer_order.get_min().is_some_and(|(oldest, _)| *oldest > dropped[2])
    );
    assert!(state.apply(state.applied_index() + 1, &request(count as u128)).repeated);
    state.check();
}
