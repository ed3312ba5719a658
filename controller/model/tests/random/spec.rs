//! The few names there are, and the specs that go with them.

mod network;

use rempart_api::storage::{BlobFormat, BlobSpec};
use rempart_api::{Kind, Urn};
use serde_json::{Value, json};

use crate::operation::{Place, Thing};

pub(crate) fn name_of_host(host: u8) -> String {
    format!("h{}", host % 4)
}

pub(crate) fn storage_sku() -> Value {
    json!({"iops": 1, "minVolumeSize": 1, "type": "local-durable"})
}

pub(crate) fn blob(content: u8) -> BlobSpec {
    BlobSpec {
        sha256: format!("{content}").repeat(64),
        format: BlobFormat::Raw,
        size_bytes: 1,
        virtual_size_bytes: u64::from(content) << 30,
    }
}

pub(crate) fn urn(place: Place) -> Urn {
    let tenant = ["t1", "t2", "public"][usize::from(place.tenant)];
    let workspace = ["w1", "w2"][usize::from(place.workspace)];
    let inside =
        |kind, letter: char| Urn::workspace(kind, tenant, workspace, &format!("{letter}{}", place.name));
    let pair =
        |kind, letter: char| Urn::workspace(kind, tenant, workspace, &format!("{letter}{}", place.name % 2));
    match place.thing {
        Thing::Tenant => Urn::global(Kind::Tenant, tenant),
        Thing::Workspace => Urn::tenant(Kind::Workspace, tenant, workspace),
        Thing::InstanceSku => Urn::tenant(Kind::InstanceSku, tenant, &format!("s{}", place.name)),
        Thing::StorageSku => Urn::tenant(Kind::StorageSku, tenant, &format!("s{}", place.name % 2)),
        Thing::Volume => inside(Kind::BlockStorage, 'v'),
        Thing::Instance => inside(Kind::Instance, 'i'),
        Thing::Image => Urn::tenant(Kind::Image, tenant, &format!("m{}", place.name % 2)),
        Thing::Network => pair(Kind::Network, 'n'),
        Thing::Subnet => {
            let network = format!("n{}", place.name % 2);
            Urn::network(Kind::Subnet, tenant, workspace, &network, &format!("s{}", place.name / 2))
        }
        Thing::Nic => inside(Kind::Nic, 'c'),
        Thing::PublicIp => inside(Kind::PublicIp, 'p'),
        Thing::Group => pair(Kind::SecurityGroup, 'g'),
        Thing::Rule => pair(Kind::SecurityGroupRule, 'r'),
        Thing::Pool => Urn::global(Kind::AddressPool, &format!("p{}", place.name % 2)),
        Thing::RouteTable => {
            Urn::network(Kind::RouteTable, tenant, workspace, &format!("n{}", place.name % 2), "r0")
        }
        Thing::Gateway => inside(Kind::InternetGateway, 'g'),
        Thing::Host => Urn::global(Kind::Host, &format!("h{}", place.name % 4)),
        Thing::Account => Urn::tenant(Kind::ServiceAccount, tenant, &format!("a{}", place.name % 2)),
        Thing::WorkspaceQuota => Urn::tenant(Kind::WorkspaceQuota, tenant, workspace),
        Thing::Role => Urn::tenant(Kind::Role, tenant, &format!("r{}", place.name % 2)),
        Thing::Assignment => Urn::tenant(Kind::RoleAssignment, tenant, &format!("r{}", place.name % 2)),
        Thing::Revocation => Urn::global(Kind::TokenRevocation, &format!("r{}", place.name % 3)),
    }
}

/// A spec of `place.thing`; most choices are sound.
pub(crate) fn spec(place: Place, choice: u16) -> Value {
    let bits = |position: u16, count: u16| choice >> position & ((1 << count) - 1);
    let volume = |number: u16| format!("v{}", number % 5);
    let sku =
        if bits(0, 4) == 0 { "s9" } else { ["s0", "skus/S0", "seca.s0", "s1"][usize::from(bits(0, 2))] };
    match place.thing {
        Thing::Tenant => {
            let owners = if choice.is_multiple_of(9) { vec![] } else { vec!["alice"] };
            json!({"owners": owners, "suspended": bits(0, 3) == 1, "quota": quota(choice)})
        }
        Thing::WorkspaceQuota => json!({"quota": quota(choice)}),
        Thing::Workspace => json!({"note": choice % 3}),
        Thing::InstanceSku => json!({"vCPU": choice % 5, "ram": 1}),
        Thing::StorageSku => storage_sku(),
        Thing::Volume => {
            let mut spec = json!({"sizeGB": bits(4, 3), "skuRef": if sku == "s1" { "s0" } else { sku }});
            if bits(6, 3) == 0 {
                spec["sourceImageRef"] = json!(format!("images/m{}", bits(9, 1)));
            }
            spec
        }
        Thing::Instance => {
            let zone = ["a", "a", "a", "a", "a", "a", "a", "b"][usize::from(bits(2, 3))];
            let boot = if bits(5, 3) == 0 { u16::from(place.name) + 1 } else { u16::from(place.name) };
            let mut spec = json!({"skuRef": sku, "zone": zone, "bootVolume": {"deviceRef": volume(boot)}});
            if bits(7, 2) == 3 {
                let device = if bits(9, 2) == 3 {
                    "workspaces/w2/block-storages/v0".into()
                } else {
                    volume(bits(9, 3))
                };
                spec["dataVolumes"] = json!([{"deviceRef": device}]);
            }
            if bits(12, 2) == 3 {
                spec["antiAffinityGroup"] = json!("apart");
            }
            if bits(9, 2) == 1 {
                spec["primaryNicRef"] = json!(format!("nics/c{}", bits(10, 2)));
                spec["securityGroupRef"] = json!(format!("g{}", bits(11, 1)));
            }
            if bits(13, 2) == 1 {
                spec["userData"] = json!(format!("#{}", bits(14, 2)));
            }
            spec
        }
        Thing::Image => {
            let source = format!("workspaces/w1/block-storages/{}", volume(bits(0, 3)));
            json!({"blockStorageRef": source, "cpuArchitecture": "amd64", "boot": if bits(4, 1) == 0 { "UEFI" } else { "BIOS" }})
        }
        Thing::Network
        | Thing::Subnet
        | Thing::RouteTable
        | Thing::Nic
        | Thing::PublicIp
        | Thing::Group
        | Thing::Rule
        | Thing::Pool => network::spec(place, choice),
        Thing::Gateway => json!({"egressOnly": choice.is_multiple_of(2)}),
        Thing::Account => {
            let key = |kid: u16| json!({"kid": kid.to_string(), "kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43)});
            json!({"keys": [key(bits(0, 1)), key(bits(1, 1))]})
        }
        Thing::Role => {
            let resources = [["*"], ["instances/*"], ["instances/i0"], [""]][usize::from(bits(0, 2))];
            json!({"permissions": [{"provider": "seca.compute", "resources": resources, "verb": ["get", "put"]}]})
        }
        Thing::Assignment => {
            let roles = [["r0"], ["r1"], ["seca.admin"], ["r2"]][usize::from(bits(0, 2))];
            let subjects = [["bob"], ["*"]][usize::from(bits(2, 1))];
            let workspaces = [vec![], vec!["w1"], vec!["w1", "w3"]];
            json!({"roles": roles, "subs": subjects, "scopes": [{"workspaces": workspaces[usize::from(bits(3, 2) % 3)]}]})
        }
        Thing::Revocation => json!({"subject": if bits(0, 1) == 0 { "alice" } else { "bob" }}),
        Thing::Host => {
            let mut spec =
                json!({"zone": if bits(0, 4) == 0 { "b" } else { "a" }, "cordoned": bits(4, 2) == 0});
            if bits(6, 1) == 1 {
                let percent = |some: [u32; 2], bit| some[usize::from(bits(bit, 1))];
                spec["overcommit"] = json!({
                    "vcpuPercent": percent([100, 300], 7),
                    "memoryPercent": percent([50, 150], 8),
                    "diskPercent": percent([25, 200], 9),
                });
            }
            spec
        }
    }
}

/// Now and then so small that it is in the way.
fn quota(choice: u16) -> Value {
    let what = ["instances", "vCPU", "volumes", "storageGB", "publicIps", "addresses", "resources", "ramGB"];
    match choice >> 8 & 3 {
        0 => json!({what[usize::from(choice >> 10 & 7)]: choice >> 13}),
        _ => json!({}),
    }
}
