use Algorithm as A;
use serde_json::json;

use super::*;

const ALL: [A; 5] = [A::RS256, A::PS256, A::ES256, A::ES384, A::EdDSA];

fn n() -> String {
    "w".repeat(342)
}

/// What a token could be signed with, if this were all that is published.
fn usable(key: serde_json::Value, allowed: &[A]) -> Vec<A> {
    let keys = Keys::read(&serde_json::to_vec(&json!({ "keys": [key] })).unwrap(), allowed).unwrap();
    let fits = |one: &A| matches!(keys.choose(None, *one), Choice::Key(_));
    [A::HS256, A::RS256, A::RS384, A::PS256, A::ES256, A::ES384, A::EdDSA].into_iter().filter(fits).collect()
}

#[test]
fn a_key_verifies_what_its_type_its_own_word_and_the_settings_allow() {
    let point = "A".repeat(43);
    let rsa = json!({ "kty": "RSA", "n": n(), "e": "AQAB", "kid": "1" });
    let with = |more: serde_json::Value| {
        let mut key = rsa.clone();
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    assert_eq!(usable(rsa.clone(), &ALL), [A::RS256, A::PS256]);
    assert_eq!(usable(rsa.clone(), &[A::RS384]), [A::RS384]);
    assert_eq!(usable(rsa.clone(), &[A::ES256, A::EdDSA]), []);
    assert_eq!(usable(with(json!({ "alg": "PS256", "use": "sig" })), &ALL), [A::PS256]);
    assert_eq!(usable(with(json!({ "alg": "RSA-OAEP" })), &ALL), []);
    assert_eq!(usable(with(json!({ "use": "enc" })), &ALL), []);
    assert_eq!(usable(with(json!({ "key_ops": ["encrypt"] })), &ALL), []);
    assert_eq!(usable(with(json!({ "key_ops": ["verify"] })), &ALL), [A::RS256, A::PS256]);
    let curve = |name: &str| json!({ "kty": "EC", "crv": name, "x": point, "y": point });
    assert_eq!(usable(curve("P-256"), &ALL), [A::ES256]);
    assert_eq!(usable(curve("P-384"), &ALL), [A::ES384]);
    assert_eq!(usable(curve("P-521"), &ALL), []);
    assert_eq!(usable(json!({ "kty": "OKP", "crv": "Ed25519", "x": point }), &ALL), [A::EdDSA]);
    assert_eq!(usable(json!({ "kty": "oct", "k": "c2VjcmV0" }), &[A::HS256, A::RS256]), []);
    assert_eq!(usable(json!({ "kty": "novelty" }), &ALL), []);
    assert_eq!(usable(json!("nonsense"), &ALL), []);
}

#[test]
fn a_token_names_its_key_where_there_are_several() {
    let key = |kid: &str| json!({ "kty": "RSA", "n": n(), "e": "AQAB", "kid": kid });
    let read = |keys: &[serde_json::Value]| {
        Keys::read(&serde_json::to_vec(&json!({ "keys": keys })).unwrap(), &ALL).unwrap()
    };
    let keys = read(&[key("2"), key("1"), json!({ "kty": "novelty" })]);
    assert_eq!(keys.count(), 2);
    assert!(matches!(keys.choose(Some("1"), A::RS256), Choice::Key(_)));
    assert!(matches!(keys.choose(None, A::RS256), Choice::Several));
    assert!(matches!(keys.choose(Some("3"), A::RS256), Choice::Unknown));
    assert!(matches!(keys.choose(Some("1"), A::ES256), Choice::Unknown));
    assert!(keys.are(&read(&[key("1"), key("2")])), "their order does not matter");
    assert!(!keys.are(&read(&[key("1")])) && !keys.are(&Keys::default()));
}

#[test]
fn what_is_no_set_is_refused() {
    for (text, words) in [("", "no set"), ("[]", "no set"), ("{}", "keys"), (r#"{"keys": {}}"#, "no set")] {
        assert!(Keys::read(text.as_bytes(), &ALL).err().unwrap().contains(words), "{text}");
    }
    let many = json!({ "keys": vec![json!({}); 65] });
    assert!(Keys::read(many.to_string().as_bytes(), &ALL).err().unwrap().contains("65"));
    assert_eq!(Keys::read(br#"{"keys": []}"#, &ALL).unwrap().count(), 0);
}
