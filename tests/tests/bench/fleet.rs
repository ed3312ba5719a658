//! The whole control plane with simulated hypervisors: what an instance takes, in time and in CPU, how that grows, and what a
//! fleet takes that does nothing.
//!
//! ```text
//!   this process ── HTTP ──> controllers (1 or 3, each with its Postgres, fsync on) <── gRPC ── rempart-simulated-fleet
//! ```
//!
//! Everything runs on this machine. Agents are real but for hypervisor and disks; their data directories are on a tmpfs. Sizes
//! come from the environment (docs/performance.md). Nothing is asserted about time; what fails, fails the run.

#![allow(clippy::print_stdout)] // figures

mod burst;
mod create;
mod growth;
mod idle;
mod leader;
mod memory;
mod one;
mod placement;
mod plane;
mod restart;
mod table;
mod wire;
mod work;

use super::rest::{fsync_ms, numbers, wanted};
use plane::Plane;
use table::Table;

/// One number from the environment.
fn number(name: &str, default: usize) -> usize {
    numbers(name, &default.to_string())[0]
}

/// `BENCH_WHAT` names figures by their beginnings: placement, one, create, growth-vms, growth-hosts, growth-page, leader, burst, memory,
/// idle, start, restart. `BENCH_REPLICAS` (1,3), `BENCH_AGENTS` (10,1000), `BENCH_INSTANCES` (2000, a round),
/// `BENCH_ROUNDS` (3), `BENCH_CLIENTS` (32), and what the figures name are the sizes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures, not a test: make bench"]
async fn fleet() {
    let _alone = super::ALONE.lock().await;
    let dir = tempfile::Builder::new().prefix("rb").tempdir_in("/tmp").expect("a temporary directory");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!("\n{profile} build, fsync of 512 bytes: p50 {:.3} ms\n", fsync_ms(dir.path()));
    let mut table = Table::default();
    let rounds = number("BENCH_ROUNDS", 3);
    let replica_counts = numbers("BENCH_REPLICAS", "1,3");
    let agent_counts = numbers("BENCH_AGENTS", "10,1000");
    let (most_replicas, most_agents) = (most(&replica_counts), most(&agent_counts));

    if wanted("placement") {
        placement::figures(&mut table);
    }
    if wanted("start") {
        restart::empty(dir.path(), rounds, &mut table).await;
    }
    for (turn, agents) in agent_counts.iter().enumerate() {
        for replicas in &replica_counts {
            let one = turn == 0 && wanted("one");
            if !one && !wanted("create") {
                continue;
            }
            let mut plane = Plane::open(*replicas).await;
            plane.grow_to(*agents).await;
            if one {
                one::figures(&plane, rounds, &mut table).await;
            }
            if wanted("create") {
                create::figures(&plane, rounds, &mut table).await;
            }
            plane.close();
        }
    }
    if wanted("growth-vms") {
        growth::vms(most_replicas, &mut table).await;
    }
    if wanted("growth-hosts") {
        growth::hosts(most_replicas, most_agents, &mut table).await;
    }
    if wanted("growth-page") {
        growth::page(rounds, &mut table).await;
    }
    if ["leader", "burst", "memory"].iter().any(|what| wanted(what)) {
        let mut plane = Plane::open(most_replicas).await;
        let empty = memory::idle(&plane, &mut table);
        plane.grow_to(most_agents).await;
        if wanted("memory") {
            memory::figures(&plane, empty, &mut table).await;
        }
        if wanted("burst") {
            burst::figures(&mut plane, &mut table).await;
        }
        if wanted("leader") && most_replicas > 1 {
            leader::figures(&mut plane, rounds, &mut table).await;
        }
        plane.close();
    }
    if wanted("idle") {
        idle::figures(most_replicas, &mut table).await;
    }
    if wanted("restart") {
        restart::full(&mut table).await;
    }
    table.print();
}

fn most(counts: &[usize]) -> usize {
    counts.iter().copied().max().expect("numbers() gives at least one")
}
