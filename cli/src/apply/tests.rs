use serde_json::json;

use super::*;
use crate::config::Secret;
use crate::screen::Screen;
use crate::session::{Settings, Token};

fn with_session(check: impl FnOnce(&Session<'_>)) {
    let screen = Screen::new();
    let settings = Settings {
        context: None,
        server: "http://127.0.0.1:1".to_owned(),
        ca_file: None,
        token: Token::Environment(Secret("t".to_owned())),
        tenant: Some("acme".to_owned()),
        workspace: Some("w".to_owned()),
        network: None,
    };
    check(&Session::open(settings, &screen).unwrap());
}

fn wanted(text: &str) -> Result<Vec<Wanted>> {
    let mut result = Ok(Vec::new());
    with_session(|session| {
        result = documents("f", text)
            .and_then(|documents| documents.iter().map(|one| understand(session, "f", one)).collect());
    });
    result
}

#[test]
fn one_or_several_in_yaml_or_json() {
    let volume = "metadata: {kind: volume, name: data}\nspec: {sizeGB: 1, skuRef: skus/le500}\n";
    let one = wanted(volume).unwrap();
    assert_eq!(one[0].urn.path(), "tenants/acme/workspaces/w/block-storages/data");
    assert_eq!(one[0].body, json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } }));
    assert_eq!(wanted(&format!("---\n{volume}---\n{volume}---\n")).unwrap().len(), 2);
    let json = r#"{"metadata":{"kind":"workspace","name":"v"},"spec":{}}"#;
    assert_eq!(wanted(&format!("{json}\n{json}")).unwrap().len(), 2);
    assert_eq!(wanted(&format!("[{json},{json}]")).unwrap().len(), 2);
    assert_eq!(wanted(&format!("{{\"items\":[{json}],\"metadata\":{{}}}}")).unwrap().len(), 1);
    assert!(wanted("").unwrap().is_empty());
    let words = wanted("metadata: {kind: volume, name: n}\nspec: {a: y, b: on, c: 0x1f, d: 017, e: 1_000}\n")
        .unwrap();
    assert_eq!(words[0].urn.name, "n");
    assert_eq!(words[0].body["spec"], json!({ "a": "y", "b": "on", "c": 31, "d": "017", "e": "1_000" }));
}

#[test]
fn what_is_read_goes_back_to_where_it_was_and_at_its_version() {
    let text = "
labels: {a: b}
metadata:
  name: s
  kind: subnet
  tenant: other
  workspace: v
  network: n
  ref: seca.network/v1/tenants/other/workspaces/v/networks/n/subnets/s
  resourceVersion: 7
spec: {zone: a}
status: {state: active}
";
    let one = &wanted(text).unwrap()[0];
    assert_eq!(one.urn.path(), "tenants/other/workspaces/v/networks/n/subnets/s");
    assert_eq!(one.version, Some(7));
    assert_eq!(one.body, json!({ "labels": { "a": "b" }, "spec": { "zone": "a" } }));
    let without: String =
        text.lines().filter(|line| !line.contains("ref:")).map(|line| format!("{line}\n")).collect();
    assert_eq!(wanted(&without).unwrap()[0].urn, one.urn);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let check = |text: &str, words: &str| {
        let failure = wanted(text).unwrap_err();
        assert!(failure.text.contains(words), "{}", failure.text);
    };
    check("metadata: {name: x}\n", "of which kind");
    check("metadata: {kind: horse, name: x}\n", "no kind \"horse\"");
    check("metadata: {kind: instance}\n", "no name");
    check("spec: {}\n", "no metadata");
    check("just text\n", "no object");
    check("metadata: {kind: instance, name: ../x}\n", "metadata.name \"../x\": it is no path");
    check("metadata: {kind: instance, name: x, tenant: ../y}\n", "");
    check("metadata: {kind: instance, name: x, resourceVersion: y}\n", "no number");
    check(
        "metadata: {kind: instance, name: y, ref: seca.compute/v1/tenants/t/workspaces/w/instances/x}\n",
        "copy",
    );
    check("metadata: {ref: nonsense}\n", "no URN");
    check("a: [1\n", "cannot understand f");
    check("{\"a\":", "cannot understand f");
    check("a: 1\na: 2\n", "cannot understand f");
}
