//! Creation, replacement, versions and the exact condition histories.

use super::*;

#[test]
fn what_needs_no_host_is_active_within_its_put() {
    let mut world = World::new();
    world.created(&volume("data"), volume_spec(1));
    world.created(&network("net"), json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "n1k"}));
    world.created(&Urn::tenant(Kind::Image, "t1", "image"), image_spec("data"));
    for urn in [workspace("w1"), volume("data"), network("net"), Urn::tenant(Kind::Image, "t1", "image")] {
        assert_eq!(world.history(&urn), "active creating pending", "{urn}");
        assert_eq!(world.version(&urn), 1, "{urn}");
    }
}

fn image_spec(volume: &str) -> Value {
    json!({"blockStorageRef": format!("workspaces/w1/block-storages/{volume}"), "cpuArchitecture": "amd64"})
}

#[test]
fn each_put_adds_updating_and_active() {
    let mut world = World::new();
    world.created(&volume("data"), volume_spec(1));
    world.updated(&volume("data"), volume_spec(2));
    assert_eq!(world.history(&volume("data")), "active updating active creating pending");
    world.updated(&volume("data"), volume_spec(2));
    assert_eq!(world.history(&volume("data")), "active updating active updating active creating pending");
}

#[test]
fn ten_equal_puts_make_one_incarnation_at_version_ten() {
    let mut world = World::new();
    let created: Vec<bool> = (0..10)
        .map(|_| match world.put(&workspace("w2"), json!({})) {
            Ok(Answer::Put { created, .. }) => created,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(created.iter().filter(|created| **created).count(), 1);
    assert!(created[0]);
    assert_eq!(world.version(&workspace("w2")), 10);
    assert_eq!(
        world.get(&workspace("w2")).created_at.unix_ms() + 9 * 2000,
        world.get(&workspace("w2")).modified_at.unix_ms()
    );
}

/// Entries of one millisecond: whoever keeps a copy sees by `lastModifiedAt` that it is not the newest.
#[test]
fn the_time_of_the_last_modification_changes_with_each() {
    let mut world = World::new();
    let mut last = None;
    for version in 1..=5 {
        world.clock -= 1000;
        let _ = world.put(&workspace("w2"), json!({}));
        let object = world.get(&workspace("w2"));
        assert_eq!(object.resource_version, version);
        assert!(last < Some(object.modified_at), "version {version}: {last:?}");
        last = Some(object.modified_at);
    }
    world.clock -= 1000;
    world.deleted(&workspace("w2"));
}

#[test]
fn an_equal_put_asks_nothing_of_the_host() {
    let mut world = World::with_active_instance();
    let desired = world.state.desired(world.get(&instance("vm")));
    for _ in 0..10 {
        world.updated(&instance("vm"), instance_spec("boot"));
    }
    assert_eq!(world.version(&instance("vm")), 11);
    assert_eq!(world.state.desired(world.get(&instance("vm"))), desired);
    assert_eq!(word(world.get(&instance("vm")).status.state), "active");
}

#[test]
fn the_history_keeps_the_newest_thirty_two() {
    let mut world = World::new();
    for _ in 0..20 {
        world.put(&workspace("w2"), json!({})).unwrap();
    }
    let history = world.history(&workspace("w2"));
    assert_eq!(history.split(' ').count(), 32);
    assert!(history.starts_with("active updating active updating") && !history.contains("pending"));
}

#[test]
fn an_instance_is_creating_until_its_host_reports() {
    let mut world = World::with_instance();
    assert_eq!(world.history(&instance("vm")), "creating pending");
    world.report("h1");
    assert_eq!(world.history(&instance("vm")), "active creating pending");
    assert_eq!(world.version(&instance("vm")), 1, "a report is no modification");
    assert_eq!(world.power_state(&instance("vm")), "off");
    assert!(world.status(&instance("vm")).get("powerStateSince").is_none(), "it was never started");
}

#[test]
fn a_put_joins_the_open_transition() {
    let mut world = World::with_instance();
    world.updated(&instance("vm"), instance_with("boot", json!({"userData": "#cloud-config"})));
    assert_eq!(world.history(&instance("vm")), "creating pending");
    assert_eq!(world.version(&instance("vm")), 2);
    world.report("h1");
    assert_eq!(world.history(&instance("vm")), "active creating pending");

    world.updated(&instance("vm"), instance_with("boot", json!({"userData": "#two"})));
    world.updated(&instance("vm"), instance_with("boot", json!({"userData": "#three"})));
    assert_eq!(world.history(&instance("vm")), "updating active creating pending");
    world.report("h1");
    assert_eq!(world.history(&instance("vm")), "active updating active creating pending");
}

#[test]
fn a_put_that_no_host_has_to_carry_out_settles_at_once() {
    let mut world = World::with_active_instance();
    let mut put = world.put_command(&instance("vm"), instance_spec("boot"));
    put.labels.insert("tier".into(), "web".into());
    world.apply(Command::Put(Box::new(put))).unwrap();
    assert_eq!(world.history(&instance("vm")), "active updating active creating pending");
    assert_eq!(world.get(&instance("vm")).labels["tier"], "web");
    world.updated(&instance("vm"), instance_spec("boot"));
    assert!(world.get(&instance("vm")).labels.is_empty(), "a map that is left out is cleared");
}

#[test]
fn if_unmodified_since_must_name_the_version() {
    let mut world = World::new();
    let missing = world.put_at_version(&workspace("w2"), json!({}), 1);
    refused(missing, RefusalClass::PreconditionFailed, "does not exist");
    world.created(&workspace("w2"), json!({}));
    let stale = world.put_at_version(&workspace("w2"), json!({}), 2);
    refused(stale, RefusalClass::PreconditionFailed, "has version 1, the request expects 2");
    assert!(world.put_at_version(&workspace("w2"), json!({}), 1).is_ok());
    let delete =
        |version| Command::Delete(DeleteCommand { urn: workspace("w2"), if_unmodified_since: Some(version) });
    refused(world.apply(delete(1)), RefusalClass::PreconditionFailed, "has version 2");
    assert_eq!(world.apply(delete(2)), Ok(Answer::Accepted));

    let mut world = World::with_active_instance();
    let start = |version| {
        let action = PowerAction::Start;
        Command::Power(PowerCommand { urn: instance("vm"), if_unmodified_since: Some(version), action })
    };
    refused(world.apply(start(7)), RefusalClass::PreconditionFailed, "has version 1");
    assert_eq!(world.apply(start(1)), Ok(Answer::Accepted));
    assert_eq!(world.version(&instance("vm")), 2);
}

#[test]
fn immutable_fields_are_refused_where_they_stand() {
    let mut world = World::with_active_instance();
    world.created(&Urn::tenant(Kind::InstanceSku, "public", "d2xs"), json!({"vCPU": 2, "ram": 2}));
    world.created(
        &Urn::tenant(Kind::StorageSku, "public", "ld5k"),
        json!({"iops": 5000, "minVolumeSize": 1, "type": "local-durable"}),
    );
    let check = |world: &mut World, urn: &Urn, spec: Value, pointer: &str| {
        assert_eq!(refused(world.put(urn, spec), RefusalClass::Invalid, "cannot be changed"), pointer);
    };
    check(&mut world, &instance("vm"), instance_with("boot", json!({"skuRef": "skus/d2xs"})), "/spec/skuRef");
    check(&mut world, &instance("vm"), instance_with("boot", json!({"zone": "b"})), "/spec/zone");
    check(&mut world, &volume("boot"), json!({"sizeGB": 1, "skuRef": "skus/ld5k"}), "/spec/skuRef");
    let cidr = |block: &str| json!({"cidr": {"ipv4": block}, "skuRef": "n1k"});
    world.created(&network("net"), cidr("10.0.0.0/16"));
    check(&mut world, &network("net"), cidr("10.1.0.0/16"), "/spec/cidr/ipv4");
}

#[test]
fn another_spelling_of_the_same_target_is_no_change() {
    let mut world = World::with_active_instance();
    for sku in ["rd100", "RD100", "tenants/public/skus/rd100", "seca.storage/v1/tenants/t1/skus/seca.rd100"] {
        world.updated(&volume("boot"), json!({"sizeGB": 1, "skuRef": sku}));
        assert_eq!(world.get(&volume("boot")).spec.to_json()["skuRef"]["resource"], sku);
    }
    world.updated(&instance("vm"), instance_with("boot", json!({"skuRef": "skus/seca.dxs"})));
    world.deleted(&Urn::tenant(Kind::StorageSku, "public", "rd100"));
    world.updated(
        &volume("boot"),
        json!({"sizeGB": 2, "skuRef": "seca.storage/v1/tenants/t1/skus/seca.rd100"}),
    );
}

#[test]
fn volumes_only_grow() {
    let mut world = World::new();
    world.created(&volume("data"), volume_spec(3));
    let shrunk = world.put(&volume("data"), volume_spec(2));
    assert_eq!(refused(shrunk, RefusalClass::Invalid, "a volume only grows"), "/spec/sizeGB");
    world.updated(&volume("data"), volume_spec(4));
    assert_eq!(world.status(&volume("data"))["sizeGB"], 4);
}

#[test]
fn every_fault_of_a_body_is_told_at_once_up_to_a_bound() {
    let mut world = World::new();
    let spec = json!({"skuRef": "skus/none", "zone": "z", "bootVolume": {"deviceRef": "nope"}, "antiAffinityGroup": "g".repeat(65)});
    let refusal = world.put(&instance("vm"), spec).unwrap_err();
    let pointers: Vec<_> = refusal.sources.iter().map(|source| source.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        ["/spec/zone", "/spec/antiAffinityGroup", "/spec/skuRef", "/spec/bootVolume/deviceRef"]
    );
    assert_eq!(refusal.sources[3].parameter, "deviceRef");

    let mut put = world.put_command(&workspace("w2"), json!({}));
    put.labels = (0..1000).map(|number| (format!("key-{number}"), "v".repeat(64))).collect();
    let refusal = world.apply(Command::Put(Box::new(put))).unwrap_err();
    assert_eq!(refusal.sources.len(), 32);
    assert!(refusal.detail.ends_with("and 968 more"), "{}", refusal.detail);
}

#[test]
fn names_labels_and_extensions_have_bounds() {
    let mut world = World::new();
    for name in ["Upper", "a b", &"x".repeat(65)] {
        refused(world.put(&workspace(name), json!({})), RefusalClass::Invalid, "/metadata/name");
    }
    let nameless = world.put_command(&workspace(""), json!({}));
    let nameless = world.envelope(Command::Put(Box::new(nameless)));
    refused(world.state.admit(&nameless), RefusalClass::Invalid, "/metadata/name");
    world.created(&volume(&"x".repeat(128)), volume_spec(1));
    refused(world.put(&volume(&"x".repeat(129)), volume_spec(1)), RefusalClass::Invalid, "/metadata/name");
    let mut put = world.put_command(&workspace("w2"), json!({}));
    put.extensions.insert("acme.speed".into(), "fast".into());
    refused(
        world.apply(Command::Put(Box::new(put))),
        RefusalClass::Invalid,
        "\"acme.speed\" is not known here",
    );
    refused(
        world.put(&Urn::global(Kind::Tenant, "seca"), json!({"owners": ["x"]})),
        RefusalClass::Invalid,
        "another name of tenant \"public\"",
    );
}

#[test]
fn a_uid_in_use_is_not_given_again() {
    let mut world = World::new();
    let uid = world.get(&workspace("w1")).uid;
    let put = PutCommand { uid, ..world.put_command(&workspace("w2"), json!({})) };
    refused(world.apply(Command::Put(Box::new(put))), RefusalClass::Conflict, "in use");
}

#[test]
fn the_clock_never_runs_back() {
    let mut world = World::new();
    let before = world.state.core().clock;
    world.clock = START;
    world.created(&workspace("w2"), json!({}));
    assert_eq!(world.state.core().clock, before);
    assert_eq!(world.get(&workspace("w2")).created_at, before);
}

#[test]
fn a_region_is_founded_once_and_stays() {
    let mut world = World::new();
    let region = Urn::global(Kind::Region, "eu-1");
    refused(world.delete(&region), RefusalClass::Conflict, "goes with the cluster");
    refused(world.apply(Command::Found(founding("eu-2", &["a"]))), RefusalClass::Conflict, "founded already");
}

#[test]
fn a_founding_that_could_not_be_loaded_again_is_refused() {
    let check = |region: &str, zones: &[&str], pointer: &str| {
        let outcome = World::blank().apply(Command::Found(founding(region, zones)));
        assert_eq!(refused(outcome, RefusalClass::Invalid, "must"), pointer);
    };
    check("", &["a"], "/region");
    check("a/b", &["a"], "/region");
    check("eu-1", &[], "/spec/availableZones");
    check("eu-1", &["a", ""], "/spec/availableZones/1");
    let mut world = World::blank();
    let orphan = world.put_command(&workspace("w1"), json!({}));
    let command = Command::Found(Founding { catalogue: vec![orphan], ..founding("eu-1", &["a"]) });
    refused(world.apply(command), RefusalClass::ParentNotFound, "tenants/t1 does not exist");
    assert_eq!(world.state.core().cluster_id, None);
}

#[test]
fn a_workspace_may_be_sent_without_settings() {
    let mut world = World::new();
    world.created(&workspace("w2"), Value::Null);
    assert_eq!(world.get(&workspace("w2")).spec.to_json(), json!({}));
}
