//! What a command works with: the server, the subject, the place (tenant, workspace, network), and the screen.
//!
//! Each is taken from the command line, else from the environment, else from the context. A token is never sent to a
//! server that it was not given for: who overrides the server has to bring a token along.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rempart_api::client::{Client, ClientError};
use rempart_api::{Kind, Reference, ReferenceError, ResourceView, Scope, Urn, check_name};
use serde_json::Value;

use crate::config::{Config, Context, Secret, read_private};
use crate::failure::{Exit, Failure, Result};
use crate::kinds::{noun, plural, word};
use crate::screen::Screen;

/// How long a busy or headless cluster is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the command line says of server and place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) context: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) workspace: Option<String>,
    pub(crate) network: Option<String>,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Name of the context, unless the environment alone says everything.
    pub(crate) context: Option<String>,
    pub(crate) server: String,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) token: Token,
    pub(crate) tenant: Option<String>,
    pub(crate) workspace: Option<String>,
    pub(crate) network: Option<String>,
}

/// Where the token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Environment(Secret),
    Context(Secret),
    File(PathBuf),
    Nowhere,
}

impl Settings {
    /// Brings command line, environment and contexts together.
    pub(crate) fn of(
        wishes: &Wishes,
        config: &Config,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let server = env("REMPART_SERVER");
        let named = wishes.context.clone().or_else(|| env("REMPART_CONTEXT"));
        // A server from the environment stands alone, unless a context is named expressly.
        let chosen = named.clone().or_else(|| config.current.clone().filter(|_| server.is_none()));
        let context = match &chosen {
            Some(name) => Some(find(config, name)?),
            None => None,
        };
        let token = match (env("REMPART_TOKEN"), context) {
            (Some(token), _) => Token::Environment(Secret(token)),
            (None, Some(context)) => {
                if server.as_deref().is_some_and(|server| !same_server(server, &context.server)) {
                    return Err(Failure::usage(
                        "REMPART_SERVER names another server than the context, whose token is not for it",
                    )
                    .next("Set REMPART_TOKEN too, or unset REMPART_SERVER"));
                }
                match (&context.token, &context.token_file) {
                    (Some(token), _) => Token::Context(token.clone()),
                    (None, Some(path)) => Token::File(path.clone()),
                    (None, None) => Token::Nowhere,
                }
            }
            (None, None) => Token::Nowhere,
        };
        let server = server.or_else(|| context.map(|context| context.server.clone())).ok_or_else(|| {
            Failure::usage("no server is known yet").next(
                "Add a context: rempart context add NAME --server https://HOST:PORT --tenant TENANT; or set \
                 REMPART_SERVER and REMPART_TOKEN",
            )
        })?;
        let of_context = |part: fn(&Context) -> Option<String>| context.and_then(part);
        Ok(Settings {
            context: chosen,
            server: check_server(&server)?,
            ca_file: env("REMPART_CA_FILE")
                .map(PathBuf::from)
                .or_else(|| context.and_then(|context| context.ca_file.clone())),
            token,
            tenant: wishes
                .tenant
                .clone()
                .or_else(|| env("REMPART_TENANT"))
                .or_else(|| of_context(|context| context.tenant.clone())),
            workspace: wishes
                .workspace
                .clone()
                .or_else(|| env("REMPART_WORKSPACE"))
                .or_else(|| of_context(|context| context.workspace.clone())),
            network: wishes.network.clone(),
        })
    }

    /// A client.
    pub(crate) fn client(&self) -> Result<Client> {
        let token = match &self.token {
            Token::Environment(token) | Token::Context(token) => token.0.clone(),
            Token::File(path) => read_private(path, "it holds a token")?.ok_or_else(|| {
                Failure::usage(format!("the context's token file {} is not there", path.display()))
            })?,
            Token::Nowhere => {
                return Err(Failure::usage("no token is known").next(
                    "Give the context one: rempart context add NAME --replace --token-file FILE; or set REMPART_TOKEN",
                ));
            }
        };
        let token = check_token(&token)?;
        let ca = match &self.ca_file {
            None => None,
            Some(path) => {
                let pem =
                    std::fs::read(path).map_err(|error| Failure::file("read the CA file", path, &error))?;
                // Of a file without any, an empty list of authorities would be made, and no server be good.
                let begin = b"-----BEGIN CERTIFICATE-----";
                if !pem.windows(begin.len()).any(|window| window == begin) {
                    return Err(Failure::usage(format!("{} holds no PEM certificate", path.display())));
                }
                Some(pem)
            }
        };
        match Client::with_authority(&self.server, token, ca.as_deref()) {
            Ok(client) => Ok(client.patient(PATIENCE)),
            Err(_) => Err(match &self.ca_file {
                Some(path) => Failure::usage(format!("{} holds no PEM certificate", path.display())),
                None => Failure::usage(
                    "this machine trusts no certificate authority, so HTTPS cannot be verified",
                )
                .next("Install ca-certificates, or give the context a --ca-file"),
            }),
        }
    }
}

fn find<'a>(config: &'a Config, name: &str) -> Result<&'a Context> {
    config.contexts.get(name).ok_or_else(|| {
        let known: Vec<&str> = config.contexts.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        Failure::usage(format!("there is no context {name:?} (known: {known})"))
            .next("Add it: rempart context add NAME --server URL; or choose another with --context")
    })
}

fn same_server(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// A base URL, without a slash at its end.
pub(crate) fn check_server(url: &str) -> Result<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let host = rest.split('/').next().unwrap_or_default();
    let odd = |one: char| one.is_whitespace() || one.is_control() || "?#@".contains(one);
    if host.is_empty() || rest.contains(odd) {
        return Err(Failure::usage(format!("{url:?} is no address of a server"))
            .next("Write it as https://HOST:PORT, without user name, query or fragment"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// A token as it may stand in a header. The error shows nothing of it.
pub(crate) fn check_token(text: &str) -> Result<&str> {
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::usage("the token is empty"));
    }
    if token.len() > 16_384 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(
            "what was given as the token is none: it is longer, or has other characters",
        ));
    }
    Ok(token)
}

/// A command at work.
pub(crate) struct Session<'a> {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) screen: &'a Screen,
}

impl<'a> Session<'a> {
    pub(crate) fn open(settings: Settings, screen: &'a Screen) -> Result<Session<'a>> {
        Ok(Session { client: settings.client()?, settings, screen })
    }

    /// `name` is a name, a path (`tenants/t/images/x`) or a whole URN.
    pub(crate) fn urn(&self, kind: Kind, name: &str) -> Result<Urn> {
        let mut from = Urn::global(Kind::Region, "");
        let scope = kind.info().scope;
        let reference = Reference { resource: name.to_owned(), ..Reference::default() };
        // What the name itself says needs no saying elsewhere.
        let says = |segment: &str| name.split("/").any(|part| part == segment);
        let mut missing = Vec::new();
        let settings = &self.settings;
        for (level, part, segment, said, into) in [
            (Scope::Tenant, Part::Tenant, "tenants", &settings.tenant, &mut from.tenant),
            (Scope::Workspace, Part::Workspace, "workspaces", &settings.workspace, &mut from.workspace),
            (Scope::Network, Part::Network, "networks", &settings.network, &mut from.network),
        ] {
            match said {
                _ if scope < level || says(segment) => {}
                Some(name) => name.clone_into(into),
                None => missing.push(part),
            }
        }
        if !missing.is_empty() {
            return Err(unsaid(kind, &missing, settings.context.as_deref()));
        }
        let urn = reference.resolve(kind, &from, "").map_err(|error| {
            let failure = Failure::usage(format!("{name:?} names no {}", noun(kind)));
            match error {
                ReferenceError::Form(..) if !name.contains('/') => match rempart_api::check_name(name) {
                    Err(why) => failure.next(format!("A name {why}")),
                    Ok(()) => failure,
                },
                ReferenceError::Form(..) => failure.next(format!(
                    "Write its name, {}/NAME behind the tenant and workspace it is in, or its whole URN",
                    kind.info().collection
                )),
                other => failure.next(other.to_string()),
            }
        })?;
        check_segments(&urn)?;
        Ok(urn)
    }

    /// Where the collection of a kind is, as a resource without a name.
    pub(crate) fn collection(&self, kind: Kind) -> Result<Urn> {
        let mut urn = self.urn(kind, "x")?;
        urn.name.clear();
        Ok(urn)
    }

    /// Reads a resource.
    pub(crate) async fn get(&self, urn: &Urn) -> Result<ResourceView> {
        self.client.get(urn).await.map_err(|error| self.failure("get", urn, &error))
    }

    /// Reads a resource that may not be there.
    pub(crate) async fn find(&self, urn: &Urn) -> Result<Option<ResourceView>> {
        match self.client.get(urn).await {
            Ok(view) => Ok(Some(view)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(self.failure("get", urn, &error)),
        }
    }

    /// Reads a whole collection.
    pub(crate) async fn list(&self, kind: Kind, selector: Option<&str>) -> Result<Vec<ResourceView>> {
        let from = self.collection(kind)?;
        let what = format!("list {}{}", plural(kind), place(&from));
        let listed = self.client.list_all(&from, selector).await;
        listed.map_err(|error| self.advise(Failure::of_call(&what, &error), &error, &from))
    }

    /// Writes a resource; `true` if that made it.
    pub(crate) async fn put(
        &self,
        urn: &Urn,
        body: &Value,
        version: Option<u64>,
    ) -> Result<(bool, ResourceView)> {
        let put = self.client.put_if(urn, body, version).await;
        put.map_err(|error| self.failure("write", urn, &error))
    }

    /// What doing `verb` to `urn` met.
    pub(crate) fn failure(&self, verb: &str, urn: &Urn, error: &ClientError) -> Failure {
        self.advise(Failure::of_call(&format!("{verb} {}", full_name(urn)), error), error, urn)
    }

    /// What became of a call that is about no resource.
    pub(crate) fn failed(&self, what: &str, error: &ClientError) -> Failure {
        self.advise(Failure::of_call(what, error), error, &Urn::global(Kind::Region, ""))
    }

    /// With what the place and the token suggest to do next.
    fn advise(&self, failure: Failure, error: &ClientError, urn: &Urn) -> Failure {
        let context = self.settings.context.as_deref().unwrap_or("NAME");
        match (failure.exit, error.status()) {
            (Exit::Refused, Some(401)) => match &self.settings.token {
                Token::Environment(_) => {
                    failure.next("The token is that of REMPART_TOKEN: set a new one there")
                }
                Token::File(path) => {
                    failure.next(format!("The token is that of {}: put a new one there", path.display()))
                }
                Token::Context(_) | Token::Nowhere => failure.next(format!(
                    "Put a new token into the context: rempart context add {context} --replace --token-file -"
                )),
            },
            (Exit::Refused, Some(403)) if !urn.tenant.is_empty() => failure.next(format!(
                "Is {:?} the tenant you mean? Another one is named by -t, and who you are by the token",
                urn.tenant
            )),
            (Exit::Refused, Some(403)) => failure.next("This is for operators of the installation"),
            (Exit::NotFound, _) if failure.text.contains("no such path") => failure.next(
                "This server does not know how: it may be older than this program, or no Rempart controller",
            ),
            // What was named may be there, but not where it was looked for.
            (Exit::NotFound, _) if urn.kind.info().scope == Scope::Network => {
                failure.next("What there is: rempart list networks")
            }
            (Exit::NotFound, _) if urn.name.is_empty() && !urn.workspace.is_empty() => {
                failure.next("What there is: rempart list workspaces")
            }
            (Exit::NotFound, _) if !urn.name.is_empty() => {
                failure.next(format!("What there is: rempart list {}", plural(urn.kind)))
            }
            _ => failure,
        }
    }
}

/// A part of the place that a resource is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Tenant,
    Workspace,
    Network,
}

/// All that is missing at once, and every way to say it.
fn unsaid(kind: Kind, missing: &[Part], context: Option<&str>) -> Failure {
    let words = |part: &Part| match part {
        Part::Tenant => ("tenant", "-t TENANT", Some("REMPART_TENANT")),
        Part::Workspace => ("workspace", "-w WORKSPACE", Some("REMPART_WORKSPACE")),
        Part::Network => ("network", "--network NETWORK", None),
    };
    let joined = |list: Vec<&str>| list.join(" and ");
    let what = joined(missing.iter().map(|part| words(part).0).collect());
    let options: Vec<&str> = missing.iter().map(|part| words(part).1).collect();
    let mut next = format!("Say it with {}", options.join(" "));
    let variables: Vec<&str> = missing.iter().filter_map(|part| words(part).2).collect();
    if !variables.is_empty() {
        // A network is never in a context.
        let kept: Vec<&str> =
            missing.iter().filter(|part| words(part).2.is_some()).map(|part| words(part).1).collect();
        next.push_str(&format!(
            "; or, for always, with {}, or in the context: rempart context add {} --replace {}",
            joined(variables),
            context.unwrap_or("NAME"),
            kept.join(" ")
        ));
    }
    match missing {
        [Part::Workspace] => next.push_str(". Which there are: rempart list workspaces"),
        [Part::Network] => next.push_str(". Which there are: rempart list networks"),
        _ => {}
    }
    Failure::usage(format!("{} are looked for in a {what}, and it is not said in which", plural(kind)))
        .next(next)
}

/// Names become parts of an address: none may be more than a name.
fn check_segments(urn: &Urn) -> Result<()> {
    for (what, name) in [
        ("tenant", &urn.tenant),
        ("workspace", &urn.workspace),
        ("network", &urn.network),
        (word(urn.kind), &urn.name),
    ] {
        if !name.is_empty() {
            check_name(name)
                .map_err(|error| Failure::usage(format!("{name:?} is no name of a {what}: it {error}")))?;
        }
    }
    Ok(())
}

/// `instance "web-1" in acme/demo`
pub(crate) fn full_name(urn: &Urn) -> String {
    format!("{} {:?}{}", noun(urn.kind), urn.name, place(urn))
}

fn place(urn: &Urn) -> String {
    let parts: Vec<&str> =
        [&urn.tenant, &urn.workspace, &urn.network].into_iter().map(String::as_str).collect();
    match parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/") {
        none if none.is_empty() => String::new(),
        some => format!(" in {some}"),
    }
}

/// Whether a token would travel in clear over a network.
pub(crate) fn is_exposed(server: &str) -> bool {
    let Some(rest) = server.strip_prefix("http://") else { return false };
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.strip_prefix('[').map_or_else(
        || host.split(':').next().unwrap_or_default(),
        |v6| v6.split(']').next().unwrap_or_default(),
    );
    host != "localhost" && !host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The path of a context's file, as it will be found from anywhere.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Failure::file("find", path, &error))
}

#[cfg(test)]
mod tests;
