//! What an operator sets: flags, each also an environment variable.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::http::StatusTable;

/// The Rempart controller.
#[derive(Debug, Parser)]
#[command(name = "rempart-controller", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes the identity of a new cluster: DIR/cluster.json and DIR/issuer.key. Copy both to every controller.
    Init(Init),
    /// Runs a controller.
    Run(Box<Run>),
    /// Prints a token signed with the cluster's key.
    Token(Token),
}

/// See [`Command::Init`].
#[derive(Debug, Args)]
pub struct Init {
    /// Where to write the two files; created if missing.
    #[arg(long)]
    pub dir: PathBuf,
    /// Name of the region.
    #[arg(long, default_value = "local")]
    pub region: String,
    /// Zones of the region.
    #[arg(long, value_delimiter = ',', default_value = "a")]
    pub zones: Vec<String>,
}

/// See [`Command::Token`].
#[derive(Debug, Args)]
pub struct Token {
    /// Directory with issuer.key.
    #[arg(long, env = "REMPART_CLUSTER_DIR")]
    pub cluster_dir: PathBuf,
    /// Subject: the name of a person or service; with --fleet that of a host.
    #[arg(long)]
    pub subject: String,
    /// A hypervisor agent's token instead of one for the REST API.
    #[arg(long)]
    pub fleet: bool,
    /// How long it holds, in seconds.
    #[arg(long, default_value_t = 3600)]
    pub lifetime_seconds: u64,
}

/// See [`Command::Run`].
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// Directory with cluster.json and issuer.key.
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
    /// HTTP statuses for refused requests: as the released SECA client expects, or as the specification says.
    #[arg(long, env = "REMPART_STATUS_TABLE", value_enum, default_value_t)]
    pub status_table: StatusTable,
    /// Log lines as JSON.
    #[arg(long, env = "REMPART_LOG_JSON")]
    pub log_json: bool,
    /// Silence of the leader after which the others hold an election, in milliseconds.
    #[arg(
        long,
        env = "REMPART_ELECTION_MS",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(200..=60_000)
    )]
    pub election_ms: u64,
}

impl Run {
    /// The replicas by id.
    ///
    /// # Errors
    /// When this replica is not among them, or one is named twice.
    pub fn members(&self) -> Result<BTreeMap<u64, String>, String> {
        let members: BTreeMap<u64, String> = self.peers.iter().cloned().collect();
        if members.len() != self.peers.len() {
            return Err("--peers names a replica id twice; each replica has its own".to_owned());
        }
        if !members.contains_key(&self.replica_id) {
            return Err(format!(
                "--peers does not name this replica; add {}=HOST:PORT with the address peers reach {} at",
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

/// `cluster.json`: what `init` decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Identity of the cluster.
    pub cluster_id: Uuid,
    /// Name of its region.
    pub region: String,
    /// Zones of the region.
    pub zones: Vec<String>,
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
