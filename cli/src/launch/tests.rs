use serde_json::json;

use super::*;

#[test]
fn what_is_there_may_say_more_but_nothing_else() {
    let wanted = json!({ "skuRef": { "resource": "skus/a" }, "sshKeys": ["k"], "zone": "a" });
    let there = json!({ "skuRef": { "resource": "skus/a" }, "sshKeys": ["k"], "zone": "a", "more": 1 });
    assert_eq!(differs(&wanted, &there), None);
    for (field, value) in
        [("zone", json!("b")), ("sshKeys", json!(["k", "l"])), ("skuRef", json!({ "resource": "skus/b" }))]
    {
        let mut other = there.clone();
        other[field] = value;
        assert_eq!(differs(&wanted, &other).as_deref(), Some(field));
    }
    assert!(same(&json!("skus/a"), &json!({ "resource": "skus/a" })));
}

#[test]
fn a_failure_names_what_stays() {
    let made = [Urn::workspace(Kind::BlockStorage, "t", "w", "web-boot")];
    let text = say_what_stays(&made, "web", Failure::failed("no")).text;
    assert!(text.contains("volume \"web-boot\" in t/w") && text.contains("rempart remove web"), "{text}");
    assert_eq!(say_what_stays(&[], "web", Failure::failed("no")).text, "no");
}
