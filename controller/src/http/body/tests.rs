use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use super::*;

/// A PUT of every kind, with every field it can have: those of the golden log.
fn samples() -> Vec<(Urn, Value)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("model/testdata/golden");
    let mut samples = Vec::new();
    for file in std::fs::read_dir(golden).unwrap().map(|file| file.unwrap().path()) {
        if file.file_name().is_some_and(|name| name.to_string_lossy().contains("-put-")) {
            let entry: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            let put = &entry["command"]["put"];
            let urn: Urn = put["urn"].as_str().unwrap().parse().unwrap();
            let mut body = json!({ "spec": put["spec"]["spec"] });
            for map in ["labels", "annotations", "extensions"] {
                body[map] = put[map].clone();
            }
            samples.push((urn, body));
        }
    }
    let kinds: BTreeSet<Kind> = samples.iter().map(|(urn, _)| urn.kind).collect();
    assert_eq!(kinds.len(), Kind::table().len(), "a kind without a sample");
    samples
}

fn parsed(urn: &Urn, body: &Value) -> Result<Value, Vec<ProblemSource>> {
    match parse_put(urn, "eu-1", body.to_string().as_bytes()) {
        Ok(body) => Ok(serde_json::to_value(body).unwrap()),
        Err(Failure::Malformed(sources, _) | Failure::Invalid(sources, _)) => Err(sources),
        Err(_) => Err(Vec::new()),
    }
}

/// What is kept beside specs, and what would reach a host, by the names it has inside and by those that others might try.
const INTERNAL: [&str; 24] = [
    "uid",
    "host",
    "hostName",
    "node",
    "placement",
    "detail",
    "hardware",
    "power",
    "powerState",
    "epoch",
    "generation",
    "hostGeneration",
    "realised",
    "changedIndex",
    "changed_index",
    "requestId",
    "resourceVersion",
    "deletedAt",
    "status",
    "schema",
    "actor",
    "xml",
    "schedulerHints",
    "qemu:commandline",
];

/// Adds them to every object, but to those whose members are data.
fn add_internal(value: &mut Value, added: &mut usize) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| add_internal(item, added)),
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                if !["annotations", "quota"].contains(&key.as_str()) {
                    add_internal(member, added);
                }
            }
            for name in INTERNAL {
                *added += usize::from(!members.contains_key(name));
                members.entry(name).or_insert_with(|| json!({ "host": "h1", "running": true }));
            }
        }
        _ => {}
    }
}

#[test]
fn what_no_field_is_called_reaches_nothing() {
    for (urn, body) in samples() {
        let expected = parsed(&urn, &body).unwrap_or_else(|at| panic!("{urn}: {at:?}"));
        let mut more = body.clone();
        let mut added = 0;
        // What a workspace has for a spec is data.
        if urn.kind != Kind::Workspace {
            add_internal(&mut more["spec"], &mut added);
            assert!(added >= INTERNAL.len(), "{urn}");
        }
        more["metadata"] = json!({ "name": urn.name });
        for place in ["/metadata", ""] {
            let members = more.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
            for name in INTERNAL {
                members.insert(name.to_owned(), json!("h1"));
            }
        }
        assert_eq!(parsed(&urn, &more), Ok(expected), "{urn}");
    }
}

/// Pointers to all numbers.
fn numbers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| numbers(item, &format!("{at}/{index}"), found));
        }
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| numbers(member, &format!("{at}/{key}"), found));
        }
        _ => {}
    }
}

#[test]
fn a_number_that_is_none_or_does_not_fit_is_refused_by_the_name_of_its_field() {
    // Those may be below zero as far as their type goes; the model has their bounds.
    let signed = ["from", "to", "type", "code", "0", "1"];
    let mut tried = 0;
    for (urn, body) in samples().into_iter().filter(|(urn, _)| urn.kind != Kind::Workspace) {
        let mut found = Vec::new();
        numbers(&body["spec"], "/spec", &mut found);
        for pointer in found {
            let beyond = [json!(-1), json!(1.5), json!(1e300), json!("1"), json!(true), json!([])];
            for odd in beyond {
                if odd == -1 && signed.contains(&pointer.rsplit('/').next().unwrap()) {
                    continue;
                }
                let mut wrong = body.clone();
                *wrong.pointer_mut(&pointer).unwrap() = odd.clone();
                let at = parsed(&urn, &wrong).expect_err(&pointer);
                assert_eq!(at.first().map(|at| at.pointer.as_str()), Some(&*pointer), "{urn}: {odd}");
                tried += 1;
            }
        }
    }
    assert!(tried > 80, "{tried}");
    let urn = Urn::workspace(Kind::BlockStorage, "t1", "w1", "x");
    for text in ["NaN", "Infinity", "-Infinity", "0x10", "1e999", "+1", "01"] {
        let body = format!(r#"{{ "spec": {{ "skuRef": "skus/x", "sizeGB": {text} }} }}"#);
        let refused = parse_put(&urn, "eu-1", body.as_bytes());
        assert!(matches!(refused, Err(Failure::BadRequest(_))), "{text}");
    }
}

/// The contract's order: what cannot be decoded, then what is not valid.
#[test]
fn what_cannot_be_read_comes_before_what_is_not_allowed() {
    let gateway = Urn::workspace(Kind::InternetGateway, "acme", "w", "g");
    let rule = Urn::workspace(Kind::SecurityGroupRule, "acme", "w", "r");
    let named_otherwise = json!({ "name": "zz" });
    for (urn, body, pointer) in [
        (&rule, json!({ "labels": [] }), "/labels"),
        (&rule, json!({ "annotations": { "a": 1 } }), "/annotations"),
        (&gateway, json!({ "metadata": named_otherwise, "spec": { "egressOnly": "x" } }), "/spec/egressOnly"),
        (&gateway, json!({ "metadata": named_otherwise, "extensions": 5 }), "/extensions"),
    ] {
        match parse_put(urn, "eu-1", body.to_string().as_bytes()) {
            Err(Failure::Malformed(sources, _)) => assert_eq!(sources[0].pointer, pointer, "{body}"),
            _ => panic!("{body}: it is not refused as malformed"),
        }
    }
}
