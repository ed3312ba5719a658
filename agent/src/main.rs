//! `rempart-agent`: takes care of the guests of one hypervisor.

use anyhow::{Context as _, bail};
use clap::CommandFactory as _;
use rempart_agent::config::{Arguments, LOG_FILTER, PROGRAM};
use rempart_agent::console::Consoles;
use rempart_agent::disk::fetch::ImageSource;
use rempart_agent::disk::image::ImageStore;
use rempart_agent::disk::local::Local;
use rempart_agent::execute::{Executor, SharedLedger};
use rempart_agent::identity::{self, Controllers, Token};
use rempart_agent::layout::DataDir;
use rempart_agent::ledger::Ledger;
use rempart_agent::reconcile::Core;
use rempart_agent::session::introduction::{Introduction, detect_capacity};
use rempart_agent::session::{self, Context};
use rempart_agent::stop::Stopper;
use rempart_agent::telemetry;
use rempart_agent::vm::Hypervisor;
use rempart_agent::vm::libvirt::Libvirt;
use rempart_agent::world::Host;
use rempart_daemon::settings::{self, Asked};
use rempart_daemon::{log, metrics, signals, systemd};
use rempart_proto::agent::v1::Capacity;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

fn main() -> ExitCode {
    let asked = match settings::load::<Arguments>(Arguments::command(), PROGRAM, std::env::args_os()) {
        Ok(asked) => asked,
        Err(error) => return ExitCode::from(error.report("rempart-agent")),
    };
    let outcome = match asked {
        Asked::Run(arguments, _) => start(arguments),
        Asked::Check(..) => say("the settings are right"),
        Asked::Print(page) => say(page.trim_end()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // For a person: what, where and why in one line, never a stack.
            let _ = writeln!(std::io::stderr(), "rempart-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("writing to standard output")
}

fn start(arguments: Arguments) -> anyhow::Result<()> {
    log::init(&arguments.log, LOG_FILTER);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(arguments));
    // Whatever blocks in the hypervisor's library must not keep the process alive.
    runtime.shutdown_background();
    outcome
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // First of all: a SIGTERM while this still starts is heard, too.
    let told = signals::listen().context("listening to signals")?;
    let metrics_listener = match arguments.metrics_listen.0 {
        Some(address) => Some(TcpListener::bind(address).await.with_context(|| {
            format!("listening on {address} for metrics; free that address, or choose another with --metrics-listen")
        })?),
        None => None,
    };
    let data_dir = std::path::absolute(&arguments.data_dir)?;
    let data = DataDir::new(data_dir);
    let _lock = data.prepare()?;
    let image_dir = std::path::absolute(arguments.image_dir.unwrap_or_else(|| data.images_dir()))?;
    std::fs::create_dir_all(&image_dir).with_context(|| format!("{}", image_dir.display()))?;
    data.sweep(&image_dir)?;
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
    let token = arguments.join_token.map(Token::Text).or(arguments.join_token_file.map(Token::File));
    let identity_dir = host.data.identity_dir();
    let identity = tokio::select! {
        established = identity::establish(&identity_dir, &arguments.host, token.as_ref()) => established?,
        () = told.to_end() => return Ok(()),
    };
    let controllers = Controllers::new(arguments.controllers, identity.credentials.clone());
    tokio::spawn(identity::keep_certificate(identity, controllers.clone(), stop.clone()));
    let consoles = Consoles::new(host.data.clone(), hypervisor.clone(), controllers.clone());
    let source = ImageSource::new(controllers.clone(), stop.clone());
    let disks = Arc::new(Local { data: host.data.clone(), images: host.images.clone(), source });
    let executor = Executor {
        host,
        hypervisor: hypervisor.clone(),
        disks,
        image_grace: Duration::from_secs(arguments.image_grace_seconds),
        ledger: ledger.clone(),
    };
    let (core, bell, observations) = Core::new(executor, Duration::from_secs(arguments.look_every_seconds));
    let introduction = Introduction {
        host: arguments.host,
        zone: arguments.zone,
        boot_id,
        capacity,
        hypervisor,
        ledger: ledger.clone(),
    };
    tokio::spawn(consoles.clone().keep_logs_small(arguments.serial_log_max_bytes, stop.clone()));
    let introduction = Arc::new(introduction);
    let context = Context { introduction, ledger, bell, observations, consoles, stop: stop.clone() };
    // Never stopped: the last words of an agent that ends are worth reading.
    let (_serving, serves) = watch::channel(false);
    if let Some(listener) = metrics_listener {
        let handle = metrics::keep("rempart-agent", env!("CARGO_PKG_VERSION"))?;
        let observations = context.observations.clone();
        tokio::spawn(metrics::serve(listener, handle, move || telemetry::look(&observations), serves));
    }
    let mut core = tokio::spawn(core.run(stop));
    let dialling = tokio::spawn(session::run(controllers, context));

    systemd::notify("READY=1");
    tokio::select! {
        () = told.to_end() => {}
        ended = &mut core => bail!("the core ended by itself: {ended:?}"),
    }
    tracing::info!("stopping; guests keep running");
    stopper.stop();
    dialling.await?;
    core.await?;
    Ok(())
}
