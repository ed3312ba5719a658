//! The private databases of controllers, read from outside.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use rustix::process::Pid;
use serde_json::Value;
use uuid::Uuid;

use crate::cluster::Layout;
use crate::wait::until_some;

/// What `sql` gives in the private Postgres of replica `id`, one line a row.
///
/// # Errors
/// What psql says.
///
/// # Panics
/// When psql is not installed.
pub fn query(layout: &Layout, id: usize, sql: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "rempart", "-d", "postgres", "-c", sql, "-h"])
        .arg(layout.data_dir(id).join("postgres/socket"))
        .output()
        .expect("psql is installed");
    let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr })
        .into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// The postmaster in a replica's data directory, if it runs.
pub fn postmaster(layout: &Layout, id: usize) -> Option<Pid> {
    let data = layout.data_dir(id).join("postgres/data");
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
    // A number in a file proves nothing: it has to be a process in this very directory.
    let at = std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).ok()?;
    (at == data.canonicalize().ok()?).then_some(pid)
}

/// A row of the audit trail.
#[derive(Debug, Clone)]
pub struct AuditRow {
    /// Where it is in the log.
    pub log_index: u64,
    /// `x-request-id` of the call.
    pub request_id: Uuid,
    /// Who called.
    pub actor: String,
    /// What was asked.
    pub action: String,
    /// Of what.
    pub subject: String,
    /// Whether it was done.
    pub accepted: bool,
}

/// The audit trail in the order of the log, once it is the same in the databases of replicas 1 to 3 and holds `last`; all else
/// that they hold is the same then, too.
///
/// # Panics
/// When that is not so within 20 s, or what they hold differs.
pub async fn audit_trail(layout: &Layout, last: Uuid) -> Vec<AuditRow> {
    let everything = "SELECT log_index, ordinal, at_ms, request_id, actor, action, subject, outcome FROM audit \
                      ORDER BY log_index, ordinal";
    let rows: Vec<String> =
        until_some("the history to be in all three databases", Duration::from_secs(20), || async {
            let mut found = Vec::new();
            for id in 1..=3 {
                let rows = query(layout, id, everything)?;
                if !rows.contains(&last.to_string()) {
                    return Err(format!("replica {id} lacks the last row"));
                }
                found.push(rows);
            }
            Ok(found)
        })
        .await;
    for id in 2..=3 {
        let (one, other) = (&rows[0], &rows[id - 1]);
        let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        assert!(one == other, "the audit trails of replicas 1 and {id} differ; first in {differs:?}");
    }
    for table in ["resource ORDER BY kind, tenant, workspace, network, name", "answer ORDER BY log_index"] {
        let sql = format!("SELECT * FROM {table}");
        let tables: BTreeSet<String> = (1..=3).map(|id| query(layout, id, &sql).expect("rows")).collect();
        assert_eq!(tables.len(), 1, "{table} differs between replicas");
    }
    rows[0]
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.splitn(8, '|').collect();
            let outcome: Value = serde_json::from_str(fields[7]).expect("JSON");
            AuditRow {
                log_index: fields[0].parse().expect("a number"),
                request_id: fields[3].parse().expect("a uuid"),
                actor: fields[4].to_owned(),
                action: fields[5].to_owned(),
                subject: fields[6].to_owned(),
                accepted: outcome["accepted"].as_bool().expect("accepted or not"),
            }
        })
        .collect()
}
