use super::*;

const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_call_answers() {
    assert_eq!(Lanes::new(1).run_within(LONG, || 7), Ok(7));
}

#[test]
fn a_call_that_hangs_is_left_behind_and_its_lane_comes_back_when_it_ends() {
    let lanes = Lanes::new(1);
    let (release, hanging) = mpsc::channel::<()>();
    let hung = lanes.run_within(SOON, move || hanging.recv().ok());
    assert_eq!(hung, Err("no answer within 0 s".into()));
    // The only lane is stuck.
    assert_eq!(lanes.run_within(SOON, || ()), Err("no call ended within 0 s".into()));
    release.send(()).unwrap();
    assert_eq!(lanes.run_within(LONG, || 7), Ok(7));
}

#[test]
fn a_panic_is_an_answer_and_frees_the_lane() {
    let lanes = Lanes::new(1);
    let panicked = lanes.run_within(LONG, || -> u32 { panic!("expected by the test") });
    assert_eq!(panicked, Err("the call ended in a panic".into()));
    assert_eq!(lanes.run_within(LONG, || 7), Ok(7));
}
