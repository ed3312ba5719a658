use super::*;

fn check(text: &str, kind: Kind, expected: &str) {
    let from = Urn::workspace(Kind::Instance, "t1", "w1", "vm");
    let reference: Reference = serde_json::from_str(text).unwrap();
    let resolved = match reference.resolve(kind, &from, "r1") {
        Ok(urn) => urn.to_string(),
        Err(error) => format!("error: {error}"),
    };
    assert!(resolved.starts_with(expected), "{text}: {resolved}");
}

#[test]
fn every_accepted_form_names_the_same_volume() {
    let full = "seca.storage/v1/tenants/t1/workspaces/w1/block-storages/b";
    for form in [
        r#""seca.storage/v1/tenants/t1/workspaces/w1/block-storages/b""#,
        r#"{"resource": "seca.storage/v1/tenants/t1/workspaces/w1/block-storages/b"}"#,
        r#""tenants/t1/workspaces/w1/block-storages/b""#,
        r#""workspaces/w1/block-storages/b""#,
        r#""block-storages/b""#,
        r#""b""#,
        r#"{"resource": "b", "provider": "seca.storage/v1", "tenant": "t1", "workspace": "w1", "region": "r1"}"#,
        r#"{"resource": "b", "provider": "", "tenant": "", "workspace": "", "region": ""}"#,
    ] {
        check(form, Kind::BlockStorage, full);
    }
}

#[test]
fn other_places_and_refusals() {
    check(r#""tenants/seca/skus/d1""#, Kind::InstanceSku, "seca.compute/v1/tenants/seca/skus/d1");
    check(
        r#""networks/n/subnets/s""#,
        Kind::Subnet,
        "seca.network/v1/tenants/t1/workspaces/w1/networks/n/subnets/s",
    );
    check(r#""subnets/s""#, Kind::Subnet, "error: \"subnets/s\" does not say in which network");
    check(r#"{"resource": "b", "region": "r2"}"#, Kind::BlockStorage, "error: region");
    check(r#"{"resource": "tenants/t2/skus/d", "tenant": "t1"}"#, Kind::InstanceSku, "error: its tenant");
    check(r#""seca.compute/v1/tenants/t1/skus/x""#, Kind::StorageSku, "error: its provider");
    for bad in
        ["", "instances/b", "block-storages/", "/b", "a/b/c", "../b", "block-storages/b/c/d", "b\\u0000"]
    {
        check(&format!("\"{bad}\""), Kind::BlockStorage, "error:");
    }
    check(r#""workspaces/w1/tenants/t1/block-storages/b""#, Kind::BlockStorage, "error:");
}

#[test]
fn a_path_deeper_than_the_kind_is_refused() {
    check(
        r#""workspaces/w1/skus/x""#,
        Kind::InstanceSku,
        "error: \"workspaces/w1/skus/x\" is not a reference",
    );
    check(r#""networks/n/block-storages/b""#, Kind::BlockStorage, "error: \"networks/n/block-storages/b\"");
    check(r#""tenants/t1/workspaces/w1/networks/n/subnets/s""#, Kind::Subnet, "seca.network/v1/tenants/t1");
}
