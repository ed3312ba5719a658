//! One replica over HTTP: the generic machinery against real Postgres.

use std::time::Duration;

use rempart_api::client::{Client, ClientError};
use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, until_some};
use serde_json::{Value, json};

struct Bench {
    _dir: tempfile::TempDir,
    cluster: Cluster,
    operator: Client,
    alice: Client,
}

/// A one-replica cluster with tenant `acme`, owned by alice, and workspace `w`.
async fn bench() -> Bench {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("c"), 1).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let alice = cluster.client(1, "alice").expect("a client");
    operator
        .put(&Urn::global(Kind::Tenant, "acme"), &json!({ "spec": { "owners": ["alice"] } }))
        .await
        .expect("a tenant");
    alice.put(&workspace("w"), &json!({})).await.expect("a workspace");
    Bench { _dir: dir, cluster, operator, alice }
}

fn workspace(name: &str) -> Urn {
    Urn::tenant(Kind::Workspace, "acme", name)
}

fn volume(name: &str) -> Urn {
    Urn::workspace(Kind::BlockStorage, "acme", "w", name)
}

fn status_of<T: std::fmt::Debug>(result: Result<T, ClientError>) -> u16 {
    result.expect_err("it is refused").status().expect("an answer")
}

async fn gone(client: &Client, urn: &Urn) {
    until_some(&format!("{urn} to be gone"), Duration::from_secs(10), || async {
        match client.get(urn).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn resources_live_as_the_contract_says() {
    let bench = bench().await;
    let alice = &bench.alice;
    lifecycle(alice).await;
    network_records(alice).await;
    refusals(&bench).await;
    tokens(&bench).await;
    hosts(&bench).await;
    ten_equal_puts_in_parallel(alice).await;
    ten_unequal_puts_in_parallel(&bench).await;
    two_clients_and_one_object(&bench).await;
}

async fn lifecycle(alice: &Client) {
    let urn = volume("v1");
    let body = json!({ "labels": { "tier": "gold" }, "spec": { "sizeGB": 5, "skuRef": "skus/LE500" } });
    let (created, view) = alice.put(&urn, &body).await.expect("created");
    assert!(created);
    assert_eq!(view.metadata.resource_version, Some(1));
    assert_eq!(view.metadata.reference, urn.to_string());
    assert_eq!(view.metadata.verb, "PUT");
    assert_eq!(view.spec["skuRef"], json!({ "resource": "skus/LE500" }), "echoed as sent, as an object");
    let states = |view: &rempart_api::ResourceView| -> Vec<String> {
        let status = view.status.clone().unwrap_or_default();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().map(|entry| entry["state"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(states(&view), ["active", "creating", "pending"]);

    let (created, view) = alice.put(&urn, &body).await.expect("replaced");
    assert!(!created);
    assert_eq!(view.metadata.resource_version, Some(2));
    assert_eq!(states(&view), ["active", "updating", "active", "creating", "pending"]);

    let stale = alice.send(reqwest::Method::PUT, &alice.url(&urn), Some(&body), Some(1)).await;
    assert_eq!(status_of(stale), 412);
    let fresh = alice.send(reqwest::Method::PUT, &alice.url(&urn), Some(&body), Some(2)).await;
    assert_eq!(fresh.expect("it matches").0, 200);

    assert_eq!(status_of(alice.delete(&workspace("w")).await), 412, "a workspace with something in it stays");
    alice.delete(&urn).await.expect("accepted");
    gone(alice, &urn).await;
}

async fn network_records(alice: &Client) {
    let network = Urn::workspace(Kind::Network, "acme", "w", "n");
    let spec = json!({ "spec": { "cidr": { "ipv4": "10.0.0.0/16" }, "skuRef": "skus/n1k" } });
    let (_, view) = alice.put(&network, &spec).await.expect("a network");
    let status = view.status.expect("it has a status");
    assert_eq!(
        (status["state"].as_str(), status["cidr"].clone()),
        (Some("active"), json!({ "ipv4": "10.0.0.0/16" }))
    );
    let gateway = Urn::workspace(Kind::InternetGateway, "acme", "w", "gw");
    alice.put(&gateway, &json!({ "spec": {} })).await.expect("a gateway");
    let table = Urn::network(Kind::RouteTable, "acme", "w", "n", "rt");
    let routes = json!([{ "destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/gw" }]);
    alice.put(&table, &json!({ "spec": { "routes": routes } })).await.expect("a route table");
    let subnet = Urn::network(Kind::Subnet, "acme", "w", "n", "s");
    let spec = json!({ "cidr": { "ipv4": "10.0.1.0/24" }, "routeTableRef": "route-tables/rt", "zone": "a" });
    let (_, view) = alice.put(&subnet, &json!({ "spec": spec })).await.expect("a subnet");
    assert_eq!(view.metadata.resource, "networks/n/subnets/s");
    assert_eq!(view.metadata.network.as_deref(), Some("n"));
    assert_eq!(status_of(alice.delete(&network).await), 412);
    for urn in [&subnet, &table, &network, &gateway] {
        alice.delete(urn).await.expect("accepted");
        gone(alice, urn).await;
    }
}

async fn refusals(bench: &Bench) {
    let alice = &bench.alice;
    let long = "x".repeat(129);
    let cases: [(&str, Value, u16, &str); 8] = [
        ("size", json!({ "spec": { "sizeGB": 0, "skuRef": "skus/le500" } }), 412, "/spec/sizeGB"),
        ("type", json!({ "spec": { "sizeGB": "5", "skuRef": "skus/le500" } }), 400, "/spec/sizeGB"),
        ("float", json!({ "spec": { "sizeGB": 1.5, "skuRef": "skus/le500" } }), 400, "/spec/sizeGB"),
        (
            "huge",
            json!({ "spec": { "sizeGB": 99_999_999_999_u64, "skuRef": "skus/le500" } }),
            412,
            "/spec/sizeGB",
        ),
        ("sku", json!({ "spec": { "sizeGB": 5, "skuRef": "skus/nope" } }), 412, "/spec/skuRef"),
        ("spec", json!({}), 412, "/spec"),
        (
            "tenant",
            json!({ "metadata": { "tenant": "other" }, "spec": { "sizeGB": 5, "skuRef": "skus/le500" } }),
            412,
            "/metadata/tenant",
        ),
        (&long, json!({ "spec": { "sizeGB": 5, "skuRef": "skus/le500" } }), 412, "/metadata/name"),
    ];
    for (name, body, status, pointer) in cases {
        match alice.put(&volume(name), &body).await {
            Err(ClientError::Problem(problem)) => {
                assert_eq!(problem.status, status, "{name}: {problem:?}");
                assert!(problem.detail.contains(pointer), "{name}: {problem:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(status_of(alice.get(&volume(name)).await), 404, "{name} was not made");
    }
    let orphan = Urn::workspace(Kind::BlockStorage, "acme", "missing", "v");
    let body = json!({ "spec": { "sizeGB": 5, "skuRef": "skus/le500" } });
    assert_eq!(status_of(alice.put(&orphan, &body).await), 412, "its workspace does not exist");

    let http = reqwest::Client::new();
    let url = alice.url(&volume("v"));
    let token = bench.cluster.layout.token("alice").expect("a token");
    let put = |body: Vec<u8>, kind: &'static str| {
        http.put(&url).bearer_auth(&token).header("content-type", kind).body(body).send()
    };
    assert_eq!(put(b"{".to_vec(), "application/json").await.expect("an answer").status(), 400);
    assert_eq!(put(b"{}".to_vec(), "text/plain").await.expect("an answer").status(), 415);
    assert_eq!(put(vec![b' '; (1 << 20) + 1], "application/json").await.expect("an answer").status(), 413);
    let deep = "[".repeat(100_000).into_bytes();
    assert_eq!(put(deep, "application/json").await.expect("an answer").status(), 400);
}

/// Hosts as operators write them, before any machine has joined.
async fn hosts(bench: &Bench) {
    let operator = &bench.operator;
    let host = Urn::global(Kind::Host, "h9");
    let host_state = async || {
        let status = operator.get(&host).await.expect("the host").status.unwrap_or_default();
        status["hostState"].as_str().unwrap_or_default().to_owned()
    };
    let spec = json!({ "spec": { "zone": "a", "overcommit": { "vcpuPercent": 200 } } });
    let (created, view) = operator.put(&host, &spec).await.expect("a host");
    assert!(created);
    assert_eq!(
        view.spec["overcommit"],
        json!({ "vcpuPercent": 200, "memoryPercent": 100, "diskPercent": 100 })
    );
    assert_eq!(host_state().await, "joining");
    operator.act(&host, "cordon").await.expect("accepted");
    let view = operator.get(&host).await.expect("the host");
    assert_eq!((&view.spec["cordoned"], view.metadata.resource_version), (&json!(true), Some(2)));
    let stale = operator.put_if(&host, &spec, Some(1)).await;
    assert_eq!(status_of(stale), 412, "somebody cordoned it meanwhile");
    operator.act(&host, "uncordon").await.expect("accepted");
    assert_eq!(operator.get(&host).await.expect("the host").spec["cordoned"], Value::Null);
    assert!(
        operator
            .act(&host, "revoke")
            .await
            .expect_err("it never joined")
            .to_string()
            .contains("never enrolled")
    );
    let collection = Urn::global(Kind::Host, "");
    let listed = operator.list(&collection).await.expect("a list");
    assert_eq!(listed.items.iter().map(|host| host.metadata.name.as_str()).collect::<Vec<_>>(), ["h9"]);
    let alice = &bench.alice;
    assert_eq!(status_of(alice.get(&host).await), 403);
    assert_eq!(status_of(alice.list(&collection).await), 403);
    assert_eq!(status_of(alice.put(&host, &spec).await), 403);
    assert_eq!(status_of(alice.act(&host, "cordon").await), 403);
    assert_eq!(status_of(alice.delete(&host).await), 403);
    operator.delete(&host).await.expect("it is empty");
    gone(operator, &host).await;
}

async fn tokens(bench: &Bench) {
    let layout = &bench.cluster.layout;
    let mallory = bench.cluster.client(1, "mallory").expect("a client");
    let body = json!({ "spec": { "sizeGB": 5, "skuRef": "skus/le500" } });
    for tenant in ["acme", "no-such-tenant"] {
        let urn = Urn::workspace(Kind::BlockStorage, tenant, "w", "v");
        assert_eq!(status_of(mallory.get(&urn).await), 403);
        assert_eq!(status_of(mallory.put(&urn, &body).await), 403);
        assert_eq!(
            status_of(mallory.put(&urn, &json!({ "spec": 5 })).await),
            403,
            "rights come before content"
        );
        assert_eq!(status_of(mallory.delete(&urn).await), 403);
        assert_eq!(status_of(mallory.list(&urn).await), 403);
    }
    assert_eq!(
        status_of(
            bench
                .alice
                .put(&Urn::global(Kind::Tenant, "mine"), &json!({ "spec": { "owners": ["alice"] } }))
                .await
        ),
        403
    );
    assert_eq!(status_of(bench.alice.get(&Urn::global(Kind::Host, "h")).await), 403);
    assert_eq!(status_of(bench.operator.get(&volume("v")).await), 403, "an operator is no owner");
    let join_token = layout.join_token(&["--host", "host-1"]).expect("a token");
    for token in ["", "garbage", join_token.as_str()] {
        let client = Client::new(&layout.url(1), token).expect("a client");
        for row in Kind::table() {
            let urn = Urn::network(row.kind, "acme", "w", "n", "x").sibling(row.kind, "x");
            assert_eq!(status_of(client.get(&urn).await), 401, "{}", row.name);
            assert_eq!(status_of(client.put(&urn, &json!({})).await), 401, "{}", row.name);
        }
    }
}

async fn ten_equal_puts_in_parallel(alice: &Client) {
    let urn = volume("ten");
    let body = json!({ "spec": { "sizeGB": 5, "skuRef": "skus/le500" } });
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (alice, urn, body) = (alice.clone(), urn.clone(), body.clone());
            tokio::spawn(async move { alice.put(&urn, &body).await.expect("accepted") })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("it ends"));
    }
    assert_eq!(answers.iter().filter(|(created, _)| *created).count(), 1);
    let mut versions: Vec<_> =
        answers.iter().filter_map(|(_, view)| view.metadata.resource_version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=10).collect::<Vec<u64>>());
}

/// One name, and as many bodies as callers, all under one request id of theirs: one makes it, whoever wants what cannot change to
/// be otherwise is told, and of those who all saw one version one changes it.
async fn ten_unequal_puts_in_parallel(bench: &Bench) {
    let urn = volume("unequal");
    let url = bench.alice.url(&urn);
    let token = bench.cluster.layout.token("alice").expect("a token");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let body = |number: usize, sku: &str| json!({ "annotations": { "by": number.to_string() }, "spec": { "sizeGB": 5, "skuRef": sku } });
    let all = async |bodies: Vec<Value>, version: Option<u64>| {
        let mut tasks = Vec::new();
        for body in bodies {
            let mut request = http.put(&url).bearer_auth(token.trim()).json(&body);
            request = request.header("x-request-id", "01900000-0000-7000-8000-000000000001");
            request = request.header("idempotency-key", "the-same");
            if let Some(version) = version {
                request = request.header("if-unmodified-since", version);
            }
            tasks.push(tokio::spawn(async move {
                let answer = request.send().await.expect("an answer");
                (answer.status().as_u16(), body, answer.json::<Value>().await.expect("JSON"))
            }));
        }
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.expect("it ends"));
        }
        answers
    };
    let count = |answers: &[(u16, Value, Value)], status: u16| {
        answers.iter().filter(|(got, ..)| *got == status).count()
    };

    let skus = ["skus/le500", "skus/le5k"];
    let answers = all((0..10).map(|number| body(number, skus[number % 2])).collect(), None).await;
    assert_eq!(count(&answers, 201), 1, "{answers:?}");
    let (_, made, _) = answers.iter().find(|(status, ..)| *status == 201).expect("one made it");
    for (status, sent, got) in &answers {
        if sent["spec"] == made["spec"] {
            assert!([200, 201].contains(status), "{sent}: {got}");
            assert_eq!(got["annotations"], sent["annotations"], "each is answered as it asked");
        } else {
            let detail = got["detail"].as_str().expect("words");
            assert!(*status == 412 && detail.contains("/spec/skuRef: cannot be changed"), "{sent}: {got}");
        }
    }
    let view = bench.alice.get(&urn).await.expect("it is there");
    assert_eq!(view.metadata.resource_version, Some(5), "refused ones count for nothing");

    let answers = all(
        (10..20).map(|number| body(number, made["spec"]["skuRef"].as_str().expect("text"))).collect(),
        Some(5),
    )
    .await;
    assert_eq!((count(&answers, 200), count(&answers, 412)), (1, 9), "{answers:?}");
    let refused = answers.iter().filter(|(status, ..)| *status == 412);
    for (.., got) in refused {
        assert_eq!(got["type"], "http://secapi.cloud/errors/precondition-failed", "{got}");
    }
    let (_, won, _) = answers.iter().find(|(status, ..)| *status == 200).expect("one won");
    let view = bench.alice.get(&urn).await.expect("it is there");
    assert_eq!(
        (json!(view.annotations), view.metadata.resource_version),
        (won["annotations"].clone(), Some(6))
    );
    // With a version, nothing is made: there is none to be seen.
    let first = bench.alice.put_if(&volume("never"), &body(0, skus[0]), Some(0)).await;
    assert_eq!(status_of(first), 412);
}

/// Both read, change and write, again and again, each as it likes: with the version read, no change is lost; without, the
/// last one holds.
async fn two_clients_and_one_object(bench: &Bench) {
    const EACH: u64 = 30;
    let urn = workspace("shared");
    let counted = |count: u64| json!({ "annotations": { "count": count.to_string() } });
    bench.alice.put(&urn, &counted(0)).await.expect("a workspace");
    let count_up = |client: Client| {
        let urn = urn.clone();
        async move {
            let mut lost = 0;
            for _ in 0..EACH {
                loop {
                    let view = client.get(&urn).await.expect("it is there");
                    let count: u64 =
                        view.annotations.expect("annotations")["count"].parse().expect("a number");
                    let version = view.metadata.resource_version;
                    match client.put_if(&urn, &counted(count + 1), version).await {
                        Ok(_) => break,
                        Err(error) => assert_eq!(error.status(), Some(412), "{error}"),
                    }
                    lost += 1;
                }
            }
            lost
        }
    };
    let other = bench.cluster.client(1, "alice").expect("a client");
    let (first, second) =
        tokio::join!(tokio::spawn(count_up(bench.alice.clone())), tokio::spawn(count_up(other.clone())));
    let view = bench.alice.get(&urn).await.expect("it is there");
    assert_eq!(view.annotations.expect("annotations")["count"], (2 * EACH).to_string(), "no change is lost");
    assert_eq!(view.metadata.resource_version, Some(1 + 2 * EACH), "refused ones count for nothing");
    let lost = first.expect("it ends") + second.expect("it ends");
    // Without a version nobody is refused, and each writes over the other.
    let blind = |client: Client, count| {
        let (urn, body) = (urn.clone(), counted(count));
        tokio::spawn(async move {
            for _ in 0..EACH {
                client.put(&urn, &body).await.expect("accepted");
            }
        })
    };
    let (first, second) = tokio::join!(blind(bench.alice.clone(), 1000), blind(other, 2000));
    first.and(second).expect("accepted, all of them");
    let view = bench.alice.get(&urn).await.expect("it is there");
    assert_eq!(view.metadata.resource_version, Some(1 + 4 * EACH), "{lost} had to try again before");
    let last = view.annotations.expect("annotations")["count"].clone();
    assert!(["1000", "2000"].contains(&last.as_str()), "{last}");
}
