//! Addresses over HTTP: three controllers give each to one owner, and none is forgotten when they all die.

use std::collections::BTreeSet;
use std::time::Duration;

use rempart_api::client::{Client, ClientError};
use rempart_api::{Kind, ResourceView, Urn};
use rempart_tests::{Cluster, until_some};
use serde_json::json;
use tokio::task::JoinSet;

const CONTROLLERS: usize = 3;
/// NICs that are asked for at once in a subnet of fourteen addresses.
const ASKED: usize = 24;
/// A /28 without its first and its last address.
const ADDRESSES: usize = 14;

fn here(kind: Kind, name: &str) -> Urn {
    Urn::workspace(kind, "acme", "w", name)
}

fn inside(kind: Kind, name: &str) -> Urn {
    Urn::network(kind, "acme", "w", "n", name)
}

/// Network `n` with subnet `s` of fourteen addresses, and one public address for all.
async fn lay_out(operator: &Client, alice: &Client) {
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    let pool = json!({ "spec": { "blocks": ["203.0.113.7/32"] } });
    operator.put(&Urn::global(Kind::AddressPool, "dc1"), &pool).await.expect("a pool");
    alice.put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");
    let network = json!({ "spec": { "cidr": { "ipv4": "10.0.0.0/16" }, "skuRef": "skus/n1k" } });
    alice.put(&here(Kind::Network, "n"), &network).await.expect("a network");
    alice.put(&here(Kind::InternetGateway, "gw"), &json!({ "spec": {} })).await.expect("a gateway");
    let route = json!({ "destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/gw" });
    let table = json!({ "spec": { "routes": [route] } });
    alice.put(&inside(Kind::RouteTable, "rt"), &table).await.expect("a route table");
    let spec = json!({ "cidr": { "ipv4": "10.0.1.0/28" }, "routeTableRef": "route-tables/rt", "zone": "a" });
    alice.put(&inside(Kind::Subnet, "s"), &json!({ "spec": spec })).await.expect("a subnet");
}

fn nic(name: &str) -> Urn {
    here(Kind::Nic, name)
}

/// Its only address, and its MAC address.
fn identity(view: &ResourceView) -> (String, String) {
    let status = view.status.as_ref().expect("a status");
    let addresses = status["addresses"].as_array().expect("addresses");
    assert_eq!(addresses.len(), 1, "{status}");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    (text(&addresses[0]), text(&status["macAddress"]))
}

fn problem(answer: Result<(bool, ResourceView), ClientError>) -> (u16, String) {
    match answer {
        Err(ClientError::Problem(problem)) => (problem.status, problem.detail),
        other => panic!("it is refused: {other:?}"),
    }
}

#[tokio::test]
async fn an_address_has_one_owner_whoever_asks_and_whoever_dies() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = Cluster::start(&dir.path().join("c"), CONTROLLERS).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let clients: Vec<_> =
        (1..=CONTROLLERS).map(|id| cluster.client(id, "alice").expect("a client")).collect();
    let alice = &clients[0];
    lay_out(&operator, alice).await;

    // More than there are, at once, at every controller.
    let body = json!({ "spec": { "subnetRef": "networks/n/subnets/s" } });
    let mut asked = JoinSet::new();
    for number in 0..ASKED {
        let (client, body) = (clients[number % CONTROLLERS].clone(), body.clone());
        let urn = nic(&format!("c{number}"));
        asked.spawn(async move { (urn.clone(), client.put(&urn, &body).await) });
    }
    let (made, refused): (Vec<_>, Vec<_>) =
        asked.join_all().await.into_iter().partition(|(_, answer)| answer.is_ok());
    assert_eq!((made.len(), refused.len()), (ADDRESSES, ASKED - ADDRESSES));
    for (urn, answer) in refused {
        let (status, detail) = problem(answer);
        assert!(status == 412 && detail.contains("release one"), "{urn}: {status} {detail}");
    }
    let before: Vec<_> =
        made.into_iter().map(|(urn, answer)| (urn, identity(&answer.expect("it was made").1))).collect();
    let addresses: BTreeSet<_> = before.iter().map(|(_, (address, _))| address).collect();
    let macs: BTreeSet<_> = before.iter().map(|(_, (_, mac))| mac).collect();
    assert_eq!((addresses.len(), macs.len()), (ADDRESSES, ADDRESSES), "each has one owner: {before:?}");

    // The one public address goes to one NIC at a time.
    let version = json!({ "spec": { "version": "IPv4" } });
    let (_, public) = alice.put(&here(Kind::PublicIp, "p"), &version).await.expect("a public address");
    assert_eq!(public.status.expect("a status")["ipAddress"], "203.0.113.7");
    let (status, detail) = problem(alice.put(&here(Kind::PublicIp, "q"), &version).await);
    assert!(status == 412 && detail.contains("no public"), "{status} {detail}");
    let led = json!({ "spec": { "subnetRef": "networks/n/subnets/s", "publicIpRefs": ["p"] } });
    alice.put(&before[0].0, &led).await.expect("it leads there");
    let (status, detail) = problem(alice.put(&before[1].0, &led).await);
    assert!(status == 412 && detail.contains("is attached to"), "{status} {detail}");

    // What is used stays, and the refusal says who uses it.
    for (urn, words) in [
        (inside(Kind::Subnet, "s"), "is used by"),
        (here(Kind::PublicIp, "p"), "is used by"),
        (here(Kind::Network, "n"), "still holds"),
    ] {
        match alice.delete(&urn).await {
            Err(ClientError::Problem(problem)) => {
                assert!(problem.detail.contains(words), "{urn}: {problem:?}");
            }
            other => panic!("{urn} stays: {other:?}"),
        }
    }
    assert_eq!(
        operator.delete(&Urn::global(Kind::AddressPool, "dc1")).await.expect_err("it stays").status(),
        Some(412)
    );

    for id in 1..=CONTROLLERS {
        cluster.kill(id);
    }
    for id in 1..=CONTROLLERS {
        cluster.start_controller(id).expect("it starts");
    }
    for id in 1..=CONTROLLERS {
        cluster.ready(id).await.expect("it is ready");
    }
    for (urn, (address, mac)) in &before {
        let view = alice.get(urn).await.expect("it is there");
        assert_eq!(identity(&view), (address.clone(), mac.clone()), "{urn} keeps what it had");
    }
    let (status, _) = problem(alice.put(&nic("late"), &body).await);
    assert_eq!(status, 412, "the subnet is still full");

    // What goes leaves its address to the next.
    let (gone, (address, _)) = &before[5];
    alice.delete(gone).await.expect("accepted");
    let (_, view) = until_some("the address to be free", Duration::from_secs(10), || async {
        alice.put(&nic("late"), &body).await.map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(&identity(&view).0, address, "the lowest free address");
}
