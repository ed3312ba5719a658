//! What an operator sets on a hypervisor. The one list of an agent's settings: each is a flag, a key of the file and an
//! environment variable (`rempart_daemon::settings`).

use clap::Parser;
use rempart_daemon::log::LogSettings;
use rempart_daemon::metrics::MetricsListen;
use rempart_daemon::settings::Program;
use std::path::PathBuf;

/// Where an agent's settings are.
pub const PROGRAM: Program = Program { subcommand: None, default_file: "/etc/rempart/agent.toml" };

/// What is logged unless `log` says otherwise.
pub const LOG_FILTER: &str = "info";

/// Takes care of the guests of one hypervisor, as the controllers desire. Guests keep running when it stops.
#[derive(Debug, Parser)]
#[command(
    name = "rempart-agent",
    version,
    after_help = "rempart-agent config check|show|reference [FLAGS]: says whether the settings are right, what they are and \
                  where each comes from, or all there are"
)]
pub struct Arguments {
    /// File with settings, in TOML: the names of these flags without their dashes.
    #[arg(long, env = "REMPART_AGENT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Name of this host; the one its join token was made for.
    #[arg(long, env = "REMPART_AGENT_HOST")]
    pub host: String,
    /// Zone this host stands in.
    #[arg(long, env = "REMPART_AGENT_ZONE")]
    pub zone: String,
    /// Internal listeners of the controllers, host:port, separated by commas.
    #[arg(long, env = "REMPART_AGENT_CONTROLLERS", value_delimiter = ',', required = true)]
    pub controllers: Vec<String>,
    /// Join token, for the first start: `rempart-controller token join --host NAME` prints it. On a machine where others
    /// may list processes, give it by file.
    #[arg(long, env = "REMPART_AGENT_JOIN_TOKEN", hide_env_values = true)]
    pub join_token: Option<String>,
    /// File with the join token, for the first start. Another token than that of the last time makes the host join again.
    #[arg(long, env = "REMPART_AGENT_JOIN_TOKEN_FILE", conflicts_with = "join_token")]
    pub join_token_file: Option<PathBuf>,
    /// Directory for ledger, volumes, seeds and sockets. Keep it short: Unix sockets lie below it.
    #[arg(long, env = "REMPART_AGENT_DATA_DIR", default_value = "/var/lib/rempart/agent")]
    pub data_dir: PathBuf,
    /// Directory for base images; images below the data directory when absent. Existing volumes stand on it: do not move
    /// it while there are any.
    #[arg(long, env = "REMPART_AGENT_IMAGE_DIR")]
    pub image_dir: Option<PathBuf>,
    /// How long base images are kept that no volume needs, in seconds.
    #[arg(long, env = "REMPART_AGENT_IMAGE_GRACE_SECONDS", default_value_t = 3600)]
    pub image_grace_seconds: u64,
    /// The libvirt to drive.
    #[arg(long, env = "REMPART_AGENT_LIBVIRT_URI", default_value = "qemu:///system")]
    pub libvirt_uri: String,
    /// Virtual CPUs to offer instead of the number detected.
    #[arg(long, env = "REMPART_AGENT_VCPUS")]
    pub vcpus: Option<u32>,
    /// Memory to offer instead of all there is.
    #[arg(long, env = "REMPART_AGENT_MEMORY_MIB")]
    pub memory_mib: Option<u64>,
    /// Disk space to offer instead of all that is free or used by volumes.
    #[arg(long, env = "REMPART_AGENT_DISK_MIB")]
    pub disk_mib: Option<u64>,
    /// From which size on the log of a guest's serial port is cut where QEMU writes it by itself, in bytes; a quarter is kept.
    /// Where virtlogd runs, give more than its own bound (2 MiB).
    #[arg(long, env = "REMPART_AGENT_SERIAL_LOG_MAX_BYTES", default_value_t = 4 << 20)]
    pub serial_log_max_bytes: u64,
    /// How often the host is looked at though nothing rang, in seconds. Whatever happens on it rings: this bounds what a lost
    /// ring costs.
    #[arg(long, env = "REMPART_AGENT_LOOK_EVERY_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub look_every_seconds: u64,
    /// Where the identity of the host's boot is read; another file only where several hosts share one kernel.
    #[arg(long, env = "REMPART_AGENT_BOOT_ID_FILE", default_value = "/proc/sys/kernel/random/boot_id")]
    pub boot_id_file: PathBuf,
    /// Where metrics are read, at /metrics; nowhere if empty.
    #[arg(long, env = "REMPART_AGENT_METRICS_LISTEN", default_value = "127.0.0.1:9465")]
    pub metrics_listen: MetricsListen,
    /// The log.
    #[command(flatten)]
    pub log: LogSettings,
}
