use super::*;

fn check(text: &str, is_v4: bool, is_v6: bool) {
    for (version, is_one) in [(IpVersion::V4, is_v4), (IpVersion::V6, is_v6)] {
        let block = Block::parse(version, text);
        assert_eq!(block.is_ok(), is_one, "{text} as {version}: {block:?}");
    }
}

#[test]
fn blocks_begin_at_their_first_address() {
    for v4 in
        ["0.0.0.0/0", "0.0.0.0/16", "10.0.0.0/8", "192.168.4.0/22", "192.0.2.1/32", "255.255.255.255/32"]
    {
        check(v4, true, false);
    }
    for v6 in ["::/0", "::/56", "fd00:1::/56", "fd00::1/128", "FD00::/8", "ffff:ffff::/32"] {
        check(v6, false, true);
    }
    for host_bits in ["10.0.0.5/16", "128.0.0.0/0", "192.0.2.1/31", "fd00::1/64", "8000::/0", "::1/127"] {
        check(host_bits, false, false);
    }
}

#[test]
fn what_is_no_block_is_refused() {
    let long = format!("{}/128", "0".repeat(60));
    for bad in [
        "",
        "/",
        "10.0.0.0",
        "10.0.0.0/",
        "/16",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/016",
        "10.0.0.0/+8",
        "10.0.0.0/-1",
        "10.0.0/24",
        "010.0.0.0/8",
        "10.0.0.0/8/8",
        " 10.0.0.0/8",
        "fe80::%eth0/64",
        "10.0.0.0/4294967296",
        "0000:0000:0000:0000:0000:ffff:255.255.255.255/128",
        &long,
    ] {
        check(bad, false, false);
    }
}

#[test]
fn a_network_needs_a_block_of_some_family() {
    let pointers = |cidr: Cidr| {
        let mut faults = Vec::new();
        check_cidr(&mut faults, "/spec/cidr", &cidr);
        faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
    };
    let cidr = |text: &str| serde_json::from_str::<Cidr>(text).unwrap();
    assert_eq!(pointers(cidr("{}")), ["/spec/cidr"]);
    assert_eq!(pointers(cidr(r#"{"ipv4": "", "ipv6": null}"#)), ["/spec/cidr"]);
    assert_eq!(
        pointers(cidr(r#"{"ipv4": "fd00::/56", "ipv6": "10.0.0.0/8"}"#)),
        ["/spec/cidr/ipv4", "/spec/cidr/ipv6"]
    );
    assert!(pointers(cidr(r#"{"ipv4": "10.0.0.0/8", "ipv6": ""}"#)).is_empty());
}

#[test]
fn a_network_is_private_or_left_to_the_server() {
    let pointers = |spec: &str| {
        let spec: NetworkSpec = serde_json::from_str(&format!(r#"{{"skuRef": "n1k", {spec}}}"#)).unwrap();
        let mut faults = Vec::new();
        spec.check(&State::default(), &mut faults);
        faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
    };
    for good in ["10.0.0.0/8", "172.31.0.0/16", "192.168.255.0/24", "0.0.0.0/8", "0.0.0.0/30"] {
        assert!(pointers(&format!(r#""cidr": {{"ipv4": "{good}"}}"#)).is_empty(), "{good}");
    }
    for bad in ["11.0.0.0/8", "172.32.0.0/16", "192.0.2.0/24", "8.0.0.0/5", "0.0.0.0/0", "0.0.0.0/31"] {
        assert_eq!(pointers(&format!(r#""cidr": {{"ipv4": "{bad}"}}"#)), ["/spec/cidr/ipv4"], "{bad}");
    }
    for (text, good) in
        [("fd00:1::/56", true), ("::/56", true), ("2001:db8::/56", false), ("::/0", false), ("::/40", false)]
    {
        assert_eq!(pointers(&format!(r#""cidr": {{"ipv6": "{text}"}}"#)).is_empty(), good, "{text}");
    }
    let two = |first: &str, second: &str| {
        pointers(&format!(r#""cidr": {{"ipv4": "{first}"}}, "additionalCidrs": [{{"ipv4": "{second}"}}]"#))
    };
    assert!(two("10.0.0.0/16", "10.1.0.0/16").is_empty());
    assert!(two("10.0.0.0/16", "0.0.0.0/16").is_empty());
    assert_eq!(two("10.0.0.0/16", "10.0.4.0/24"), ["/spec/additionalCidrs/0/ipv4"]);
}
