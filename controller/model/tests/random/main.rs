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

/// Lets clouds live, and tells what was accepted and refused in them.
fn run(operation: impl Strategy<Value = Operation>, expected: &[&str]) {
    let accepted = RefCell::new(BTreeMap::<&'static str, usize>::new());
    let strategy = vec(operation, 1..=LENGTH);
    let result = TestRunner::new(config()).run(&strategy, |operations| {
        let world = live(&operations);
        for (command, count) in world.log.accepted() {
            *accepted.borrow_mut().entry(command).or_default() += count;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // A shorter run is somebody looking at one failure.
    if config().cases >= CASES {
        check_exercised(&accepted.into_inner(), expected);
    }
}

#[test]
fn every_log_keeps_its_promises() {
    run(operation(), &EXERCISED);
}

#[test]
fn every_log_of_networks_keeps_its_promises() {
    run(network_operation(), &EXERCISED_OF_NETWORKS);
}

#[test]
fn every_restore_takes_over_what_is_real() {
    let accepted = RefCell::new(BTreeMap::<&'static str, usize>::new());
    let lives = (vec(operation(), 1..=LENGTH), 0..LENGTH, 0..LENGTH);
    let result = TestRunner::new(config()).run(&lives, |(operations, backup, restore)| {
        for (what, count) in restore::live(&operations, backup, restore) {
            *accepted.borrow_mut().entry(what).or_default() += count;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if config().cases >= CASES {
        check_exercised(&accepted.into_inner(), &restore::EXERCISED);
    }
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

/// A run that tried nothing proves nothing.
fn check_exercised(accepted: &BTreeMap<&'static str, usize>, expected: &[&str]) {
    for command in expected {
        assert!(
            accepted.get(command).is_some_and(|count| *count > 0),
            "never exercised: {command}: {accepted:?}"
        );
    }
}
