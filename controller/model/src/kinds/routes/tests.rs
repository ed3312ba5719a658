use rempart_api::Reference;
use serde_json::{Value, json};

use super::*;

/// Pointers at fault of a table with these routes.
fn faults(routes: Value) -> Vec<String> {
    let table: RouteTableSpec = serde_json::from_value(json!({ "routes": routes })).unwrap();
    let mut faults = Vec::new();
    table.check(&State::default(), &mut faults);
    faults.into_iter().map(|fault| fault.pointer).collect()
}

fn to(destination: &str, target: &str) -> Value {
    json!({"destinationCidrBlock": destination, "targetRef": target})
}

#[test]
fn a_route_table_has_one_to_a_thousand_routes_to_real_blocks() {
    let many = |count: u16| -> Value {
        (0..count).map(|n| to(&format!("10.{}.{}.0/24", n / 256, n % 256), "instances/i")).collect()
    };
    assert_eq!(faults(json!([])), ["/spec/routes"]);
    assert_eq!(faults(many(1001)), ["/spec/routes"]);
    assert!(faults(many(1000)).is_empty());
    assert_eq!(faults(json!([to("10.0.0.1/8", "instances/i")])), ["/spec/routes/0/destinationCidrBlock"]);
    assert_eq!(
        faults(json!([to("::/0", "instances/i"), to("0::/0", "instances/j")])),
        ["/spec/routes/1/destinationCidrBlock"],
        "twice the same"
    );
}

#[test]
fn a_target_says_what_it_is() {
    for good in [
        "instances/i",
        "internet-gateways/g",
        "workspaces/w2/instances/i",
        "seca.network/v1/tenants/t1/workspaces/w1/internet-gateways/g",
        "10.0.0.4",
    ] {
        assert!(faults(json!([to("0.0.0.0/0", good)])).is_empty(), "{good}");
    }
    for bad in ["i", "", "nics/n", "10.0.0.0/8", "fd00::1", "10.0.0.300", "/"] {
        assert_eq!(faults(json!([to("0.0.0.0/0", bad)])), ["/spec/routes/0/targetRef"], "{bad}");
    }
    let route = |target: &str| Route {
        destination_cidr_block: "::/0".into(),
        target_ref: Reference { resource: target.into(), ..Reference::default() },
    };
    assert_eq!(target_of(&route("instances/i")), Ok(Target::Resource(Kind::Instance)));
    assert_eq!(target_of(&route("fd00::1")), Ok(Target::Address("fd00::1".parse().unwrap())));
}
