//! One request through all logs, and what is counted meanwhile. With a real guest.

use std::time::Duration;

use rempart_tests::{Cluster, Lab, until_some};
use serde_json::{Value, json};

use crate::repository;

/// Sends a request as alice; the id of the request.
async fn request(lab: &Lab, method: reqwest::Method, path: &str, body: Option<Value>) -> String {
    let token = lab.cluster.layout.token("alice").expect("a token");
    let url = format!("{}/providers/{path}", lab.cluster.layout.url(1));
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut request = http.request(method, url).bearer_auth(token);
    request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    // Not ours to take: it would be an answer to somebody else's request.
    request = request.header("x-request-id", "00000000-0000-7000-8000-000000000001");
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    let id = answer.headers().get("x-request-id").expect("an id").to_str().expect("text").to_owned();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    assert!(!id.starts_with("00000000"), "{id}");
    id
}

/// Waits until the lines of a log that name the request say all of `words`, each in a line of its own kind.
async fn says(what: &str, log: impl Fn() -> String, id: &str, words: &[&str]) {
    until_some(what, Duration::from_secs(60), || {
        let lines: Vec<String> = log().lines().filter(|line| line.contains(id)).map(str::to_owned).collect();
        let missing: Vec<&str> =
            words.iter().copied().filter(|word| !lines.iter().any(|line| line.contains(word))).collect();
        let seen = format!("{missing:?} missing in\n{}", lines.join("\n"));
        async move { if seen.starts_with("[]") { Ok(()) } else { Err(seen) } }
    })
    .await;
}

/// The metrics that a daemon says in its log to have.
async fn metrics(log: &str) -> String {
    let line = log.lines().find(|line| line.contains("metrics are at")).expect("it says where");
    let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let url = format!("http://{}/metrics", address.expect("an address"));
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    http.get(url).send().await.expect("an answer").text().await.expect("text")
}

/// The names in the table of `docs/operating/metrics.md` under a heading.
fn documented(heading: &str) -> Vec<String> {
    let path = repository().join("docs/operating/metrics.md");
    let page = std::fs::read_to_string(path).expect("docs/operating/metrics.md");
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the section");
    let names = section.lines().filter_map(|line| line.strip_prefix("| `rempart_"));
    names.filter_map(|rest| rest.split(['`', '{']).next()).map(|name| format!("rempart_{name}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_is_found_in_all_logs_down_to_libvirt() {
    let lab = Lab::open(1).await;
    let workspace = "tenants/acme/workspaces/w";
    let disk = json!({ "sizeGB": 1, "skuRef": "skus/le500", "sourceImageRef": "tenants/public/images/tiny" });
    let volume = format!("seca.storage/v1/{workspace}/block-storages/web");
    request(&lab, reqwest::Method::PUT, &volume, Some(json!({ "spec": disk }))).await;
    let mut body = lab.body("web", json!({ "userData": "#canary-5c1d" }));
    body["spec"]["sshKeys"] = json!(["ssh-ed25519 canary-5c1d"]);
    let path = format!("seca.compute/v1/{workspace}/instances/web");
    let put = request(&lab, reqwest::Method::PUT, &path, Some(body)).await;
    lab.active(&rempart_tests::instance("web")).await;
    let start = request(&lab, reqwest::Method::POST, &format!("{path}/start"), None).await;

    let controller = || std::fs::read_to_string(lab.cluster.layout.log(1)).unwrap_or_default();
    let agent = || lab.daemon.as_ref().expect("it runs").log();
    let words = ["answered", "applied", "sent to the agent"];
    says("the PUT in the controller's log", controller, &put, &words).await;
    says("the start in the controller's log", controller, &start, &words).await;
    let words = ["create volume", "define", "libvirt"];
    says("the PUT in the agent's log", agent, &put, &words).await;
    says("the start in the agent's log", agent, &start, &["action=\"start\"", "libvirt"]).await;
    for log in [controller(), agent()] {
        assert!(!log.contains("canary-5c1d"), "what a tenant wrote is in a log");
    }

    // What is counted is what is documented, and the other way round.
    for (heading, log) in [("Metrics of a controller", controller()), ("Metrics of an agent", agent())] {
        let (seen, documented) = (metrics(&log).await, documented(heading));
        assert!(documented.len() >= 8, "{documented:?}");
        for name in &documented {
            let rare =
                ["_refused_total", "_ended_total", "rempart_refusals_total", "rempart_oidc_fetches_total"];
            let is_rare = rare.iter().any(|end| name.ends_with(end));
            assert!(is_rare || seen.contains(name.as_str()), "{name} is documented and not there:\n{seen}");
        }
        for name in seen.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(
                documented.iter().any(|known| known == name),
                "{name} is not in docs/operating/metrics.md"
            );
        }
        assert!(!seen.contains("acme") && !seen.contains("\"h1\""), "a name is a label:\n{seen}");
    }
    let seen = metrics(&controller()).await;
    for line in [
        "rempart_raft_is_leader 1",
        "rempart_postgres_up 1",
        "rempart_hosts{state=\"ready\"} 1",
        "rempart_agent_sessions 1",
        "rempart_objects{kind=\"instance\",state=\"active\"}",
        "route=\"tenants/-/workspaces/-/instances/-\"",
    ] {
        assert!(seen.contains(line), "{line} is not in\n{seen}");
    }

    // The agent ends in good order, and the guest does not notice.
    let uid = lab.domains().into_iter().next().expect("a domain");
    let mut lab = lab;
    lab.says(&uid, "tiny: ready").await;
    let status = lab.daemon.take().expect("it runs").terminate().expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(lab.qemu_runs(&uid), "the guest runs on");
    lab.start_agent();
    lab.delete("web").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_at_a_follower_is_found_at_the_leader() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("c"), 3).await.expect("a cluster");
    let leads = |id: usize| {
        let log = std::fs::read_to_string(cluster.layout.log(id)).unwrap_or_default();
        async move { metrics(&log).await.contains("rempart_raft_is_leader 1") }
    };
    let (mut leader, mut follower) = (None, None);
    for id in 1..=3 {
        *(if leads(id).await { &mut leader } else { &mut follower }) = Some(id);
    }
    let (leader, follower) = (leader.expect("a leader"), follower.expect("a follower"));
    let token = cluster.layout.token("operator").expect("a token");
    let url = format!("{}/providers/rempart.tenancy/v1/tenants/acme", cluster.layout.url(follower));
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let put = http.put(url).bearer_auth(token).json(&json!({ "spec": { "owners": ["alice"] } }));
    let answer = put.send().await.expect("an answer");
    let id = answer.headers().get("x-request-id").expect("an id").to_str().expect("text").to_owned();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    let log = |replica| {
        let path = cluster.layout.log(replica);
        move || std::fs::read_to_string(&path).unwrap_or_default()
    };
    says("the follower's log", log(follower), &id, &["answered", "applied"]).await;
    says("the leader's log", log(leader), &id, &["answered to a follower", "applied"]).await;

    // Who has no right is in the log, under the request's id and his name.
    let token = cluster.layout.token("mallory").expect("a token");
    let url = format!("{}/providers/rempart.tenancy/v1/tenants/acme", cluster.layout.url(follower));
    let answer = http.delete(url).bearer_auth(token).send().await.expect("an answer");
    let id = answer.headers().get("x-request-id").expect("an id").to_str().expect("text").to_owned();
    assert_eq!(answer.status().as_u16(), 403);
    says("the refusal", log(follower), &id, &["audit", "mallory", "forbidden"]).await;
}
