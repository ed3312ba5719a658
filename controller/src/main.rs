//! `rempart-controller`.

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use rempart_controller::authority::{Audience, Authority};
use rempart_controller::config::{Cli, Cluster, Command, Init, Token};
use tracing_subscriber::EnvFilter;

/// What is logged unless REMPART_LOG says otherwise. openraft narrates its inner life, and warns of
/// every heartbeat to a peer that is away; our adapter says once what an operator can use.
const LOG_FILTER: &str = "info,openraft=error,sqlx=warn";

fn main() -> ExitCode {
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // For a person: what, where and why in one line, never a stack.
            let _ = writeln!(std::io::stderr(), "rempart-controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Init(arguments) => init(&arguments),
        Command::Token(arguments) => token(&arguments),
        Command::Run(settings) => {
            let filter =
                EnvFilter::try_from_env("REMPART_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
            let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
            if settings.log_json {
                log.json().init();
            } else {
                log.with_ansi(false).init();
            }
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(rempart_controller::run(*settings))
        }
    }
}

fn init(arguments: &Init) -> anyhow::Result<()> {
    rempart_api::check_short_name(&arguments.region).context("--region")?;
    for zone in &arguments.zones {
        rempart_api::check_zone(zone).context("--zones")?;
    }
    let dir = &arguments.dir;
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let path = dir.join("cluster.json");
    if path.exists() {
        bail!(
            "{} exists: this cluster has been initialised; choose another --dir for a new one",
            path.display()
        );
    }
    Authority::create(&dir.join("issuer.key"))?;
    let cluster = Cluster {
        cluster_id: uuid::Uuid::now_v7(),
        region: arguments.region.clone(),
        zones: arguments.zones.clone(),
    };
    let mut json = serde_json::to_vec_pretty(&cluster)?;
    json.push(b'\n');
    fs::write(&path, json).with_context(|| format!("writing {}", path.display()))?;
    say(&format!("cluster {} initialised in {}", cluster.cluster_id, dir.display()))
}

fn token(arguments: &Token) -> anyhow::Result<()> {
    let authority = Authority::open(&arguments.cluster_dir.join("issuer.key"))?;
    let audience = if arguments.fleet { Audience::Fleet } else { Audience::Api };
    say(&authority.issue(audience, &arguments.subject, Duration::from_secs(arguments.lifetime_seconds))?)
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("writing to standard output")
}
