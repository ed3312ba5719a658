//! Random logs: safety after every entry, determinism over the whole log, and liveness once faults end.

#![allow(clippy::unwrap_used)] // a test: what cannot be unwrapped fails it

mod host;
mod hosts;
mod liveness;
mod log;
mod operation;
mod restore;
mod spec;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy};
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use crate::operation::{Operation, network_operation, operation};
use crate::world::World;

/// Random logs in an ordinary run; `PROPTEST_CASES` overrides.
const CASES: u32 = 128;
/// So often they are looked for what has not happened yet.
const RUNS_MAX: usize = 4;
/// Longest random log.
const LENGTH: usize = 150;

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES },
        max_shrink_iters: 4_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/random/regressions.txt"))),
        ..default
    }
}

/// One life of a cloud: faults, then none, then the log is read again.
fn live(operations: &[Operation]) -> World {
    let mut world = World::new();
    let snapshot_after = operations.len() / 2;
    for (position, operation) in operations.iter().enumerate() {
        if position == snapshot_after {
            world.log.take_snapshot();
        }
        world.perform(operation);
    }
    liveness::recover(&mut world);
    world.log.check_replay();
    world.log.check_restore();
    world
}

/// Lets clouds live, each of which tells what was accepted and refused in it, until all that is `expected` was: what takes several
/// rare events in a row is missed by one of a dozen runs.
fn run<L: std::fmt::Debug>(
    lives: impl Strategy<Value = L>,
    live: impl Fn(L) -> BTreeMap<&'static str, usize>,
    expected: &[&str],
) {
    let accepted = RefCell::new(BTreeMap::<&'static str, usize>::new());
    let mut missed = Vec::new();
    for _ in 0..RUNS_MAX {
        let result = TestRunner::new(config()).run(&lives, |one| {
            for (what, count) in live(one) {
                *accepted.borrow_mut().entry(what).or_default() += count;
            }
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
        let accepted = accepted.borrow();
        missed = expected.iter().filter(|what| accepted.get(*what).is_none_or(|count| *count == 0)).collect();
        // A shorter run is somebody looking at one failure.
        if missed.is_empty() || config().cases < CASES {
            return;
        }
    }
    // A run that tried nothing proves nothing.
    panic!("never exercised: {missed:?}: {:?}", accepted.into_inner());
}

/// What a life of these operations tells.
fn told(operations: Vec<Operation>) -> BTreeMap<&'static str, usize> {
    live(&operations).log.accepted().collect()
}

#[test]
fn every_log_keeps_its_promises() {
    run(vec(operation(), 1..=LENGTH), told, &EXERCISED);
}

#[test]
fn every_log_of_networks_keeps_its_promises() {
    run(vec(network_operation(), 1..=LENGTH), told, &EXERCISED_OF_NETWORKS);
}

#[test]
fn every_restore_takes_over_what_is_real() {
    let lives = (vec(operation(), 1..=LENGTH), 0..LENGTH, 0..LENGTH);
    let told = |(operations, backup, restore): (Vec<Operation>, usize, usize)| {
        restore::live(&operations, backup, restore).into_iter().collect()
    };
    run(lives, told, &restore::EXERCISED);
}

const EXERCISED: [&str; 37] = [
    "zone added",
    "zone removed",
    "zone held",
    "upgrade",
    "digest",
    "found",
    "put created",
    "put created instance",
    "put updated instance",
    "put updated",
    "delete",
    "start",
    "stop",
    "restart",
    "fill",
    "place",
    "host seen",
    "host unreachable",
    "host removed",
    "host action",
    "enrol",
    "redeem",
    "capture",
    "used token refused",
    "report that changed something",
    "report that was dropped",
    "repeated",
    "refused",
    "gone after its deletion",
    "failed and healed",
    "expired and failed",
    "expired and told",
    "expired too late",
    "overdue no more",
    "leftover ordered",
    "guest shut down",
    "host rebooted",
];

const EXERCISED_OF_NETWORKS: [&str; 13] = [
    "subnet exhausted",
    "pool exhausted",
    "held by a user",
    "held by a child",
    "address taken",
    "blocks overlap",
    "attached elsewhere",
    "put created",
    "put updated",
    "put created instance",
    "delete",
    "repeated",
    "gone after its deletion",
];
