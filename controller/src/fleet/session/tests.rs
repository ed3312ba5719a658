use rempart_model::Core;

use super::*;

/// A name that changed on one host may be taken by the time it is looked up: by another object, on another host, which this one
/// must not be told to have.
#[test]
fn a_host_is_told_of_no_object_of_another_host() {
    let text = include_str!("../../../model/testdata/golden/rows/0004-instance.json");
    let instance = Object::read(text).expect("a row of an instance");
    let host = instance.placement().expect("it is placed").host.clone();
    let urn = instance.urn.clone();
    let gone = Arc::new(Urn::workspace(Kind::Instance, "t1", "w1", "gone"));
    let state = State::load(Core::default(), 1, [instance], []);
    let changed = BTreeSet::from([urn.clone(), gone.clone()]);

    let (here, elsewhere) = looked_up(&state, &host, &changed);
    assert_eq!(here.iter().map(|object| &object.urn).collect::<Vec<_>>(), [&urn]);
    assert_eq!(elsewhere, [&*gone]);

    let (here, elsewhere) = looked_up(&state, "another", &changed);
    assert!(here.is_empty(), "{here:?}");
    assert_eq!(elsewhere.len(), 2, "and what was told of them is forgotten");
}
