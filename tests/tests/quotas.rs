//! Quotas over HTTP: ten thousand ask at once for what is left, and one gets it.

use rempart_api::client::{Client, ClientError};
use rempart_api::{Kind, Urn};
use rempart_tests::Cluster;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Creates at once, through all controllers.
const CREATES: usize = 10_000;
/// Connections they share.
const CLIENTS: usize = 48;
const QUOTA: u64 = 5;

fn volume(name: &str) -> Urn {
    Urn::workspace(Kind::BlockStorage, "acme", "w", name)
}

async fn volumes_used(client: &Client) -> Value {
    let tenant = client.get(&Urn::global(Kind::Tenant, "acme")).await.expect("it is there");
    tenant.status.expect("a status")["usage"]["volumes"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_creates_at_quota_minus_one_exactly_one_succeeds() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("c"), 3).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let tenant = json!({ "spec": { "owners": ["alice"], "quota": { "volumes": QUOTA } } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    let alice = cluster.client(1, "alice").expect("a client");
    alice.put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");
    let body = json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } });
    for number in 1..QUOTA {
        alice.put(&volume(&format!("before-{number}")), &body).await.expect("there is room");
    }
    assert_eq!(volumes_used(&alice).await, json!({ "used": QUOTA - 1, "limit": QUOTA }));

    let mut creates = JoinSet::new();
    for first in 0..CLIENTS {
        let client = cluster.client(1 + first % 3, "alice").expect("a client");
        let body = body.clone();
        creates.spawn(async move {
            let (mut created, mut refused) = (0, 0);
            for number in (first..CREATES).step_by(CLIENTS) {
                match client.put(&volume(&format!("v{number}")), &body).await {
                    Ok((true, _)) => created += 1,
                    Err(ClientError::Problem(problem)) => {
                        let why = "tenant acme may have 5 volumes and has 5; this would make 6";
                        assert!(problem.detail.contains(why), "{problem:?}");
                        refused += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            (created, refused)
        });
    }
    let (created, refused) = creates.join_all().await.into_iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert_eq!((created, refused), (1, CREATES - 1));
    let there = alice.list_all(&volume(""), None).await.expect("a list");
    assert_eq!(there.len() as u64, QUOTA);
    assert_eq!(volumes_used(&alice).await, json!({ "used": QUOTA, "limit": QUOTA }));

    // It is the operator's to raise, and a workspace's the owner's.
    let more = json!({ "spec": { "owners": ["alice"], "quota": { "volumes": QUOTA + 1 } } });
    assert_eq!(
        alice.put(&Urn::global(Kind::Tenant, "acme"), &more).await.expect_err("no").status(),
        Some(403)
    );
    let quota = Urn::tenant(Kind::WorkspaceQuota, "acme", "w");
    alice.put(&quota, &json!({ "spec": { "quota": { "volumes": 2 } } })).await.expect("hers");
    operator.put(&Urn::global(Kind::Tenant, "acme"), &more).await.expect("the operator's");
    let refused = alice.put(&volume("one-more"), &body).await.expect_err("the workspace is full");
    assert!(
        refused.to_string().contains("workspace w of tenant acme may have 2 volumes and has 5"),
        "{refused}"
    );
    alice.delete(&quota).await.expect("hers");
    alice.put(&volume("one-more"), &body).await.expect("there is room again");
}
