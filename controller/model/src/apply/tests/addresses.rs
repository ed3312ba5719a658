//! Addresses of NICs, MACs and public addresses: one owner, kept for life, free afterwards.

use super::*;

const NIC: Kind = Kind::Nic;
const PUBLIC: Kind = Kind::PublicIp;

fn addresses(world: &World, nic: &str) -> Vec<String> {
    serde_json::from_value(world.status(&here(NIC, nic))["addresses"].clone()).unwrap()
}

fn public(world: &World, name: &str) -> String {
    world.status(&here(PUBLIC, name))["ipAddress"].as_str().unwrap().to_owned()
}

fn pool(name: &str) -> Urn {
    Urn::global(Kind::AddressPool, name)
}

/// With pool `p` of four addresses of each family.
fn with_pool() -> World {
    let mut world = World::with_subnet();
    world.created(&pool("p"), json!({"blocks": ["203.0.113.4/30", "2001:db8::/126"]}));
    world
}

#[test]
fn nothing_asked_for_is_one_of_each_family() {
    let mut world = World::with_subnet();
    for (name, asked) in [("a", json!(null)), ("b", json!([])), ("c", json!(["0.0.0.0", "::"]))] {
        world.created(&here(NIC, name), json!({"subnetRef": "networks/net/subnets/s", "addresses": asked}));
    }
    world.created(&here(NIC, "d"), json!({"subnetRef": "networks/net/subnets/s"}));
    assert_eq!(addresses(&world, "a"), ["10.0.1.1", "fd00::1"], "the first but one is assignable");
    assert_eq!(addresses(&world, "b"), ["10.0.1.2", "fd00::2"]);
    assert_eq!(addresses(&world, "c"), ["10.0.1.3", "fd00::3"]);
    assert_eq!(addresses(&world, "d"), ["10.0.1.4", "fd00::4"]);
    let spec = world.get(&here(NIC, "d")).spec.to_json();
    assert!(spec.get("addresses").is_none(), "what was not sent is not in the spec");
    assert_eq!(world.history(&here(NIC, "a")), "active creating pending");
}

#[test]
fn an_address_has_one_owner_and_is_free_when_that_goes() {
    let mut world = World::with_subnet();
    world.created(&here(NIC, "a"), nic_spec(&["10.0.1.3", "fd00::99"]));
    let again = world.put(&here(NIC, "b"), nic_spec(&["10.0.1.1", "fd00::99"]));
    refused(again, RefusalClass::Conflict, "/spec/addresses/1: fd00::99 is in use by");
    assert!(world.gone(&here(NIC, "b")));
    world.updated(&here(NIC, "a"), nic_spec(&["10.0.1.3", "fd00::99"]));
    world.deleted(&here(NIC, "a"));
    assert!(world.gone(&here(NIC, "a")), "nothing holds it");
    world.created(&here(NIC, "b"), nic_spec(&["10.0.1.1", "fd00::99"]));
}

#[test]
fn a_change_keeps_what_it_can() {
    let mut world = World::with_subnet();
    world.created(&here(NIC, "first"), nic_spec(&["0.0.0.0"]));
    world.created(&here(NIC, "a"), nic_spec(&["0.0.0.0", "::", "10.0.1.5"]));
    assert_eq!(addresses(&world, "a"), ["10.0.1.2", "fd00::1", "10.0.1.5"]);
    world.deleted(&here(NIC, "first"));
    world.updated(&here(NIC, "a"), nic_spec(&["0.0.0.0", "::"]));
    assert_eq!(addresses(&world, "a"), ["10.0.1.2", "fd00::1"], "not the lowest that is free by now");
    world.updated(&here(NIC, "a"), nic_spec(&["10.0.1.2", "0.0.0.0"]));
    assert_eq!(addresses(&world, "a"), ["10.0.1.2", "10.0.1.1"], "never twice the same");
    let mac = world.status(&here(NIC, "a"))["macAddress"].clone();
    world.updated(&here(NIC, "a"), nic_spec(&["0.0.0.0", "0.0.0.0", "0.0.0.0"]));
    assert_eq!(addresses(&world, "a"), ["10.0.1.2", "10.0.1.1", "10.0.1.3"]);
    assert_eq!(world.status(&here(NIC, "a"))["macAddress"], mac);
}

#[test]
fn what_is_not_the_subnets_to_give_is_refused() {
    let mut world = World::with_subnet();
    for (address, words) in [
        ("10.0.1.0", "reserved"),
        ("10.0.1.7", "reserved"),
        ("10.0.1.8", "is not one of 10.0.1.0/29"),
        ("fd00::", "reserved"),
        ("fd00::ffff:ffff:ffff:ffff", "reserved"),
        ("fd00:0:0:1::1", "is not one of fd00::/64"),
    ] {
        let put = world.put(&here(NIC, "a"), nic_spec(&[address]));
        assert_eq!(refused(put, RefusalClass::Invalid, words), "/spec/addresses/0", "{address}");
    }
    world.created(&in_net(Kind::Subnet, "v4"), subnet_spec(json!({"ipv4": "10.0.2.0/29"})));
    let spec = json!({"subnetRef": "networks/net/subnets/v4", "addresses": ["::"]});
    refused(world.put(&here(NIC, "a"), spec), RefusalClass::Invalid, "has no IPv6 addresses");
}

#[test]
fn a_full_subnet_is_named_with_its_size() {
    let mut world = World::with_subnet();
    for number in 1..=6 {
        world.created(&here(NIC, &format!("n{number}")), nic_spec(&["0.0.0.0"]));
    }
    let words = "subnets/s (10.0.1.0/29): all 6 are in use";
    refused(world.put(&here(NIC, "more"), nic_spec(&["0.0.0.0"])), RefusalClass::Conflict, words);
    world.created(&here(NIC, "other-family"), nic_spec(&["::"]));
    world.deleted(&here(NIC, "n4"));
    world.created(&here(NIC, "more"), nic_spec(&["0.0.0.0"]));
    assert_eq!(addresses(&world, "more"), ["10.0.1.4"]);
}

#[test]
fn macs_are_local_and_of_one_nic() {
    let mut world = World::with_subnet();
    let mut put = world.put_command(&here(NIC, "a"), nic_spec(&[]));
    put.uid = Uuid::from_u128(0xff_ffff_ffff);
    world.apply(Command::Put(Box::new(put))).unwrap();
    let mut put = world.put_command(&here(NIC, "b"), nic_spec(&[]));
    put.uid = Uuid::from_u128((1 << 100) + 0xff_ffff_ffff);
    world.apply(Command::Put(Box::new(put))).unwrap();
    assert_eq!(world.status(&here(NIC, "a"))["macAddress"], "02:ff:ff:ff:ff:ff");
    assert_eq!(world.status(&here(NIC, "b"))["macAddress"], "02:00:00:00:00:00", "the next that is free");
}

#[test]
fn a_subnet_is_found_without_its_network_while_there_is_one_of_that_name() {
    let mut world = World::with_subnet();
    let spec = json!({"subnetRef": "subnets/s"});
    world.created(&here(NIC, "a"), spec.clone());
    world.created(&network("other"), network_spec("10.0.0.0/16"));
    let table = Urn::network(Kind::RouteTable, "t1", "w1", "other", "rt");
    let twin = Urn::network(Kind::Subnet, "t1", "w1", "other", "s");
    world.created(&table, routes_to("instances/later"));
    world.created(&twin, subnet_spec(json!({"ipv4": "10.0.1.0/29"})));
    let put = world.put(&here(NIC, "b"), spec.clone());
    assert_eq!(refused(put, RefusalClass::Invalid, "does not say in which network"), "/spec/subnetRef");
    world.updated(&here(NIC, "a"), spec.clone());
    world.updated(&here(NIC, "a"), json!({"subnetRef": "networks/net/subnets/s"}));
    refused(world.delete(&in_net(Kind::Subnet, "s")), RefusalClass::Conflict, "is used by");
    world.deleted(&twin);
    let moved = json!({"subnetRef": "networks/other/subnets/s"});
    refused(world.put(&here(NIC, "a"), moved), RefusalClass::Invalid, "cannot be changed");
}

#[test]
fn public_addresses_come_from_the_pools_and_go_back() {
    let mut world = World::with_subnet();
    let any = |version: &str| json!({"version": version});
    refused(
        world.put(&here(PUBLIC, "a"), any("IPv4")),
        RefusalClass::Conflict,
        "no pool of public IPv4 addresses",
    );
    world.created(&pool("p"), json!({"blocks": ["203.0.113.4/31"]}));
    world.created(&here(PUBLIC, "a"), any("IPv4"));
    world.created(&here(PUBLIC, "b"), any("IPv4"));
    assert_eq!([public(&world, "a"), public(&world, "b")], ["203.0.113.4", "203.0.113.5"], "all are usable");
    let words = "no public IPv4 address is free: all are in use of p (203.0.113.4/31, 2 addresses)";
    refused(world.put(&here(PUBLIC, "c"), any("IPv4")), RefusalClass::Conflict, words);
    world.updated(&pool("p"), json!({"blocks": ["203.0.113.4/31", "2001:db8::/64"]}));
    world.created(&here(PUBLIC, "six"), any("IPv6"));
    assert_eq!(public(&world, "six"), "2001:db8::");
    world.deleted(&here(PUBLIC, "a"));
    world.created(&here(PUBLIC, "c"), json!({"version": "IPv4", "address": "203.0.113.4"}));
    world.updated(&here(PUBLIC, "c"), any("IPv4"));
    assert_eq!(public(&world, "c"), "203.0.113.4", "kept for life");
}

#[test]
fn a_public_address_that_was_asked_for_is_that_or_none() {
    let mut world = with_pool();
    let asked = |address: &str| json!({"version": "IPv4", "address": address});
    world.created(&here(PUBLIC, "a"), asked("203.0.113.6"));
    refused(
        world.put(&here(PUBLIC, "b"), asked("203.0.113.6")),
        RefusalClass::Conflict,
        "203.0.113.6 is in use",
    );
    let outside = world.put(&here(PUBLIC, "b"), asked("198.51.100.1"));
    assert_eq!(refused(outside, RefusalClass::Invalid, "not in any address pool"), "/spec/address");
    world.updated(&here(PUBLIC, "a"), asked("203.0.113.7"));
    world.created(&here(PUBLIC, "b"), asked("203.0.113.6"));
    let spec = json!({"subnetRef": "subnets/s", "publicIpRefs": ["a"]});
    world.created(&here(NIC, "n"), spec);
    let moved = world.put(&here(PUBLIC, "a"), asked("203.0.113.4"));
    assert_eq!(refused(moved, RefusalClass::Conflict, "while no NIC uses it"), "/spec/address");
    let other = world.put(&here(PUBLIC, "a"), json!({"version": "IPv6"}));
    assert_eq!(refused(other, RefusalClass::Invalid, "cannot be changed"), "/spec/version");
}

#[test]
fn a_pool_keeps_what_was_given_out() {
    let mut world = with_pool();
    let blocks = |blocks: &[&str]| json!({ "blocks": blocks });
    world.created(&here(PUBLIC, "a"), json!({"version": "IPv4", "address": "203.0.113.6"}));
    refused(world.put(&pool("q"), blocks(&["203.0.113.0/24"])), RefusalClass::Conflict, "overlaps with");
    let less = world.put(&pool("p"), blocks(&["203.0.113.4/31"]));
    refused(less, RefusalClass::Conflict, "public-ips/a has 203.0.113.6 of it");
    refused(world.delete(&pool("p")), RefusalClass::Conflict, "public-ips/a has 203.0.113.6 of it");
    world.updated(&pool("p"), blocks(&["203.0.113.6/31"]));
    world.deleted(&here(PUBLIC, "a"));
    world.deleted(&pool("p"));
    assert!(world.gone(&pool("p")));
    for bad in ["224.0.0.0/4", "127.0.0.1/32", "0.0.0.0/0", "::1/128", "ff00::/8", "10.0.0.1/8", "x"] {
        let put = world.put(&pool("q"), blocks(&[bad]));
        assert_eq!(refused(put, RefusalClass::Invalid, ""), "/spec/blocks/0", "{bad}");
    }
    refused(world.put(&pool("q"), blocks(&[])), RefusalClass::Invalid, "1 to 64");
}
