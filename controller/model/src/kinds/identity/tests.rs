use serde_json::{Value, json};

use super::*;
use crate::fixture::World;

fn account() -> Urn {
    Urn::tenant(Kind::ServiceAccount, "t1", "deploy")
}

fn key(kid: &str, first: char) -> Value {
    json!({ "kid": kid, "kty": "OKP", "crv": "Ed25519", "x": format!("{first}{}", "A".repeat(42)) })
}

#[test]
fn a_key_counts_while_it_is_in_the_account_and_the_account_is_there() {
    let mut world = World::hostless();
    let x =
        |world: &World, kid| world.state.account_key("t1", "deploy", kid).map(|key| key.x[..1].to_owned());
    assert_eq!(x(&world, "1"), None);
    world.created(&account(), json!({ "keys": [key("1", 'a')] }));
    assert_eq!(x(&world, "1").as_deref(), Some("a"));
    assert_eq!(world.state.account_key("t2", "deploy", "1"), None);
    world.put(&account(), json!({ "keys": [key("1", 'b'), key("2", 'c')] })).unwrap();
    assert_eq!((x(&world, "1").as_deref(), x(&world, "2").as_deref()), (Some("b"), Some("c")));
    world.put(&account(), json!({ "keys": [key("2", 'c')] })).unwrap();
    assert_eq!((x(&world, "1"), x(&world, "2").as_deref()), (None, Some("c")));
    world.put(&account(), json!({})).unwrap();
    assert_eq!(x(&world, "2"), None);
    world.put(&account(), json!({ "keys": [key("2", 'c')] })).unwrap();
    world.delete(&account()).unwrap();
    assert_eq!(x(&world, "2"), None);
}

#[test]
fn what_is_no_key_is_refused_by_its_field() {
    let mut world = World::hostless();
    let with = |field: &str, value: Value| {
        let mut key = key("1", 'a');
        key[field] = value;
        json!({ "keys": [key] })
    };
    for (spec, pointer) in [
        (with("kid", json!("")), "/spec/keys/0/kid"),
        (with("kid", json!("k".repeat(65))), "/spec/keys/0/kid"),
        (with("kty", json!("RSA")), "/spec/keys/0/kty"),
        (with("crv", json!("P-256")), "/spec/keys/0/crv"),
        (with("x", json!("A".repeat(42))), "/spec/keys/0/x"),
        (with("x", json!("+".repeat(43))), "/spec/keys/0/x"),
        (json!({ "keys": [key("1", 'a'), key("1", 'b')] }), "/spec/keys/1/kid"),
        (json!({ "keys": vec![key("1", 'a'); 9] }), "/spec/keys"),
    ] {
        let refusal = world.put(&account(), spec).unwrap_err();
        assert!(refusal.sources.iter().any(|source| source.pointer == pointer), "{pointer}: {refusal:?}");
    }
    let long = Urn::tenant(Kind::ServiceAccount, "t1", &"a".repeat(65));
    assert!(world.put(&long, json!({})).is_err());
}

#[test]
fn tokens_are_called_back_until_the_moment_of_the_last_word() {
    let mut world = World::hostless();
    let (one, other) =
        (Urn::global(Kind::TokenRevocation, "one"), Urn::global(Kind::TokenRevocation, "other"));
    assert_eq!(world.state.revoked_until("alice"), None);
    world.created(&one, json!({ "subject": "alice" }));
    let first = world.state.revoked_until("alice").unwrap();
    assert_eq!(first, world.state.core.clock);
    assert_eq!(world.state.revoked_until("alic"), None);
    assert_eq!(world.state.revoked_until("alice2"), None);
    world.created(&other, json!({ "subject": "alice" }));
    let second = world.state.revoked_until("alice").unwrap();
    assert!(second > first);
    world.put(&one, json!({ "subject": "alice" })).unwrap();
    let third = world.state.revoked_until("alice").unwrap();
    assert!(third > second, "said again");
    world.put(&one, json!({ "subject": "bob" })).unwrap();
    assert_eq!(world.state.revoked_until("alice"), Some(second));
    assert!(world.state.revoked_until("bob").unwrap() > third);
    world.delete(&other).unwrap();
    assert_eq!(world.state.revoked_until("alice"), None);
    assert!(world.put(&one, json!({ "subject": "" })).is_err());
}
