//! The audit trail of a replica that was given a snapshot: fetched from its peers until nothing is missing.
//!
//! Nobody tells this task anything: what is missing is written down in Postgres, with the snapshot, and crossed out with
//! the rows that fill it. A peer gives only what it has all of, so a trail is never taken for whole that has a hole.

use std::sync::Arc;
use std::time::Duration;

use rempart_identity::require_controller;
use rempart_proto::raft::v1::history_client::HistoryClient;
use rempart_proto::raft::v1::history_server::{History as HistoryRpc, HistoryServer};
use rempart_proto::raft::v1::{self as wire, AuditRequest, AuditResponse};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::pki::Peers;
use crate::store::{AuditRow, History, Store, StoreError};

/// Rows asked for at a time.
const ROWS: u32 = 500;
/// Largest message: as many rows of the longest refusals.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// How long a peer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks, while nothing is missing or nobody has it.
const PAUSE: Duration = Duration::from_secs(2);

/// Fetches what is missing, and looks for more, until the task is dropped. Says on the way of how many entries it is.
pub async fn fill(store: Arc<Store>, peers: Peers, missing: watch::Sender<u64>) {
    let mut said = false;
    loop {
        match fill_some(&store, &peers, &missing).await {
            Ok(Filled::Some) => said = false,
            Ok(Filled::Nothing) => tokio::time::sleep(PAUSE).await,
            Err(why) => {
                if !said {
                    tracing::warn!(why, "a part of the audit trail is missing, and no peer gives it yet");
                    said = true;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

enum Filled {
    Some,
    Nothing,
}

async fn fill_some(store: &Store, peers: &Peers, missing: &watch::Sender<u64>) -> Result<Filled, String> {
    let gaps = match store.audit_gaps().await {
        // Nothing is missing in what is still to be made.
        Err(StoreError::NotOpen) => return Ok(Filled::Nothing),
        gaps => gaps.map_err(|error| error.to_string())?,
    };
    missing.send_replace(gaps.iter().map(|gap| gap.end() - gap.start() + 1).sum());
    let Some(gap) = gaps.into_iter().next() else { return Ok(Filled::Nothing) };
    let mut trouble = Vec::new();
    for id in peers.others() {
        match fetch(peers, id, *gap.start(), *gap.end()).await {
            Ok(history) => {
                let (rows, complete_to) = (history.rows.len(), history.complete_to);
                store.fill_audit_gap(*gap.start(), &history).await.map_err(|error| error.to_string())?;
                tracing::info!(
                    peer = id,
                    first = gap.start(),
                    complete_to,
                    rows,
                    "filled in the audit trail"
                );
                return Ok(Filled::Some);
            }
            Err(why) => trouble.push(format!("replica {id}: {why}")),
        }
    }
    Err(format!("entries {} to {}: {}", gap.start(), gap.end(), trouble.join("; ")))
}

async fn fetch(peers: &Peers, id: u64, first: u64, last: u64) -> Result<History, String> {
    let connection = peers.to(id).ok_or("its address is not known")?;
    let mut client = HistoryClient::new(connection).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let asked = tokio::time::timeout(PATIENCE, client.audit(AuditRequest { first, last })).await;
    let answer = asked.map_err(|_| "no answer in time")?.map_err(|status| status.message().to_owned())?;
    let AuditResponse { rows, complete_to } = answer.into_inner();
    if !(first..=last).contains(&complete_to) {
        return Err(format!("it answered with entries up to {complete_to}"));
    }
    let rows = rows.into_iter().map(|row| from_wire(row, first, complete_to)).collect::<Option<_>>();
    Ok(History { rows: rows.ok_or("it answered with rows that were not asked for")?, complete_to })
}

fn from_wire(row: wire::AuditRow, first: u64, last: u64) -> Option<AuditRow> {
    Some(AuditRow {
        log_index: i64::try_from(row.log_index).ok().filter(|_| (first..=last).contains(&row.log_index))?,
        ordinal: i32::try_from(row.ordinal).ok()?,
        at_ms: row.at_ms,
        request_id: Uuid::from_slice(&row.request_id).ok()?,
        actor: row.actor,
        action: row.action,
        subject: row.subject,
        outcome: row.outcome,
    })
}

fn to_wire(row: AuditRow) -> wire::AuditRow {
    wire::AuditRow {
        log_index: row.log_index.unsigned_abs(),
        ordinal: row.ordinal.unsigned_abs(),
        at_ms: row.at_ms,
        request_id: row.request_id.as_bytes().to_vec(),
        actor: row.actor,
        action: row.action,
        subject: row.subject,
        outcome: row.outcome,
    }
}

/// What peers may read here.
pub struct Server(Arc<Store>);

/// The gRPC service of `store`'s history, for the listener between replicas.
pub fn server(store: Arc<Store>) -> HistoryServer<Server> {
    HistoryServer::new(Server(store)).max_encoding_message_size(MAX_MESSAGE_BYTES)
}

#[tonic::async_trait]
impl HistoryRpc for Server {
    async fn audit(&self, request: Request<AuditRequest>) -> Result<Response<AuditResponse>, Status> {
        require_controller(&request)?;
        let AuditRequest { first, last } = request.into_inner();
        if first > last || i64::try_from(last).is_err() {
            return Err(Status::invalid_argument("the entries asked for are none"));
        }
        let found = self.0.history(first..=last, ROWS).await;
        let found = found.map_err(|error| Status::unavailable(error.to_string()))?;
        let history = found.ok_or_else(|| Status::not_found("not all of that is here yet"))?;
        let rows = history.rows.into_iter().map(to_wire).collect();
        Ok(Response::new(AuditResponse { rows, complete_to: history.complete_to }))
    }
}
