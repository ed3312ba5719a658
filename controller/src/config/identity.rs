//! Flags of the commands that make machines members of a cluster: `init`, `token`, `join`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::parse_peer;

/// See [`Command::Init`](super::Command::Init).
#[derive(Debug, Args)]
pub struct Init {
    /// Where to write keys and certificates; created if missing.
    #[arg(long)]
    pub dir: PathBuf,
    /// Id of the controller on this machine.
    #[arg(long, default_value_t = 1)]
    pub replica_id: u64,
    /// Name of the region.
    #[arg(long, default_value = "local")]
    pub region: String,
    /// Zones of the region.
    #[arg(long, value_delimiter = ',', default_value = "a")]
    pub zones: Vec<String>,
}

/// See [`Command::Token`](super::Command::Token).
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Token {
    /// Another sort of token.
    #[command(subcommand)]
    pub sort: Option<TokenSort>,
    /// Directory with this controller's identity.
    #[arg(long, env = "REMPART_CLUSTER_DIR", required = true)]
    pub cluster_dir: Option<PathBuf>,
    /// Subject: the name of a person or service.
    #[arg(long, required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub subject: Option<String>,
    /// How long it holds, in seconds.
    #[arg(long, default_value_t = 3600)]
    pub lifetime_seconds: u64,
}

/// Tokens for something else than the REST API.
#[derive(Debug, Subcommand)]
pub enum TokenSort {
    /// A join token: lets one machine join, once.
    Join(JoinFor),
}

/// For which machine a join token is.
#[derive(Debug, Args)]
pub struct JoinFor {
    /// A hypervisor host of this name. Several, separated by commas: one token each, one a line, in this order.
    #[arg(
        long,
        required_unless_present = "controller",
        conflicts_with = "controller",
        value_delimiter = ','
    )]
    pub host: Vec<String>,
    /// The controller with this id.
    #[arg(long)]
    pub controller: Option<u64>,
    /// Zone the host will stand in, if that is decided now.
    #[arg(long, requires = "host")]
    pub zone: Option<String>,
    /// Directory with this controller's identity.
    #[arg(long, env = "REMPART_CLUSTER_DIR")]
    pub cluster_dir: PathBuf,
    /// Where the machine finds the controllers: ID=HOST:PORT of their internal listeners.
    #[arg(long, env = "REMPART_PEERS", value_delimiter = ',', value_parser = parse_peer, required = true)]
    pub peers: Vec<(u64, String)>,
    /// How long it works, in seconds.
    #[arg(long, default_value_t = 3600)]
    pub lifetime_seconds: u64,
}

/// See [`Command::Join`](super::Command::Join).
#[derive(Debug, Args)]
pub struct Join {
    /// Where to write keys and certificates; created if missing.
    #[arg(long)]
    pub dir: PathBuf,
    /// The join token, as `rempart-controller token join --controller ID` printed it. On a machine where others may list
    /// processes, give it by file.
    #[arg(long, env = "REMPART_JOIN_TOKEN", hide_env_values = true, required_unless_present = "token_file")]
    pub token: Option<String>,
    /// File with the join token; - for standard input.
    #[arg(long, conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// How long to try while no controller answers, in seconds.
    #[arg(long, default_value_t = 60)]
    pub patience_seconds: u64,
}

/// What [`Run`](super::Run) says of certificates and TLS.
#[derive(Debug, Clone, Args)]
pub struct Certificates {
    /// How long machines' certificates hold, in seconds; they are renewed at half of it.
    #[arg(
        long,
        env = "REMPART_CERTIFICATE_LIFETIME_SECONDS",
        default_value_t = 86_400,
        value_parser = clap::value_parser!(u64).range(2..=7_776_000)
    )]
    pub certificate_lifetime_seconds: u64,
    /// Certificate of the REST API (PEM, with its chain). Without it the API speaks plain HTTP: on loopback, or behind a
    /// proxy.
    #[arg(long, env = "REMPART_HTTP_TLS_CERT", requires = "http_tls_key")]
    pub http_tls_cert: Option<PathBuf>,
    /// Its private key (PEM), readable by its owner alone.
    #[arg(long, env = "REMPART_HTTP_TLS_KEY", requires = "http_tls_cert")]
    pub http_tls_key: Option<PathBuf>,
}
