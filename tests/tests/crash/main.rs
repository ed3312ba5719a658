//! Three controllers with their Postgres are killed, stopped and told to end while clients read and write; what the clients
//! were told has to be linearizable (`tests/src/history.rs`), and nothing that was acknowledged may be lost.
//!
//! `CRASH_SEED` chooses faults, victims and what is asked (not what the machine makes of it); `CRASH_ROUNDS` is how many faults
//! there are, each sort of them once in eight. What this finds and what it cannot see: `docs/design/0010-crash-harness.md`.

mod clients;
mod faults;
mod judge;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clients::{CLIENTS, Load, urn};
use faults::{FAULTS, Injected, inject};
use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::database::audit_trail;
use rempart_tests::history::{Action, Operation, Outcome};
use rempart_tests::{Cluster, Dice, until_some};
use serde_json::json;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_under_crashes_are_linearizable() {
    let any = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").subsec_nanos();
    let seed = number("CRASH_SEED").unwrap_or_else(|| any.into());
    let rounds = number("CRASH_ROUNDS").map_or(FAULTS.len(), |rounds| usize::try_from(rounds).expect("few"));
    eprintln!("CRASH_SEED={seed} CRASH_ROUNDS={rounds}");
    let mut dice = Dice::new(seed);
    let began = Instant::now();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = Cluster::start(&dir.path().join("c"), 3).await.expect("a cluster");
    let operators: Vec<Client> =
        (1..=3).map(|id| cluster.client(id, "operator").expect("a client")).collect();
    let alice = cluster.client(1, "alice").expect("a client").patient(Duration::from_secs(20));
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operators[0].put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    alice.put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");
    eprintln!("{:>6.1} s  three controllers run", began.elapsed().as_secs_f64());

    let load = Load::new(&cluster);
    let clients = load.start(&mut dice);
    let mut faults = Vec::new();
    let mut injected = Vec::new();
    for round in 0..rounds {
        if faults.is_empty() {
            faults = FAULTS.to_vec();
        }
        let fault = faults.swap_remove(dice.roll(faults.len()));
        let done = inject(fault, round >= FAULTS.len(), &mut cluster, &operators, &load, &mut dice).await;
        let ms = |from, until| (until - from) as f64 / 1e6;
        eprintln!(
            "{:>6.1} s  {fault:?} {:?}: written again after {:.0} ms, healed after {:.0} ms",
            began.elapsed().as_secs_f64(),
            done.victims,
            ms(done.at, done.written),
            ms(done.at, done.healed),
        );
        injected.push(done);
        load.next_round();
    }
    load.stop();
    for client in clients {
        client.await.expect("it ends");
    }
    read_everything(&load).await;
    let operations = load.operations();
    eprintln!("{:>6.1} s  {} operations to judge", began.elapsed().as_secs_f64(), operations.len());
    judge::linearizable(&operations, seed);
    let odd = load.odd();
    assert!(odd.is_empty(), "nobody should be answered so: {odd:#?}");
    let last = alice.put(&urn("last"), &json!({ "annotations": { "value": "0" }, "spec": {} })).await;
    last.expect("accepted");
    alice.delete(&urn("last")).await.expect("accepted");
    let rows = audit_trail_after(&cluster, &urn("last")).await;
    judge::audited(&rows, &operations);
    judge::level(&cluster, &load, &operations).await;
    enough(&operations, &injected, rounds);
    for id in 1..=3 {
        let log = std::fs::read_to_string(cluster.layout.log(id)).unwrap_or_default();
        let panic = log.lines().find(|line| line.contains("panicked at"));
        assert_eq!(panic, None, "replica {id}");
    }
    eprintln!("{:>6.1} s  judged", began.elapsed().as_secs_f64());
}

/// Reads every object at each replica, as part of the history: what is there in the end.
async fn read_everything(load: &Load) {
    let operations = load.operations();
    for key in judge::by_key(&operations).into_keys() {
        for replica in 1..=3 {
            assert!(load.call(0, replica, key, Action::Get, None).await, "replica {replica} runs");
        }
    }
}

/// The audit trail, once all three databases have the deletion of `subject`, which comes after everything else.
async fn audit_trail_after(cluster: &Cluster, subject: &Urn) -> Vec<rempart_tests::database::AuditRow> {
    let id = until_some("the last deletion to be in the audit trail", Duration::from_secs(20), || async {
        let sql = format!("SELECT request_id FROM audit WHERE action = 'delete' AND subject = '{subject}'");
        let row = rempart_tests::database::query(&cluster.layout, 1, &sql)?;
        row.trim().parse().map_err(|_| format!("{row:?}"))
    })
    .await;
    audit_trail(&cluster.layout, id).await
}

/// A run that exercised nothing says nothing.
fn enough(operations: &[Operation], injected: &[Injected], rounds: usize) {
    let mut overlapping: BTreeMap<_, usize> = BTreeMap::new();
    for one in injected {
        let under_way = operations.iter().filter(|operation| operation.overlaps(one.at)).count();
        *overlapping.entry(one.fault).or_default() += under_way;
    }
    let unknown = operations.iter().filter(|one| one.is_write() && one.outcome == Outcome::Unknown);
    let unknown: Vec<&Operation> = unknown.collect();
    let told = unknown.iter().filter(|operation| operation.request_id.is_some()).count();
    let count = |outcome: fn(&Outcome) -> bool| operations.iter().filter(|one| outcome(&one.outcome)).count();
    eprintln!(
        "{} operations: {} writes acknowledged ({} of them repeated by the cluster), {} conditions failed, {} refused, \
         {} writes of unknown outcome ({told} were told so); under way at faults: {overlapping:?}",
        operations.len(),
        operations.iter().filter(|operation| operation.took_effect()).count(),
        count(|outcome| matches!(outcome, Outcome::Repeated { .. })),
        count(|outcome| *outcome == Outcome::ConditionFailed),
        count(|outcome| *outcome == Outcome::Refused),
        unknown.len(),
    );
    if rounds >= FAULTS.len() {
        let missing: Vec<_> = FAULTS.iter().filter(|fault| !overlapping.contains_key(fault)).collect();
        assert!(missing.is_empty(), "never injected: {missing:?}");
    }
    for (fault, under_way) in &overlapping {
        assert!(*under_way > 0, "no operation was under way at any {fault:?}");
    }
    let under_way: usize = overlapping.values().sum();
    assert!(under_way >= rounds * CLIENTS / 3, "{under_way} operations were under way at {rounds} faults");
    assert!(!unknown.is_empty(), "no write of unknown outcome");
    for replica in 1..=3 {
        let count = operations.iter().filter(|one| one.replica == replica && one.took_effect()).count();
        assert!(count > 10 * rounds, "{count} writes were accepted at replica {replica}");
    }
}
