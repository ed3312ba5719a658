//! Networks and what is in them: blocks, references, deletion.

use super::*;

fn cidr(world: &World, urn: &Urn) -> Value {
    world.status(urn)["cidr"].clone()
}

#[test]
fn blocks_are_chosen_where_that_is_asked_for() {
    let mut world = World::hostless();
    let asked = json!({"cidr": {"ipv4": "0.0.0.0/16", "ipv6": "::/56"}, "additionalCidrs": [{"ipv4": "10.0.0.0/16"}, {"ipv4": "0.0.0.0/16"}], "skuRef": "n1k"});
    world.created(&network("net"), asked.clone());
    let status = world.status(&network("net"));
    assert_eq!(status["cidr"]["ipv4"], "10.1.0.0/16", "what is explicit comes first");
    assert!(status["cidr"]["ipv6"].as_str().unwrap().starts_with("fd"), "{status}");
    assert_eq!(status["additionalCidrs"], json!([{"ipv4": "10.0.0.0/16"}, {"ipv4": "10.2.0.0/16"}]));
    assert_eq!(world.get(&network("net")).spec.to_json()["cidr"]["ipv4"], "0.0.0.0/16", "as sent");
    world.updated(&network("net"), asked);
    assert_eq!(world.status(&network("net"))["additionalCidrs"], status["additionalCidrs"], "kept");
    let spelled = json!({"cidr": {"ipv4": "10.1.0.0/16", "ipv6": status["cidr"]["ipv6"]}, "additionalCidrs": [{"ipv4": "0.0.0.0/16"}], "skuRef": "n1k"});
    world.updated(&network("net"), spelled);
    assert_eq!(world.status(&network("net"))["additionalCidrs"], json!([{"ipv4": "10.2.0.0/16"}]));
    let clash = json!({"cidr": {"ipv4": "0.0.0.0/16", "ipv6": "::/56"}, "additionalCidrs": [{"ipv4": "10.1.0.0/24"}], "skuRef": "n1k"});
    refused(
        world.put(&network("net"), clash),
        RefusalClass::Invalid,
        "10.1.0.0/24 overlaps with 10.1.0.0/16",
    );
}

#[test]
fn a_subnet_is_inside_its_network_and_apart_from_the_others() {
    let mut world = World::with_subnet();
    let subnet = in_net(Kind::Subnet, "other");
    for (block, words) in [
        ("10.1.0.0/24", "10.1.0.0/24 is not inside, and smaller than, 10.0.0.0/16"),
        ("10.0.0.0/16", "is not inside, and smaller than"),
        ("10.0.0.0/8", "is not inside, and smaller than"),
        ("0.0.0.0/16", "a /16 is not smaller than 10.0.0.0/16"),
    ] {
        let put = world.put(&subnet, subnet_spec(json!({ "ipv4": block })));
        assert_eq!(refused(put, RefusalClass::Invalid, words), "/spec/cidr/ipv4", "{block}");
    }
    let six = world.put(&subnet, subnet_spec(json!({"ipv6": "fd01::/64"})));
    assert_eq!(refused(six, RefusalClass::Invalid, "is not inside"), "/spec/cidr/ipv6");
    for overlapping in ["10.0.1.0/24", "10.0.1.0/29", "10.0.1.4/30", "10.0.0.0/17"] {
        let put = world.put(&subnet, subnet_spec(json!({ "ipv4": overlapping })));
        refused(
            put,
            RefusalClass::Conflict,
            "overlaps with seca.network/v1/tenants/t1/workspaces/w1/networks/net/subnets/s",
        );
    }
    world.created(&network("isolated"), network_spec("10.0.0.0/16"));
    world.created(&subnet, subnet_spec(json!({"ipv4": "10.0.1.8/29"})));
    refused(
        world.put(&subnet, subnet_spec(json!({"ipv4": "10.0.1.16/29"}))),
        RefusalClass::Invalid,
        "cannot be changed",
    );
}

#[test]
fn a_subnet_gets_the_first_block_that_is_free() {
    let mut world = World::with_subnet();
    let auto = |length: u8| subnet_spec(json!({ "ipv4": format!("0.0.0.0/{length}") }));
    let names = ["a", "b", "c", "d"].map(|name| in_net(Kind::Subnet, name));
    for (name, (length, block)) in names.iter().zip([
        (24, "10.0.0.0/24"),
        (24, "10.0.2.0/24"),
        (28, "10.0.1.16/28"),
        (17, "10.0.128.0/17"),
    ]) {
        world.created(name, auto(length));
        assert_eq!(cidr(&world, name), json!({ "ipv4": block }));
    }
    let words = "no /17 is free in seca.network/v1/tenants/t1/workspaces/w1/networks/net";
    refused(world.put(&in_net(Kind::Subnet, "e"), auto(17)), RefusalClass::Conflict, words);
    world.deleted(&names[0]);
    world.created(&in_net(Kind::Subnet, "e"), auto(25));
    assert_eq!(cidr(&world, &in_net(Kind::Subnet, "e")), json!({"ipv4": "10.0.0.0/25"}));
}

#[test]
fn a_block_with_a_subnet_in_it_stays() {
    let mut world = World::with_subnet();
    let with = |blocks: &[&str]| {
        let more: Vec<_> = blocks.iter().map(|block| json!({ "ipv4": block })).collect();
        json!({"cidr": {"ipv4": "10.0.0.0/16", "ipv6": "fd00::/56"}, "additionalCidrs": more, "skuRef": "n1k"})
    };
    world.updated(&network("net"), with(&["10.1.0.0/16", "10.2.0.0/16"]));
    let subnet = in_net(Kind::Subnet, "there");
    world.created(&subnet, subnet_spec(json!({"ipv4": "10.1.7.0/24"})));
    refused(
        world.put(&network("net"), with(&["10.2.0.0/16"])),
        RefusalClass::Conflict,
        "subnets/there is in it",
    );
    world.updated(&network("net"), with(&["10.1.0.0/20"]));
    world.deleted(&subnet);
    world.updated(&network("net"), with(&[]));
}

/// The route table could not be written again as it stands.
#[test]
fn a_network_takes_no_route_its_ground() {
    let mut world = World::with_subnet();
    let net = |more: Value| json!({"cidr": {"ipv4": "10.0.0.0/16", "ipv6": "fd00::/56"}, "additionalCidrs": more, "skuRef": "n1k"});
    world.updated(&network("net"), net(json!([{"ipv4": "172.16.0.0/24"}])));
    let routes = json!({"routes": [
        {"destinationCidrBlock": "192.168.0.0/16", "targetRef": "172.16.0.9"},
        {"destinationCidrBlock": "fd01::/64", "targetRef": "instances/later"},
    ]});
    let table = in_net(Kind::RouteTable, "rt2");
    world.created(&table, routes.clone());
    let words = "172.16.0.0/24 cannot be taken from the network";
    refused(world.put(&network("net"), net(json!([]))), RefusalClass::Conflict, words);
    for (block, family) in [("192.168.0.0/16", "ipv4"), ("fd01::/64", "ipv6")] {
        let over = world.put(&network("net"), net(json!([{"ipv4": "172.16.0.0/24"}, {family: block}])));
        let pointer = refused(over, RefusalClass::Conflict, "take the route out first");
        assert_eq!(pointer, "/spec/additionalCidrs");
    }
    // A part of it, or more than it, is another destination; a larger block has the address as well.
    world.updated(&network("net"), net(json!([{"ipv4": "172.16.0.0/12"}, {"ipv4": "192.168.0.0/24"}])));
    world.updated(&table, routes);
    world.updated(&table, routes_to("instances/later"));
    world.updated(&network("net"), net(json!([{"ipv4": "192.168.0.0/16"}])));
    // Where any block will do, it is one that can be.
    let peer = json!({"routes": [{"destinationCidrBlock": "10.1.0.0/16", "targetRef": "instances/later"}]});
    world.updated(&table, peer);
    world.updated(&network("net"), net(json!([{"ipv4": "0.0.0.0/16"}])));
    assert_eq!(world.status(&network("net"))["additionalCidrs"], json!([{"ipv4": "10.2.0.0/16"}]));
}

/// Whether there is one subnet of a name, or none, or two, is its own workspace's to know.
#[test]
fn a_subnet_elsewhere_is_named_with_its_network() {
    let mut world = World::with_subnet();
    world.created(&workspace("w2"), json!({}));
    let there = |kind, network: &str, name: &str| Urn::network(kind, "t1", "w2", network, name);
    world.created(&Urn::workspace(Kind::Network, "t1", "w2", "secret"), network_spec("10.0.0.0/16"));
    world.created(&there(Kind::RouteTable, "secret", "rt"), routes_to("instances/later"));
    world.created(&there(Kind::Subnet, "secret", "s"), subnet_spec(json!({"ipv4": "10.0.1.0/24"})));
    let nic = here(Kind::Nic, "nic");
    for name in ["s", "none"] {
        let spec = json!({"subnetRef": format!("workspaces/w2/subnets/{name}")});
        let words = format!(
            "/spec/subnetRef: \"workspaces/w2/subnets/{name}\" does not say in which network: use 'networks/NETWORK/subnets/NAME'"
        );
        assert_eq!(world.put(&nic, spec).unwrap_err().detail, words);
    }
}

#[test]
fn a_route_table_is_of_the_subnets_network_and_says_what_it_has_lost() {
    let mut world = World::with_subnet();
    world.created(&network("other"), network_spec("10.0.0.0/16"));
    let theirs = Urn::network(Kind::RouteTable, "t1", "w1", "other", "rt");
    world.created(&theirs, routes_to("10.0.0.4"));
    let mut spec = subnet_spec(json!({"ipv4": "10.0.1.0/29", "ipv6": "fd00::/64"}));
    spec["routeTableRef"] = json!("networks/other/route-tables/rt");
    let put = world.put(&in_net(Kind::Subnet, "s"), spec);
    assert_eq!(refused(put, RefusalClass::Invalid, "is of another network"), "/spec/routeTableRef");
    let table = in_net(Kind::RouteTable, "rt");
    world.deleted(&table);
    assert!(world.gone(&table), "a subnet does not hold it");
    let why = world.why(&in_net(Kind::Subnet, "s")).unwrap();
    assert_eq!(why.reason, "ReferenceLost");
    assert!(
        why.tenant.contains("/spec/routeTableRef") && why.tenant.contains("route-tables/rt does not exist")
    );
    assert!(world.status(&in_net(Kind::Subnet, "s")).get("routeTableRef").is_none());
    world.created(&table, routes_to("instances/later"));
    assert_eq!(world.why(&in_net(Kind::Subnet, "s")), None, "it heals by itself");
}

#[test]
fn routes_have_a_state_each() {
    let mut world = World::with_subnet();
    let gateway = here(Kind::InternetGateway, "g");
    world.created(&gateway, json!({}));
    let route = |to: &str, target: &str| json!({"destinationCidrBlock": to, "targetRef": target});
    let table = in_net(Kind::RouteTable, "rt");
    let routes = json!([
        route("0.0.0.0/0", "internet-gateways/g"),
        route("10.9.0.0/16", "instances/later"),
        route("10.8.0.0/16", "10.0.0.9")
    ]);
    world.updated(&table, json!({ "routes": routes }));
    let states = |world: &World| {
        let routes = world.status(&table)["routes"].clone();
        let each = routes.as_array().unwrap().iter();
        each.map(|route| route["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(&world), ["active", "pending", "active"]);
    world.deleted(&gateway);
    assert_eq!(states(&world), ["error", "pending", "active"]);
    let why = world.why(&table).unwrap().tenant;
    assert!(why.contains("internet-gateways/g does not exist") && why.contains("instances/later"), "{why}");
    for (route, pointer) in [
        (route("10.0.0.0/16", "instances/i"), "/spec/routes/0/destinationCidrBlock"),
        (route("fd00::/56", "instances/i"), "/spec/routes/0/destinationCidrBlock"),
        (route("0.0.0.0/0", "10.1.0.1"), "/spec/routes/0/targetRef"),
    ] {
        let put = world.put(&table, json!({ "routes": [route] }));
        assert_eq!(refused(put, RefusalClass::Invalid, "network"), pointer);
    }
    world.updated(&table, json!({"routes": [route("10.0.1.0/29", "instances/i")]}));
}

#[test]
fn strong_references_hold_their_target_and_say_by_whom() {
    let mut world = World::with_subnet();
    world.created(&Urn::global(Kind::AddressPool, "p"), json!({"blocks": ["203.0.113.4/30"]}));
    world.created(&here(Kind::PublicIp, "ip"), json!({"version": "IPv4"}));
    world.created(&here(Kind::SecurityGroup, "group"), json!({}));
    let spec = json!({"subnetRef": "subnets/s", "publicIpRefs": ["ip"], "securityGroupRefs": ["group"]});
    world.created(&here(Kind::Nic, "a"), spec.clone());
    let mut second = spec;
    let put = world.put(&here(Kind::Nic, "b"), second.clone());
    refused(put, RefusalClass::Conflict, "public-ips/ip is attached to");
    second["publicIpRefs"] = json!([]);
    world.created(&here(Kind::Nic, "b"), second);
    assert_eq!(
        world.status(&here(Kind::PublicIp, "ip"))["attachedTo"]["resource"],
        here(Kind::Nic, "a").to_string()
    );
    for held in [in_net(Kind::Subnet, "s"), here(Kind::PublicIp, "ip"), here(Kind::SecurityGroup, "group")] {
        refused(
            world.delete(&held),
            RefusalClass::Conflict,
            "is used by seca.network/v1/tenants/t1/workspaces/w1/nics/a",
        );
    }
    refused(
        world.delete(&in_net(Kind::Subnet, "s")),
        RefusalClass::Conflict,
        "nics/a, seca.network/v1/tenants/t1/workspaces/w1/nics/b",
    );
    refused(
        world.delete(&network("net")),
        RefusalClass::Conflict,
        "still holds 2 resources; delete what is in it first: seca.network/v1/tenants/t1/workspaces/w1/networks/net/subnets/s, ",
    );
    refused(world.delete(&workspace("w1")), RefusalClass::Conflict, "networks/net");
    for urn in [here(Kind::Nic, "a"), here(Kind::Nic, "b")] {
        world.deleted(&urn);
        assert!(world.gone(&urn));
    }
    for held in [in_net(Kind::Subnet, "s"), here(Kind::PublicIp, "ip"), here(Kind::SecurityGroup, "group")] {
        world.deleted(&held);
        assert!(world.gone(&held));
    }
}

#[test]
fn an_instance_holds_its_nics_until_it_has_gone() {
    let mut world = World::with_subnet();
    world.join("h1", "a", host_report());
    for nic in ["a", "b"] {
        world.created(&here(Kind::Nic, nic), nic_spec(&[]));
    }
    world.created(&here(Kind::SecurityGroup, "group"), json!({}));
    world.created(&volume("boot"), volume_spec(1));
    let with = json!({"primaryNicRef": "a", "additionalNicRefs": ["nics/b"], "securityGroupRef": "group"});
    world.created(&instance("vm"), instance_with("boot", with));
    world.report("h1");
    assert_eq!(world.history(&instance("vm")), "active creating pending");
    assert_eq!(world.why(&instance("vm")).unwrap().reason, "NetworkNotConnected");
    world.created(&volume("boot2"), volume_spec(1));
    let twin = instance_with("boot2", json!({"primaryNicRef": "a"}));
    refused(world.put(&instance("twin"), twin), RefusalClass::Conflict, "nics/a is attached to");
    let twice = instance_with("boot", json!({"primaryNicRef": "a", "additionalNicRefs": ["nics/a"]}));
    refused(world.put(&instance("vm"), twice), RefusalClass::Invalid, "is named twice");
    refused(world.delete(&here(Kind::Nic, "b")), RefusalClass::Conflict, "is used by");
    world.deleted(&instance("vm"));
    for nic in ["a", "b"] {
        world.deleted(&here(Kind::Nic, nic));
        assert_eq!(world.history(&here(Kind::Nic, nic)), "deleting active creating pending");
        assert_eq!(world.why(&here(Kind::Nic, nic)).unwrap().reason, "InUse");
    }
    world.deleted(&in_net(Kind::Subnet, "s"));
    assert!(!world.gone(&in_net(Kind::Subnet, "s")), "accepted, and waits for its NICs");
    world.report("h1");
    for urn in [here(Kind::Nic, "a"), here(Kind::Nic, "b"), in_net(Kind::Subnet, "s"), instance("vm")] {
        assert!(world.gone(&urn), "{urn}");
    }
}

#[test]
fn an_instance_and_its_nics_are_in_one_zone() {
    let mut world = World::with_subnet();
    let mut there = subnet_spec(json!({"ipv4": "10.0.2.0/24"}));
    there["zone"] = json!("b");
    world.created(&in_net(Kind::Subnet, "b"), there);
    world.created(&here(Kind::Nic, "far"), json!({"subnetRef": "subnets/b"}));
    world.created(&volume("boot"), volume_spec(1));
    let put = world.put(&instance("vm"), instance_with("boot", json!({"additionalNicRefs": ["far"]})));
    assert_eq!(refused(put, RefusalClass::Invalid, "is in zone \"b\""), "/spec/additionalNicRefs/0");
}

#[test]
fn a_nics_class_is_set_once() {
    let mut world = World::with_subnet();
    world.created(&Urn::tenant(Kind::NetworkSku, "public", "n5k"), json!({"bandwidth": 5000, "packets": 1}));
    let with = |sku: Value| json!({"subnetRef": "subnets/s", "skuRef": sku});
    world.created(&here(Kind::Nic, "a"), with(json!(null)));
    world.updated(&here(Kind::Nic, "a"), with(json!("n1k")));
    world.updated(&here(Kind::Nic, "a"), with(json!("skus/N1K")));
    for other in [json!("n5k"), json!(null)] {
        let put = world.put(&here(Kind::Nic, "a"), with(other));
        assert_eq!(refused(put, RefusalClass::Invalid, "cannot be changed"), "/spec/skuRef");
    }
}

#[test]
fn a_group_loses_a_rule_and_says_so() {
    let mut world = World::with_subnet();
    let (group, rule) = (here(Kind::SecurityGroup, "g"), here(Kind::SecurityGroupRule, "r"));
    let spec =
        json!({"rules": [{"direction": "ingress", "sourceRef": ["security-groups/g"]}], "ruleRefs": ["r"]});
    let put = world.put(&group, spec.clone());
    assert_eq!(
        refused(put, RefusalClass::Invalid, "security-group-rules/r does not exist"),
        "/spec/ruleRefs/0"
    );
    world.created(&rule, json!({"direction": "egress", "sourceRef": ["10.0.0.0/8", "instances/later"]}));
    world.created(&group, spec.clone());
    assert!(world.why(&rule).unwrap().tenant.contains("instances/later does not exist"));
    let states = |world: &World| {
        let rules = world.status(&group)["rules"].clone();
        rules
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule["state"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&world), ["active", "active"], "a group may name itself");
    world.deleted(&rule);
    assert!(world.gone(&rule));
    assert_eq!(states(&world), ["active", "error"]);
    assert_eq!(world.why(&group).unwrap().reason, "ReferenceLost");
    world.updated(&group, spec);
    let other = json!({"rules": [{"direction": "ingress", "sourceRef": ["security-groups/none"]}]});
    let put = world.put(&here(Kind::SecurityGroup, "h"), other);
    assert_eq!(refused(put, RefusalClass::Invalid, "security-groups/none"), "/spec/rules/0/sourceRef/0");
}
