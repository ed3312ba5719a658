//! Reads and writes of the REST API, beside a static answer of the same HTTP stack, with few objects and with many.

#![allow(clippy::print_stdout)] // figures

use std::path::Path;
use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_tests::Cluster;
use serde_json::json;

use super::load::{self, Speed};

/// `BENCH_CONNECTIONS=8,32` measures with these instead.
fn connections() -> Vec<usize> {
    let given = std::env::var("BENCH_CONNECTIONS").unwrap_or_else(|_| "1,8,32,256".to_owned());
    given.split(',').map(|count| count.trim().parse().expect("BENCH_CONNECTIONS: numbers")).collect()
}

/// One figure lasts so long.
const LASTS: Duration = Duration::from_secs(3);

fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn show(what: &str, connections: usize, speed: &Speed) {
    println!(
        "  {what:<28} {connections:>4} connections {:>9.0}/s  p50 {:>7.3} ms  p99 {:>8.3} ms",
        speed.per_second, speed.p50_ms, speed.p99_ms
    );
}

/// One fsync of a few bytes behind the others of a file, as the log does it.
fn fsync_ms(dir: &Path) -> f64 {
    use std::io::Write as _;
    let mut file = std::fs::File::create(dir.join("fsync")).expect("a file");
    let mut times: Vec<_> = (0..200)
        .map(|_| {
            let begin = Instant::now();
            file.write_all(&[7; 512]).and_then(|()| file.sync_data()).expect("written");
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

async fn figures(cluster: &Cluster, replicas: usize, round: &str) {
    // Reads from a replica that does not lead, if there is one, as half or more of them are.
    let address = cluster.layout.url(replicas).trim_start_matches("http://").to_owned();
    let token = cluster.layout.token("alice").expect("a token").trim().to_owned();
    let base = "/providers/seca.workspace/v1/tenants/acme/workspaces";
    for connections in connections() {
        let fixed = request("GET", "/healthz", &token, "");
        let speed = load::run(&address, connections, LASTS, move |_, _| fixed.clone()).await;
        show("static answer", connections, &speed);
        let item = request("GET", &format!("{base}/w"), &token, "");
        let speed = load::run(&address, connections, LASTS, move |_, _| item.clone()).await;
        show("GET", connections, &speed);
        let page = request("GET", &format!("{base}?limit=100"), &token, "");
        let speed = load::run(&address, connections, LASTS, move |_, _| page.clone()).await;
        show("list(100)", connections, &speed);
        let (token, round) = (token.clone(), round.to_owned());
        let speed = load::run(&address, connections, LASTS, move |connection, turn| {
            let path = format!("{base}/p{round}-{connections}-{connection}-{turn}");
            request("PUT", &path, &token, "{}")
        })
        .await;
        show("PUT workspace", connections, &speed);
    }
}

async fn fill(cluster: &Cluster, count: usize) {
    let address = cluster.layout.url(1).trim_start_matches("http://").to_owned();
    let token = cluster.layout.token("alice").expect("a token").trim().to_owned();
    let begin = Instant::now();
    let each = count.div_ceil(256);
    let tasks: Vec<_> = (0..256)
        .map(|connection| {
            let (address, token) = (address.clone(), token.clone());
            tokio::spawn(async move {
                for turn in (0..each).step_by(500) {
                    let token = token.clone();
                    let last = (turn + 500).min(each);
                    load::some(&address, turn..last, |number| {
                        let path = format!(
                            "/providers/seca.workspace/v1/tenants/acme/workspaces/f{connection}-{number}"
                        );
                        request("PUT", &path, &token, "{}")
                    })
                    .await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends");
    }
    println!("  {count} workspaces more, made in {:.0} s", begin.elapsed().as_secs_f64());
}

/// `BENCH_OBJECTS` (1,000,000) is how many there are in the second round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures, not a test: make bench"]
async fn rest() {
    let _alone = super::ALONE.lock().await;
    let objects =
        std::env::var("BENCH_OBJECTS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::Builder::new().prefix("rb").tempdir_in("/tmp").expect("a temporary directory");
    println!("fsync of 512 bytes: p50 {:.3} ms\n", fsync_ms(dir.path()));
    for replicas in [1, 3] {
        println!("{replicas} replica(s), few objects");
        let settings = [("REMPART_LOG", "warn")];
        let cluster = Cluster::start_with(&dir.path().join(replicas.to_string()), replicas, &settings).await;
        let cluster = cluster.expect("a cluster");
        let operator = cluster.client(1, "operator").expect("a client");
        let tenant = json!({ "spec": { "owners": ["alice"] } });
        operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
        let alice = cluster.client(1, "alice").expect("a client");
        for name in ["w".to_owned()].into_iter().chain((0..100).map(|number| format!("a{number:03}"))) {
            alice.put(&Urn::tenant(Kind::Workspace, "acme", &name), &json!({})).await.expect("a workspace");
        }
        figures(&cluster, replicas, "1").await;
        if replicas == 1 && objects > 0 {
            println!("{replicas} replica(s), many objects");
            fill(&cluster, objects).await;
            figures(&cluster, replicas, "2").await;
        }
        println!();
    }
}
