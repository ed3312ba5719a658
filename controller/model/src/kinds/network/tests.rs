use super::*;

fn check(text: &str, is_v4: bool, is_v6: bool) {
    assert_eq!(parse_v4(text).is_ok(), is_v4, "{text} as IPv4: {:?}", parse_v4(text));
    assert_eq!(parse_v6(text).is_ok(), is_v6, "{text} as IPv6: {:?}", parse_v6(text));
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
fn a_route_table_has_one_to_a_thousand_routes_to_real_blocks() {
    let table = |count: usize, destination: &str| RouteTableSpec {
        routes: vec![
            rempart_api::network::Route {
                destination_cidr_block: destination.into(),
                target_ref: rempart_api::Reference::default(),
            };
            count
        ],
    };
    let pointers = |spec: &RouteTableSpec| {
        let mut faults = Vec::new();
        spec.check(&State::default(), &mut faults);
        faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
    };
    assert_eq!(pointers(&table(0, "0.0.0.0/0")), ["/spec/routes"]);
    assert_eq!(pointers(&table(1001, "0.0.0.0/0")), ["/spec/routes"]);
    assert!(pointers(&table(1000, "::/0")).is_empty());
    assert_eq!(pointers(&table(1, "10.0.0.1/8")), ["/spec/routes/0/destinationCidrBlock"]);
}
