use serde_json::{Value, json};

use super::*;

fn faults<T: Rules + serde::de::DeserializeOwned>(spec: Value) -> Vec<String> {
    let spec: T = serde_json::from_value(spec).unwrap();
    let mut faults = Vec::new();
    spec.check(&State::default(), &mut faults);
    faults.into_iter().map(|fault| fault.pointer).collect()
}

#[test]
fn a_nic_names_up_to_32_addresses_once_each() {
    let nic = |addresses: Value| faults::<NicSpec>(json!({"subnetRef": "s", "addresses": addresses}));
    for good in [json!(null), json!([]), json!(["0.0.0.0", "0.0.0.0", "::"]), json!(["10.0.0.1", "fd00::1"])]
    {
        assert!(nic(good.clone()).is_empty(), "{good}");
    }
    assert!(nic(json!(vec!["0.0.0.0"; 32])).is_empty());
    assert_eq!(nic(json!(vec!["0.0.0.0"; 33])), ["/spec/addresses"]);
    for bad in ["", "x", "10.0.0.1/8", "10.0.0", "fe80::1%eth0", &"1".repeat(40)] {
        assert_eq!(nic(json!(["10.0.0.1", bad])), ["/spec/addresses/1"], "{bad}");
    }
    assert_eq!(nic(json!(["fd00::1", "fd00:0::1"])), ["/spec/addresses/1"], "twice the same");
}

#[test]
fn a_nic_has_up_to_16_public_addresses_and_groups() {
    let nic = |field: &str, count: usize| {
        let list: Vec<_> = (0..count).map(|number| format!("x{number}")).collect();
        faults::<NicSpec>(json!({"subnetRef": "s", field: list}))
    };
    for field in ["publicIpRefs", "securityGroupRefs"] {
        assert!(nic(field, 16).is_empty());
        assert_eq!(nic(field, 17), [format!("/spec/{field}")]);
    }
}

#[test]
fn a_public_address_is_of_its_family() {
    let public = |version: &str, address: &str| {
        faults::<PublicIpSpec>(json!({"version": version, "address": address}))
    };
    assert!(public("IPv4", "").is_empty(), "an empty text is none");
    assert!(public("IPv4", "192.0.2.1").is_empty());
    assert!(public("IPv6", "2001:db8::1").is_empty());
    for (version, address) in
        [("IPv4", "2001:db8::1"), ("IPv6", "192.0.2.1"), ("IPv4", "192.0.2"), ("IPv4", "192.0.2.0/24")]
    {
        assert_eq!(public(version, address), ["/spec/address"], "{version} {address}");
    }
}
