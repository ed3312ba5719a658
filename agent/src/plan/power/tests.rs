use super::*;

const OFF: Power = Power { on: false, generation: 1, restart: false };
const ON: Power = Power { on: true, generation: 1, restart: false };
const RESTART: Power = Power { on: true, generation: 2, restart: true };

struct Situation {
    desired: Power,
    record: Option<PowerRecord>,
    running: bool,
    paused: bool,
    pressed_s: Option<(u64, u64)>,
}

fn done(generation: u64, step: PowerStep, boot_id: &str) -> Option<PowerRecord> {
    let settled_generation = if step == PowerStep::Settled { generation } else { generation - 1 };
    let boot_id = boot_id.to_owned();
    Some(PowerRecord { incarnation: 1, generation, boot_id, step, settled_generation, ended: None })
}

/// Expects these moves; for those that write, the step written.
fn check(situation: Situation, expected: &str) {
    let generation = situation.desired.generation;
    let input = Input {
        desired: situation.desired,
        incarnation: 1,
        record: situation.record.as_ref(),
        running: situation.running,
        paused: situation.paused,
        off_cause: None,
        boot_id: "now",
        pressed: situation.pressed_s.map(|(first, last)| {
            let (ago, last_ago) = (Duration::from_secs(first), Duration::from_secs(last));
            Pressed { generation, ago, last_ago }
        }),
    };
    let planned = plan(input);
    let word = |power_move: &PowerMove| match power_move {
        PowerMove::Record(record) => format!("{:?}", record.step),
        PowerMove::Start => "start".into(),
        PowerMove::Resume => "resume".into(),
        PowerMove::PressButton(_) => "press".into(),
        PowerMove::PowerOff => "off".into(),
    };
    let mut words: Vec<String> = planned.moves.iter().map(word).collect();
    words.extend(planned.wake_after.map(|wait| format!("{}s", wait.as_secs())));
    assert_eq!(words.join(" "), expected);
}

fn situation(desired: Power, record: Option<PowerRecord>, running: bool) -> Situation {
    Situation { desired, record, running, paused: false, pressed_s: None }
}

fn paused(situation: Situation) -> Situation {
    Situation { paused: true, ..situation }
}

#[test]
fn a_new_generation_is_written_before_it_is_executed() {
    check(situation(ON, None, false), "Starting start Started resume Settled");
    check(situation(OFF, None, true), "Stopping press");
    check(situation(OFF, None, false), "Settled");
    check(situation(RESTART, done(1, PowerStep::Settled, "now"), true), "Stopping press");
    check(
        situation(RESTART, done(1, PowerStep::Settled, "now"), false),
        "Starting start Started resume Settled",
    );
}

#[test]
fn a_running_guest_is_not_restarted_in_doubt() {
    check(situation(RESTART, None, true), "Settled");
    let mut restored = done(7, PowerStep::Settled, "now");
    restored.as_mut().unwrap().incarnation = 0;
    check(situation(RESTART, restored, true), "Settled");
}

#[test]
fn a_settled_generation_is_never_repeated() {
    check(situation(ON, done(1, PowerStep::Settled, "now"), false), "");
    check(situation(ON, done(1, PowerStep::Settled, "now"), true), "");
    check(situation(OFF, done(1, PowerStep::Settled, "now"), true), "");
    check(situation(ON, done(2, PowerStep::Settled, "now"), false), "");
}

#[test]
fn another_boot_brings_back_what_should_be_on() {
    // But not what had ended by itself before.
    let quit = done(1, PowerStep::Settled, "before");
    let quit = quit.map(|record| PowerRecord { ended: Some(Ended::ByGuest), ..record });
    check(situation(ON, quit, false), "");
    check(
        situation(ON, done(1, PowerStep::Settled, "before"), false),
        "Starting start Started resume Settled",
    );
    check(
        situation(ON, done(1, PowerStep::Starting, "before"), false),
        "Starting start Started resume Settled",
    );
    check(situation(ON, done(1, PowerStep::Settled, "before"), true), "Settled");
    check(situation(OFF, done(1, PowerStep::Settled, "before"), false), "");
    check(situation(RESTART, done(2, PowerStep::Stopping, "before"), true), "Settled");
}

#[test]
fn what_a_crash_left_is_continued() {
    check(situation(ON, done(1, PowerStep::Starting, "now"), false), "start Started resume Settled");
    check(paused(situation(ON, done(1, PowerStep::Starting, "now"), true)), "Started resume Settled");
    check(paused(situation(ON, done(1, PowerStep::Started, "now"), true)), "resume Settled");
    check(situation(ON, done(1, PowerStep::Started, "now"), true), "Settled");
    check(paused(situation(ON, done(1, PowerStep::Settled, "now"), true)), "");
    check(situation(ON, done(1, PowerStep::Started, "now"), false), "Settled");
    check(situation(OFF, done(1, PowerStep::Stopping, "now"), true), "press");
    check(situation(OFF, done(1, PowerStep::Stopping, "now"), false), "Settled");
    check(
        situation(RESTART, done(2, PowerStep::Stopping, "now"), false),
        "Starting start Started resume Settled",
    );
}

#[test]
fn a_deaf_guest_is_turned_off_after_the_grace() {
    let stopping = |first, last| Situation {
        pressed_s: Some((first, last)),
        ..situation(OFF, done(1, PowerStep::Stopping, "now"), true)
    };
    check(stopping(0, 0), "3s");
    check(stopping(3, 3), "press");
    check(stopping(29, 0), "1s");
    check(stopping(30, 1), "off");
    check(stopping(3000, 3000), "off");
}

#[test]
fn a_start_does_not_overtake_a_stop() {
    let again = Power { generation: 2, ..ON };
    check(situation(again, done(1, PowerStep::Stopping, "now"), true), "Stopping press");
    check(
        situation(again, done(1, PowerStep::Stopping, "now"), false),
        "Starting start Started resume Settled",
    );
}
