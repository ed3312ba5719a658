//! Flags of the commands about backups: `backup-key`, `restore`.

use std::path::PathBuf;

use clap::Args;

/// See [`Command::BackupKey`](super::Command::BackupKey).
#[derive(Debug, Args)]
pub struct BackupKey {
    /// File for the private key, which must not be there yet. Keep it where the controllers are not.
    #[arg(long)]
    pub to: PathBuf,
}

/// See [`Command::Restore`](super::Command::Restore).
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup, as `rempart cluster backup` wrote it.
    #[arg(long)]
    pub backup: PathBuf,
    /// File with the private key (AGE-SECRET-KEY-1...) that it was encrypted to.
    #[arg(long)]
    pub identity: PathBuf,
    /// File with the cluster's root key: root.key of any of its controllers.
    #[arg(long)]
    pub root_key: PathBuf,
    /// Where to write this controller's identity; created if missing.
    #[arg(long, env = "REMPART_CLUSTER_DIR")]
    pub cluster_dir: PathBuf,
    /// Where its log and, without --database-url, its database go.
    #[arg(long, env = "REMPART_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Id of the controller on this machine: above every one that the cluster ever had.
    #[arg(long, env = "REMPART_REPLICA_ID")]
    pub replica_id: u64,
    /// Where it will listen for its peers: HOST:PORT.
    #[arg(long)]
    pub address: String,
    /// The cluster's next incarnation, above every one that it ever had; by default that of the backup and one. Needed when a
    /// backup is restored once more.
    #[arg(long)]
    pub incarnation: Option<u64>,
    /// A Postgres to use instead of a private one: postgres://USER:PASSWORD@HOST:PORT/DATABASE, empty.
    #[arg(long, env = "REMPART_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Unprivileged user that runs the private Postgres when this is root.
    #[arg(long, env = "REMPART_POSTGRES_USER", default_value = "postgres")]
    pub postgres_user: String,
    /// Only verify that it could be restored; write nothing.
    #[arg(long)]
    pub check: bool,
}
