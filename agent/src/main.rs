//! `rempart-agent`: takes care of the guests of one hypervisor.

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};
use rempart_agent::disk::image::ImageStore;
use rempart_agent::durable;
use rempart_agent::execute::{Executor, SharedLedger};
use rempart_agent::identity::Controllers;
use rempart_agent::layout::DataDir;
use rempart_agent::ledger::Ledger;
use rempart_agent::reconcile::Core;
use rempart_agent::session::introduction::{Introduction, detect_capacity};
use rempart_agent::session::{self, Context};
use rempart_agent::stop::Stopper;
use rempart_agent::vm::Hypervisor;
use rempart_agent::vm::libvirt::Libvirt;
use rempart_agent::world::Host;
use rempart_proto::agent::v1::Capacity;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Takes care of the guests of one hypervisor, as the controllers desire. Guests keep running when it stops.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Name of this host; the subject of its credential.
    #[arg(long, env = "REMPART_AGENT_HOST")]
    host: String,
    /// Zone this host stands in.
    #[arg(long, env = "REMPART_AGENT_ZONE")]
    zone: String,
    /// Internal listeners of the controllers, host:port, separated by commas.
    #[arg(long, env = "REMPART_AGENT_CONTROLLERS", value_delimiter = ',', required = true)]
    controllers: Vec<String>,
    /// File with the bearer token of this host; read again at each connect.
    #[arg(long, env = "REMPART_AGENT_CREDENTIAL_FILE")]
    credential_file: Option<PathBuf>,
    /// Directory for ledger, volumes, seeds and sockets. Keep it short: Unix sockets lie below it.
    #[arg(long, env = "REMPART_AGENT_DATA_DIR", default_value = "/var/lib/rempart/agent")]
    data_dir: PathBuf,
    /// Directory with base images named <sha256>.qcow2 or <sha256>.raw.
    #[arg(long, env = "REMPART_AGENT_IMAGE_DIR", default_value = "/var/lib/rempart/images")]
    image_dir: PathBuf,
    /// The libvirt to drive.
    #[arg(long, env = "REMPART_AGENT_LIBVIRT_URI", default_value = "qemu:///system")]
    libvirt_uri: String,
    /// Virtual CPUs to offer instead of the number detected.
    #[arg(long, env = "REMPART_AGENT_VCPUS")]
    vcpus: Option<u32>,
    /// Memory to offer instead of all there is.
    #[arg(long, env = "REMPART_AGENT_MEMORY_MIB")]
    memory_mib: Option<u64>,
    /// Disk space to offer instead of all that is free or used by volumes.
    #[arg(long, env = "REMPART_AGENT_DISK_MIB")]
    disk_mib: Option<u64>,
    /// Where the identity of the host's boot is read; another file only where several hosts share one kernel.
    #[arg(long, env = "REMPART_AGENT_BOOT_ID_FILE", default_value = "/proc/sys/kernel/random/boot_id")]
    boot_id_file: PathBuf,
    /// How to write the log (to stderr); what to write is set by RUST_LOG.
    #[arg(long, env = "REMPART_AGENT_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(arguments));
    // Whatever blocks in the hypervisor's library must not keep the process alive.
    runtime.shutdown_background();
    outcome
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let data_dir = std::path::absolute(&arguments.data_dir)?;
    let image_dir = std::path::absolute(&arguments.image_dir)?;
    let data = DataDir::new(data_dir);
    let _lock = data.prepare()?;
    for directory in [data.volumes_dir(), data.seeds_dir(), data.image_records_dir()] {
        durable::sweep_unfinished(&directory).with_context(|| format!("{}", directory.display()))?;
    }
    let boot_id = std::fs::read_to_string(&arguments.boot_id_file)
        .with_context(|| format!("{}", arguments.boot_id_file.display()))?
        .trim()
        .to_owned();
    if boot_id.is_empty() {
        bail!("{} is empty", arguments.boot_id_file.display());
    }
    let detected = detect_capacity(data.root(), &data.volumes_dir()).context("detecting the capacity")?;
    let capacity = Capacity {
        vcpus: arguments.vcpus.unwrap_or(detected.vcpus),
        memory_mib: arguments.memory_mib.unwrap_or(detected.memory_mib),
        disk_mib: arguments.disk_mib.unwrap_or(detected.disk_mib),
    };
    let ledger = SharedLedger::new(Ledger::open(&data.ledger_dir())?);
    let hypervisor: Arc<dyn Hypervisor> = Arc::new(Libvirt::connect(&arguments.libvirt_uri)?);
    let images = ImageStore::new(image_dir, data.image_records_dir());
    let host = Host { boot_id: boot_id.clone(), data, images };
    tracing::info!(host = arguments.host, zone = arguments.zone, boot_id, ?capacity, "starting");

    let (stopper, stop) = Stopper::new();
    let executor = Executor { host, hypervisor: hypervisor.clone(), ledger: ledger.clone() };
    let (core, bell, observations) = Core::new(executor);
    let introduction = Introduction {
        host: arguments.host,
        zone: arguments.zone,
        boot_id,
        capacity,
        hypervisor,
        ledger: ledger.clone(),
    };
    let controllers = Controllers::new(arguments.controllers, arguments.credential_file);
    let context =
        Context { introduction: Arc::new(introduction), ledger, bell, observations, stop: stop.clone() };
    let mut core = tokio::spawn(core.run(stop));
    let dialling = tokio::spawn(session::run(controllers, context));

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut core => bail!("the core ended by itself: {ended:?}"),
    }
    tracing::info!("stopping; guests keep running");
    stopper.stop();
    dialling.await?;
    core.await?;
    Ok(())
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
