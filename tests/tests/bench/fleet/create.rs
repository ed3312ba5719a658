//! Sustained: instances created until they are active, and deleted until they are gone, by many clients, and the CPU of each.
//!
//! Volumes are made before and deleted after, untimed. An instance that becomes active has its boot volume materialised and its
//! domain defined, and is off.

use super::number;
use super::plane::{Idle, Plane};
use super::table::{Figure, Round, Table};
use super::work::{self, CREATE, DELETE, DELETE_VOLUMES, Done, GET, Job, PUT_VOLUMES};

use crate::cpu::Taken;

pub(crate) async fn figures(plane: &Plane, rounds: usize, table: &mut Table) {
    let (count, clients) = (number("BENCH_INSTANCES", 2000), number("BENCH_CLIENTS", 32));
    let (mut creates, mut deletes) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let prefix = format!("s{round}");
        work::all(plane, PUT_VOLUMES, &prefix, count, clients).await;
        let idle = plane.idle().await;
        let (create, entries) = counted(plane, CREATE, &prefix, count, clients).await;
        let (_, of_gets) = measured(plane, GET, &prefix, count, clients).await;
        let get_us = idle.each_us(&of_gets, count);
        creates.push(round_of(&create, &idle, (count, entries), get_us[0]));
        let (delete, entries) = counted(plane, DELETE, &prefix, count, clients).await;
        deletes.push(round_of(&delete, &idle, (count, entries), get_us[0]));
        work::all(plane, DELETE_VOLUMES, &prefix, count, clients).await;
    }
    let size = format!("{}, {clients} clients, {count} instances", plane.size());
    table.add("create: PUT instance to active", &size, &creates);
    table.add("delete: DELETE instance to gone", &size, &deletes);
}

/// Does a job, and waits until what came of it is in Postgres.
pub(crate) async fn measured(
    plane: &Plane,
    job: Job,
    prefix: &str,
    count: usize,
    clients: usize,
) -> (Done, Taken) {
    let clock = plane.clock();
    let done = work::all(plane, job, prefix, count, clients).await;
    clock.settled().await;
    (done, clock.stop())
}

/// The same, and how many entries of the log it took.
async fn counted(
    plane: &Plane,
    job: Job,
    prefix: &str,
    count: usize,
    clients: usize,
) -> ((Done, Taken), u64) {
    let before = plane.applied_index().await;
    let measured = measured(plane, job, prefix, count, clients).await;
    (measured, plane.applied_index().await - before)
}

fn round_of(
    (done, taken): &(Done, Taken),
    idle: &Idle,
    (count, entries): (usize, u64),
    get_us: f64,
) -> Round {
    let [controllers, postgres, fleet] = idle.each_us(taken, count);
    let looks_each = done.looks as f64 / count as f64;
    let figures: Vec<Figure> = vec![
        ("/s", count as f64 / done.lasted.as_secs_f64()),
        ("GETs each", looks_each),
        ("entries each", entries as f64 / count as f64),
        ("CPU us each: controllers", controllers),
        ("without the GETs", (controllers - looks_each * get_us).max(0.0)),
        ("Postgres", postgres),
        ("agents", fleet),
    ];
    Round { figures, others_percent: taken.others_percent }
}
