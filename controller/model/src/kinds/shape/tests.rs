use rempart_api::Kind;
use serde_json::json;

use crate::{Spec, Wrong};

fn check(kind: Kind, spec: serde_json::Value, expected: &str) {
    assert_eq!(Spec::parse(kind, &spec).unwrap_err().to_string(), expected);
}

#[test]
fn errors_say_where_and_what_in_words_of_the_client() {
    let volume = |size: serde_json::Value| json!({ "sizeGB": size, "skuRef": "skus/x" });
    let whole = "/spec/sizeGB: must be a whole number from 0 to 4294967295, is";
    check(Kind::BlockStorage, volume(json!("5")), &format!("{whole} a string"));
    check(Kind::BlockStorage, volume(json!(1.5)), &format!("{whole} 1.5"));
    check(Kind::BlockStorage, volume(json!(-1)), &format!("{whole} -1"));
    check(Kind::BlockStorage, volume(json!(99_999_999_999_u64)), &format!("{whole} 99999999999"));
    check(Kind::BlockStorage, volume(json!(null)), "/spec/sizeGB: is required");
    check(Kind::BlockStorage, volume(json!([5])), &format!("{whole} a list"));
    check(Kind::BlockStorage, json!({ "skuRef": "skus/x" }), "/spec/sizeGB: is required");
    check(Kind::BlockStorage, json!([5, "skus/x"]), "/spec: must be an object, is a list");
    check(Kind::BlockStorage, json!("x"), "/spec: must be an object, is a string");
}

#[test]
fn references_and_choices_say_what_they_take() {
    let reference = "must be a string that names a resource, or an object with one in \"resource\"";
    for (bad, shown) in [(json!(5), "5"), (json!(["x", null, null, null, null]), "a list")] {
        let spec = json!({ "sizeGB": 5, "skuRef": bad });
        check(Kind::BlockStorage, spec, &format!("/spec/skuRef: {reference}, is {shown}"));
    }
    for (bad, field) in
        [(json!({ "resource": 5 }), "resource"), (json!({ "resource": "x", "tenant": 5 }), "tenant")]
    {
        let spec = json!({ "sizeGB": 5, "skuRef": bad });
        check(Kind::BlockStorage, spec, &format!("/spec/skuRef/{field}: must be a string, is 5"));
    }
    for nothing in [json!({}), json!({ "name": "x" }), json!({ "resource": null })] {
        let spec = json!({ "sizeGB": 5, "skuRef": nothing });
        check(Kind::BlockStorage, spec, "/spec/skuRef/resource: is required");
    }
    let image = json!({ "blockStorageRef": "x", "cpuArchitecture": "vax, expected u8" });
    let error = Spec::parse(Kind::Image, &image).unwrap_err().to_string();
    assert!(error.starts_with("/spec/cpuArchitecture: must be \"amd64\" or \"arm64\""), "{error}");
    assert!(error.ends_with("is \"vax, expected u8\""), "{error}");
}

/// SECA: 400 for another type, 422 for a value that is not allowed.
#[test]
fn a_wrong_type_is_told_from_a_wrong_value() {
    let wrong = |kind: Kind, spec: serde_json::Value| {
        let error = Spec::parse(kind, &spec).expect_err("it is wrong");
        (error.wrong, error.pointer)
    };
    let volume = |size: serde_json::Value| json!({ "sizeGB": size, "skuRef": "s" });
    for value in [json!(-1), json!(5_000_000_000_u64), json!(1e30), json!(null)] {
        let found = wrong(Kind::BlockStorage, volume(value.clone()));
        assert_eq!(found, (Wrong::Value, "/spec/sizeGB".to_owned()), "{value}");
    }
    for value in [json!("5"), json!(1.5), json!(1e-30), json!(true), json!([]), json!({})] {
        let found = wrong(Kind::BlockStorage, volume(value.clone()));
        assert_eq!(found, (Wrong::Type, "/spec/sizeGB".to_owned()), "{value}");
    }
    let image = |of: serde_json::Value| json!({ "blockStorageRef": "x", "cpuArchitecture": of });
    for (value, expected) in [
        (json!("x86_64"), Wrong::Value),
        (json!(""), Wrong::Value),
        (json!(null), Wrong::Value),
        (json!(5), Wrong::Type),
        (json!(["amd64"]), Wrong::Type),
    ] {
        let found = wrong(Kind::Image, image(value.clone()));
        assert_eq!(found, (expected, "/spec/cpuArchitecture".to_owned()), "{value}");
    }
    assert_eq!(wrong(Kind::Image, json!({ "blockStorageRef": "x" })).0, Wrong::Value, "missing");
    assert_eq!(wrong(Kind::RouteTable, json!({ "routes": null })).0, Wrong::Value);
    assert_eq!(wrong(Kind::RouteTable, json!({ "routes": {} })).0, Wrong::Type);
    let rule = json!({ "rules": [{ "direction": "in" }] });
    let found = wrong(Kind::SecurityGroup, rule);
    assert_eq!(found, (Wrong::Value, "/spec/rules/0/direction".to_owned()));
}

#[test]
fn what_a_client_sent_is_not_repeated() {
    let secret = "hunter2".repeat(1000);
    let spec = json!({ "owners": secret });
    check(Kind::Tenant, spec, "/spec/owners: must be a list, is a string");
    let image = json!({ "blockStorageRef": "x", "cpuArchitecture": secret });
    assert!(Spec::parse(Kind::Image, &image).unwrap_err().to_string().len() < 200);
    let key = json!({ "owners": [{ "a/b~": 1 }] });
    check(Kind::Tenant, key, "/spec/owners/0: must be a string, is an object");
}

/// Whatever is sent for whatever field, no name of a type gets out.
#[test]
fn no_kind_speaks_of_types() {
    let wrong =
        [json!(null), json!(true), json!(-1), json!(1.5), json!("x"), json!([[]]), json!({ "a": {} })];
    for row in Kind::table() {
        for value in &wrong {
            // Every field at once, by its name in the API's documents; the first one that is wrong is reported.
            for field in [
                "sizeGB",
                "skuRef",
                "zone",
                "owners",
                "cidr",
                "routes",
                "vCPU",
                "ram",
                "iops",
                "type",
                "bandwidth",
                "bootVolume",
                "dataVolumes",
                "sshKeys",
                "userData",
                "boot",
                "cpuArchitecture",
                "overcommit",
                "cordoned",
            ] {
                let Err(error) = Spec::parse(row.kind, &json!({ field: value })) else { continue };
                let text = error.to_string();
                for word in [
                    "struct",
                    "enum",
                    "u8",
                    "u16",
                    "u32",
                    "u64",
                    "i64",
                    "sequence",
                    "variant",
                    "another type",
                    "`",
                ] {
                    assert!(!text.contains(word), "{} {field}: {text}", row.name);
                }
            }
        }
    }
}

#[test]
fn a_whole_number_may_be_written_as_a_float() {
    let size = |size: serde_json::Value| {
        let spec = json!({ "sizeGB": size, "skuRef": "s" });
        Spec::parse(Kind::BlockStorage, &spec).map(|spec| spec.to_json()["sizeGB"].clone())
    };
    assert_eq!(size(json!(10.0)), Ok(json!(10)));
    for wrong in [json!(10.5), json!(-1.0), json!(1e20), json!(1e300)] {
        assert!(size(wrong.clone()).is_err(), "{wrong}");
    }
    let workspace = json!({ "ratio": 1.0 });
    assert_eq!(Spec::parse(Kind::Workspace, &workspace).unwrap().to_json(), workspace, "kept as it was sent");
}

/// serde would read a list as the fields in their order, and an object of one member as a choice.
#[test]
fn a_list_is_no_object_and_an_object_no_word_at_any_depth() {
    let cidr = json!({ "ipv4": "10.0.0.0/16" });
    let rule = |field: &str, value: serde_json::Value| {
        let mut rule = json!({ "direction": "ingress", "protocol": "tcp" });
        rule[field] = value;
        rule
    };
    let boot = |volume: serde_json::Value| json!({ "skuRef": "skus/x", "zone": "a", "bootVolume": volume, "dataVolumes": [] });
    let permission = json!(["seca.compute", ["*"], ["get"]]);
    let assignment = |scope: serde_json::Value| json!({ "roles": ["r"], "subs": ["s"], "scopes": [scope] });
    for (kind, spec, pointer) in [
        (Kind::Network, json!({ "cidr": ["10.0.0.0/16"], "skuRef": "x" }), "/spec/cidr"),
        (Kind::Network, json!({ "cidr": [], "skuRef": "x" }), "/spec/cidr"),
        (
            Kind::Network,
            json!({ "cidr": cidr, "additionalCidrs": [["10.1.0.0/16", null]], "skuRef": "x" }),
            "/spec/additionalCidrs/0",
        ),
        (Kind::SecurityGroupRule, rule("ports", json!([80, 90, [100]])), "/spec/ports"),
        (Kind::SecurityGroupRule, rule("ports", json!([])), "/spec/ports"),
        (Kind::SecurityGroupRule, rule("icmp", json!([8, 0])), "/spec/icmp"),
        (Kind::SecurityGroupRule, rule("version", json!({ "IPv4": null })), "/spec/version"),
        (Kind::SecurityGroupRule, rule("direction", json!({ "ingress": null })), "/spec/direction"),
        (Kind::SecurityGroup, json!({ "rules": [rule("icmp", json!([8, 0]))] }), "/spec/rules/0/icmp"),
        (Kind::SecurityGroup, json!({ "rules": [["ingress"]] }), "/spec/rules/0"),
        (Kind::Instance, boot(json!(["block-storages/arr", "virtio"])), "/spec/bootVolume"),
        (
            Kind::Instance,
            boot(json!({ "deviceRef": "block-storages/b", "type": { "virtio": null } })),
            "/spec/bootVolume/type",
        ),
        (Kind::Role, json!({ "permissions": [permission] }), "/spec/permissions/0"),
        (Kind::RoleAssignment, assignment(json!([null, null, null])), "/spec/scopes/0"),
        (Kind::RouteTable, json!({ "routes": [["0.0.0.0/0", "internet-gateways/g"]] }), "/spec/routes/0"),
        (Kind::BlockStorage, json!({ "sizeGB": 5, "skuRef": ["x", null, null, null, null] }), "/spec/skuRef"),
        (Kind::PublicIp, json!({ "version": { "IPv4": null } }), "/spec/version"),
        (
            Kind::Image,
            json!({ "blockStorageRef": "x", "cpuArchitecture": { "amd64": null } }),
            "/spec/cpuArchitecture",
        ),
        (Kind::InternetGateway, json!([true]), "/spec"),
        (Kind::Workspace, json!([]), "/spec"),
        (Kind::Tenant, json!({ "owners": ["a"], "quota": [1] }), "/spec/quota"),
    ] {
        let error = Spec::parse(kind, &spec).expect_err("it is of another type");
        assert_eq!((error.pointer.as_str(), error.wrong), (pointer, Wrong::Type), "{kind} {spec}: {error}");
    }
}
