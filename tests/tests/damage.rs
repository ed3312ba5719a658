//! A controller whose state is not that of the others serves nobody.

use std::time::Duration;

use rempart_api::client::Client;
use rempart_api::cluster::{ReplicaRole, StateDigest};
use rempart_api::{Kind, Urn};
use rempart_tests::database::query;
use rempart_tests::{Cluster, until_some};
use rustix::process::Signal;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// What all controllers had, once they have compared it after `index`.
async fn all_the_same_after(operator: &Client, index: u64, ids: &[u64]) -> u64 {
    until_some("all controllers to have the same", Duration::from_secs(30), || async {
        let list = operator.replicas().await.map_err(|error| error.to_string())?;
        let compared: Vec<Option<StateDigest>> = list
            .items
            .iter()
            .filter(|one| ids.contains(&one.id))
            .map(|one| one.status.own.as_ref().and_then(|own| own.state_digest.clone()))
            .collect();
        match &compared[0] {
            Some(first) if first.index > index && compared.iter().all(|one| one.as_ref() == Some(first)) => {
                Ok(first.index)
            }
            _ => Err(format!("{compared:?}")),
        }
    })
    .await
}

/// As `controller/src/replica/digest.rs` has it; written anew, so that it is noticed when it changes.
fn hash(body: &str) -> u128 {
    let hash = Sha256::digest(body.as_bytes());
    u128::from_be_bytes(hash[..16].try_into().expect("16 bytes"))
}

const BODY: &str = "SELECT body::text FROM resource WHERE name = 'w1'";

/// Stops a controller that has `w1` in its Postgres: what is applied is written a moment later.
async fn halt(cluster: &Cluster, id: usize) {
    until_some("the row to be written", Duration::from_secs(20), || async {
        let body = query(&cluster.layout, id, BODY).map_err(|error| error.to_string())?;
        if body.contains("truth") { Ok(()) } else { Err(body) }
    })
    .await;
    cluster.running(id).signal(Signal::STOP);
}

/// Changes what a controller has of `w1` in its Postgres, behind its back; with `digest`, so that it adds up.
fn forge(cluster: &Cluster, id: usize, digest: bool) {
    let body = query(&cluster.layout, id, BODY).expect("psql");
    let (before, after) = (body.trim_end(), body.trim_end().replace("truth", "a lie"));
    assert_ne!(before, after);
    let mut sql = format!("UPDATE resource SET body = $r${after}$r$ WHERE name = 'w1';");
    if digest {
        let sum = query(&cluster.layout, id, "SELECT digest FROM replica").expect("psql");
        let sum = u128::from_str_radix(sum.trim(), 16).expect("32 digits");
        let sum = sum.wrapping_sub(hash(before)).wrapping_add(hash(&after));
        sql += &format!("UPDATE replica SET digest = '{sum:032x}';");
    }
    query(&cluster.layout, id, &sql).expect("psql");
}

/// Starts a controller that must not serve, and gives its last words.
async fn ends(cluster: &mut Cluster, id: usize) -> String {
    cluster.start_controller(id).expect("it starts");
    ended(cluster, id).await
}

async fn ended(cluster: &mut Cluster, id: usize) -> String {
    let mut daemon = cluster.take(id);
    until_some("it to end", Duration::from_secs(60), || {
        let ended = daemon.exited();
        async move { ended.map(drop).ok_or_else(|| "it runs".to_owned()) }
    })
    .await;
    daemon.log()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_differs_from_the_majority_stops_and_stays_stopped() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = Cluster::start(&dir.path().join("c"), 3).await.expect("a cluster");
    let client = |cluster: &Cluster, id, subject| {
        cluster.client(id, subject).expect("a client").patient(Duration::from_secs(20))
    };
    let operator = client(&cluster, 1, "operator");
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    let w1 = Urn::tenant(Kind::Workspace, "acme", "w1");
    let body = json!({ "annotations": { "note": "truth" } });
    client(&cluster, 1, "alice").put(&w1, &body).await.expect("a workspace");
    let compared = all_the_same_after(&operator, 0, &[1, 2, 3]).await;

    // One that was stopped, changed so that everything adds up, and started again.
    let list = operator.replicas().await.expect("a list");
    let mut followers =
        list.items.iter().filter(|one| one.status.role != ReplicaRole::Leader).map(|one| one.id);
    let wrong = usize::try_from(followers.next().expect("a follower")).expect("an id");
    halt(&cluster, wrong).await;
    forge(&cluster, wrong, true);
    cluster.kill(wrong);
    let why = ends(&mut cluster, wrong).await;
    assert!(why.contains("and that of the majority"), "it knows why");
    let why = ends(&mut cluster, wrong).await;
    assert!(why.contains("this controller is in quarantine"), "it does not start any more");

    // The others go on, and still agree.
    let stay: Vec<usize> = (1..=3).filter(|id| *id != wrong).collect();
    let alice = client(&cluster, stay[0], "alice");
    alice.put(&Urn::tenant(Kind::Workspace, "acme", "w2"), &json!({})).await.expect("accepted");
    let operator = client(&cluster, stay[1], "operator");
    all_the_same_after(&operator, compared, &stay.iter().map(|id| *id as u64).collect::<Vec<_>>()).await;

    // One whose rows do not add up does not even begin.
    halt(&cluster, stay[0]).await;
    forge(&cluster, stay[0], false);
    cluster.kill(stay[0]);
    let why = ends(&mut cluster, stay[0]).await;
    assert!(why.contains("the rows in Postgres are not those that this controller wrote"), "it looks");
}
