//! What references oblige to, at the moment of the PUT.

use super::*;

fn attach(world: &mut World, spec: Value) -> Outcome {
    world.put(&instance("vm"), spec)
}

#[test]
fn a_missing_target_is_refused_at_its_field() {
    let mut world = World::new();
    let pointer =
        refused(attach(&mut world, instance_spec("boot")), RefusalClass::Invalid, "boot does not exist");
    assert_eq!(pointer, "/spec/bootVolume/deviceRef");
    world.created(&volume("boot"), volume_spec(1));
    let spec = instance_with("boot", data_volumes(&["boot2"]));
    assert_eq!(
        refused(attach(&mut world, spec), RefusalClass::Invalid, "boot2"),
        "/spec/dataVolumes/0/deviceRef"
    );
    let image = json!({"sizeGB": 1, "skuRef": "rd100", "sourceImageRef": "images/none"});
    assert_eq!(
        refused(world.put(&volume("v"), image), RefusalClass::Invalid, "images/none does not exist"),
        "/spec/sourceImageRef"
    );
    let no_sku = json!({"sizeGB": 1, "skuRef": "skus/none"});
    assert_eq!(refused(world.put(&volume("v"), no_sku), RefusalClass::Invalid, "skus/none"), "/spec/skuRef");
}

#[test]
fn a_target_that_is_being_deleted_is_refused() {
    let mut world = World::with_active_instance();
    world.deleted(&instance("vm"));
    world.deleted(&volume("boot"));
    refused(
        world.put(&instance("other"), instance_spec("boot")),
        RefusalClass::Invalid,
        "boot is being deleted",
    );
}

#[test]
fn a_volume_is_attached_once() {
    let mut world = World::with_active_instance();
    refused(
        world.put(&instance("other"), instance_spec("boot")),
        RefusalClass::Conflict,
        "attached to seca.compute/v1/tenants/t1/workspaces/w1/instances/vm",
    );
    let twice = instance_with("boot", data_volumes(&["block-storages/boot"]));
    refused(attach(&mut world, twice), RefusalClass::Invalid, "is named twice");
    world.created(&volume("data"), volume_spec(1));
    let twice = instance_with("boot", data_volumes(&["data", "workspaces/w1/block-storages/data"]));
    refused(attach(&mut world, twice), RefusalClass::Invalid, "is named twice");
}

#[test]
fn a_detached_volume_is_free_for_others() {
    let mut world = World::with_active_instance();
    world.created(&volume("data"), volume_spec(1));
    world.created(&volume("boot2"), volume_spec(1));
    attach(&mut world, instance_with("boot", data_volumes(&["data"]))).unwrap();
    world.report("h1");
    assert_eq!(world.status(&volume("data"))["attachedTo"]["resource"], instance("vm").to_string());
    attach(&mut world, instance_spec("boot")).unwrap();
    assert!(world.status(&volume("data")).get("attachedTo").is_none());
    world.created(&instance("other"), instance_with("boot2", data_volumes(&["data"])));
}

#[test]
fn another_tenants_things_do_not_exist() {
    let mut world = World::new();
    world.created(&Urn::global(Kind::Tenant, "t2"), json!({"owners": ["bob"]}));
    world.created(&Urn::tenant(Kind::Workspace, "t2", "w1"), json!({}));
    world.created(&Urn::workspace(Kind::BlockStorage, "t2", "w1", "boot"), volume_spec(1));
    world.created(&Urn::tenant(Kind::InstanceSku, "t2", "own"), json!({"vCPU": 1, "ram": 1}));
    let theirs = "tenants/t2/workspaces/w1/block-storages/boot";
    refused(attach(&mut world, instance_spec(theirs)), RefusalClass::Invalid, "boot does not exist");
    world.created(&volume("boot"), volume_spec(1));
    let spec = instance_with("boot", json!({"skuRef": "tenants/t2/skus/own"}));
    refused(attach(&mut world, spec), RefusalClass::Invalid, "skus/own does not exist");
}

#[test]
fn the_shared_tenants_images_are_for_all_and_its_volumes_are_not() {
    let mut world = World::new();
    let shared = Urn::workspace(Kind::BlockStorage, "public", "w", "debian");
    world.created(&Urn::tenant(Kind::Workspace, "public", "w"), json!({}));
    world.created(&shared, volume_spec(1));
    world.created(
        &Urn::tenant(Kind::Image, "public", "debian"),
        json!({"blockStorageRef": "workspaces/w/block-storages/debian", "cpuArchitecture": "amd64"}),
    );
    for image in ["tenants/public/images/debian", "tenants/seca/images/debian"] {
        world
            .put(&volume("boot"), json!({"sizeGB": 1, "skuRef": "rd100", "sourceImageRef": image}))
            .unwrap_or_else(|refusal| panic!("{image}: {}", refusal.detail));
        world.deleted(&volume("boot"));
    }
    let theirs = instance_spec("tenants/public/workspaces/w/block-storages/debian");
    refused(attach(&mut world, theirs), RefusalClass::Invalid, "belongs to another tenant");
}

#[test]
fn a_volume_of_another_workspace_can_be_attached_and_keeps_that_workspace() {
    let mut world = World::new();
    world.created(&workspace("w2"), json!({}));
    world.created(&Urn::workspace(Kind::BlockStorage, "t1", "w2", "boot"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("workspaces/w2/block-storages/boot"));
    refused(world.delete(&workspace("w2")), RefusalClass::Conflict, "still holds 1 resource;");
}

#[test]
fn a_sku_is_found_however_it_is_spelled() {
    let mut world = World::new();
    world.created(&Urn::tenant(Kind::InstanceSku, "public", "bare"), json!({"vCPU": 1, "ram": 1}));
    let spellings = [
        "DXS",
        "skus/dxs",
        "skus/seca.dxs",
        "SECA.DXS",
        "tenants/public/skus/DXS",
        "tenants/seca/skus/dxs",
        "seca.compute/v1/tenants/t1/skus/dxs",
        "seca.bare",
    ];
    for (number, sku) in spellings.into_iter().enumerate() {
        let boot = format!("boot-{number}");
        world.created(&volume(&boot), volume_spec(1));
        let urn = instance(&format!("vm-{number}"));
        world.created(&urn, instance_with(&boot, json!({"skuRef": sku})));
        assert_eq!(world.get(&urn).spec.to_json()["skuRef"], json!({"resource": sku}), "shown as sent");
    }
}

#[test]
fn a_reference_that_binds_nothing_later_may_dangle_and_be_repeated() {
    let mut world = World::with_active_instance();
    let sku = Urn::tenant(Kind::InstanceSku, "public", "seca.dxs");
    world.deleted(&sku);
    assert!(world.gone(&sku));
    world.updated(&instance("vm"), instance_spec("boot"));
    world.created(&volume("boot2"), volume_spec(1));
    refused(world.put(&instance("vm2"), instance_spec("boot2")), RefusalClass::Invalid, "DXS does not exist");
}

#[test]
fn a_missing_parent_is_told_from_the_root() {
    let mut world = World::new();
    let check = |world: &mut World, urn: Urn, spec: Value, words: &str| {
        refused(world.put(&urn, spec), RefusalClass::ParentNotFound, words);
    };
    let elsewhere = Urn::workspace(Kind::BlockStorage, "t1", "none", "v");
    check(&mut world, elsewhere, volume_spec(1), "workspaces/none does not exist");
    let elsewhere = Urn::workspace(Kind::BlockStorage, "t9", "none", "v");
    check(&mut world, elsewhere, volume_spec(1), "tenants/t9 does not exist");
    let table = Urn::network(Kind::RouteTable, "t1", "w1", "none", "rt");
    check(&mut world, table.clone(), routes("10.1.0.0/16"), "networks/none does not exist");
    check(
        &mut world,
        Urn { tenant: "t9".into(), ..table },
        routes("10.1.0.0/16"),
        "tenants/t9 does not exist",
    );
}

fn routes(destination: &str) -> Value {
    json!({"routes": [{"destinationCidrBlock": destination, "targetRef": "instances/later"}]})
}

#[test]
fn a_subnet_takes_the_route_table_of_its_own_network() {
    let mut world = World::new();
    world.created(&network("net"), json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "n1k"}));
    world.created(&Urn::network(Kind::RouteTable, "t1", "w1", "net", "rt"), routes("0.0.0.0/0"));
    let subnet = Urn::network(Kind::Subnet, "t1", "w1", "net", "s");
    let spec = |table: &str, zone: &str| json!({"cidr": {"ipv4": "10.0.1.0/24"}, "routeTableRef": table, "zone": zone});
    assert_eq!(
        refused(world.put(&subnet, spec("none", "a")), RefusalClass::Invalid, "none"),
        "/spec/routeTableRef"
    );
    assert_eq!(
        refused(world.put(&subnet, spec("rt", "")), RefusalClass::Invalid, "it has: a, b"),
        "/spec/zone"
    );
    world.created(&subnet, spec("route-tables/rt", "a"));
    let table = Urn::network(Kind::RouteTable, "t1", "w1", "net", "rt");
    assert_eq!(world.status(&subnet)["routeTableRef"]["resource"], table.to_string());
}

#[test]
fn a_route_to_a_gateway_needs_the_gateway_and_one_to_an_instance_does_not() {
    let mut world = World::new();
    world.created(&network("net"), json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "n1k"}));
    let table = Urn::network(Kind::RouteTable, "t1", "w1", "net", "rt");
    let spec = json!({"routes": [{"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/g"}]});
    let pointer = refused(world.put(&table, spec.clone()), RefusalClass::Invalid, "internet-gateways/g");
    assert_eq!(pointer, "/spec/routes/0/targetRef");
    let gateway = Urn::workspace(Kind::InternetGateway, "t1", "w1", "g");
    world.created(&gateway, json!({}));
    world.created(&table, spec.clone());
    world.deleted(&gateway);
    assert!(world.gone(&gateway), "a route holds nothing");
    world.updated(&table, spec);
    world.updated(&table, routes("10.2.0.0/16"));
}

#[test]
fn a_volume_is_not_detached_from_a_running_guest() {
    let mut world = World::with_active_instance();
    world.created(&volume("data"), volume_spec(1));
    attach(&mut world, instance_with("boot", data_volumes(&["data"]))).unwrap();
    world.report("h1");
    world.start(&instance("vm")).unwrap();
    world.report("h1");
    assert_eq!(world.power_state(&instance("vm")), "on");
    refused(attach(&mut world, instance_spec("boot")), RefusalClass::Conflict, "stop it first");
    let respelled = data_volumes(&["workspaces/w1/block-storages/data"]);
    attach(&mut world, instance_with("boot", respelled)).unwrap();
}

#[test]
fn what_has_gone_may_be_spelt_otherwise() {
    let mut world = World::new();
    world.created(&volume("source"), volume_spec(1));
    let image = Urn::tenant(Kind::Image, "t1", "i");
    let spec = json!({"blockStorageRef": "workspaces/w1/block-storages/source", "cpuArchitecture": "amd64"});
    world.created(&image, spec);
    let of = |image: &str| json!({"sizeGB": 1, "skuRef": "rd100", "sourceImageRef": image});
    world.created(&volume("v"), of("i"));
    world.deleted(&image);
    for spelling in ["i", "images/i", &image.to_string()] {
        world.updated(&volume("v"), of(spelling));
    }
    refused(world.put(&volume("w"), of("i")), RefusalClass::Invalid, "images/i does not exist");
}

/// SECA: extensions of a user's resource are refused unless they are known, and those of a SKU are the operator's.
#[test]
fn extensions_are_for_operators_to_note_on_skus() {
    let mut world = World::new();
    let mut note = |urn: &Urn, spec: Value, value: &str| {
        let mut put = world.put_command(urn, spec);
        put.extensions.insert("gpu".to_owned(), value.to_owned());
        world.apply(Command::Put(Box::new(put)))
    };
    let sku = Urn::tenant(Kind::InstanceSku, "public", "g");
    note(&sku, json!({"vCPU": 1, "ram": 1}), "2 of them").unwrap();
    let long = "x".repeat(1025);
    refused(note(&sku, json!({"vCPU": 1, "ram": 1}), &long), RefusalClass::Invalid, "at most 1024");
    refused(note(&workspace("w2"), json!({}), "2"), RefusalClass::Invalid, "\"gpu\" is not known here");
}
