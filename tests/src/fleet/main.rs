//! A fleet of hypervisors in one process: as many agents as it has join tokens, each the real one with its session, ledger and
//! core, over a hypervisor and disks that are simulated.
//!
//! Whoever starts it holds its pipes. It says on standard output, one JSON object a line, `{"event":"joined",...}` once all
//! hosts have joined and dialled, and answers what it reads on standard input, one word a line: `sessions` (how many are open,
//! by the address of the controller) and `look` (what is on the hosts). It ends in good order on SIGTERM, and when its
//! standard input is closed.
//!
//! Each host has a data directory of its own below one directory. Ledgers are fsynced as on a real host: on a tmpfs the disks
//! of a thousand hosts are not one.

mod crowd;
mod host;
mod tokens;

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use rempart_agent::stop::Stopper;
use rempart_daemon::log::{self, LogSettings};
use rempart_daemon::signals;
use rempart_proto::agent::v1::Capacity;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crowd::Crowd;
use host::Settings;

/// What is logged unless `log` says otherwise: a thousand agents have much to say.
const LOG_FILTER: &str = "warn";

/// Simulated hypervisors with real agents, all in this process.
#[derive(Debug, Parser)]
#[command(name = "rempart-simulated-fleet")]
struct Arguments {
    /// Internal listeners of the controllers, host:port, in the order in which agents dial them.
    #[arg(long, value_delimiter = ',', required = true)]
    controllers: Vec<String>,
    /// Directory below which each host has its data directory: at most 30 bytes, for sockets have short names.
    #[arg(long)]
    dir: PathBuf,
    /// File with a line for each host: its name, a blank, its join token.
    #[arg(long)]
    tokens: PathBuf,
    /// Zone the hosts stand in.
    #[arg(long, default_value = "a")]
    zone: String,
    /// Virtual CPUs that each host offers.
    #[arg(long, default_value_t = 1_000_000)]
    vcpus: u32,
    /// Memory that each host offers, in MiB.
    #[arg(long, default_value_t = 1_000_000_000)]
    memory_mib: u64,
    /// Disk space that each host offers, in MiB.
    #[arg(long, default_value_t = 1_000_000_000)]
    disk_mib: u64,
    /// How long a guest takes to get its QEMU, in milliseconds.
    #[arg(long, default_value_t = 0)]
    boot_ms: u64,
    /// How often each host is looked at though nothing rang, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    look_every_seconds: u64,
    /// Hosts that join at the same time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    joins: u32,
    /// Threads for what blocks (steps, ledgers), for all agents together. More than two for each processor only wake each other.
    #[arg(long, default_value_t = two_for_each_processor(), value_parser = clap::value_parser!(u32).range(1..=512))]
    blocking_threads: u32,
    /// The log.
    #[command(flatten)]
    log: LogSettings,
}

fn two_for_each_processor() -> u32 {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    u32::try_from(2 * processors).unwrap_or(512).min(512)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::init(&arguments.log, LOG_FILTER);
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rempart-simulated-fleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<()> {
    let blocking = usize::try_from(arguments.blocking_threads)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(blocking).build()?;
    let outcome = runtime.block_on(run(arguments));
    runtime.shutdown_background();
    outcome
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let told = signals::listen().context("listening to signals")?;
    let mut commands = commands();
    let hosts = tokens::read(&arguments.tokens)?;
    let count = hosts.len();
    let (stopper, stop) = Stopper::new();
    let crowd = Arc::new(Crowd::default());
    let settings = Arc::new(Settings {
        controllers: arguments.controllers,
        dir: std::path::absolute(&arguments.dir)?,
        zone: arguments.zone,
        capacity: Capacity {
            vcpus: arguments.vcpus,
            memory_mib: arguments.memory_mib,
            disk_mib: arguments.disk_mib,
        },
        boot_delay: Duration::from_millis(arguments.boot_ms),
        look_every: Duration::from_secs(arguments.look_every_seconds),
        joins: Semaphore::new(usize::try_from(arguments.joins)?),
        stop,
        crowd: crowd.clone(),
    });
    let _lock = settings.lock()?;

    let begin = Instant::now();
    let mut joining: JoinSet<anyhow::Result<host::Running>> = JoinSet::new();
    for (name, token) in hosts {
        joining.spawn(Box::pin(host::start(settings.clone(), name, token)));
    }
    let mut running = Vec::with_capacity(count);
    let mut ends = false;
    while !ends {
        tokio::select! {
            Some(joined) = joining.join_next() => {
                running.push(joined.context("a host's task")??);
                if running.len() == count {
                    say(&json!({ "event": "joined", "hosts": count, "seconds": begin.elapsed().as_secs_f64() }))?;
                }
            }
            command = commands.recv() => match command.as_deref() {
                Some("sessions") => say(&json!({ "answer": "sessions", "sessions": crowd.sessions() }))?,
                Some("look") => {
                    let crowd = crowd.clone();
                    let seen = tokio::task::spawn_blocking(move || crowd.look()).await?;
                    say(&json!({ "answer": "look", "seen": seen }))?;
                }
                Some(other) => bail!("{other:?} is no command; there are: sessions, look"),
                None => ends = true,
            },
            () = told.to_end() => ends = true,
        }
    }
    joining.abort_all();
    stopper.stop();
    for host in running {
        host.ended().await?;
    }
    Ok(())
}

/// Lines of standard input. A thread reads them, which nothing has to wait for at the end.
fn commands() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn say(line: &serde_json::Value) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).context("writing to standard output")
}
