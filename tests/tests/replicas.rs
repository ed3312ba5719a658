//! Controllers come and go, and logs are cut, while clients write.

use std::time::Duration;

use rempart_api::client::{Client, ClientError};
use rempart_api::cluster::{Replica, ReplicaRole};
use rempart_api::{Kind, Urn};
use rempart_tests::database::query;
use rempart_tests::{Cluster, Layout, until_some};
use serde_json::json;

/// Long enough for a few of them to be a MiB of log.
const NOTE_BYTES: usize = 1000;

fn workspace(name: &str) -> Urn {
    Urn::tenant(Kind::Workspace, "acme", name)
}

/// Writes as much as makes every controller cut its log again.
async fn write_much(alice: &Client, round: &str) {
    let note = "x".repeat(NOTE_BYTES);
    let notes: serde_json::Map<_, _> = (0..20).map(|key| (format!("n{key}"), json!(note))).collect();
    for number in 0..150 {
        let urn = workspace(&format!("w{}", number % 20));
        let body = json!({ "annotations": notes, "labels": { "round": round } });
        alice.put(&urn, &body).await.expect("accepted");
    }
}

async fn one(operator: &Client, id: u64) -> Option<Replica> {
    let list = operator.replicas().await.ok()?;
    list.items.into_iter().find(|replica| replica.id == id)
}

async fn until_one(
    operator: &Client,
    id: u64,
    what: &str,
    reached: impl Fn(Option<&Replica>) -> bool,
) -> Option<Replica> {
    let what = format!("controller {id} to be {what}");
    until_some(&what, Duration::from_secs(60), || async {
        let list = operator.replicas().await.map_err(|error| error.to_string())?;
        let found = list.items.into_iter().find(|replica| replica.id == id);
        if reached(found.as_ref()) { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await
}

fn votes(replica: Option<&Replica>) -> bool {
    replica.is_some_and(|one| matches!(one.status.role, ReplicaRole::Voter | ReplicaRole::Leader))
}

fn refused(result: Result<(), ClientError>, status: u16, words: &str) {
    let error = result.expect_err("it is refused");
    assert_eq!(error.status(), Some(status), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

async fn leader(operator: &Client) -> usize {
    let list = operator.replicas().await.expect("a list");
    let leader = list.items.iter().find(|one| one.status.role == ReplicaRole::Leader).expect("a leader");
    usize::try_from(leader.id).expect("an id")
}

/// All that two controllers' databases hold is the same, history from the first entry on among it.
async fn same_databases(layout: &Layout, ids: &[usize]) {
    let everything = "SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM";
    let tables = ["(SELECT * FROM audit) t", "(SELECT * FROM resource) t", "(SELECT * FROM answer) t"];
    until_some("the databases to be the same", Duration::from_secs(30), || async {
        let digests: Vec<Vec<String>> = ids
            .iter()
            .map(|id| {
                let digest = |table| query(layout, *id, &format!("{everything} {table}"));
                tables.iter().map(digest).map(|digest| digest.expect("rows")).collect()
            })
            .collect();
        if digests.iter().all(|digest| *digest == digests[0]) { Ok(()) } else { Err(format!("{digests:?}")) }
    })
    .await;
    for id in ids {
        assert_eq!(query(layout, *id, "SELECT count(*) FROM audit_gap").expect("a row").trim(), "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_come_and_go() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let layout = Layout::with_spares(&dir.path().join("c"), 3, 2).expect("ports");
    let settings = [("REMPART_SNAPSHOT_AFTER_MIB", "1")];
    let mut cluster = Cluster::start_layout(layout, &settings).await.expect("a cluster");
    let client = |cluster: &Cluster, id, subject| {
        cluster.client(id, subject).expect("a client").patient(Duration::from_secs(20))
    };
    let operator = client(&cluster, 1, "operator");
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    let alice = client(&cluster, 1, "alice");
    refused(alice.lead_replica(2).await, 403, "");
    refused(alice.replicas().await.map(|_| ()), 403, "");

    // Everybody cuts their log, by themselves.
    write_much(&alice, "one").await;
    write_much(&alice, "two").await;
    for id in 1..=3 {
        let own =
            |replica: Option<&Replica>| replica.and_then(|one| one.status.own.clone()).unwrap_or_default();
        until_one(&operator, id, "without the beginning of its log", |one| own(one).purged_index > Some(0))
            .await;
    }

    // Leadership goes where it is asked to, and nowhere else.
    let first = leader(&operator).await;
    let second = first % 3 + 1;
    operator.lead_replica(second as u64).await.expect("handed over");
    assert_eq!(leader(&operator).await, second);
    refused(operator.lead_replica(9).await, 409, "does not vote");

    // One dies, with its disk. It comes back as another.
    let dead = second % 3 + 1;
    let alive: Vec<usize> = (1..=3).filter(|id| *id != dead).collect();
    cluster.kill(dead);
    let operator = client(&cluster, alive[0], "operator");
    for id in &alive {
        refused(operator.remove_replica(*id as u64).await, 409, &format!("[{dead}] do not"));
    }
    // Its Postgres writes until it has noticed.
    until_some("its directory to be wiped", Duration::from_secs(20), || async {
        std::fs::remove_dir_all(cluster.layout.data_dir(dead)).map_err(|error| error.to_string())
    })
    .await;
    refused(operator.join_replica(dead as u64, "127.0.0.1:1").await, 409, "takes part already");
    let taken = cluster.layout.internal_address(alive[0]);
    refused(operator.join_replica(4, &taken).await, 409, "is the address of controller");
    refused(operator.join_replica(4, "somewhere").await, 422, "HOST:PORT");
    operator.join_replica(4, &cluster.layout.internal_address(4)).await.expect("accepted");
    let joining = until_one(&operator, 4, "joining", |one| one.is_some()).await.expect("it is there");
    assert_eq!(joining.status.role, ReplicaRole::Joining);
    assert!(joining.status.waiting_for.is_some_and(|why| why.contains("to run")));
    cluster.start_controller(4).expect("it joins and starts");
    until_one(&operator, 4, "voting", votes).await;
    operator.remove_replica(dead as u64).await.expect("accepted");
    until_one(&operator, dead as u64, "gone", |one| one.is_none()).await;
    refused(operator.join_replica(dead as u64, "127.0.0.1:1").await, 409, "is not used again");
    refused(operator.remove_replica(7).await, 404, "there is no controller 7");
    cluster.ready(4).await.expect("it serves");
    let on_four = client(&cluster, 4, "alice");
    let seen = on_four.list_all(&workspace(""), None).await.expect("a list");
    assert_eq!(seen.len(), 20);
    let round =
        |one: &rempart_api::ResourceView| one.labels.as_ref().and_then(|labels| labels.get("round").cloned());
    assert!(seen.iter().all(|one| round(one).as_deref() == Some("two")));
    write_much(&on_four, "three").await;
    same_databases(&cluster.layout, &[alive[0], alive[1], 4]).await;

    // The leader itself may be asked to go.
    let leading = leader(&operator).await;
    cluster.start_controller(5).expect("it joins and starts");
    let operator = client(&cluster, 4, "operator");
    operator.join_replica(5, &cluster.layout.internal_address(5)).await.expect("accepted");
    until_one(&operator, 5, "voting", votes).await;
    operator.remove_replica(leading as u64).await.expect("accepted");
    until_one(&operator, leading as u64, "gone", |one| one.is_none()).await;
    // What was removed serves nobody any more, and disturbs nobody.
    let removed = cluster.client(leading, "alice").expect("a client");
    let answer = removed.get(&workspace("w1")).await;
    assert_eq!(answer.expect_err("it has no leader").status(), Some(503));
    let stay: Vec<usize> = [alive[0], alive[1], 4, 5].into_iter().filter(|id| *id != leading).collect();
    assert!(one(&operator, stay[0] as u64).await.is_some());

    // Whoever is killed, and started again: what was decided of the members stays decided.
    let alice = client(&cluster, 5, "alice");
    write_much(&alice, "four").await;
    for id in &stay {
        cluster.kill(*id);
    }
    for id in &stay {
        cluster.start_controller(*id).expect("it starts");
    }
    for id in &stay {
        cluster.ready(*id).await.expect("it is ready");
    }
    let operator = client(&cluster, 5, "operator");
    let members: Vec<u64> =
        operator.replicas().await.expect("a list").items.iter().map(|replica| replica.id).collect();
    let mut expected: Vec<u64> = stay.iter().map(|id| *id as u64).collect();
    expected.sort_unstable();
    assert_eq!(members, expected);
    write_much(&client(&cluster, stay[0], "alice"), "five").await;
    same_databases(&cluster.layout, &stay).await;
}
