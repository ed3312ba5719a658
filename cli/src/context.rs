//! `rempart context`: add, choose, list, show and remove contexts.
//!
//! A token is typed unseen, piped in or kept in a file of its own; it is no argument, so that neither the list of
//! processes nor the shell's history has it. It is tried before it is kept.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use rempart_api::{Kind, Urn, check_name};
use serde_json::json;

use crate::args::Consent;
use crate::config::{Config, Context, Secret, read_private};
use crate::failure::{Exit, Failure, Result};
use crate::input;
use crate::output::{self, Format};
use crate::screen::Screen;
use crate::session::{Session, Settings, Token, Wishes, absolute, check_server, check_token, is_exposed};
use crate::table::{Cell, render};
use crate::terminal::{self, agree};

/// What to do with contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a context, and make it the current one
    Add(Add),
    /// Make a context the current one
    #[command(after_help = "Example: rempart context use acme")]
    Use {
        /// Which one
        name: String,
    },
    /// List the contexts
    #[command(visible_alias = "ls")]
    List,
    /// Show what is in force, and where it comes from
    Show,
    /// Remove a context, with the token it keeps
    #[command(visible_alias = "rm", after_help = "Example: rempart context remove acme --yes")]
    Remove {
        /// Which one
        name: String,
        #[command(flatten)]
        consent: Consent,
    },
}

/// `context add`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples: rempart context add acme --server https://cloud.example:8443 -t acme -w demo    # asks for the token, unseen
          rempart context add acme --replace --token-file - < token                       # a new token
          rempart context add acme --replace -w other                                     # another workspace")]
pub(crate) struct Add {
    /// A name of your own choice
    name: String,
    /// Address of any controller's REST API
    #[arg(long, value_name = "URL", required_unless_present = "replace")]
    server: Option<String>,
    /// Certificates (PEM) to verify HTTPS with, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A file with the token, read at each use; - reads the token itself from standard input, now
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Change the context of this name: what is not given stays
    #[arg(long)]
    replace: bool,
    /// Do not try the context before it is kept
    #[arg(long)]
    no_check: bool,
    /// Leave the current context the current one
    #[arg(long)]
    no_use: bool,
}

pub(crate) async fn run(
    command: &Command,
    wishes: &Wishes,
    format: Format,
    path: &Path,
    screen: &Screen,
) -> Result<()> {
    let mut config = Config::load(path)?;
    match command {
        Command::Add(add) => return self::add(add, wishes, format, config, path, screen).await,
        Command::Use { name } => {
            known(&config, name)?;
            config.current = Some(name.clone());
            config.save(path)?;
            screen.note(&format!("The current context is {name}."));
            told(screen, format, name, &json!({ "current": true }))?;
        }
        Command::Remove { name, consent } => {
            known(&config, name)?;
            agree(screen, consent.yes, &format!("Remove context {name} and the token it keeps?")).await?;
            config.contexts.remove(name);
            if config.current.as_ref() == Some(name) {
                config.current = None;
            }
            config.save(path)?;
            screen
                .note(&format!("Context {name} is removed. The token it held stays valid until it expires."));
            told(screen, format, name, &json!({ "removed": true }))?;
        }
        Command::List => list(&config, format, screen)?,
        Command::Show => show(wishes, &config, format, screen)?,
    }
    Ok(())
}

/// What was done to a context, for programs: people have been told beside the result.
fn told(screen: &Screen, format: Format, name: &str, what: &serde_json::Value) -> Result<()> {
    if format == Format::Table {
        return Ok(());
    }
    let mut result = json!({ "name": name });
    if let (Some(result), Some(what)) = (result.as_object_mut(), what.as_object()) {
        result.extend(what.clone());
    }
    output::value(screen, format, &result)
}

fn known(config: &Config, name: &str) -> Result<()> {
    if config.contexts.contains_key(name) {
        return Ok(());
    }
    let known: Vec<&str> = config.contexts.keys().map(String::as_str).collect();
    Err(Failure::new(Exit::NotFound, format!("there is no context {name:?}"))
        .next(format!("Known: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })))
}

async fn add(
    add: &Add,
    wishes: &Wishes,
    format: Format,
    mut config: Config,
    path: &Path,
    screen: &Screen,
) -> Result<()> {
    check_name(&add.name)
        .map_err(|error| Failure::usage(format!("{:?} is no name for a context: it {error}", add.name)))?;
    let old = config.contexts.get(&add.name).cloned();
    if old.is_some() && !add.replace {
        return Err(Failure::usage(format!("there is a context {:?} already", add.name))
            .next("Change it with --replace, or choose another name"));
    }
    let old = old.unwrap_or_default();
    let server = match &add.server {
        Some(server) => check_server(server)?,
        None if old.server.is_empty() => {
            return Err(Failure::usage(format!("there is no context {:?} to replace", add.name))
                .next("Add it with --server URL"));
        }
        None => old.server.clone(),
    };
    // A token of another server is not carried over to a new one.
    let moved = old.server != server;
    let kept = (old.token.filter(|_| !moved), old.token_file.filter(|_| !moved));
    let (token, token_file) = match &add.token_file {
        Some(file) if file == Path::new("-") => {
            let text = input::text(file, 1 << 16).await?;
            (Some(Secret(check_token(&text)?.to_owned())), None)
        }
        Some(file) => {
            let file = absolute(file)?;
            let text = read_private(&file, "it holds a token")?
                .ok_or_else(|| Failure::usage(format!("there is no file {}", file.display())))?;
            check_token(&text)?;
            (None, Some(file))
        }
        None if kept.0.is_some() || kept.1.is_some() => kept,
        None => {
            let asked = terminal::ask_secret(screen, &format!("Token for {server}: ")).await?;
            let asked = asked.ok_or_else(|| {
                Failure::usage("no token is given, and there is no terminal to ask on")
                    .next("Give --token-file FILE, or --token-file - with the token on standard input")
            })?;
            (Some(Secret(check_token(&asked)?.to_owned())), None)
        }
    };
    let context = Context {
        server,
        ca_file: add.ca_file.as_deref().map(absolute).transpose()?.or(old.ca_file),
        tenant: wishes.tenant.clone().or(old.tenant),
        workspace: wishes.workspace.clone().or(old.workspace),
        token,
        token_file,
    };
    for name in [&context.tenant, &context.workspace].into_iter().flatten() {
        check_name(name).map_err(|error| Failure::usage(format!("{name:?} is no name: it {error}")))?;
    }
    if is_exposed(&context.server) {
        screen.note(&format!(
            "warning: {} is not HTTPS: everybody on the way can read the token and what you send",
            context.server
        ));
    }
    config.contexts.insert(add.name.clone(), context);
    if !add.no_check {
        check(&add.name, &config, screen).await?;
    }
    if !add.no_use || config.current.is_none() {
        config.current = Some(add.name.clone());
    }
    config.save(path)?;
    let current = config.current.as_ref() == Some(&add.name);
    let word = if current { "and is the current one" } else { "but is not the current one" };
    screen.note(&format!("Context {} is kept in {}, {word}.", add.name, path.display()));
    told(screen, format, &add.name, &json!({ "current": current }))
}

/// Tries server and token with what every subject may do.
async fn check(name: &str, config: &Config, screen: &Screen) -> Result<()> {
    let wishes = Wishes { context: Some(name.to_owned()), ..Wishes::default() };
    let session = Session::open(Settings::of(&wishes, config, |_| None)?, screen)?;
    let kept = "Nothing was kept; --no-check keeps it untried";
    let any = Urn::global(Kind::Region, "");
    let regions = session
        .client
        .list_all(&any, None)
        .await
        .map_err(|error| Failure::of_call("try the context", &error).next(kept))?;
    let names: Vec<&str> = regions.iter().map(|region| region.metadata.name.as_str()).collect();
    screen.note(&format!(
        "{} answers, and takes the token (region {}).",
        session.settings.server,
        names.join(", ")
    ));
    if let Some(tenant) = &session.settings.tenant {
        let workspaces = Urn::tenant(Kind::Workspace, tenant, "");
        let tried = session.client.list_all(&workspaces, None).await;
        if tried.is_err_and(|error| matches!(error.status(), Some(403 | 404 | 412))) {
            screen.note(&format!(
                "warning: this token has no right in tenant {tenant}, or there is no such tenant"
            ));
        }
    }
    Ok(())
}

fn list(config: &Config, format: Format, screen: &Screen) -> Result<()> {
    if format != Format::Table {
        let contexts: Vec<_> =
            config.contexts.iter().map(|(name, context)| {
                json!({
                    "name": name, "server": context.server, "tenant": context.tenant, "workspace": context.workspace,
                    "caFile": context.ca_file, "tokenFile": context.token_file,
                    "current": config.current.as_ref() == Some(name),
                })
            }).collect();
        return output::value(screen, format, &contexts);
    }
    if config.contexts.is_empty() {
        screen.note(
            "No context yet. Add one: rempart context add NAME --server https://HOST:PORT --tenant TENANT",
        );
    }
    let rows: Vec<Vec<Cell>> = config
        .contexts
        .iter()
        .map(|(name, context)| {
            let current = if config.current.as_ref() == Some(name) { "*" } else { "" };
            let token = match (&context.token, &context.token_file) {
                (Some(_), _) => "kept here".to_owned(),
                (None, Some(file)) => file.display().to_string(),
                (None, None) => String::new(),
            };
            let text = |part: &Option<String>| Cell::from(part.clone().unwrap_or_default());
            vec![
                current.into(),
                name.as_str().into(),
                context.server.as_str().into(),
                text(&context.tenant),
                text(&context.workspace),
                token.into(),
            ]
        })
        .collect();
    screen.print(&render(screen, &["CURRENT", "NAME", "SERVER", "TENANT", "WORKSPACE", "TOKEN"], &rows))
}

fn show(wishes: &Wishes, config: &Config, format: Format, screen: &Screen) -> Result<()> {
    let settings = Settings::of(wishes, config, |name| std::env::var(name).ok())?;
    let token = match &settings.token {
        Token::Environment(_) => "of REMPART_TOKEN".to_owned(),
        Token::Context(_) => "kept in the context".to_owned(),
        Token::File(path) => format!("in {}", path.display()),
        Token::Nowhere => "none".to_owned(),
    };
    let ca = settings.ca_file.as_ref().map(|path| path.display().to_string());
    if format != Format::Table {
        return output::value(
            screen,
            format,
            &json!({
                "context": settings.context, "server": settings.server, "caFile": ca, "token": token,
                "tenant": settings.tenant, "workspace": settings.workspace,
            }),
        );
    }
    let or = |text: Option<String>, none: &str| text.unwrap_or_else(|| none.to_owned());
    screen.print(&format!(
        "context    {}\nserver     {}\nCA         {}\ntoken      {token}\ntenant     {}\nworkspace  {}",
        or(settings.context, "none, the environment says it all"),
        settings.server,
        or(ca, "the system's"),
        or(settings.tenant, "not said"),
        or(settings.workspace, "not said"),
    ))
}
