//! Reads and writes of the REST API, beside a static answer of the same HTTP stack, with few objects and with many.

#![allow(clippy::print_stdout)] // figures

use std::path::Path;
use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_tests::Cluster;
use serde_json::json;

use super::cpu::Clock;
use super::load::{self, Speed};

/// What is measured: `BENCH_CONNECTIONS=8,32`, `BENCH_REPLICAS=1`, `BENCH_SECONDS=30` (each figure), and
/// `BENCH_WHAT=GET,PUT` (the beginnings of names) ask for less, or for longer under a profiler.
pub(crate) fn numbers(name: &str, default: &str) -> Vec<usize> {
    let given = std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let number = |text: &str| text.trim().parse().unwrap_or_else(|_| panic!("{name}: numbers"));
    given.split(',').map(number).collect()
}

pub(crate) fn wanted(what: &str) -> bool {
    let given = std::env::var("BENCH_WHAT").unwrap_or_default();
    given.is_empty() || given.split(',').any(|beginning| what.starts_with(beginning))
}

pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Others that took more than this of the machine, in percent, make a figure void.
pub(crate) const VOID_PERCENT: f64 = 5.0;

async fn measure<F>(what: &str, cluster: &Cluster, address: &str, connections: usize, request: F)
where
    F: Fn(usize, usize) -> Vec<u8> + Clone + Send + 'static,
{
    if !wanted(what) {
        return;
    }
    let lasts = Duration::from_secs(numbers("BENCH_SECONDS", "3")[0] as u64);
    let roots: Vec<u32> = cluster.controllers.iter().map(|controller| controller.daemon.pid()).collect();
    let clock = Clock::start(&roots);
    let Speed { count, per_second, p50_ms, p99_ms } = load::run(address, connections, lasts, request).await;
    let answered = Instant::now();
    clock.settled().await;
    let behind = answered.elapsed();
    let taken = clock.stop();
    let each_us = |ms: u64| ms as f64 * 1000.0 / count as f64;
    println!(
        "  {what:<14} {connections:>4} connections {per_second:>8.0}/s  p50 {p50_ms:>7.3} ms  p99 {p99_ms:>8.3} ms  \
         CPU each {:>6.1} us and Postgres {:>6.1} us, behind by {:>4.1} s  others {:>3.0} %{}",
        each_us(taken.controllers_ms),
        each_us(taken.postgres_ms),
        behind.as_secs_f64(),
        taken.others_percent,
        if taken.others_percent > VOID_PERCENT { " (void)" } else { "" },
    );
}

/// One fsync of a few bytes behind the others of a file, as the log does it.
pub(crate) fn fsync_ms(dir: &Path) -> f64 {
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
    for connections in numbers("BENCH_CONNECTIONS", "1,8,32,256") {
        let fixed = request("GET", "/healthz", &token, "");
        measure("static answer", cluster, &address, connections, move |_, _| fixed.clone()).await;
        let item = request("GET", &format!("{base}/w"), &token, "");
        measure("GET", cluster, &address, connections, move |_, _| item.clone()).await;
        let page = request("GET", &format!("{base}?limit=100"), &token, "");
        measure("list(100)", cluster, &address, connections, move |_, _| page.clone()).await;
        let (token, round) = (token.clone(), round.to_owned());
        measure("PUT workspace", cluster, &address, connections, move |connection, turn| {
            let path = format!("{base}/p{round}-{connections}-{connection}-{turn}");
            request("PUT", &path, &token, "{}")
        })
        .await;
    }
}

pub(crate) async fn fill(cluster: &Cluster, count: usize) {
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
    let objects = numbers("BENCH_OBJECTS", "1000000")[0];
    let dir = tempfile::Builder::new().prefix("rb").tempdir_in("/tmp").expect("a temporary directory");
    println!("fsync of 512 bytes: p50 {:.3} ms\n", fsync_ms(dir.path()));
    for replicas in numbers("BENCH_REPLICAS", "1,3") {
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
