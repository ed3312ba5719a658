use super::*;
use crate::fixture::*;

#[test]
fn a_layout_that_is_not_known_is_named_and_never_guessed() {
    let world = World::with_instance();
    let text = serde_json::to_string(world.get(&instance("vm"))).unwrap();
    assert_eq!(&Object::read(&text).unwrap(), world.get(&instance("vm")));
    for (schema, text) in [
        (2, text.replacen("\"schema\":1", "\"schema\":2", 1)),
        (0, text.replacen("\"schema\":1", "\"schema\":0", 1)),
        (3, "{\"schema\":3,\"nothing\":\"else\"}".to_owned()),
    ] {
        let error = Object::read(&text).unwrap_err();
        assert!(matches!(error, ReadError::Schema(found) if found == schema), "{error}");
    }
    assert!(matches!(Object::read("{\"schema\":1}"), Err(ReadError::Malformed(_))));
    assert!(matches!(Object::read("{}"), Err(ReadError::Malformed(_))));
}
