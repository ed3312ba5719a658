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
