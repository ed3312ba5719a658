//! `rempart.cluster`: the controllers themselves, for operators.
//!
//! ```text
//!   GET    .../v1/replicas            all of them
//!   PUT    .../v1/replicas/ID         it is to vote: {"spec": {"address": "HOST:PORT"}}
//!   DELETE .../v1/replicas/ID         it is to leave, for good
//!   POST   .../v1/replicas/ID/lead    it is to lead
//!   POST   .../v1/backup              a backup, encrypted: {"recipients": ["age1..."]}
//!   POST   .../v1/resume              a restored cluster is to take changes again: {"without": ["HOST"]}
//! ```
//!
//! A change is accepted (202) when it is written down; the leading controller sees to it, and the list tells how far it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

/// Its provider.
pub const PROVIDER: &str = "rempart.cluster";

/// Base path of the provider.
pub const BASE: &str = "/providers/rempart.cluster/v1";

/// What is wanted of a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaSpec {
    /// Where it listens for its peers: `host:port`.
    #[schemars(length(min = 3, max = 260))]
    pub address: String,
}

/// The part a controller plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReplicaRole {
    /// It leads.
    Leader,
    /// It votes.
    Voter,
    /// It takes over the log, and will vote when it has it.
    Joining,
    /// It is being taken out.
    Leaving,
}

/// How a controller is doing, as the leading one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Its part.
    pub role: ReplicaRole,
    /// What it waits for, in words; absent when nothing is under way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waiting_for: Option<String>,
    /// When the leader heard from it last; absent if never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heard_at: Option<Timestamp>,
    /// The last entry of the log that it is known to have.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub matched_index: Option<u64>,
    /// What it says of itself; absent when it does not answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub own: Option<ReplicaReport>,
}

/// What a controller says of itself. Sizes are on its disk, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaReport {
    /// Version of its program.
    pub version: String,
    /// The last entry in its log.
    pub last_log_index: Option<u64>,
    /// The last entry its state contains.
    pub applied_index: Option<u64>,
    /// The last entry whose effects are in its Postgres.
    pub flushed_index: Option<u64>,
    /// The entry up to which its newest snapshot goes.
    pub snapshot_index: Option<u64>,
    /// The entry up to which it has given up the log.
    pub purged_index: Option<u64>,
    /// Of its log.
    pub log_bytes: u64,
    /// Of its newest snapshot.
    pub snapshot_bytes: u64,
    /// Entries whose audit rows it has yet to fetch from others.
    pub missing_history: u64,
    /// The newest cluster version that it can run at; 1 of a program from before there were versions.
    #[serde(default = "first_version")]
    pub newest_cluster_version: u32,
    /// What it had when all of them noted it last; absent if that was before it was started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state_digest: Option<StateDigest>,
}

fn first_version() -> u32 {
    1
}

/// A digest of a controller's state. Those of one index are equal, or one of the controllers is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateDigest {
    /// The entry of the log at which it was noted.
    pub index: u64,
    /// 32 hexadecimal digits.
    pub digest: String,
}

/// A controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// Its id, never used for another one.
    pub id: u64,
    /// What is wanted.
    pub spec: ReplicaSpec,
    /// What is.
    pub status: ReplicaStatus,
}

/// All controllers, by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaList {
    /// Them.
    pub items: Vec<Replica>,
    /// The cluster version: what of newer releases is in use. It goes up by itself once every controller knows the next.
    #[serde(default = "first_version")]
    pub cluster_version: u32,
    /// Why it may be wrong: no controller leads, and the one that was asked says what it knows by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub warning: Option<String>,
    /// Where this cluster was restored from; absent for one that was not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restored: Option<Restoration>,
}

/// That the cluster was restored from a backup, and where that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restoration {
    /// Which backup.
    #[schemars(with = "String")]
    pub backup_id: Uuid,
    /// When that was taken.
    pub taken_at: Timestamp,
    /// The last entry of the log in it.
    pub taken_index: u64,
    /// When it was restored.
    pub restored_at: Timestamp,
    /// How often the cluster has been restored, and one: raised by every restore.
    pub incarnation: u64,
    /// When it took changes again; absent while it is read-only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opened_at: Option<Timestamp>,
    /// Hosts that have not said yet what they have.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub waits_for: Vec<String>,
    /// What contradicts what is known, and holds up the opening.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub conflicts: Vec<RestoreConflict>,
    /// Hosts that have said what they have.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub compared: Vec<ComparedHost>,
}

/// Something that is not where it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreConflict {
    /// The host that has it.
    pub host: String,
    /// What.
    #[schemars(with = "String")]
    pub uid: Uuid,
    /// In words.
    pub message: String,
}

/// A host that has said what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparedHost {
    /// Its name.
    pub host: String,
    /// When it did.
    pub at: Timestamp,
    /// Things without a row that it has; `rempart fleet orphans` lists them.
    pub orphans: u64,
    /// Things that it should have, and has nothing of. They are not made anew.
    pub gone: u64,
}

/// What is asked of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupRequest {
    /// Public keys of those who can read it, as age writes them: `age1...`.
    #[schemars(length(min = 1, max = 16))]
    pub recipients: Vec<String>,
}

/// What is in a backup; said in the header `rempart-backup`, before its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSummary {
    /// Which backup.
    #[schemars(with = "String")]
    pub backup_id: Uuid,
    /// Of which cluster.
    #[schemars(with = "String")]
    pub cluster_id: Uuid,
    /// Name of its region.
    pub region: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// The last entry of the log in it.
    pub applied_index: u64,
    /// The cluster's incarnation.
    pub incarnation: u64,
    /// Version of the program that took it.
    pub version: String,
    /// Resources in it.
    pub resources: u64,
    /// Images and volumes whose bytes State refers to; they are not in it.
    pub blobs: u64,
}

/// The header that has a [`BackupSummary`], as JSON.
pub const BACKUP_HEADER: &str = "rempart-backup";

/// What is asked when a restored cluster is to take changes again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResumeRequest {
    /// Hosts that will not come back, or whose contradictions are known.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(length(max = 1000))]
    pub without: Vec<String>,
}
