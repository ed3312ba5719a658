//! What must hold of what clients were told, of the audit trail, and of the three databases.

use std::collections::{BTreeMap, BTreeSet};

use rempart_tests::Cluster;
use rempart_tests::database::{AuditRow, query};
use rempart_tests::history::{Action, Operation, Outcome, View, explain};
use uuid::Uuid;

use crate::clients::{Load, urn};

/// Operations of each object.
pub(crate) fn by_key(operations: &[Operation]) -> BTreeMap<&str, Vec<Operation>> {
    let mut keys: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
    for operation in operations {
        keys.entry(&operation.key).or_default().push(operation.clone());
    }
    keys
}

/// The history of every object is one that an object can have.
pub(crate) fn linearizable(operations: &[Operation], seed: u64) {
    let mut reasons = Vec::new();
    for (key, history) in by_key(operations) {
        let Some(why) = explain(&history) else { continue };
        let file = format!("{}/crash-{seed}-{key}.txt", env!("CARGO_TARGET_TMPDIR"));
        let mut sorted = history.clone();
        sorted.sort_by_key(|operation| operation.invoked);
        let lines: Vec<String> = sorted.iter().map(Operation::to_string).collect();
        std::fs::write(&file, lines.join("\n")).expect("it is written");
        reasons.push(format!("{why}all {} operations: {file}", history.len()));
    }
    assert!(reasons.is_empty(), "{}", reasons.join("\n\n"));
}

/// The audit trail has every acknowledged write once and no refused one, in an order that is that of real time and makes the
/// versions that were told.
pub(crate) fn audited(rows: &[AuditRow], operations: &[Operation]) {
    let ids: BTreeSet<Uuid> = rows.iter().map(|row| row.request_id).collect();
    assert_eq!(ids.len(), rows.len(), "a request is in the audit trail twice");
    let ours: BTreeSet<String> = operations.iter().map(|operation| urn(&operation.key).to_string()).collect();
    let accepted: Vec<&AuditRow> =
        rows.iter().filter(|row| row.accepted && ours.contains(&row.subject)).collect();
    let by_id: BTreeMap<Uuid, &AuditRow> = accepted.iter().map(|row| (row.request_id, *row)).collect();
    let writes = || operations.iter().filter(|operation| operation.is_write());

    for operation in writes() {
        let row = operation.request_id.and_then(|id| by_id.get(&id));
        match operation.outcome {
            _ if operation.took_effect() => {
                let row =
                    row.unwrap_or_else(|| panic!("acknowledged, and not in the audit trail: {operation}"));
                let action = if matches!(operation.action, Action::Put { .. }) { "put" } else { "delete" };
                let told = (row.actor.as_str(), row.action.as_str(), row.subject.clone());
                assert_eq!(told, ("alice", action, urn(&operation.key).to_string()), "{operation}");
            }
            Outcome::Unknown => {}
            _ => assert!(row.is_none(), "not done, and yet in the audit trail: {operation}"),
        }
    }

    // What is in the trail and was not acknowledged is one of those whose outcome is unknown.
    let known: BTreeSet<Uuid> =
        writes().filter(|one| one.took_effect()).filter_map(|operation| operation.request_id).collect();
    let mut unclaimed: BTreeMap<&str, usize> = BTreeMap::new();
    for row in accepted.iter().filter(|row| !known.contains(&row.request_id)) {
        *unclaimed.entry(&row.subject).or_default() += 1;
    }
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    for operation in writes().filter(|one| one.outcome == Outcome::Unknown) {
        *unknown.entry(urn(&operation.key).to_string()).or_default() += 1;
    }
    for (subject, count) in unclaimed {
        let most = unknown.get(subject).copied().unwrap_or(0);
        assert!(count <= most, "{subject}: {count} writes that nobody made; {most} are of unknown outcome");
    }

    in_order(&accepted, operations);
}

/// The order of the log is an order of the acknowledged writes of all objects together.
fn in_order(accepted: &[&AuditRow], operations: &[Operation]) {
    let acknowledged = operations.iter().filter(|operation| operation.took_effect());
    let by_id: BTreeMap<Uuid, &Operation> =
        acknowledged.filter_map(|operation| Some((operation.request_id?, operation))).collect();
    let mut last_began: Option<&Operation> = None;
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    for row in accepted {
        let version = versions.entry(&row.subject).or_default();
        *version = if row.action == "put" { *version + 1 } else { 0 };
        let Some(operation) = by_id.get(&row.request_id) else { continue };
        if let Outcome::Written { created, view } = operation.outcome {
            let told = (view.version, created);
            assert_eq!(told, (*version, *version == 1), "at {} of the log: {operation}", row.log_index);
        }
        if let Some(earlier) = last_began {
            assert!(
                operation.completed >= earlier.invoked,
                "{operation}\n  is behind one in the log that began after it had ended:\n{earlier}"
            );
        }
        if last_began.is_none_or(|earlier| earlier.invoked < operation.invoked) {
            last_began = Some(operation);
        }
    }
}

/// Every replica shows, from its own memory, what all of them show together; and each database has it.
pub(crate) async fn level(cluster: &Cluster, load: &Load, operations: &[Operation]) {
    let rows = "SELECT name, resource_version, created_at_ms FROM resource WHERE tenant = 'acme' AND \
                workspace = 'w' AND kind = 'security-group'";
    let mut stored: Vec<BTreeMap<String, (u64, i64)>> = Vec::new();
    for id in 1..=3 {
        let rows = query(&cluster.layout, id, rows).expect("rows");
        let row = |line: &str| {
            let fields: Vec<&str> = line.split('|').collect();
            let version = fields[1].parse().expect("a version");
            (fields[0].to_owned(), (version, fields[2].parse().expect("a moment")))
        };
        stored.push(rows.lines().map(row).collect());
    }
    let mut there = 0;
    for (key, history) in by_key(operations) {
        let last: Vec<Option<View>> = last_seen(&history);
        assert_eq!(last.len(), 3, "{key} was read at the end, at each replica");
        for id in 1..=3 {
            let stale = load.stale(id, key).await;
            assert_eq!(stale, last[id - 1], "{key}, from the memory of replica {id}");
            let row = stored[id - 1].get(key).copied();
            let shown = stale.map(|view| (view.version, view.created_ms));
            assert_eq!(row, shown, "{key}, in the database of replica {id}");
        }
        there += usize::from(last[0].is_some());
    }
    assert!(there > 0, "nothing is left to compare");
    assert!(stored.iter().all(|one| one.len() == there), "objects that nobody asked for: {stored:?}");
}

/// What the reads at the end found, by replica.
fn last_seen(history: &[Operation]) -> Vec<Option<View>> {
    let mut reads: Vec<&Operation> = history.iter().filter(|one| one.action == Action::Get).collect();
    reads.sort_by_key(|read| std::cmp::Reverse(read.invoked));
    let mut last: Vec<&Operation> = reads.into_iter().take(3).collect();
    last.sort_by_key(|read| read.replica);
    let found = |read: &&Operation| match read.outcome {
        Outcome::Found(view) => Some(view),
        Outcome::Missing => None,
        _ => panic!("a read at the end: {read}"),
    };
    last.iter().map(found).collect()
}
