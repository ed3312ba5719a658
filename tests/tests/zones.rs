//! The zones of the region, which its operators change while it runs.

use std::time::Duration;

use rempart_api::client::{Client, ClientError};
use rempart_api::{Kind, Problem, ResourceView, Urn};
use rempart_tests::{Cluster, until_some};
use serde_json::{Value, json};

fn region() -> Urn {
    Urn::global(Kind::Region, "local")
}

fn zones(zones: &[&str]) -> Value {
    json!({ "spec": { "availableZones": zones } })
}

fn shown(view: &ResourceView) -> &Value {
    &view.spec["availableZones"]
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Problem {
    match answer {
        Err(ClientError::Problem(problem)) => *problem,
        other => panic!("it is refused: {other:?}"),
    }
}

/// Zones change once every controller has said that it knows how.
async fn changed(operator: &Client, body: &Value) -> ResourceView {
    until_some("the zones to change", Duration::from_secs(30), || async {
        match operator.put(&region(), body).await {
            Ok((created, view)) => {
                assert!(!created);
                Ok(view)
            }
            Err(ClientError::Problem(problem)) if problem.detail.contains("needs cluster version") => {
                Err(problem.detail)
            }
            Err(error) => panic!("{error}"),
        }
    })
    .await
}

#[tokio::test]
async fn a_second_room_is_built_and_closed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = [("REMPART_STATUS_TABLE", "spec")];
    let mut cluster = Cluster::start_with(&dir.path().join("c"), 1, &settings).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let alice = cluster.client(1, "alice").expect("a client");
    let view = changed(&operator, &zones(&["a", "b", "c"])).await;
    assert_eq!((view.metadata.resource_version, shown(&view)), (Some(2), &json!(["a", "b", "c"])));
    assert_eq!(view.metadata.reference, "seca.region/v1/regions/local");
    // Everybody sees them at once, with the providers that nobody wrote.
    let seen = alice.get(&region()).await.expect("it is everybody's");
    assert_eq!((shown(&seen), &seen.spec["providers"]), (shown(&view), &view.spec["providers"]));
    assert!(seen.spec["providers"].as_array().is_some_and(|providers| providers.len() > 4), "{seen:?}");
    who_may(&cluster).await;
    what_stands_in_the_way(&operator, &alice).await;
    what_is_refused(&operator).await;
    two_at_once(&operator).await;
    let before = operator.get(&region()).await.expect("it is there");
    cluster.kill(1);
    cluster.start_controller(1).expect("it starts");
    cluster.ready(1).await.expect("it serves");
    assert_eq!(operator.get(&region()).await.expect("it is there").spec, before.spec, "and stays so");
}

/// Operators alone, at the path of their own; SECA's is for reading.
async fn who_may(cluster: &Cluster) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = cluster.layout.url(1);
    let kept = format!("{url}/providers/rempart.catalogue/v1/regions");
    let seca = format!("{url}/providers/seca.region/v1/regions");
    for (subject, method, url, status, allow) in [
        ("operator", "GET", kept.clone(), 200, None),
        ("operator", "GET", format!("{kept}/local"), 200, None),
        ("operator", "GET", format!("{kept}/other"), 404, None),
        ("operator", "DELETE", format!("{kept}/local"), 405, Some("GET, PUT")),
        ("operator", "PUT", format!("{seca}/local"), 405, Some("GET")),
        ("alice", "GET", kept.clone(), 403, None),
        ("alice", "GET", format!("{kept}/local"), 403, None),
        ("alice", "PUT", format!("{kept}/local"), 403, None),
        ("alice", "GET", format!("{seca}/local"), 200, None),
    ] {
        let token = cluster.layout.token(subject).expect("a token");
        let request = http.request(method.parse().expect("a method"), &url).bearer_auth(token.trim());
        let answer = request.json(&zones(&["a"])).send().await.expect("an answer");
        let allowed = answer.headers().get("allow").map(|value| value.to_str().expect("text").to_owned());
        let got = (answer.status().as_u16(), allowed.as_deref());
        assert_eq!(got, (status, allow), "{subject}: {method} {url}");
        let body: Value = answer.json().await.expect("JSON");
        if status == 200 {
            let one = if body["items"].is_array() { &body["items"][0] } else { &body };
            assert_eq!(one["spec"]["availableZones"], json!(["a", "b", "c"]), "{body}");
        }
    }
}

async fn what_stands_in_the_way(operator: &Client, alice: &Client) {
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    alice.put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");
    let here = |kind, name: &str| Urn::workspace(kind, "acme", "w", name);
    let network = json!({ "spec": { "cidr": { "ipv4": "10.0.0.0/16" }, "skuRef": "skus/n1k" } });
    alice.put(&here(Kind::Network, "n"), &network).await.expect("a network");
    alice.put(&here(Kind::InternetGateway, "gw"), &json!({})).await.expect("a gateway");
    let nested = |kind, name: &str| Urn::network(kind, "acme", "w", "n", name);
    let route = json!({ "destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/gw" });
    let routes = json!({ "spec": { "routes": [route] } });
    alice.put(&nested(Kind::RouteTable, "rt"), &routes).await.expect("a table");
    let subnet = |zone: &str| json!({ "spec": { "cidr": { "ipv4": "10.0.1.0/29" }, "routeTableRef": "rt", "zone": zone } });
    let answer = refused(alice.put(&nested(Kind::Subnet, "s"), &subnet("d")).await);
    assert!(answer.status == 422 && answer.detail.contains("it has: a, b, c"), "{answer:?}");
    alice.put(&nested(Kind::Subnet, "s"), &subnet("c")).await.expect("a subnet in the new room");
    let host = Urn::global(Kind::Host, "h1");
    operator.put(&host, &json!({ "spec": { "zone": "b" } })).await.expect("a host");
    for (without, what) in [(["a", "b"], "networks/n/subnets/s"), (["a", "c"], "rempart.fleet/v1/hosts/h1")] {
        let answer = refused(operator.put(&region(), &zones(&without)).await);
        assert!(answer.status == 409 && answer.detail.contains(what), "{answer:?}");
    }
    alice.delete(&nested(Kind::Subnet, "s")).await.expect("it goes");
    let (_, view) = operator.put(&region(), &zones(&["a", "b"])).await.expect("the room is empty");
    assert_eq!(shown(&view), &json!(["a", "b"]));
}

async fn what_is_refused(operator: &Client) {
    let now = operator.get(&region()).await.expect("it is there");
    for (body, status, pointer) in [
        (zones(&[]), 422, "/spec/availableZones"),
        (zones(&["a", "b", ""]), 422, "/spec/availableZones/2"),
        (zones(&["a", "b", "a"]), 422, "/spec/availableZones/2"),
        (json!({ "spec": {} }), 422, "/spec/availableZones"),
        (json!({ "spec": { "availableZones": "a" } }), 400, "/spec/availableZones"),
        (json!({ "labels": { "x": "y" }, "spec": { "availableZones": ["a", "b"] } }), 422, "/labels"),
    ] {
        let answer = refused(operator.put(&region(), &body).await);
        let at = answer.sources.first().map_or("", |source| source.pointer.as_str());
        assert_eq!((answer.status, at), (status, pointer), "{body}: {answer:?}");
    }
    let other = refused(operator.put(&Urn::global(Kind::Region, "other"), &zones(&["a"])).await);
    assert!(other.status == 422 && other.detail.contains("serves local alone"), "{other:?}");
    assert_eq!(
        operator.get(&region()).await.expect("it is there").metadata.resource_version,
        now.metadata.resource_version
    );
    // As it was read, it is written.
    let mut again = serde_json::to_value(&now).expect("JSON");
    again["spec"]["availableZones"] = json!(["b", "a"]);
    let (_, view) =
        operator.put_if(&region(), &again, now.metadata.resource_version).await.expect("in another order");
    assert_eq!((shown(&view), &view.spec["providers"]), (&json!(["b", "a"]), &now.spec["providers"]));
}

/// Of two who read the same version, one is told to read again.
async fn two_at_once(operator: &Client) {
    let version = operator.get(&region()).await.expect("it is there").metadata.resource_version;
    let (one, other) = (zones(&["a", "b", "c"]), zones(&["a", "b", "d"]));
    let here = region();
    let (one, other) =
        tokio::join!(operator.put_if(&here, &one, version), operator.put_if(&here, &other, version));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(won.expect("one is first").1.metadata.resource_version, version.map(|version| version + 1));
    assert_eq!(refused(lost).status, 412);
}
