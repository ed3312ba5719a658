//! Lists over HTTP: pages at any controller while others write, selectors, and what is refused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rempart_api::client::Client;
use rempart_api::{Kind, ResourceList, Urn};
use rempart_tests::Cluster;
use serde_json::{Value, json};

struct Lab {
    _dir: tempfile::TempDir,
    cluster: Cluster,
    alice: Client,
    http: reqwest::Client,
    token: String,
}

/// Three controllers, and tenant `acme`, owned by alice.
async fn lab() -> Lab {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("c"), 3).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    let alice = cluster.client(1, "alice").expect("a client");
    let token = cluster.layout.token("alice").expect("a token");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    Lab { _dir: dir, cluster, alice, http, token }
}

fn workspace(name: &str) -> Urn {
    Urn::tenant(Kind::Workspace, "acme", name)
}

fn stays(number: usize) -> String {
    format!("w{number:03}")
}

impl Lab {
    /// A list at a controller: status and body.
    async fn ask(
        &self,
        controller: usize,
        collection: &str,
        query: &[(&str, &str)],
        accept: &str,
    ) -> (u16, Value) {
        let url = format!("{}/providers/{collection}", self.cluster.layout.url(controller));
        let request = self.http.get(url).query(query).bearer_auth(&self.token).header("accept", accept);
        let answer = request.send().await.expect("an answer");
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or("");
        assert!(kind.contains("json"), "{kind}");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn workspaces(&self, controller: usize, query: &[(&str, &str)]) -> ResourceList {
        let (status, body) = self.ask(controller, WORKSPACES, query, "application/json").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_value(body).expect("a list")
    }

    /// All pages, each at another controller.
    async fn walk(&self, limit: &str, labels: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut token: Option<String> = None;
        for page in 0.. {
            let mut query = vec![("limit", limit), ("labels", labels)];
            query.extend(token.as_deref().map(|token| ("skipToken", token)));
            let list = self.workspaces(1 + page % 3, &query).await;
            names.extend(list.items.into_iter().map(|item| item.metadata.name));
            token = list.metadata.skip_token;
            if token.is_none() {
                break;
            }
        }
        names
    }
}

const WORKSPACES: &str = "seca.workspace/v1/tenants/acme/workspaces";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_every_list_while_others_write() {
    let lab = lab().await;
    for number in 0..300 {
        let tier = if number % 10 == 0 { "gold" } else { "iron" };
        let body = json!({ "labels": { "tier": tier, "n": number.to_string(), "ns:key": "v" } });
        lab.alice.put(&workspace(&stays(number)), &body).await.expect("a workspace");
    }
    metadata(&lab).await;
    walks(&lab).await;
    selectors(&lab).await;
    deleted(&lab).await;
    refusals(&lab).await;
}

async fn metadata(lab: &Lab) {
    let list = lab.workspaces(1, &[("limit", "2")]).await;
    let said = (&list.metadata.provider[..], &list.metadata.resource[..], &list.metadata.verb[..]);
    assert_eq!(said, ("seca.workspace/v1", "workspaces", "GET"));
    assert_eq!(list.items.len(), 2);
    let token = list.metadata.skip_token.expect("there are more");
    assert!(!token.contains("w001"), "opaque");
    let whole = lab.workspaces(1, &[]).await;
    assert_eq!(
        (whole.items.len(), whole.metadata.skip_token),
        (300, None),
        "1000 unless asked for otherwise"
    );
}

async fn walks(lab: &Lab) {
    let stop = Arc::new(AtomicBool::new(false));
    // Between those that stay: created, replaced and deleted all the time, by two writers at two controllers.
    let writers: Vec<_> = (0..2)
        .map(|writer: usize| {
            let client = lab.cluster.client(writer + 2, "alice").expect("a client");
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut writes = 0;
                while !stop.load(Ordering::Relaxed) {
                    let name = format!("w{:03}-{writer}", (writes * 37) % 300);
                    let urn = workspace(&name);
                    client.put(&urn, &json!({ "labels": { "tier": "gold", "n": "1" } })).await.expect("put");
                    client.delete(&urn).await.expect("deleted");
                    writes += 1;
                }
                writes
            })
        })
        .collect();
    for limit in ["3", "50", "10000"] {
        for (labels, expected) in
            [("n>=0", (0..300).collect::<Vec<_>>()), ("tier=gold", (0..300).step_by(10).collect())]
        {
            let met = lab.walk(limit, labels).await;
            let once: BTreeSet<&str> = met.iter().map(String::as_str).collect();
            assert_eq!(once.len(), met.len(), "{limit} {labels}: one was met twice");
            let lost = expected.iter().map(|n| stays(*n)).filter(|name| !once.contains(name.as_str()));
            assert_eq!(lost.collect::<Vec<_>>(), Vec::<String>::new(), "{limit} {labels}: lost");
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.expect("it ends") > 10, "they did write meanwhile");
    }
}

async fn selectors(lab: &Lab) {
    for (labels, expected) in [
        ("tier=gold", 30),
        ("tier==gold,n<100", 10),
        ("tier!=gold", 270),
        ("*ie*=g*d", 30),
        ("ns:key=v,n>=290", 10),
        ("n>9.5,n<=12", 3),
        ("missing", 0),
        ("!missing", 300),
        ("missing!=x", 300),
        ("tier", 300),
        ("tier=Gold", 0),
    ] {
        let found = lab.walk("10000", labels).await.into_iter().filter(|name| name.len() == 4).count();
        assert_eq!(found, expected, "{labels}");
    }
}

async fn deleted(lab: &Lab) {
    let network = Urn::workspace(Kind::Network, "acme", &stays(0), "n");
    let spec = json!({ "spec": { "cidr": { "ipv4": "10.0.0.0/16" }, "skuRef": "skus/n1k" } });
    lab.alice.put(&network, &spec).await.expect("a network");
    let networks = format!("seca.network/v1/tenants/acme/workspaces/{}/networks", stays(0));
    for (accept, expected) in [
        ("application/json", 1),
        ("application/json; deleted=true", 1),
        ("application/json; deleted=only", 0),
        ("*/*", 1),
    ] {
        let (status, body) = lab.ask(1, &networks, &[], accept).await;
        let items = body["items"].as_array().map(Vec::len);
        assert_eq!((status, items), (200, Some(expected)), "{accept}: {body}");
    }
    assert_eq!(lab.ask(1, &networks, &[], "application/json; deleted=perhaps").await.0, 400);
    assert_eq!(lab.ask(1, &networks, &[], "text/html").await.0, 406);
}

/// Tampered tokens and selectors that are made to explode, among others.
async fn refusals(lab: &Lab) {
    let first = lab.workspaces(1, &[("limit", "5"), ("labels", "tier=gold")]).await;
    let token = first.metadata.skip_token.expect("there are more");
    let mut tampered = token.clone().into_bytes();
    tampered[3] = if tampered[3] == b'x' { b'y' } else { b'x' };
    let tampered = String::from_utf8(tampered).expect("ASCII");
    let long = "a".repeat(2049);
    let many = vec!["a"; 33].join(",");
    let same = ("labels", "tier=gold");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[same, ("skipToken", &tampered)], "skipToken"),
        (&[same, ("skipToken", &token[1..])], "skipToken"),
        (&[same, ("skipToken", "w001")], "skipToken"),
        (&[("labels", "tier=iron"), ("skipToken", &token)], "skipToken"),
        (&[("skipToken", &token)], "skipToken"),
        (&[("limit", "0")], "limit"),
        (&[("limit", "10001")], "limit"),
        (&[("limit", "-5")], "limit"),
        (&[("limit", "many")], "limit"),
        (&[("limit", "5"), ("limit", "6")], "limit"),
        (&[("labels", "=gold")], "labels"),
        (&[("labels", "tier=gold,")], "labels"),
        (&[("labels", "tier in (gold,iron)")], "labels"),
        (&[("labels", "n>many")], "labels"),
        (&[("labels", &long)], "labels"),
        (&[("labels", &many)], "labels"),
    ];
    for (query, parameter) in cases {
        let (status, body) = lab.ask(2, WORKSPACES, query, "application/json").await;
        assert_eq!(status, 400, "{query:?}: {body}");
        assert_eq!(body["type"], "http://secapi.cloud/errors/invalid-request");
        assert_eq!(body["sources"][0]["parameter"], *parameter, "{query:?}: {body}");
    }
    let (_, body) = lab.ask(1, WORKSPACES, &[("labels", "tier=gold,,n")], "application/json").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("character 11")), "{body}");
    // The token is of one collection.
    let elsewhere = "seca.storage/v1/tenants/acme/images";
    let (status, body) = lab.ask(1, elsewhere, &[same, ("skipToken", &token)], "application/json").await;
    assert_eq!((status, &body["sources"][0]["parameter"]), (400, &json!("skipToken")), "{body}");
    // Who has no right is told that, whatever the parameters are worth.
    for tenant in ["other", "acme2"] {
        let collection = format!("seca.workspace/v1/tenants/{tenant}/workspaces");
        for query in [&[("limit", "0")], &[("skipToken", "x")], &[("labels", "=")], &[("labels", "a")]] {
            assert_eq!(lab.ask(1, &collection, query, "application/json").await.0, 403, "{query:?}");
        }
    }
    let labels: serde_json::Map<_, _> = (0..129).map(|n| (format!("k{n}"), json!("v"))).collect();
    let refused =
        lab.alice.put(&workspace("many"), &json!({ "labels": labels })).await.expect_err("too many");
    assert!(refused.status() == Some(412) && refused.to_string().contains("at most 128"), "{refused}");
    // Stars that make a backtracking search endless.
    let stars = format!("*={}b", "*a".repeat(900));
    let whole = lab.workspaces(3, &[("labels", &stars)]).await;
    assert_eq!((whole.items.len(), whole.metadata.skip_token), (0, None));
}
