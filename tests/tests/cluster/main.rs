//! Three replicas as real processes, each with its own Postgres: what a cluster promises while processes die.
//!
//! (Kills while clients write, and what their histories must then be: `tests/crash`.)
//!
//! No host takes part: workspaces, volumes and networks are objects, and that is enough to lose one or to double it.

mod bench;
mod failures;
mod start;

use bench::{Bench, Caller, bench, channel, history, no_panics, quiet, volume, volume_body, workspace};
use rempart_api::{Kind, Urn};
use rempart_proto::agent::v1::fleet_client::FleetClient;
use rempart_proto::raft::v1::Payload;
use rempart_proto::raft::v1::leader_client::LeaderClient;
use rempart_proto::raft::v1::raft_client::RaftClient;
use rempart_tests::Layout;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_are_one() {
    let mut bench = bench().await;
    bench.stage("any_replica_serves");
    any_replica_serves(&bench).await;
    bench.stage("the_same_errors_everywhere");
    the_same_errors_everywhere(&bench).await;
    quiet(&bench);
    bench.stage("strangers_are_refused");
    strangers_are_refused(&bench).await;
    bench.stage("every_write_is_in_the_history");
    every_write_is_in_the_history(&bench).await;
    bench.stage("postgres_dies");
    failures::postgres_dies(&bench).await;
    bench.stage("the_leader_leaves");
    failures::the_leader_leaves(&mut bench).await;
    bench.stage("a_leader_that_slept_says_nothing_stale");
    failures::a_leader_that_slept_says_nothing_stale(&bench).await;
    bench.stage("a_replica_catches_up");
    failures::a_replica_catches_up(&mut bench).await;
    bench.stage("a_majority_is_down");
    failures::a_majority_is_down(&mut bench).await;
    bench.stage("all_die_at_once");
    failures::all_die_at_once(&mut bench).await;
    no_panics(&bench);
}

/// What one replica acknowledged, every other one shows at once.
async fn any_replica_serves(bench: &Bench) {
    let alice = bench.caller("alice");
    let leader = bench.leader().await;
    let followers: Vec<usize> = (1..=3).filter(|id| *id != leader).collect();
    let urn = volume("anywhere");
    let mut version = 0;
    for round in 0..8_u64 {
        for writer in [followers[0], leader, followers[1]] {
            let mark = format!("{round}-{writer}");
            let written = alice.put(writer, &urn, &volume_body(&mark)).await.expect("an answer");
            version += 1;
            assert_eq!(written.status, if version == 1 { 201 } else { 200 }, "{written:?}");
            assert_eq!(written.version(), version);
            for reader in 1..=3 {
                let read = alice.get(reader, &urn).await.expect("an answer");
                assert_eq!(read.status, 200, "via {reader}: {read:?}");
                assert_eq!(
                    (read.version(), &read.body["annotations"]["mark"]),
                    (version, &json!(mark)),
                    "via {reader}"
                );
            }
        }
    }
    // All of them at the same object at once: one after the other, in any order.
    let tasks: Vec<_> = (0..30)
        .map(|number| {
            let (alice, urn) = (alice.clone(), urn.clone());
            tokio::spawn(async move {
                alice.put(number % 3 + 1, &urn, &volume_body("x")).await.expect("an answer").version()
            })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.expect("it ends"));
    }
    versions.sort_unstable();
    assert_eq!(versions, (version + 1..=version + 30).collect::<Vec<_>>());
    // Lists too.
    let mut lists = Vec::new();
    for id in 1..=3 {
        let client = bench.cluster.client(id, "alice").expect("a client");
        let list = client.list(&urn).await.expect("a list");
        lists.push(serde_json::to_value(list).expect("JSON")["items"].clone());
    }
    assert!(
        lists.iter().all(|list| *list == lists[0] && list.as_array().is_some_and(|items| items.len() == 1)),
        "{lists:?}"
    );
}

async fn the_same_errors_everywhere(bench: &Bench) {
    let (alice, mallory) = (bench.caller("alice"), bench.caller("mallory"));
    let nobody = Caller { token: "nonsense".to_owned(), ..alice.clone() };
    let orphan = Urn::workspace(Kind::BlockStorage, "acme", "missing", "v");
    let wrong = json!({ "spec": { "sizeGB": "5", "skuRef": "skus/le500" } });
    let good = volume_body("m");
    let long = volume(&"x".repeat(129));
    type Case<'c> = (&'c Caller, Method, Urn, Option<&'c Value>, Option<u64>, u16);
    let cases: Vec<Case<'_>> = vec![
        (&nobody, Method::GET, volume("v"), None, None, 401),
        (&nobody, Method::PUT, volume("v"), Some(&good), None, 401),
        (&mallory, Method::GET, volume("anywhere"), None, None, 403),
        (&mallory, Method::PUT, volume("anywhere"), Some(&good), None, 403),
        (&mallory, Method::PUT, volume("anywhere"), Some(&wrong), None, 403),
        (&mallory, Method::DELETE, volume("anywhere"), None, None, 403),
        (&alice, Method::GET, volume("absent"), None, None, 404),
        (&alice, Method::DELETE, volume("absent"), None, None, 404),
        (&alice, Method::PUT, volume("v"), Some(&wrong), None, 400),
        (&alice, Method::PUT, long, Some(&good), None, 412),
        (&alice, Method::PUT, orphan, Some(&good), None, 412),
        (&alice, Method::PUT, volume("anywhere"), Some(&good), Some(1), 412),
        (&alice, Method::DELETE, workspace("w"), None, None, 412),
        (&alice, Method::POST, volume("anywhere"), None, None, 405),
    ];
    for (caller, method, urn, body, version, status) in cases {
        let mut answers = Vec::new();
        for id in 1..=3 {
            let answer = caller.call(id, method.clone(), &urn, body, version).await.expect("an answer");
            assert_eq!(answer.status, status, "{method} {urn} via {id}: {answer:?}");
            assert_eq!(answer.media, "application/problem+json", "{method} {urn} via {id}");
            assert!(answer.request_id.is_some(), "{method} {urn} via {id}");
            answers.push(answer.body);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{method} {urn}: {answers:#?}");
    }
}

/// A peer of another cluster. (Hosts, join tokens and expiry: `tests/identity.rs`.)
async fn strangers_are_refused(bench: &Bench) {
    let layout = &bench.cluster.layout;
    let foreign = Layout { dir: bench.dir.path().join("foreign"), ..layout.clone() };
    std::fs::create_dir_all(&foreign.dir).expect("a directory");
    foreign.init().expect("another cluster");
    let mut peer = RaftClient::new(channel(layout, 1));
    peer.describe(Payload::default()).await.expect("a peer is answered");
    let mut stranger = RaftClient::new(channel(&foreign, 1));
    stranger.describe(Payload::default()).await.expect_err("another cluster's");
    stranger.append_entries(Payload::default()).await.expect_err("another cluster's");
    let mut stranger = LeaderClient::new(channel(&foreign, 1));
    stranger.execute(Payload::default()).await.expect_err("another cluster's");
    // A controller is no host.
    let mut agents = FleetClient::new(channel(layout, 1));
    let refused = agents.session(tokio_stream::pending()).await.map(|_| ()).expect_err("no host");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused:?}");
    let token = layout.join_token(&["--host", "h"]).expect("a token");
    for token in [foreign.token("alice").expect("a token"), token] {
        let caller = Caller { token, ..bench.caller("alice") };
        assert_eq!(caller.get(1, &volume("anywhere")).await.expect("an answer").status, 401);
    }
}

/// One row per accepted write, with who and which request; none for what was refused before it was proposed.
async fn every_write_is_in_the_history(bench: &Bench) {
    let (alice, mallory) = (bench.caller("alice"), bench.caller("mallory"));
    let mut expected = Vec::new();
    let urn = volume("told");
    for id in 1..=3 {
        let refused = mallory.put(id, &urn, &volume_body("no")).await.expect("an answer");
        assert_eq!(refused.status, 403);
        let put = alice.put(id, &urn, &volume_body("yes")).await.expect("an answer");
        expected.push((put.request_id.expect("an id"), "put"));
    }
    let deleted = alice.call(2, Method::DELETE, &urn, None, None).await.expect("an answer");
    assert_eq!(deleted.status, 202, "{deleted:?}");
    let last = deleted.request_id.expect("an id");
    expected.push((last, "delete"));
    let rows = history(bench, last).await;
    let told: Vec<_> = rows.iter().filter(|row| row.subject == urn.to_string()).collect();
    assert_eq!(told.iter().map(|row| (row.request_id, row.action.as_str())).collect::<Vec<_>>(), expected);
    assert!(told.iter().all(|row| row.actor == "alice" && row.accepted), "{told:?}");
}
