use super::*;
use rempart_model::State;

/// The object of a host, as a State founded and joined by tests has it: only its name and kind count here.
fn host_object() -> Arc<Object> {
    let text = include_str!("../../../model/testdata/golden/rows/0017-host.json");
    Arc::new(Object::read(text).expect("a row of a host"))
}

#[test]
fn a_change_is_taken_once_its_state_is_published_and_not_before() {
    let changes = Arc::new(Changes::default());
    let object = host_object();
    let host = changes.of(&object.urn.name);
    changes.note(&object);
    assert!(host.take().is_empty(), "no State is published that has it");
    changes.ring();
    assert_eq!(host.take(), [object.urn.clone()].into());
    assert!(host.take().is_empty(), "once");
}

/// It reads an older State, and must hear of what that does not have.
#[test]
fn who_comes_between_a_change_and_its_publication_is_told() {
    let changes = Arc::new(Changes::default());
    let object = host_object();
    changes.note(&object);
    let host = changes.of(&object.urn.name);
    changes.ring();
    assert_eq!(host.take(), [object.urn.clone()].into());
}

#[test]
fn a_second_session_takes_over() {
    let changes = Arc::new(Changes::default());
    let object = host_object();
    let first = changes.of(&object.urn.name);
    let second = changes.of(&object.urn.name);
    drop(changes.of("another"));
    changes.all(&State::default());
    assert!(first.take().is_empty());
    assert_eq!(second.take().len(), 1, "the host itself");
    drop(first);
    changes.note(&object);
    changes.ring();
    assert_eq!(second.take(), [object.urn.clone()].into(), "the end of the first is not that of the second");
}

#[test]
fn a_host_that_changed_is_told_to_those_who_watch_it_and_to_nobody_else() {
    use futures::FutureExt as _;
    let changes = Arc::new(Changes::default());
    let object = host_object();
    let watches =
        [changes.watch(&object.urn.name), changes.watch(&object.urn.name), changes.watch("another")];
    let told = || watches.iter().map(|watch| watch.changed().now_or_never().is_some()).collect::<Vec<_>>();
    changes.note(&object);
    assert_eq!(told(), [false, false, false], "no State is published that has it");
    changes.ring();
    assert_eq!(told(), [true, true, false]);
    assert_eq!(told(), [false, false, false], "once");
    changes.all(&State::default());
    assert_eq!(told(), [true, true, true]);
    let [first, second, another] = watches;
    drop((first, another));
    changes.note(&object);
    changes.ring();
    assert!(second.changed().now_or_never().is_some(), "the end of the first is not that of the second");
    drop(second);
    assert!(changes.watched().is_empty(), "nothing is kept of what has ended");
}
