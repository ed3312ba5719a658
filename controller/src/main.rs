//! `rempart-controller`.

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::CommandFactory as _;
use rempart_controller::auth::Audience;
use rempart_controller::config::{Cli, Command, Init, Join, JoinFor, PROGRAM, Run, Token, TokenSort};
use rempart_controller::pki::{self, Cluster, ClusterDir};
use rempart_daemon::settings::{self, Asked, Sources};
use rempart_daemon::{files, log};
use rempart_identity::{Identity, JoinToken};

/// Most of what is allocated here is small and soon freed, often by another thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the certificate that `init` makes holds; `run` replaces it when it starts.
const FIRST_CERTIFICATE: Duration = Duration::from_secs(86_400);

/// What is logged unless REMPART_LOG says otherwise. openraft narrates its inner life, and warns of
/// every heartbeat to a peer that is away; our adapter says once what an operator can use.
const LOG_FILTER: &str = "info,openraft=error,sqlx=warn";

fn main() -> ExitCode {
    let asked = match settings::load(Cli::command(), PROGRAM, std::env::args_os()) {
        Ok(asked) => asked,
        Err(error) => return ExitCode::from(error.report("rempart-controller")),
    };
    match answer(asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // For a person: what, where and why in one line, never a stack.
            let _ = writeln!(std::io::stderr(), "rempart-controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn answer(asked: Asked<Cli>) -> anyhow::Result<()> {
    match asked {
        Asked::Run(cli, sources) => command(cli, &sources),
        Asked::Check(Cli { command: Command::Run(settings) }, sources) => {
            check(&settings, &sources)?;
            say("the settings are right")
        }
        Asked::Check(..) => bail!("config check takes the flags of run"),
        Asked::Print(page) => say(page.trim_end()),
    }
}

fn check(settings: &Run, sources: &Sources) -> anyhow::Result<()> {
    settings.members().map(drop).map_err(|why| anyhow!("{}: {why}", sources.place("peers")))
}

fn command(cli: Cli, sources: &Sources) -> anyhow::Result<()> {
    match cli.command {
        Command::Init(arguments) => init(&arguments),
        Command::Join(arguments) => join(&arguments),
        Command::Token(arguments) => token(&arguments),
        Command::Run(settings) => {
            check(&settings, sources)?;
            log::init(&settings.log, LOG_FILTER);
            files::raise_limit();
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
    let cluster = Cluster {
        cluster_id: uuid::Uuid::now_v7(),
        region: arguments.region.clone(),
        zones: arguments.zones.clone(),
    };
    ClusterDir::new(&arguments.dir).init(&cluster, arguments.replica_id, FIRST_CERTIFICATE)?;
    say(&format!(
        "cluster {} initialised; {} holds the keys of controller {}: keep root.key out of backups of the rest",
        cluster.cluster_id,
        arguments.dir.display(),
        arguments.replica_id
    ))
}

fn join(arguments: &Join) -> anyhow::Result<()> {
    let text = match (&arguments.token, &arguments.token_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) if path.as_os_str() == "-" => std::io::read_to_string(std::io::stdin())?,
        (None, Some(path)) => {
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?
        }
        (None, None) => bail!("--token or --token-file is needed"),
    };
    let token = JoinToken::parse(&text)?;
    let patience = Duration::from_secs(arguments.patience_seconds);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dir = ClusterDir::new(&arguments.dir);
    let replica_id = runtime.block_on(pki::join(&dir, &token, patience))?;
    say(&format!("controller {replica_id} joined; {} holds its keys", arguments.dir.display()))
}

fn token(arguments: &Token) -> anyhow::Result<()> {
    if let Some(TokenSort::Join(arguments)) = &arguments.sort {
        return join_token(arguments);
    }
    let (Some(dir), Some(subject)) = (&arguments.cluster_dir, &arguments.subject) else {
        bail!("--cluster-dir and --subject are needed");
    };
    let lifetime = Duration::from_secs(arguments.lifetime_seconds);
    say(&ClusterDir::new(dir).issuer()?.issue(Audience::Api, subject, lifetime)?)
}

fn join_token(arguments: &JoinFor) -> anyhow::Result<()> {
    let who = match (&arguments.host, arguments.controller) {
        (Some(host), _) => {
            rempart_api::check_short_name(host).context("--host")?;
            Identity::Host(host.clone())
        }
        (None, Some(id)) => Identity::Controller(id),
        (None, None) => bail!("--host or --controller is needed"),
    };
    let controllers = arguments.peers.iter().map(|(_, address)| address.clone()).collect();
    let lifetime = Duration::from_secs(arguments.lifetime_seconds);
    let dir = ClusterDir::new(&arguments.cluster_dir);
    let token = pki::token::mint(&dir, &who, arguments.zone.as_deref(), controllers, lifetime)?;
    say(&token.to_text())
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("writing to standard output")
}
