use serde_json::{Value, json};

use super::*;

fn faults(rule: Value) -> Vec<String> {
    let mut whole = json!({"direction": "ingress"});
    for (field, value) in rule.as_object().unwrap() {
        whole[field] = value.clone();
    }
    let rule: SecurityGroupRuleSpec = serde_json::from_value(whole).unwrap();
    let mut faults = Vec::new();
    rule.check(&State::default(), &mut faults);
    faults.into_iter().map(|fault| fault.pointer).collect()
}

#[test]
fn ports_are_ports_and_at_least_one() {
    for good in [
        json!({}),
        json!({"ports": null}),
        json!({"ports": {"from": 1, "to": 65535}}),
        json!({"ports": {"to": 22}, "protocol": "tcp"}),
        json!({"ports": {"from": 22, "to": 22}, "protocol": "tcp+udp"}),
        json!({"ports": {"list": vec![1; 100]}, "protocol": "udp"}),
    ] {
        assert!(faults(good.clone()).is_empty(), "{good}");
    }
    let ports = |ports: Value| faults(json!({ "ports": ports }));
    assert_eq!(ports(json!({})), ["/spec/ports"]);
    assert_eq!(ports(json!({"list": []})), ["/spec/ports"]);
    assert_eq!(ports(json!({"from": 0})), ["/spec/ports/from"]);
    assert_eq!(ports(json!({"from": -1})), ["/spec/ports/from"]);
    assert_eq!(ports(json!({"to": 65_536})), ["/spec/ports/to"]);
    assert_eq!(ports(json!({"from": 2, "to": 1})), ["/spec/ports/from"]);
    assert_eq!(ports(json!({"list": [1, 0]})), ["/spec/ports/list/1"]);
    assert_eq!(ports(json!({"list": vec![1; 101]})), ["/spec/ports/list"]);
    assert_eq!(faults(json!({"ports": {"from": 1}, "protocol": "icmp"})), ["/spec/ports"]);
}

#[test]
fn icmp_is_icmps() {
    let icmp = |kind: i64, code: i64| json!({"icmp": {"type": kind, "code": code}, "protocol": "icmp"});
    assert!(faults(icmp(0, 0)).is_empty() && faults(icmp(8, 5)).is_empty());
    assert_eq!(faults(icmp(9, 0)), ["/spec/icmp/type"]);
    assert_eq!(faults(icmp(-1, 6)), ["/spec/icmp/type", "/spec/icmp/code"]);
    assert_eq!(faults(json!({"icmp": {"type": 0, "code": 0}, "protocol": "tcp"})), ["/spec/icmp"]);
    assert!(faults(json!({"icmp": {"type": 0, "code": 0}})).is_empty());
}

#[test]
fn peers_are_addresses_or_say_what_they_are() {
    let peers = |peers: Value| faults(json!({ "sourceRef": peers }));
    let good = json!(["10.0.0.0/8", "192.0.2.1", "fd00::/8", "security-groups/g", {"resource": "instances/i"}, "internet-gateways/g"]);
    assert!(peers(good).is_empty());
    for bad in ["g", "10.0.0.1/8", "nics/n", "subnets/s", ""] {
        assert_eq!(peers(json!([bad])), ["/spec/sourceRef/0"], "{bad}");
    }
    assert!(peers(json!(vec!["10.0.0.0/8"; 32])).is_empty());
    assert_eq!(peers(json!(vec!["10.0.0.0/8"; 33])), ["/spec/sourceRef"]);
}

#[test]
fn a_group_has_up_to_500_rules_of_each_sort_and_each_is_looked_at() {
    let group = |rules: Value, refs: usize| {
        let refs: Vec<_> = (0..refs).map(|number| format!("r{number}")).collect();
        let group: SecurityGroupSpec =
            serde_json::from_value(json!({"rules": rules, "ruleRefs": refs})).unwrap();
        let mut faults = Vec::new();
        group.check(&State::default(), &mut faults);
        faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
    };
    let many = |count: usize| json!(vec![json!({"direction": "egress"}); count]);
    assert!(group(json!(null), 0).is_empty());
    assert!(group(many(500), 500).is_empty());
    assert_eq!(group(many(501), 501), ["/spec/rules", "/spec/ruleRefs"]);
    let bad = json!([{"direction": "egress"}, {"direction": "egress", "ports": {}}]);
    assert_eq!(group(bad, 0), ["/spec/rules/1/ports"]);
    let long = json!([{"direction": "egress", "annotations": {"a": "x".repeat(1025)}}]);
    assert_eq!(group(long, 0), ["/spec/rules/0/annotations"]);
}
