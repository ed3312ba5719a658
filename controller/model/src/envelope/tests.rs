use super::*;
use crate::command::{DeleteCommand, PutCommand};
use crate::kinds::Spec;
use rempart_api::{Kind, Urn};
use serde_json::{Value, json};

fn envelope(command: Command) -> Envelope {
    let request_id = Uuid::from_u128(1);
    let time = Timestamp::from_unix_ms(0);
    Envelope { format: ENVELOPE_FORMAT, request_id, actor: "a".into(), trace: None, time, command }
}

fn delete() -> Envelope {
    envelope(Command::Delete(DeleteCommand {
        urn: Urn::global(Kind::Tenant, "t"),
        if_unmodified_since: None,
    }))
}

/// What decoding says of an entry made different by `change`.
fn check(change: impl FnOnce(&mut Value)) -> Result<Envelope, String> {
    let mut json: Value = serde_json::from_slice(&delete().encode()).unwrap();
    change(&mut json);
    Envelope::decode(&serde_json::to_vec(&json).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn what_is_encoded_is_decoded() {
    assert_eq!(check(|_| {}), Ok(delete()));
}

#[test]
fn a_newer_format_is_named_even_when_nothing_else_of_it_is_readable() {
    let newer = "log entry has format 2, this version reads up to 1; upgrade this replica";
    assert_eq!(check(|json| json["format"] = json!(2)), Err(newer.into()));
    assert_eq!(check(|json| *json = json!({"format": 2, "body": "of another world"})), Err(newer.into()));
}

#[test]
fn an_unknown_command_or_field_is_no_entry_of_ours() {
    let check = |change: fn(&mut Value), words: &str| {
        let error = check(change).unwrap_err();
        assert!(error.contains(words) && error.contains("upgrade it"), "{error}");
    };
    check(|json| json["command"] = json!({"explode": {}}), "unknown variant `explode`");
    check(|json| json["command"]["delete"]["force"] = json!(true), "unknown field `force`");
    check(|json| json["priority"] = json!(9), "unknown field `priority`");
    check(|json| *json = json!([]), "log entry cannot be decoded");
}

fn workspace(spec: Value) -> Envelope {
    envelope(Command::Put(Box::new(PutCommand {
        urn: Urn::tenant(Kind::Workspace, "t", "w"),
        if_unmodified_since: None,
        labels: Default::default(),
        annotations: Default::default(),
        extensions: Default::default(),
        spec: Spec::parse(Kind::Workspace, &spec).unwrap(),
        uid: Uuid::from_u128(2),
        host: None,
    })))
}

#[test]
fn numbers_survive_any_number_of_round_trips() {
    // A spec that a replica reads from its row must be the one that its peers read from the log, to the last bit.
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = f64::from_bits(bits);
        if number.is_finite() {
            let written = serde_json::to_string(&number).unwrap();
            let read: Value = serde_json::from_str(&written).unwrap();
            assert_eq!(read.to_string(), written);
        }
    }
    let once = workspace(json!({"number": 0.1, "zero": -0.0, "large": u64::MAX}));
    assert_eq!(Envelope::decode(&once.encode()).unwrap(), once);
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({"deeper": inner}))
}

#[test]
fn whatever_a_client_may_send_the_log_can_hold() {
    // The edge can read a body of 127 levels; an entry wraps four more around the spec, and could not be read again.
    let body = serde_json::to_string(&json!({"spec": nested(126)})).unwrap();
    assert!(serde_json::from_str::<Value>(&body).is_ok());
    assert!(Envelope::decode(&workspace(nested(126)).encode()).is_err());

    let mut state = crate::State::default();
    let tenant = Spec::parse(Kind::Tenant, &json!({"owners": ["a"]})).unwrap();
    let mut parent = workspace(json!({}));
    let Command::Put(put) = &mut parent.command else { unreachable!() };
    (put.urn, put.spec, put.uid) = (Urn::global(Kind::Tenant, "t"), tenant, Uuid::from_u128(3));
    assert!(state.apply(1, &parent).outcome.is_ok());
    let admit = |spec: Value| state.admit(&Envelope { request_id: Uuid::from_u128(4), ..workspace(spec) });
    assert!(admit(nested(126)).unwrap_err().detail.contains("/spec: may be nested 16 levels deep"));
    assert!(admit(nested(17)).is_err() && admit(nested(16)).is_ok());
}
