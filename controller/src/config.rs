//! What an operator sets: flags, each also an environment variable.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use rempart_daemon::log::LogSettings;
use rempart_daemon::metrics::MetricsListen;
use rempart_daemon::settings::Program;
use rempart_model::ClusterVersion;

use crate::auth::Issuers;
use crate::http::StatusTable;

mod identity;
mod restore;

pub use restore::{BackupKey, Restore};

pub use identity::{Certificates, Init, Join, JoinFor, Token, TokenSort};

/// Where a controller's settings are.
pub const PROGRAM: Program =
    Program { subcommand: Some("run"), default_file: "/etc/rempart/controller.toml" };

/// The Rempart controller.
#[derive(Debug, Parser)]
#[command(
    name = "rempart-controller",
    version,
    after_help = "rempart-controller config check|show|reference [FLAGS OF run]: says whether the settings that `run` would \
                  use are right, what they are and where each comes from, or all there are"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes a new cluster, and this machine its first controller.
    Init(Init),
    /// Makes this machine a controller of a cluster, with a join token from one of its controllers.
    Join(Join),
    /// Runs a controller.
    Run(Box<Run>),
    /// Prints a token: for the REST API, or with `join` for a machine that joins.
    Token(Token),
    /// Makes a key pair for backups: the private key into a file, the public one to standard output.
    BackupKey(BackupKey),
    /// Makes this machine the first controller of a cluster that is restored from a backup.
    Restore(Restore),
}

/// See [`Command::Run`]. The one list of a controller's settings: each is a flag, a key of the file and an environment
/// variable (`rempart_daemon::settings`).
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// File with settings, in TOML: the names of these flags without their dashes.
    #[arg(long, env = "REMPART_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory with this controller's identity, made by `init` or `join`.
    #[arg(long, env = "REMPART_CLUSTER_DIR")]
    pub cluster_dir: PathBuf,
    /// This replica's id; never reused for another replica.
    #[arg(long, env = "REMPART_REPLICA_ID")]
    pub replica_id: u64,
    /// All replicas, this one among them: ID=HOST:PORT of their internal listeners.
    #[arg(long, env = "REMPART_PEERS", value_delimiter = ',', value_parser = parse_peer)]
    pub peers: Vec<(u64, String)>,
    /// Where this replica keeps its log and, without --database-url, its database.
    #[arg(long, env = "REMPART_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Where the REST API listens.
    #[arg(long, env = "REMPART_HTTP_LISTEN", default_value = "127.0.0.1:8080")]
    pub http_listen: SocketAddr,
    /// Where peers and agents connect.
    #[arg(long, env = "REMPART_INTERNAL_LISTEN", default_value = "127.0.0.1:7080")]
    pub internal_listen: SocketAddr,
    /// Base URL under which clients reach the REST API; http://HTTP_LISTEN when absent.
    #[arg(long, env = "REMPART_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// A Postgres to use instead of a private one: postgres://USER:PASSWORD@HOST:PORT/DATABASE, one per replica.
    #[arg(long, env = "REMPART_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Unprivileged user that runs the private Postgres when the controller is root.
    #[arg(long, env = "REMPART_POSTGRES_USER", default_value = "postgres")]
    pub postgres_user: String,
    /// Subjects who operate this installation.
    #[arg(long, env = "REMPART_OPERATORS", value_delimiter = ',', default_value = "operator")]
    pub operators: Vec<String>,
    /// File with the OpenID Connect issuers whose tokens are taken beside our own, in TOML; see operating/authentication.md.
    #[arg(long, env = "REMPART_OIDC_ISSUERS", value_parser = Issuers::read)]
    pub oidc_issuers: Option<Issuers>,
    /// HTTP statuses for refused requests: as the released SECA client expects, or as the specification says.
    #[arg(long, env = "REMPART_STATUS_TABLE", value_enum, default_value_t)]
    pub status_table: StatusTable,
    /// Connections to the REST API at a time; one more is closed at once.
    #[arg(
        long,
        env = "REMPART_HTTP_CONNECTIONS",
        default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(16..=100_000)
    )]
    pub http_connections: u32,
    /// Requests a second that one caller may make at a controller, on average, and twice that at once; 0: no limit.
    #[arg(long, env = "REMPART_REQUESTS_PER_SECOND", default_value_t = 200)]
    pub requests_per_second: u32,
    /// Address of the REST API for operators alone: at http-listen nobody is an operator then.
    #[arg(long, env = "REMPART_OPERATOR_LISTEN")]
    pub operator_listen: Option<SocketAddr>,
    /// Where metrics are read, at /metrics; nowhere if empty.
    #[arg(long, env = "REMPART_METRICS_LISTEN", default_value = "127.0.0.1:9464")]
    pub metrics_listen: MetricsListen,
    /// The log.
    #[command(flatten)]
    pub log: LogSettings,
    /// Silence of the leader after which the others hold an election, in milliseconds.
    #[arg(
        long,
        env = "REMPART_ELECTION_MS",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(200..=60_000)
    )]
    pub election_ms: u64,
    /// Log behind the newest snapshot after which another one is made, in MiB; the size of the snapshot, if that is more.
    #[arg(
        long,
        env = "REMPART_SNAPSHOT_AFTER_MIB",
        default_value_t = 256,
        value_parser = clap::value_parser!(u64).range(1..=1_048_576)
    )]
    pub snapshot_after_mib: u64,
    /// How long what is on its way may take, in percent of docs/operating/deadlines.md; the same at every controller.
    #[arg(
        long,
        env = "REMPART_DEADLINE_PERCENT",
        default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(1..=10_000)
    )]
    pub deadline_percent: u64,
    /// How often the controllers compare what they have, in seconds.
    #[arg(
        long,
        env = "REMPART_COMPARE_SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub compare_seconds: u64,
    /// Keep the cluster version from going beyond this one; when absent, as far as all controllers know it.
    #[arg(long, env = "REMPART_CLUSTER_VERSION_LIMIT", value_parser = cluster_version)]
    pub cluster_version_limit: Option<ClusterVersion>,
    /// How long a console's token holds, in seconds.
    #[arg(
        long,
        env = "REMPART_CONSOLE_TOKEN_SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=60)
    )]
    pub console_token_seconds: u64,
    /// Bytes of images.
    #[command(flatten)]
    pub blobs: Blobs,
    /// Certificates and TLS.
    #[command(flatten)]
    pub certificates: Certificates,
}

/// What [`Run`] says of the bytes of images.
#[derive(Debug, Clone, Args)]
pub struct Blobs {
    /// Largest upload, in bytes.
    #[arg(long, env = "REMPART_UPLOAD_MAX_BYTES", default_value_t = 1 << 40)]
    pub upload_max_bytes: u64,
    /// How long the sender of an upload may be silent, in seconds.
    #[arg(long, env = "REMPART_UPLOAD_IDLE_SECONDS", default_value_t = 30)]
    pub upload_idle_seconds: u64,
    /// Space that uploads leave free where the data is, in bytes; 5 % of it or 2 GiB, whichever is less, when absent.
    #[arg(long, env = "REMPART_BLOB_FLOOR_BYTES")]
    pub blob_floor_bytes: Option<u64>,
    /// How long bytes are kept that no volume or image refers to, in seconds.
    #[arg(long, env = "REMPART_BLOB_GRACE_SECONDS", default_value_t = 3600)]
    pub blob_grace_seconds: u64,
}

impl Run {
    /// The replicas by id.
    ///
    /// # Errors
    /// When this replica is not among them, or one is named twice.
    pub fn members(&self) -> Result<BTreeMap<u64, String>, String> {
        let members: BTreeMap<u64, String> = self.peers.iter().cloned().collect();
        if members.len() != self.peers.len() {
            return Err("peers names a replica id twice; each replica has its own".to_owned());
        }
        if !members.contains_key(&self.replica_id) {
            return Err(format!(
                "peers does not name this replica; add {}=HOST:PORT with the address peers reach {} at",
                self.replica_id, self.internal_listen
            ));
        }
        Ok(members)
    }

    /// Timing of elections.
    pub fn timing(&self) -> crate::raft::Timing {
        let silence = Duration::from_millis(self.election_ms);
        crate::raft::Timing {
            heartbeat: silence * 15 / 100,
            silence_min: silence * 75 / 100,
            silence_max: silence,
            ..crate::raft::Timing::default()
        }
    }

    /// Bounds of the log.
    pub fn limits(&self) -> crate::raft::Limits {
        let snapshot_after_bytes = self.snapshot_after_mib << 20;
        crate::raft::Limits {
            snapshot_after_bytes,
            keep_bytes: snapshot_after_bytes / 4,
            ..crate::raft::Limits::default()
        }
    }
}

fn cluster_version(text: &str) -> Result<ClusterVersion, String> {
    let known = || format!("a number from {} to {}", ClusterVersion::OLDEST, ClusterVersion::NEWEST);
    let version = text.parse().map(ClusterVersion).map_err(|_| known())?;
    version.check_known().map(|()| version).map_err(|_| known())
}

fn parse_peer(text: &str) -> Result<(u64, String), String> {
    let bad = || format!("{text:?} is not of the form ID=HOST:PORT");
    let (id, address) = text.split_once('=').ok_or_else(bad)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(bad());
    }
    Ok((id.parse().map_err(|_| bad())?, address.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(peers: &str) -> Result<BTreeMap<u64, String>, String> {
        let arguments = [
            "rempart-controller",
            "run",
            "--cluster-dir",
            "/c",
            "--replica-id",
            "1",
            "--data-dir",
            "/d",
            "--peers",
            peers,
        ];
        match Cli::try_parse_from(arguments).map_err(|error| error.to_string())?.command {
            Command::Run(run) => run.members(),
            _ => unreachable!(),
        }
    }

    #[test]
    fn peers_are_checked() {
        assert_eq!(run("1=a:1,2=[::1]:2").unwrap().len(), 2);
        for (bad, why) in
            [("2=a:1", "does not name this replica"), ("1=a:1,1=b:1", "twice"), ("1:a", "ID=HOST:PORT")]
        {
            assert!(run(bad).unwrap_err().contains(why), "{bad}");
        }
    }
}
