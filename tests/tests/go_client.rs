//! The released Go client of the Sovereign European Cloud API, unchanged, against a live server: `make go-client`.
//!
//! What it asks and expects is in `tests/go-client`: a module of its own, which uses the client's typed calls alone. Here are the server,
//! its host and its operators' deeds, which no client of SECA can do.

use std::path::Path;
use std::process::Command;

use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, Lab};
use serde_json::json;

/// Where the module is.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/go-client");

/// Runs the module's tests that flags of `go test` choose, against a server with this table of statuses.
fn run(cluster: &Cluster, statuses: &str, which: [&str; 2]) {
    let go = std::env::var("GO").unwrap_or_else(|_| "go".to_owned());
    let status = Command::new(&go)
        .current_dir(Path::new(MODULE))
        .args(["test", "-count=1", "-v"])
        .args(which)
        // The last of them, which need not be the one that leads.
        .env("REMPART_URL", cluster.layout.url(cluster.controllers.len()))
        .env("REMPART_TOKEN", cluster.layout.token("alice").expect("a token"))
        .env("REMPART_STRANGER_TOKEN", cluster.layout.token("mallory").expect("a token"))
        .env("REMPART_STATUS_TABLE", statuses)
        .status()
        .unwrap_or_else(|error| panic!("{go} does not start ({error}): make go-client says what is missing"));
    assert!(status.success(), "{status} with the statuses of the table `{statuses}`; see above");
}

/// Public addresses for those who ask for one.
async fn offer_addresses(cluster: &Cluster) {
    let operator = cluster.client(1, "operator").expect("a client");
    let pool = json!({ "spec": { "blocks": ["203.0.113.0/28"] } });
    operator.put(&Urn::global(Kind::AddressPool, "dc1"), &pool).await.expect("a pool");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Go: make go-client"]
async fn the_released_go_client_works_unchanged() {
    let lab = Lab::open(1).await;
    offer_addresses(&lab.cluster).await;
    run(&lab.cluster, "client", ["-skip", "^TestImpatience$"]);
    assert!(lab.volumes().is_empty() && lab.domains().is_empty(), "{:?} {:?}", lab.volumes(), lab.domains());
}

/// So many controllers with these settings and the tenant, and no hosts.
async fn without_hosts(dir: &Path, controllers: usize, settings: &[(&'static str, &str)]) -> Cluster {
    let cluster = Cluster::start_with(&dir.join("c"), controllers, settings).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    offer_addresses(&cluster).await;
    cluster
}

/// The other table of statuses changes what the client makes of a refusal, and nothing else; nor does who answers, of three.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Go: make go-client"]
async fn the_go_client_is_refused_by_the_specification_where_that_is_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = without_hosts(dir.path(), 3, &[("REMPART_STATUS_TABLE", "spec")]).await;
    run(&cluster, "spec", ["-skip", "^(TestStack|TestStackAtOnce|TestImpatience)$"]);
}

/// What docs/seca.md says of its way to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Go: make go-client"]
async fn the_go_client_gives_up_waiting_when_it_asks_too_often() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = without_hosts(dir.path(), 1, &[("REMPART_REQUESTS_PER_SECOND", "20")]).await;
    run(&cluster, "client", ["-run", "^TestImpatience$"]);
}
