//! Zones come, and go when nothing is in them.

use super::*;

fn region() -> Urn {
    Urn::global(Kind::Region, "eu-1")
}

fn zones(zones: &[&str]) -> Value {
    json!({"availableZones": zones, "providers": []})
}

/// Region `eu-1` with zones `a` and `b` and no host, of the cluster version at which they may change.
fn upgraded() -> World {
    let mut world = World::hostless();
    world.done(Command::Upgrade(UpgradeCommand { version: ClusterVersion(2) }));
    world
}

#[test]
fn zones_are_added_and_used_from_then_on() {
    let mut world = upgraded();
    let seen = |world: &mut World| {
        let report = host_report();
        let (host, zone, uid) = ("h1".to_owned(), "c".to_owned(), Uuid::from_u128(77));
        world.apply(Command::HostSeen(Box::new(HostSeen {
            host,
            uid,
            zone,
            report,
            at: None,
            key_sha256: None,
        })))
    };
    refused(seen(&mut world), RefusalClass::Conflict, "its zones: a, b");
    world.updated(&region(), zones(&["a", "b", "c"]));
    assert_eq!(world.state.zones(), ["a", "b", "c"]);
    assert_eq!(seen(&mut world), Ok(Answer::Done));
    assert_eq!(
        (world.version(&region()), world.history(&region()).as_str()),
        (2, "active updating active creating pending")
    );
    // The same again is accepted as for every kind.
    world.updated(&region(), zones(&["a", "b", "c"]));
    assert_eq!(world.version(&region()), 3);
}

#[test]
fn what_the_view_shows_of_providers_is_not_kept() {
    let mut world = upgraded();
    let provider = json!({"name": "seca.compute", "version": "v1", "url": "http://x"});
    world.updated(&region(), json!({"availableZones": ["a", "b"], "providers": [provider]}));
    assert_eq!(world.get(&region()).spec.to_json(), zones(&["a", "b"]));
}

#[test]
fn a_zone_stays_while_anything_stands_in_it() {
    let mut world = upgraded();
    let without = zones(&["a"]);
    let held = |world: &mut World, by: &str| {
        refused(
            world.put(&region(), zones(&["a"])),
            RefusalClass::Conflict,
            &format!("in it stand {by}; it goes when"),
        );
        assert_eq!(world.state.zones(), ["a", "b"]);
    };
    world.join("h1", "b", host_report());
    held(&mut world, "rempart.fleet/v1/hosts/h1");
    world.deleted(&Urn::global(Kind::Host, "h1"));
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_with("boot", json!({"zone": "b"})));
    held(&mut world, "seca.compute/v1/tenants/t1/workspaces/w1/instances/vm");
    world.deleted(&instance("vm"));
    world.created(&network("net"), json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "n1k"}));
    world.created(&in_net(Kind::RouteTable, "rt"), routes_to("instances/later"));
    let mut spec = subnet_spec(json!({"ipv4": "10.0.1.0/29"}));
    spec["zone"] = json!("b");
    world.created(&in_net(Kind::Subnet, "s"), spec);
    held(&mut world, "seca.network/v1/tenants/t1/workspaces/w1/networks/net/subnets/s");
    world.deleted(&in_net(Kind::Subnet, "s"));
    world.updated(&region(), without);
    let outcome = world.put(&instance("vm"), instance_with("boot", json!({"zone": "b"})));
    assert_eq!(refused(outcome, RefusalClass::Invalid, "it has: a"), "/spec/zone");
}

#[test]
fn what_is_being_deleted_still_stands_where_it_is() {
    let mut world = upgraded();
    world.join("h1", "b", host_report());
    world.created(&volume("boot"), volume_spec(1));
    world.created(&instance("vm"), instance_with("boot", json!({"zone": "b"})));
    world.report("h1");
    world.deleted(&instance("vm"));
    let both = "rempart.fleet/v1/hosts/h1, seca.compute/v1/tenants/t1/workspaces/w1/instances/vm";
    refused(world.put(&region(), zones(&["a"])), RefusalClass::Conflict, both);
}

#[test]
fn of_many_that_are_in_the_way_some_are_named() {
    let mut world = upgraded();
    for number in 1..=6 {
        world.join(&format!("h{number}"), "b", host_report());
    }
    refused(world.put(&region(), zones(&["a"])), RefusalClass::Conflict, "hosts/h5 and others; it goes");
}

#[test]
fn what_a_region_cannot_be_is_refused() {
    let mut world = upgraded();
    let pointer = |world: &mut World, spec| refused(world.put(&region(), spec), RefusalClass::Invalid, "");
    assert_eq!(pointer(&mut world, zones(&[])), "/spec/availableZones");
    assert_eq!(pointer(&mut world, zones(&["a", ""])), "/spec/availableZones/1");
    assert_eq!(pointer(&mut world, zones(&["a", "b", "a"])), "/spec/availableZones/2");
    let many: Vec<String> = (0..33).map(|number| format!("z{number}")).collect();
    assert_eq!(pointer(&mut world, json!({"availableZones": many, "providers": []})), "/spec/availableZones");
    let other = world.put(&Urn::global(Kind::Region, "eu-2"), zones(&["a"]));
    assert_eq!(refused(other, RefusalClass::Invalid, "serves eu-1 alone"), "/metadata/name");
    let labels = [("tier".to_owned(), "gold".to_owned())].into();
    let put = PutCommand { labels, ..world.put_command(&region(), zones(&["a", "b"])) };
    assert_eq!(
        refused(world.apply(Command::Put(Box::new(put))), RefusalClass::Invalid, "has none"),
        "/labels"
    );
    refused(world.put_at_version(&region(), zones(&["a"]), 7), RefusalClass::PreconditionFailed, "version 1");
    assert_eq!(world.state.zones(), ["a", "b"]);
}

#[test]
fn zones_stay_as_they_are_until_every_controller_knows_that_they_change() {
    let mut world = World::hostless();
    refused(world.put(&region(), zones(&["a", "b", "c"])), RefusalClass::Conflict, "needs cluster version 2");
}
