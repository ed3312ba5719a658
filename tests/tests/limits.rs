//! What one caller may take, and where operators are served.

use std::net::TcpListener;

use rempart_api::client::{Client, ClientError};
use rempart_api::{Kind, Urn};
use rempart_tests::Cluster;
use serde_json::json;

fn status<T: std::fmt::Debug>(answer: &Result<T, ClientError>) -> u16 {
    match answer {
        Ok(_) => 200,
        Err(error) => error.status().unwrap_or_else(|| panic!("no answer: {error}")),
    }
}

fn acme() -> Urn {
    Urn::global(Kind::Tenant, "acme")
}

#[tokio::test]
async fn who_asks_too_often_is_told_to_wait_and_others_are_served() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = [("REMPART_REQUESTS_PER_SECOND", "20")];
    let cluster = Cluster::start_with(&dir.path().join("c"), 1, &settings).await.expect("a cluster");
    let client = |subject: &str| cluster.client(1, subject).expect("a client");
    let (operator, alice, bob) = (client("operator"), client("alice"), client("bob"));
    let tenant = json!({ "spec": { "owners": ["alice", "bob"] } });
    operator.put(&acme(), &tenant).await.expect("a tenant");

    // As fast as it goes, until it does not: forty are granted at once, and twenty a second.
    let token = cluster.layout.token("alice").expect("a token");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = alice.url(&acme());
    let mut granted = 0;
    let refused = loop {
        let answer = http.get(&url).bearer_auth(token.trim()).send().await.expect("an answer");
        if answer.status().as_u16() == 429 {
            break answer;
        }
        assert_eq!(answer.status().as_u16(), 200);
        granted += 1;
        assert!(granted < 10_000, "there is no limit");
    };
    assert!(granted >= 40, "{granted}");
    let wait = refused.headers().get("retry-after").and_then(|wait| wait.to_str().ok()).map(str::to_owned);
    assert_eq!(wait.as_deref(), Some("1"));
    let problem: serde_json::Value = refused.json().await.expect("a problem");
    assert_eq!(problem["status"], 429, "{problem}");
    assert_eq!(status(&bob.get(&acme()).await), 200, "it is not his doing");
    let again = rempart_tests::until_some("alice to be served again", rempart_tests::PATIENCE, || async {
        match alice.get(&acme()).await {
            Ok(view) => Ok(view),
            Err(error) => Err(error.to_string()),
        }
    });
    again.await;
}

#[tokio::test]
async fn operators_are_served_at_their_own_address_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let address = free.to_string();
    let settings = [("REMPART_OPERATOR_LISTEN", address.as_str())];
    let cluster = Cluster::start_with(&dir.path().join("c"), 1, &settings).await.expect("a cluster");
    let there = |subject: &str| {
        let token = cluster.layout.token(subject).expect("a token");
        Client::new(&format!("http://{address}"), token.trim()).expect("a client")
    };
    let here = |subject: &str| cluster.client(1, subject).expect("a client");
    let tenant = json!({ "spec": { "owners": ["alice", "operator"] } });
    assert_eq!(status(&here("operator").put(&acme(), &tenant).await), 403, "here nobody is an operator");
    assert_eq!(status(&here("operator").list(&Urn::global(Kind::Host, "")).await), 403);
    assert_eq!(status(&there("operator").put(&acme(), &tenant).await), 200);
    assert_eq!(status(&there("operator").list(&Urn::global(Kind::Host, "")).await), 200);
    assert_eq!(status(&there("alice").get(&acme()).await), 403, "there nobody else is served");
    // In a tenant of theirs they are owners like others, here as there.
    assert_eq!(status(&here("operator").get(&acme()).await), 200);
    assert_eq!(status(&here("alice").get(&acme()).await), 200);
    let workspace = Urn::tenant(Kind::Workspace, "acme", "w");
    assert_eq!(status(&here("alice").put(&workspace, &json!({})).await), 200);
    assert_eq!(status(&there("operator").get(&workspace).await), 200);
}
