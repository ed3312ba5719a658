//! Specs of network kinds. Subnets of two or six addresses, pools of two: they are full now and then.

use serde_json::{Value, json};

use crate::operation::{Place, Thing};

/// A spec of `place.thing`; most choices are sound.
pub(crate) fn spec(place: Place, choice: u16) -> Value {
    let bits = |position: u16, count: u16| choice >> position & ((1 << count) - 1);
    let one_of = |position: u16, choices: [&'static str; 4]| choices[usize::from(bits(position, 2))];
    match place.thing {
        Thing::Network => {
            let main = one_of(0, ["10.0.0.0/16", "10.0.0.0/16", "0.0.0.0/16", "10.1.0.0/16"]);
            let mut spec = json!({"cidr": {"ipv4": main}, "skuRef": "s0"});
            if bits(2, 1) == 1 {
                spec["cidr"]["ipv6"] = json!("::/56");
            }
            let more = ["10.1.0.0/16", "0.0.0.0/24", "10.1.0.0/24", "::/64"].iter().enumerate();
            let more = more
                .filter(|(at, _)| choice >> (4 + at) & 1 == 1)
                .map(|(_, block)| json!({ if block.contains(':') { "ipv6" } else { "ipv4" }: block }));
            spec["additionalCidrs"] = more.collect();
            spec
        }
        Thing::Subnet => {
            let table = if bits(0, 3) == 0 { "r9" } else { "r0" };
            let block = one_of(3, ["10.0.1.0/30", "0.0.0.0/29", "10.0.1.0/29", "10.1.0.0/30"]);
            let zone = if bits(5, 3) == 0 { "b" } else { "a" };
            let mut spec = json!({"cidr": {"ipv4": block}, "zone": zone, "routeTableRef": table});
            if bits(8, 2) == 3 {
                spec["cidr"]["ipv6"] = json!("::/64");
            }
            spec
        }
        Thing::RouteTable => {
            let target =
                one_of(0, ["internet-gateways/g0", "internet-gateways/g1", "instances/i0", "nics/c0"]);
            let mut routes = vec![json!({"destinationCidrBlock": "0.0.0.0/0", "targetRef": target})];
            if bits(2, 2) == 0 {
                routes.push(json!({"destinationCidrBlock": "::/0", "targetRef": "instances/i1"}));
            }
            json!({ "routes": routes })
        }
        Thing::Nic => {
            let subnet = one_of(
                0,
                ["networks/n0/subnets/s0", "networks/n0/subnets/s0", "subnets/s1", "networks/n1/subnets/s0"],
            );
            let mut spec = json!({ "subnetRef": subnet });
            let addresses = ["10.0.1.1", "10.0.1.2", "0.0.0.0", "0.0.0.0", "::"].iter().enumerate();
            spec["addresses"] =
                addresses.filter(|(at, _)| choice >> (2 + at) & 1 == 1).map(|(_, text)| *text).collect();
            if bits(8, 1) == 1 {
                spec["publicIpRefs"] = json!([format!("p{}", bits(9, 2))]);
            }
            if bits(11, 1) == 1 {
                spec["securityGroupRefs"] = json!([format!("g{}", bits(12, 1))]);
            }
            if bits(13, 2) == 0 {
                spec["skuRef"] = json!("s0");
            }
            spec
        }
        Thing::PublicIp => {
            let mut spec = json!({"version": if bits(0, 3) == 0 { "IPv6" } else { "IPv4" }});
            if bits(3, 2) == 0 {
                spec["address"] =
                    json!(one_of(5, ["203.0.113.0", "203.0.113.1", "203.0.113.2", "198.51.100.1"]));
            }
            spec
        }
        Thing::Group => {
            let source =
                one_of(0, ["10.0.0.0/8", "security-groups/g0", "instances/i0", "security-groups/g1"]);
            let mut spec = json!({"rules": [{"direction": "ingress", "sourceRef": [source]}]});
            if bits(2, 1) == 1 {
                spec["ruleRefs"] = json!([format!("r{}", bits(3, 1))]);
            }
            spec
        }
        Thing::Rule => json!({"direction": "egress", "ports": {"from": bits(0, 2)}}),
        Thing::Pool => {
            let block = if place.name.is_multiple_of(2) { "203.0.113.0/31" } else { "203.0.113.2/31" };
            let other = one_of(0, ["2001:db8::/127", "203.0.113.1/32", "203.0.113.4/32", "2001:db8::/127"]);
            json!({"blocks": if bits(2, 1) == 0 { vec![block] } else { vec![block, other] }})
        }
        other => unreachable!("{other:?} is no network thing"),
    }
}
