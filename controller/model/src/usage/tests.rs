use rempart_api::tenancy::Countable::{self, *};
use rempart_api::{Kind, Phase, Urn};
use serde_json::{Value, json};

use crate::command::{Command, WindDownCommand};
use crate::fixture::{World, in_net, instance, instance_spec, volume, volume_spec, workspace};
use crate::refusal::RefusalClass;

fn tenant() -> Urn {
    Urn::global(Kind::Tenant, "t1")
}

fn limit(world: &mut World, quota: Value) {
    world.updated(&tenant(), json!({"owners": ["alice"], "quota": quota}));
}

fn used(world: &World, what: Countable) -> u64 {
    world.state.usage("t1", "")[&what].used
}

/// Refused, with these words.
fn full(world: &mut World, urn: &Urn, spec: Value, words: &str) {
    let refusal = world.put(urn, spec).expect_err(words);
    assert_eq!(refusal.class, RefusalClass::Conflict, "{refusal:?}");
    assert!(refusal.detail.contains(words), "{words}: {}", refusal.detail);
}

#[test]
fn everything_is_counted_from_its_put_until_it_is_gone() {
    let mut world = World::with_instance();
    for (what, amount) in
        [(Instances, 1), (Vcpu, 1), (RamGb, 1), (Volumes, 1), (StorageGb, 1), (Resources, 3)]
    {
        assert_eq!(used(&world, what), amount, "{what:?}");
    }
    world.updated(&volume("boot"), volume_spec(3));
    assert_eq!(used(&world, StorageGb), 3);
    world.report("h1");
    world.deleted(&instance("vm"));
    assert_eq!(used(&world, Instances), 1, "its host has not said that it is gone");
    world.report("h1");
    assert_eq!((used(&world, Instances), used(&world, Vcpu)), (0, 0));
    // One that waits for a host counts as its SKU does, also when that changes.
    let mut world = World::hostless();
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_spec("boot"));
    assert_eq!((used(&world, Vcpu), used(&world, RamGb)), (1, 1));
    world.updated(&Urn::tenant(Kind::InstanceSku, "public", "seca.dxs"), json!({"vCPU": 4, "ram": 16}));
    assert_eq!((used(&world, Vcpu), used(&world, RamGb)), (4, 16));
    world.deleted(&Urn::tenant(Kind::InstanceSku, "public", "seca.dxs"));
    assert_eq!((used(&world, Vcpu), used(&world, RamGb)), (0, 0));
}

#[test]
fn each_countable_has_its_bound() {
    let mut world = World::with_subnet();
    let here = |kind, name: &str| Urn::workspace(kind, "t1", "w1", name);
    world.created(&Urn::global(Kind::AddressPool, "p"), json!({"blocks": ["203.0.113.0/29"]}));
    let nic = || json!({"subnetRef": "networks/net/subnets/s"});
    world.created(&volume("v1"), volume_spec(2));
    world.created(&volume("v2"), volume_spec(2));
    world.created(&instance("vm"), instance_spec("v1"));
    world.created(&here(Kind::PublicIp, "ip"), json!({"version": "IPv4"}));
    world.created(&here(Kind::Nic, "nic"), nic());
    for (what, quota, urn, spec) in [
        ("1 instances", json!({"instances": 1}), instance("b"), instance_spec("v2")),
        ("1 vCPUs", json!({"vCPU": 1}), instance("b"), instance_spec("v2")),
        ("1 GB of memory", json!({"ramGB": 1}), instance("b"), instance_spec("v2")),
        ("2 volumes", json!({"volumes": 2}), volume("v3"), volume_spec(1)),
        ("4 GB of storage", json!({"storageGB": 4}), volume("v3"), volume_spec(1)),
        ("5 GB of storage", json!({"storageGB": 5}), volume("v2"), volume_spec(4)),
        ("1 public IPs", json!({"publicIps": 1}), here(Kind::PublicIp, "b"), json!({"version": "IPv4"})),
        ("2 NIC addresses", json!({"addresses": 2}), here(Kind::Nic, "b"), nic()),
        ("9 resources", json!({"resources": 9}), workspace("w2"), json!({})),
    ] {
        limit(&mut world, quota);
        full(&mut world, &urn, spec.clone(), &format!("tenant t1 may have {what} and has"));
        limit(&mut world, json!({}));
        let put = world.put_command(&urn, spec);
        let envelope = world.envelope(Command::Put(Box::new(put)));
        assert!(world.state.admit(&envelope).is_ok(), "{what}: it is the quota alone");
    }
}

#[test]
fn a_quota_below_what_there_is_takes_nothing_away() {
    let mut world = World::with_instance();
    limit(&mut world, json!({"volumes": 0, "storageGB": 0, "instances": 0}));
    world.updated(&volume("boot"), volume_spec(1));
    world.updated(&instance("vm"), instance_spec("boot"));
    full(&mut world, &volume("boot"), volume_spec(2), "0 GB of storage and has 1; this would make 2");
    world.report("h1");
    world.start(&instance("vm")).unwrap();
}

#[test]
fn a_workspace_has_a_quota_of_its_own() {
    let mut world = World::hostless();
    let quota = Urn::tenant(Kind::WorkspaceQuota, "t1", "w1");
    world.created(&quota, json!({"quota": {"volumes": 1, "resources": 2}}));
    world.created(&workspace("w2"), json!({}));
    world.created(&volume("v1"), volume_spec(1));
    full(&mut world, &volume("v2"), volume_spec(1), "workspace w1 of tenant t1 may have 1 volumes and has 1");
    world.created(&Urn::workspace(Kind::BlockStorage, "t1", "w2", "v2"), volume_spec(1));
    limit(&mut world, json!({"volumes": 2}));
    world.updated(&quota, json!({"quota": {}}));
    full(&mut world, &volume("v2"), volume_spec(1), "tenant t1 may have 2 volumes");
    world.deleted(&volume("v1"));
    world.created(&volume("v2"), volume_spec(1));
    let usage = serde_json::to_value(world.state.usage("t1", "w1")).unwrap();
    assert_eq!(usage["volumes"], json!({"used": 1}));
    assert_eq!(
        serde_json::to_value(world.state.usage("t1", "")).unwrap()["volumes"],
        json!({"used": 2, "limit": 2})
    );
    assert_eq!(world.state.usage("t1", "nowhere")[&Volumes].used, 0);
}

#[test]
fn a_quota_says_what_it_knows() {
    let mut world = World::hostless();
    for (quota, words) in [
        (json!({"instance": 1}), "must be one of \"instances\", \"vCPU\""),
        (json!({"instances": -1}), "must be a whole number from 0 to"),
        (json!({"instances": 1.5}), "must be a whole number from 0 to"),
        (json!({"instances": "many"}), "must be a whole number from 0 to"),
    ] {
        let spec = json!({"owners": ["alice"], "quota": quota});
        let error = crate::Spec::parse(Kind::Tenant, &spec).unwrap_err();
        assert!(error.pointer.starts_with("/spec/quota") && error.why.contains(words), "{error}");
    }
    limit(&mut world, json!({"resources": u64::MAX}));
    world.created(&volume("v1"), volume_spec(1));
}

fn wind_down(world: &mut World) -> crate::Outcome {
    world.apply(Command::WindDown(WindDownCommand { tenant: "t1".into() }))
}

fn suspend(world: &mut World, suspended: bool) {
    world.updated(&tenant(), json!({"owners": ["alice"], "suspended": suspended}));
}

#[test]
fn what_is_on_in_a_suspended_tenant_is_turned_off() {
    let mut world = World::with_running_instance();
    assert!(wind_down(&mut world).is_err() && world.state.winding_down().next().is_none());
    suspend(&mut world, true);
    assert_eq!(world.state.winding_down().collect::<Vec<_>>(), ["t1"]);
    wind_down(&mut world).unwrap();
    assert_eq!(world.state.winding_down().count(), 0);
    world.report("h1");
    assert_eq!(world.power_state(&instance("vm")), "off");
    assert_eq!(world.state.get(&instance("vm")).unwrap().status.state, Phase::Active);
    assert!(wind_down(&mut world).is_err(), "once is enough");
    // What was on its way when the tenant was suspended is caught, too.
    world.start(&instance("vm")).unwrap();
    wind_down(&mut world).unwrap();
    world.report("h1");
    assert_eq!(world.power_state(&instance("vm")), "off");
    suspend(&mut world, false);
    world.start(&instance("vm")).unwrap();
    assert!(wind_down(&mut world).is_err(), "it is its owners' again");
}

#[test]
fn a_tenant_goes_with_all_that_is_in_it_once_it_was_suspended() {
    let mut world = World::with_running_instance();
    let net = Urn::workspace(Kind::Network, "t1", "w1", "net");
    world.created(&net, json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "n1k"}));
    world.created(
        &in_net(Kind::RouteTable, "rt"),
        json!({"routes": [{"destinationCidrBlock": "0.0.0.0/0", "targetRef": "instances/x"}]}),
    );
    world.created(
        &in_net(Kind::Subnet, "s"),
        json!({"cidr": {"ipv4": "10.0.1.0/24"}, "routeTableRef": "rt", "zone": "a"}),
    );
    world.created(
        &Urn::workspace(Kind::Nic, "t1", "w1", "nic"),
        json!({"subnetRef": "networks/net/subnets/s"}),
    );
    world.created(&Urn::tenant(Kind::ServiceAccount, "t1", "sa"), json!({}));
    world.created(
        &Urn::tenant(Kind::RoleAssignment, "t1", "a"),
        json!({"roles": ["seca.admin"], "subs": ["bob"], "scopes": [{}]}),
    );
    let refusal = world.delete(&tenant()).unwrap_err();
    assert!(refusal.detail.contains("still holds 9 resources. Suspend it first"), "{}", refusal.detail);
    suspend(&mut world, true);
    world.deleted(&tenant());
    for urn in [workspace("w2"), volume("more"), Urn::tenant(Kind::Role, "t1", "r")] {
        let spec = match urn.kind {
            Kind::Workspace => json!({}),
            Kind::BlockStorage => volume_spec(1),
            _ => json!({"permissions": [{"provider": "seca.compute", "resources": ["*"], "verb": ["get"]}]}),
        };
        let refusal = world.put(&urn, spec).unwrap_err();
        assert!(
            refusal.detail.contains("is being deleted; nothing can be created in it"),
            "{}",
            refusal.detail
        );
    }
    while world.state.winding_down().next().is_some() {
        wind_down(&mut world).unwrap();
    }
    assert!(world.state.get(&tenant()).is_some(), "its guest is still there");
    assert!(!world.state.may("bob", &volume("boot"), crate::VerbSet::GET), "its assignments are not");
    world.report("h1");
    world.report("h1");
    assert!(world.state.get(&tenant()).is_none());
    assert_eq!(world.state.objects().filter(|object| object.urn.tenant == "t1").count(), 0);
    // The name is free, and nothing of before is in it.
    world.created(&tenant(), json!({"owners": ["carol"]}));
    assert_eq!(used(&world, Resources), 0);
}

#[test]
fn an_entry_winds_down_a_bounded_part() {
    let mut world = World::hostless();
    for number in 0..600 {
        let put = world.put_command(&volume(&format!("v{number}")), volume_spec(1));
        let envelope = world.envelope(Command::Put(Box::new(put)));
        // Without looking at everything after each of them.
        assert!(world.state.apply(world.state.applied_index() + 1, &envelope).outcome.is_ok());
    }
    suspend(&mut world, true);
    world.deleted(&tenant());
    let mut entries = 0;
    while world.state.get(&tenant()).is_some() {
        let before = world.state.objects().count();
        wind_down(&mut world).unwrap();
        assert!(before - world.state.objects().count() <= 260);
        entries += 1;
    }
    assert_eq!(entries, 3);
}

#[test]
fn the_shared_tenant_is_neither_suspended_nor_deleted() {
    let mut world = World::hostless();
    let shared = Urn::global(Kind::Tenant, "public");
    let refusal = world.put(&shared, json!({"owners": ["operator"], "suspended": true})).unwrap_err();
    assert_eq!(refusal.sources[0].pointer, "/spec/suspended");
    assert!(world.delete(&shared).unwrap_err().detail.contains("everybody's"));
}
