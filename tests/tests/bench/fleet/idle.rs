//! A large fleet that does nothing: cores taken while agents beat and nobody asks for anything.

use std::time::Duration;

use super::number;
use super::plane::{Idle, Plane};
use super::table::{Round, Table};

/// `BENCH_IDLE_AGENTS` (10000) for `BENCH_IDLE_SECONDS` (20), after they have joined.
pub(crate) async fn figures(replicas: usize, table: &mut Table) {
    let (agents, seconds) = (number("BENCH_IDLE_AGENTS", 10_000), number("BENCH_IDLE_SECONDS", 20));
    let mut plane = Plane::open(replicas).await;
    let joined_in = plane.grow_to(agents).await;
    plane.clock().settled().await;
    let clock = plane.clock();
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    let taken = clock.stop();
    // Nobody was lost meanwhile.
    plane.in_touch(None).await;
    let idle = Idle::of(&taken);
    let figures = vec![
        ("cores: controllers", idle.controllers),
        ("Postgres", idle.postgres),
        ("agents", idle.fleet),
        ("joins /s", agents as f64 / joined_in.as_secs_f64()),
    ];
    let size = format!("{}, {seconds} s", plane.size());
    table.add(
        "idle: agents that only beat",
        &size,
        &[Round { figures, others_percent: taken.others_percent }],
    );
    plane.close();
}
