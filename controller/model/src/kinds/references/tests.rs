use std::collections::BTreeSet;

use rempart_api::{Kind, Urn};
use serde_json::{Value, json};

use super::check_references;
use crate::fixture::{World, in_net, volume};
use crate::refusal::RefusalClass;

/// What is wrong with a PUT's references: the fields, and all that is said of them.
fn faults(world: &mut World, urn: &Urn, spec: Value) -> (Vec<String>, String) {
    let put = world.put_command(urn, spec);
    match check_references(&world.state, &put) {
        Ok(()) => (Vec::new(), String::new()),
        Err(refusal) => {
            assert_eq!(refusal.class, RefusalClass::Invalid);
            assert!(refusal.detail.len() < 600, "{}", refusal.detail);
            (refusal.sources.into_iter().map(|source| source.pointer).collect(), refusal.detail)
        }
    }
}

fn refused(world: &mut World, urn: &Urn, spec: Value, pointer: &str, words: &str) {
    let (pointers, detail) = faults(world, urn, spec.clone());
    assert_eq!(pointers, [pointer], "{spec}: {detail}");
    assert!(detail.contains(words), "{spec}: {detail}; not: {words}");
}

fn taken(world: &mut World, urn: &Urn, spec: Value) {
    let (pointers, detail) = faults(world, urn, spec.clone());
    assert!(pointers.is_empty(), "{spec}: {detail}");
}

fn routes(target: Value) -> Value {
    json!({"routes": [{"destinationCidrBlock": "10.9.0.0/16", "targetRef": target}]})
}

fn volume_of(sku: Value) -> Value {
    json!({"sizeGB": 1, "skuRef": sku})
}

#[test]
fn each_member_has_its_bound() {
    let mut world = World::with_subnet();
    let table = in_net(Kind::RouteTable, "rt2");
    for member in ["provider", "region", "tenant", "workspace"] {
        for long in [65, 900_000] {
            let mut target = json!({"resource": "instances/x"});
            target[member] = json!("w".repeat(long));
            let words = format!("its {member} must have 1 to 64 characters, has {long}");
            refused(&mut world, &table, routes(target.clone()), "/spec/routes/0/targetRef", &words);
            target["resource"] = json!("10.0.0.9");
            refused(&mut world, &table, routes(target), "/spec/routes/0/targetRef", &words);
        }
    }
    let long = format!("instances/{}", "x".repeat(247));
    refused(
        &mut world,
        &table,
        routes(json!(long)),
        "/spec/routes/0/targetRef",
        "1 to 256 characters, has 257",
    );
    let sku = json!("x".repeat(257));
    refused(&mut world, &volume("v"), volume_of(sku), "/spec/skuRef", "1 to 256 characters, has 257");
}

#[test]
fn what_may_be_missing_has_a_name_that_could_be_there() {
    let mut world = World::with_subnet();
    let table = in_net(Kind::RouteTable, "rt2");
    for (target, words) in [
        (json!({"resource": "instances/x", "workspace": "A_/.."}), "no workspace can be called"),
        (json!("workspaces/W2/instances/x"), "no workspace can be called"),
        (json!("instances/UPPER"), "no instance can be called"),
        (json!("tenants/t2/workspaces/w/instances/x"), "tenant \"t2\""),
        (json!({"resource": "workspaces/w/instances/x", "tenant": "t2"}), "tenant \"t2\""),
        (json!("tenants/public/workspaces/w/instances/x"), "tenant \"public\""),
    ] {
        refused(&mut world, &table, routes(target.clone()), "/spec/routes/0/targetRef", words);
        let rule = json!({"direction": "ingress", "sourceRef": ["10.0.0.0/8", target]});
        let urn = Urn::workspace(Kind::SecurityGroupRule, "t1", "w1", "r");
        refused(&mut world, &urn, rule.clone(), "/spec/sourceRef/1", words);
        let urn = Urn::workspace(Kind::SecurityGroup, "t1", "w1", "g");
        refused(&mut world, &urn, json!({"rules": [rule]}), "/spec/rules/0/sourceRef/1", words);
    }
    for good in [
        json!("instances/later"),
        json!("workspaces/w2/instances/x"),
        json!({"resource": "instances/x", "tenant": "t1", "workspace": "w1", "region": "eu-1", "provider": "seca.compute"}),
    ] {
        taken(&mut world, &table, routes(good));
    }
}

#[test]
fn an_address_is_nowhere_else() {
    let mut world = World::with_subnet();
    let table = in_net(Kind::RouteTable, "rt2");
    for (member, value, words) in [
        ("region", "mars", "region \"mars\" cannot be reached"),
        ("provider", "nonsense", "has no provider"),
        ("tenant", "t1", "has no tenant"),
        ("workspace", "w1", "has no workspace"),
    ] {
        let mut target = json!({"resource": "10.0.0.9"});
        target[member] = json!(value);
        refused(&mut world, &table, routes(target.clone()), "/spec/routes/0/targetRef", words);
        target["resource"] = json!("10.0.0.0/8");
        let rule = json!({"direction": "egress", "sourceRef": [target]});
        let urn = Urn::workspace(Kind::SecurityGroupRule, "t1", "w1", "r");
        refused(&mut world, &urn, rule, "/spec/sourceRef/0", words);
    }
    for good in [json!("10.0.0.9"), json!({"resource": "fd00::1", "region": "eu-1", "tenant": ""})] {
        taken(&mut world, &table, routes(good));
    }
}

/// They are found in the shared catalogue, too, wherever the reference says to look.
#[test]
fn a_sku_is_ones_own_or_shared() {
    let mut world = World::hostless();
    world.created(&Urn::global(Kind::Tenant, "t2"), json!({"owners": ["bob"]}));
    for (sku, words) in [
        (json!({"resource": "skus/rd100", "tenant": "t2"}), "tenant \"t2\""),
        (json!("tenants/nope/skus/rd100"), "tenant \"nope\""),
        (json!({"resource": "skus/rd100", "workspace": "nope"}), "workspace \"nope\" has no meaning"),
    ] {
        refused(&mut world, &volume("v"), volume_of(sku), "/spec/skuRef", words);
    }
    for good in [
        json!("rd100"),
        json!("RD100"),
        json!("skus/seca.RD100"),
        json!("tenants/t1/skus/rd100"),
        json!("tenants/public/skus/rd100"),
        json!("seca.storage/v1/tenants/seca/skus/rd100"),
        json!({"resource": "skus/rd100", "tenant": "seca"}),
        json!({"resource": "skus/rd100", "tenant": "t1", "workspace": "w1"}),
    ] {
        taken(&mut world, &volume("v"), volume_of(good));
    }
}

/// Copying a volume is reading it, and whether there is one to be copied is not everybody's either.
#[test]
fn what_the_shared_tenant_has_beside_skus_and_images_is_its_own() {
    let mut world = World::with_subnet();
    let bytes = Urn::workspace(Kind::BlockStorage, "public", "pw", "bytes");
    world.created(&Urn::tenant(Kind::Workspace, "public", "pw"), json!({}));
    world.created(&bytes, json!({"sizeGB": 1, "skuRef": "skus/rd100"}));
    let image = Urn::tenant(Kind::Image, "t1", "copy");
    let mut said = Vec::new();
    for (tenant, name) in [("public", "bytes"), ("public", "nothing"), ("seca", "bytes"), ("seca", "nothing")]
    {
        let volume = json!(format!("tenants/{tenant}/workspaces/pw/block-storages/{name}"));
        let spec = json!({"blockStorageRef": volume, "cpuArchitecture": "amd64"});
        refused(&mut world, &image, spec.clone(), "/spec/blockStorageRef", "another tenant");
        said.push(faults(&mut world, &image, spec).1.replace("seca", "public"));
    }
    said.dedup();
    assert_eq!(said.len(), 1, "one answer, whether it exists or not: {said:?}");
    let elsewhere = |what: &str| json!(format!("tenants/public/workspaces/pw/{what}"));
    let gateway = routes(elsewhere("internet-gateways/pg"));
    refused(
        &mut world,
        &in_net(Kind::RouteTable, "rt2"),
        gateway,
        "/spec/routes/0/targetRef",
        "another tenant",
    );
    let group = Urn::workspace(Kind::SecurityGroup, "t1", "w1", "g");
    let rules = json!({"ruleRefs": [elsewhere("security-group-rules/r")]});
    refused(&mut world, &group, rules, "/spec/ruleRefs/0", "another tenant");
    let rule = Urn::workspace(Kind::SecurityGroupRule, "t1", "w1", "r");
    let from = json!({"direction": "ingress", "sourceRef": [elsewhere("security-groups/g")]});
    refused(&mut world, &rule, from, "/spec/sourceRef/0", "another tenant");
    let boot = json!({"skuRef": "skus/DXS", "zone": "a", "bootVolume": {"deviceRef": elsewhere("block-storages/bytes")}});
    refused(
        &mut world,
        &Urn::workspace(Kind::Instance, "t1", "w1", "i"),
        boot,
        "/spec/bootVolume/deviceRef",
        "another tenant",
    );
    let mut said = BTreeSet::new();
    let nic = Urn::workspace(Kind::Nic, "t1", "w1", "nic");
    for subnet in ["s", "none"] {
        let subnet = json!({"subnetRef": elsewhere(&format!("subnets/{subnet}"))});
        refused(&mut world, &nic, subnet.clone(), "/spec/subnetRef", "another tenant");
        said.insert(faults(&mut world, &nic, subnet).1);
    }
    assert_eq!(said.len(), 1, "{said:?}");
    let disk = json!({"sizeGB": 1, "skuRef": "skus/rd100", "sourceImageRef": "tenants/public/images/debian"});
    taken(&mut world, &volume("v"), disk);
}

/// What was accepted before stays readable, means what it meant, and may be sent again.
#[test]
fn what_a_resource_says_already_it_may_go_on_saying() {
    let mut world = World::with_subnet();
    let table = in_net(Kind::RouteTable, "old");
    let route = |block: &str, target: Value| json!({"destinationCidrBlock": block, "targetRef": target});
    let spec = json!({"routes": [
        route("10.8.0.0/16", json!({"resource": "instances/UPPER", "workspace": "A_/.."})),
        route("10.9.0.0/16", json!({"resource": "10.0.0.9", "region": "mars"})),
    ]});
    world.created(&table, spec.clone());
    taken(&mut world, &table, spec.clone());
    let elsewhere = in_net(Kind::RouteTable, "new");
    let both = ["/spec/routes/0/targetRef", "/spec/routes/1/targetRef"];
    assert_eq!(faults(&mut world, &elsewhere, spec).0, both);
}
