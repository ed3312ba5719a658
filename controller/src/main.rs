//! `rempart-controller`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::CommandFactory as _;
use rempart_controller::auth::Audience;
use rempart_controller::backup;
use rempart_controller::config::{
    BackupKey, Cli, Command, Init, Join, JoinFor, PROGRAM, Restore, Run, Token, TokenSort,
};
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
    // The allocator asks for huge pages, and an idle controller fills half of what it gets: 70 MB for 33, and no faster for it
    // (docs/performance.md). Best effort: an old kernel has no such call.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
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
        Command::BackupKey(arguments) => backup_key(&arguments),
        Command::Restore(arguments) => restore(arguments),
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

fn backup_key(arguments: &BackupKey) -> anyhow::Result<()> {
    let (path, identity) = (&arguments.to, backup::age::Identity::generate()?);
    let public = identity.recipient()?;
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file =
        file.with_context(|| format!("making {}: a key is never written over another", path.display()))?;
    let text = format!("# public key: {public}\n{}\n", identity.to_text());
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| path.display().to_string())?;
    say(&public.to_string())
}

fn restore(arguments: Restore) -> anyhow::Result<()> {
    let Restore { backup, identity, root_key, cluster_dir, data_dir, replica_id, address, .. } = arguments;
    let Restore { incarnation, database_url, postgres_user, check, .. } = arguments;
    let settings = backup::restore::Settings {
        backup,
        identity,
        root_key,
        cluster_dir,
        data_dir,
        replica_id,
        address,
        incarnation,
        database_url,
        postgres_user,
    };
    let data_dir = settings.data_dir.clone();
    let verified = backup::restore::verify(settings)?;
    let (head, end) = (&verified.head, &verified.end);
    say(&format!(
        "backup {} of cluster {} (region {}), taken {} by version {}: entries up to {}, {} resources, {} rows of the audit trail",
        head.backup_id,
        head.cluster_id,
        head.region,
        head.taken_at,
        head.version,
        head.applied_index,
        end.resources,
        end.audit
    ))?;
    let missing: Vec<_> =
        verified.blobs.iter().filter(|name| !data_dir.join("blobs").join(name).exists()).collect();
    for name in &missing {
        say(&format!("image bytes to be copied to {}: {name}", data_dir.join("blobs").display()))?;
    }
    if check {
        return say("it is whole, and can be restored so; nothing was written");
    }
    let incarnation = verified.incarnation;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(verified.write())?;
    say(&format!(
        "restored as incarnation {incarnation}; run this controller with --replica-id {replica_id}: it is read-only until it has been \
         compared with its hosts (rempart cluster status). Every token from before counts no more"
    ))
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
    let mut machines = Vec::new();
    for host in &arguments.host {
        rempart_api::check_short_name(host).context("--host")?;
        machines.push(Identity::Host(host.clone()));
    }
    machines.extend(arguments.controller.map(Identity::Controller));
    if machines.is_empty() {
        bail!("--host or --controller is needed");
    }
    let controllers: Vec<String> = arguments.peers.iter().map(|(_, address)| address.clone()).collect();
    let lifetime = Duration::from_secs(arguments.lifetime_seconds);
    let dir = ClusterDir::new(&arguments.cluster_dir);
    for who in &machines {
        let token = pki::token::mint(&dir, who, arguments.zone.as_deref(), controllers.clone(), lifetime)?;
        say(&token.to_text())?;
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("writing to standard output")
}
