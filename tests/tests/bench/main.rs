//! Figures, for `make bench`. Nothing is asserted about time: the machine is shared.

mod cpu;
mod failover;
mod fleet;
mod load;
mod rest;
mod start;

use std::fs;
use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, Lab, console, family, sha256_of, until_some};
use serde_json::json;

use cpu::cpu_ms;

/// One bench at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Proportional share of memory in KiB: shared pages count once among those who share them.
pub(crate) fn pss_kib(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default().to_owned();
        line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    pids.iter().map(of).sum()
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1000.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures, not a test: make bench"]
async fn figures() {
    let _alone = ALONE.lock().await;
    let lab = Lab::open(3).await;
    let roots: Vec<u32> = lab.cluster.controllers.iter().map(|controller| controller.daemon.pid()).collect();
    let plane: Vec<u32> = roots.iter().flat_map(|root| family(*root)).collect();
    println!("three replicas, each with its Postgres; one agent; everything on this machine\n");

    println!("memory, idle");
    for (controller, root) in lab.cluster.controllers.iter().zip(&roots) {
        let postgres: Vec<u32> = family(*root).into_iter().filter(|pid| pid != root).collect();
        let own = pss_kib(&[*root]);
        println!(
            "  controller {}: {own} KiB, its Postgres ({} processes): {} KiB",
            controller.id,
            postgres.len(),
            pss_kib(&postgres)
        );
    }
    let agent = lab.daemon.as_ref().expect("it runs").pid();
    println!("  agent: {} KiB", pss_kib(&[agent]));

    for clients in [1_usize, 32] {
        let count = 500 * clients.min(8);
        let (cpu, start) = (cpu_ms(&plane), Instant::now());
        let tasks: Vec<_> = (0..clients)
            .map(|number| {
                let alice = lab.alice.clone();
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    for turn in 0..count / clients {
                        let urn =
                            Urn::tenant(Kind::Workspace, "acme", &format!("b{clients}-{number}-{turn}"));
                        let begin = Instant::now();
                        alice.put(&urn, &json!({})).await.expect("accepted");
                        times.push(begin.elapsed());
                    }
                    times
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.expect("it ends"));
        }
        times.sort_unstable();
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "\nPUT workspace, {clients} clients, {} in all: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {:.2} CPU-ms each (controllers and Postgres)",
            times.len(),
            times.len() as f64 / seconds,
            percentile(&times, 50),
            percentile(&times, 99),
            (cpu_ms(&plane) - cpu) as f64 / times.len() as f64,
        );
    }
}

/// How often a guest is started in each way, in turn.
const STARTS: usize = 15;

/// From the request to the guest's first line, and from `virsh create` of the same domain to the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures, not a test: make bench"]
async fn starts_of_a_guest() {
    let _alone = ALONE.lock().await;
    let lab = Lab::open(3).await;
    let before = lab.domains();
    let urn = lab.create("timed", json!({})).await;
    lab.active(&urn).await;
    let uid = lab.new_domain(&before).await;
    // The same domain, under another name and id: its disk is free while Rempart's own is off.
    let xml = lab.hypervisor.virsh(&["dumpxml", &uid]).expect("it is defined");
    let own = uuid::Uuid::from_u128(0xb001);
    let file = lab.agent.data_dir.with_file_name("bare.xml");
    let xml = xml.replace(&format!("<uuid>{uid}"), &format!("<uuid>{own}"));
    fs::write(&file, xml.replace(&format!("<name>rempart-{uid}"), "<name>bare")).expect("it is written");

    let heard = || console(&lab.agent, &uid).matches("tiny: boot ").count();
    let (mut through, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (known, begin) = (heard(), Instant::now());
        lab.alice.act(&urn, "start").await.expect("accepted");
        first_line(heard, known).await;
        through.push(begin.elapsed());
        stop(&lab, &urn).await;

        let (known, begin) = (heard(), Instant::now());
        lab.hypervisor.virsh(&["create", file.to_str().expect("a path")]).expect("it starts");
        first_line(heard, known).await;
        bare.push(begin.elapsed());
        lab.hypervisor.virsh(&["destroy", "bare"]).expect("it stops");
    }
    println!("\nguest tiny, BIOS, to its first line, {STARTS} times in turn");
    for (what, times) in [("POST start", &mut through), ("virsh create of the same domain", &mut bare)] {
        times.sort_unstable();
        println!(
            "  {what}: median {:.0} ms, {:.0} to {:.0}",
            percentile(times, 50),
            percentile(times, 0),
            percentile(times, 100)
        );
    }
    println!("  POST start takes {:+.0} ms more", percentile(&through, 50) - percentile(&bare, 50));
}

async fn first_line(heard: impl Fn() -> usize, known: usize) {
    until_some("its first line", Duration::from_secs(120), || {
        let news = heard() > known;
        async move { if news { Ok(()) } else { Err("nothing".to_owned()) } }
    })
    .await;
}

async fn stop(lab: &Lab, urn: &Urn) {
    lab.status(urn, "to be on", |status| status["powerState"] == "on" && status["state"] == "active").await;
    lab.alice.act(urn, "stop").await.expect("accepted");
    lab.status(urn, "to be off", |status| status["powerState"] == "off" && status["state"] == "active").await;
}

/// Uploads beside a copy of the same file that is synced, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures, not a test: make bench"]
async fn uploads() {
    const BYTES: usize = 512 << 20;
    let _alone = ALONE.lock().await;
    let dir = tempfile::tempdir().expect("a directory");
    let (source, copy) = (dir.path().join("source"), dir.path().join("copy"));
    let noise: Vec<u8> = (0..BYTES as u64 / 8)
        .flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    fs::write(&source, &noise).expect("it is written");
    let sha256 = sha256_of(&noise);
    drop(noise);
    let start = Instant::now();
    fs::copy(&source, &copy).expect("it is copied");
    fs::File::open(&copy).and_then(|file| file.sync_all()).expect("it is synced");
    let copied = start.elapsed();
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let rate = |took: Duration| (BYTES >> 20) as f64 / took.as_secs_f64();
    println!("\nupload of {} MiB over loopback, {profile} build", BYTES >> 20);
    println!("  cp and fsync: {:.2} s, {:.0} MiB/s", copied.as_secs_f64(), rate(copied));
    for replicas in [1, 3] {
        let cluster =
            Cluster::start(&dir.path().join(replicas.to_string()), replicas).await.expect("a cluster");
        let operator = cluster.client(1, "operator").expect("a client");
        let workspace = Urn::tenant(Kind::Workspace, "public", "w");
        operator.put(&workspace, &json!({})).await.expect("a workspace");
        let volume = Urn::workspace(Kind::BlockStorage, "public", "w", "v");
        let spec = json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } });
        operator.put(&volume, &spec).await.expect("a volume");
        let file = tokio::fs::File::open(&source).await.expect("it is there");
        let query = [("format", "raw"), ("sha256", sha256.as_str())];
        let start = Instant::now();
        operator.upload(&volume, "content", &query, (file, BYTES as u64), |_| {}).await.expect("taken");
        let took = start.elapsed();
        println!(
            "  {replicas} controllers: {:.2} s, {:.0} MiB/s, {:.1} times cp",
            took.as_secs_f64(),
            rate(took),
            took.as_secs_f64() / copied.as_secs_f64()
        );
    }
}
