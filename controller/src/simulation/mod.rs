//! The simulator: three to four controllers, their disks and databases, clients and hosts, on one thread from one seed.
//!
//! What is simulated: the network, the disks below the log's files, Postgres below [`Keeper`], agents, clients, clocks. What is
//! production code: all of `raft` with openraft (its lots drawn from the seed), the log's files, the machine, projection and
//! queue, service, reconcilers, model. Why so, and what is not the same from run to run: `docs/design/0009-simulation.md`.
//!
//! `make sim SEEDS=n` runs fresh seeds. A failing one is run again by `REMPART_SIM_SEED=x`; `REMPART_SIM_VERBOSE=1` tells its story.
//!
//! [`Keeper`]: crate::store::projection::Keeper

#![allow(clippy::unwrap_used)] // a test: what cannot be unwrapped fails it

mod bugs;
mod clients;
mod controller;
mod digest;
mod disk;
mod faults;
mod hosts;
mod invariants;
mod ledger;
mod lots;
mod machine;
mod network;
mod tests;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ledger::Ledger;
use world::World;

/// What came of a seed.
pub(crate) struct Run {
    /// What must not be, and what happened before.
    pub(crate) violation: Option<(String, Vec<String>)>,
    /// What happened, and how often.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// All of it, as one number.
    pub(crate) trace: u64,
}

fn is_verbose() -> bool {
    std::env::var_os("REMPART_SIM_VERBOSE").is_some()
}

/// Every packet, too.
fn is_loud() -> bool {
    std::env::var("REMPART_SIM_VERBOSE").is_ok_and(|how| how == "2")
}

/// Runs one seed, with one bug planted or none.
pub(crate) fn run(seed: u64, bug: Option<&'static str>) -> Run {
    rempart_model::plant(bug);
    rempart_wal::disk::plant(bug);
    let ledger = Ledger::default();
    let lived = catch_unwind(AssertUnwindSafe(|| {
        World::new(seed, &ledger).map(|mut world| world.live()).map_err(|error| error.to_string())
    }));
    rempart_model::plant(None);
    rempart_wal::disk::plant(None);
    match lived {
        Ok(Ok(())) => {}
        Ok(Err(error)) => ledger.violated(|| error),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned();
            ledger.violated(|| text);
        }
    }
    let violation = ledger.violation().map(|violation| (violation, ledger.story()));
    Run { violation, counts: ledger.counts(), trace: ledger.trace() }
}
