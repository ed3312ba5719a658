//! Specs of every kind. Subnets of two or six addresses and a pool of four: they are full now and then.

use rempart_api::{Kind, Urn};
use serde_json::{Value, json};

use crate::people::{EDITOR, KEY, NEIGHBOUR, OWNER, REVOKED, ROBOT, STRANGER, VIEWER};
use rempart_tests::Dice;

/// One for `urn`; `key` is the robot's.
pub(crate) fn of(dice: &mut Dice, urn: &Urn, key: &str) -> Value {
    match urn.kind {
        Kind::Region => json!({}),
        Kind::Tenant => tenant(dice, &urn.name),
        Kind::WorkspaceQuota => json!({ "quota": quota(dice) }),
        Kind::Workspace => json!({}),
        Kind::InstanceSku => json!({ "vCPU": 1 + dice.roll(4), "ram": 1 + dice.roll(4) }),
        Kind::StorageSku => {
            json!({ "iops": 100, "minVolumeSize": 1 + dice.roll(2), "type": "local-durable" })
        }
        Kind::NetworkSku => json!({ "bandwidth": 1000, "packets": 1 + dice.roll(9000) }),
        Kind::Host => {
            let zone = dice.pick(&["a", "b", "c"]);
            json!({ "zone": zone, "cordoned": dice.once_in(3), "overcommit": { "vcpuPercent": 100 + dice.roll(2) } })
        }
        Kind::TokenRevocation => json!({ "subject": dice.pick(&[REVOKED, "nobody", "nobody"]) }),
        Kind::ServiceAccount => {
            let own = json!({ "kid": KEY, "kty": "OKP", "crv": "Ed25519", "x": key });
            let other = json!({ "kid": "other", "kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43) });
            json!({ "keys": dice.weighed(&[(4, json!([own])), (2, json!([own, other])), (1, json!([])), (1, json!([other]))]) })
        }
        Kind::Role => {
            let resources =
                dice.pick(&["*", "instances/*", "nics/c0", "block-storages", "networks/n/subnets/*"]);
            let provider =
                dice.weighed(&[(3, "seca.compute"), (2, "seca.network"), (2, "seca.storage"), (1, "*")]);
            let verbs = dice.pick(&[["get", "list"], ["get", "put"], ["*", "*"]]);
            json!({ "permissions": [{ "provider": provider, "resources": [resources], "verb": verbs }] })
        }
        Kind::RoleAssignment => assignment(dice),
        Kind::BlockStorage => {
            let sku = dice.pick(&["skus/LE500", "skus/seca.le5k", "LE500", "skus/own"]);
            let mut spec = json!({ "sizeGB": 1 + dice.roll(6), "skuRef": sku });
            if dice.once_in(4) {
                spec["sourceImageRef"] = json!(dice.pick(&["images/m0", "images/m1"]));
            }
            spec
        }
        Kind::Image => {
            let source = ["v0", "v1", "v2"].map(|name| format!("workspaces/w/block-storages/{name}"));
            json!({ "blockStorageRef": dice.pick(&source), "cpuArchitecture": "amd64", "boot": "UEFI" })
        }
        Kind::Instance => instance(dice),
        _ => network(dice, urn.kind),
    }
}

/// Two of them always have their owner, so that there is somebody to go on.
fn tenant(dice: &mut Dice, name: &str) -> Value {
    let owners = match name {
        "acme" => vec![OWNER],
        "globex" => vec![NEIGHBOUR],
        _ => dice.pick(&[vec![OWNER], vec![NEIGHBOUR, OWNER], vec![]]),
    };
    json!({ "owners": owners, "quota": quota(dice), "suspended": name == "initech" && dice.once_in(3) })
}

fn quota(dice: &mut Dice) -> Value {
    let what = dice.pick(&["instances", "volumes", "storageGB", "publicIps", "addresses", "resources"]);
    if dice.once_in(3) { json!({ what: 3 + dice.roll(20) }) } else { json!({}) }
}

fn assignment(dice: &mut Dice) -> Value {
    let role = dice.weighed(&[
        (4, "seca.workspace-editor"),
        (3, "seca.workspace-viewer"),
        (2, "seca.workspace-admin"),
        (2, "seca.admin"),
        (2, "seca.region-admin"),
        (3, "custom"),
        (1, "missing"),
    ]);
    let subject =
        dice.weighed(&[(4, EDITOR), (3, VIEWER), (5, ROBOT), (3, REVOKED), (1, "*"), (1, STRANGER)]);
    let scope = dice.weighed(&[
        (4, json!({ "workspaces": ["w"] })),
        (2, json!({})),
        (1, json!({ "workspaces": ["v", "w"] })),
        (1, json!({ "tenants": ["globex"] })),
        (1, json!({ "regions": ["elsewhere"] })),
    ]);
    json!({ "roles": [role], "subs": [subject], "scopes": [scope] })
}

fn instance(dice: &mut Dice) -> Value {
    let volumes = ["v0", "v1", "v2", "v3", "v4"];
    let sku = dice.pick(&["skus/DXS", "skus/seca.ds", "skus/seca.dl", "DXS"]);
    let mut spec = json!({ "skuRef": sku, "zone": dice.weighed(&[(4, "a"), (2, "b"), (1, "c")]), "bootVolume": { "deviceRef": dice.pick(&volumes) } });
    if dice.once_in(3) {
        spec["dataVolumes"] = json!([{ "deviceRef": dice.pick(&volumes) }]);
    }
    if dice.once_in(3) {
        spec["primaryNicRef"] = json!(dice.pick(&["nics/c0", "c1"]));
    }
    if dice.once_in(4) {
        spec["securityGroupRef"] = json!(dice.pick(&["g0", "g1"]));
    }
    if dice.once_in(3) {
        spec["userData"] = json!(dice.pick(&["#!/bin/sh\necho '$(id)'; -- \u{0}", "", "{{ x }}"]));
    }
    if dice.once_in(4) {
        spec["antiAffinityGroup"] = json!("apart");
    }
    spec
}

fn network(dice: &mut Dice, kind: Kind) -> Value {
    match kind {
        Kind::Network => {
            let cidr =
                dice.weighed(&[(6, "10.0.0.0/16"), (1, "10.1.0.0/16"), (1, "0.0.0.0/16"), (1, "8.8.0.0/16")]);
            let mut spec = json!({ "cidr": { "ipv4": cidr }, "skuRef": "skus/n1k" });
            if dice.once_in(4) {
                spec["additionalCidrs"] = json!([{ "ipv4": dice.pick(&["10.2.0.0/16", "10.0.0.0/24"]) }]);
            }
            if dice.once_in(4) {
                spec["cidr"]["ipv6"] = json!("fd00::/56");
            }
            spec
        }
        Kind::Subnet => {
            let cidr = dice.pick(&["10.0.1.0/29", "10.0.1.0/29", "0.0.0.0/29", "10.0.2.0/30"]);
            let zone = dice.weighed(&[(7, "a"), (1, "c")]);
            json!({ "cidr": { "ipv4": cidr }, "zone": zone, "routeTableRef": dice.weighed(&[(9, "rt"), (1, "none")]) })
        }
        Kind::RouteTable => {
            let target =
                dice.pick(&["internet-gateways/gw", "internet-gateways/gx", "instances/i0", "nics/c0"]);
            json!({ "routes": [{ "destinationCidrBlock": "0.0.0.0/0", "targetRef": target }] })
        }
        Kind::InternetGateway => json!({ "egressOnly": dice.once_in(2) }),
        Kind::Nic => {
            let subnet =
                dice.pick(&["networks/n/subnets/s", "networks/n/subnets/t", "subnets/s", "subnets/t"]);
            let mut spec = json!({ "subnetRef": subnet });
            if dice.once_in(3) {
                spec["addresses"] = json!([dice.pick(&["10.0.1.1", "10.0.1.2", "10.0.1.9", "0.0.0.0"])]);
            }
            if dice.once_in(3) {
                spec["publicIpRefs"] = json!([dice.pick(&["p0", "p1", "p2"])]);
            }
            if dice.once_in(4) {
                spec["securityGroupRefs"] = json!([dice.pick(&["g0", "g1"])]);
            }
            spec
        }
        Kind::PublicIp => {
            let mut spec = json!({ "version": dice.pick(&["IPv4", "IPv4", "IPv4", "IPv6"]) });
            if dice.once_in(4) {
                spec["address"] = json!(dice.pick(&["203.0.113.1", "198.51.100.1"]));
            }
            spec
        }
        Kind::SecurityGroup => {
            let source = dice.pick(&["10.0.0.0/8", "security-groups/g0", "instances/i0", "nics/c0"]);
            let mut spec = json!({ "rules": [{ "direction": "ingress", "sourceRef": [source] }] });
            if dice.once_in(2) {
                spec["ruleRefs"] = json!([dice.pick(&["r0", "r1"])]);
            }
            spec
        }
        Kind::SecurityGroupRule => json!({ "direction": "egress", "ports": { "from": dice.roll(100) } }),
        Kind::AddressPool => {
            json!({ "blocks": dice.pick(&[["203.0.113.0/31"], ["203.0.113.2/31"], ["2001:db8::/127"]]) })
        }
        other => unreachable!("{other} is no network kind"),
    }
}
