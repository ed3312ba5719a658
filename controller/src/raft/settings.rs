//! What the operator and the process choose for consensus.

use std::{path::PathBuf, time::Duration};

use super::error::StartError;

/// How one replica takes part.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This replica's id. Never given to another replica, not even after it left for good.
    pub replica_id: u64,
    /// The directory of the log. Created if it is missing.
    pub log_dir: PathBuf,
    /// How long to wait for what.
    pub timing: Timing,
    /// How much to hold at a time.
    pub limits: Limits,
}

impl Settings {
    /// Settings with default timing and limits.
    #[must_use]
    pub fn new(replica_id: u64, log_dir: impl Into<PathBuf>) -> Self {
        Self { replica_id, log_dir: log_dir.into(), timing: Timing::default(), limits: Limits::default() }
    }
}

/// The clockwork of consensus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader makes itself heard.
    pub heartbeat: Duration,
    /// The shortest silence of a leader after which a follower campaigns.
    pub silence_min: Duration,
    /// The longest. Each campaign draws anew between the two, so that survivors do not split the votes for long.
    pub silence_max: Duration,
    /// How long a proposal may take before its caller hears [`Unknown`](super::ProposeError::Unknown).
    pub propose_timeout: Duration,
    /// How long a request with entries in it may take: 4 MiB over a slow line and a slow disk at the other end.
    pub append_timeout: Duration,
}

impl Default for Timing {
    /// A lost leader is replaced about a second after its last heartbeat; five lost heartbeats are not yet a lost leader.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            silence_min: Duration::from_millis(750),
            silence_max: Duration::from_millis(1000),
            propose_timeout: Duration::from_secs(10),
            append_timeout: Duration::from_secs(5),
        }
    }
}

impl Timing {
    /// openraft's configuration. Its followers keep a lease of `election_timeout_max` for a leader they heard, and only
    /// then start the election timeout, drawn between min and max. What it calls a timeout is therefore half the truth:
    /// the silence is `max + min` to `2 * max`. We state the silence and solve for its numbers.
    pub(crate) fn to_config(&self) -> Result<openraft::Config, StartError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let max = millis(self.silence_max) / 2;
        let min = millis(self.silence_min).saturating_sub(max);
        let heartbeat = millis(self.heartbeat);
        if heartbeat == 0 || min <= heartbeat || max <= min {
            return Err(StartError::Timing(format!(
                "heartbeat {:?}, silence {:?} to {:?}: needs 0 < heartbeat < silence_min - silence_max / 2 and \
                 silence_min < silence_max",
                self.heartbeat, self.silence_min, self.silence_max
            )));
        }
        let config = openraft::Config {
            cluster_name: "rempart".to_owned(),
            heartbeat_interval: heartbeat,
            election_timeout_min: min,
            election_timeout_max: max,
            enable_pre_vote: Some(true),
            // A restarted leader stands for election like anyone else: its followers may have moved on.
            enable_leader_restore: Some(false),
            // When to make one and what to purge, `snapshot::compaction` decides, in bytes.
            snapshot_policy: openraft::SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            // The count is no bound that matters: `limited_get_log_entries` bounds a request in bytes.
            max_payload_entries: 4096,
            backoff: "100ms 200ms 400ms ..500ms".to_owned(),
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| StartError::Timing(error.to_string()))
    }
}

/// Bounds in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Proposals accepted and not yet applied. Beyond it, [`Overloaded`](super::ProposeError::Overloaded). Below
    /// [`MAX_PROPOSAL_BYTES`](super::MAX_PROPOSAL_BYTES) the largest are never accepted.
    pub in_flight_bytes: usize,
    /// Entries at the end of the log kept in memory, for followers and `apply`. Older ones are read from disk.
    pub tail_bytes: usize,
    /// The size of a file of the log, which is purged as a whole: 4 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// Log behind the newest snapshot after which another is made; the size of the snapshot, if that is more.
    pub snapshot_after_bytes: u64,
    /// Log before the newest snapshot that is kept, for replicas that were away for a moment.
    pub keep_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_bytes: 64 << 20,
            tail_bytes: 64 << 20,
            segment_bytes: 64 << 20,
            snapshot_after_bytes: 256 << 20,
            keep_bytes: 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests;
