//! `list`, `get`, `explain` and `delete`: any kind of the table.

use rempart_api::{Kind, Urn, Verbs};

use crate::args::{Delete, Explain, Get};
use crate::failure::{Failure, Result};
use crate::kinds::{plural, word};
use crate::output::{self, Format, status};
use crate::quantity::{age, now_ms};
use crate::screen::harmless;
use crate::session::{Session, full_name};
use crate::terminal::agree;
use crate::wait::{self, Goal};

/// `list KIND`
pub(crate) async fn list(
    session: &Session<'_>,
    format: Format,
    kind: Kind,
    selector: Option<&str>,
) -> Result<()> {
    let views = session.list(kind, selector).await?;
    if views.is_empty() && format == Format::Table {
        let shared = match kind {
            Kind::Image => "; shared ones: rempart list images -t public",
            _ => "",
        };
        let which = if selector.is_some() { " with such labels" } else { "" };
        session.screen.note(&format!("There are no {}{which} here{shared}.", plural(kind)));
        return Ok(());
    }
    output::list(session.screen, format, kind, &views)
}

/// `get KIND [NAME]...`
pub(crate) async fn get(session: &Session<'_>, format: Format, get: &Get) -> Result<()> {
    let kind = get.kind.0;
    match &get.names[..] {
        [] => list(session, format, kind, get.selector.as_deref()).await,
        [name] => {
            let view = session.get(&session.urn(kind, name)?).await?;
            output::one(session.screen, format, kind, &view)
        }
        names => {
            let mut views = Vec::new();
            for name in names {
                views.push(session.get(&session.urn(kind, name)?).await?);
            }
            output::list(session.screen, format, kind, &views)
        }
    }
}

/// `explain KIND NAME`: the history of its states, newest first, in the server's words.
pub(crate) async fn explain(session: &Session<'_>, format: Format, explain: &Explain) -> Result<()> {
    let urn = session.urn(explain.kind.0, &explain.name)?;
    let view = session.get(&urn).await?;
    if format != Format::Table {
        return output::value(session.screen, format, &view);
    }
    let Some(status) = status(&view) else {
        return session.screen.print(&format!("{} is there; it has no states.", full_name(&urn)));
    };
    let mut text = format!("{} is {}", full_name(&urn), wait::word(status.state));
    if let Some(power) = view.status.as_ref().and_then(|status| status["powerState"].as_str()) {
        text.push_str(&format!(", power {}", harmless(power)));
    }
    if let Some(deleted) = view.metadata.deleted_at {
        text.push_str(&format!("; its deletion was asked for {} ago", age(deleted, now_ms())));
    }
    text.push_str(".\n");
    if let Some(message) = status.conditions.first().and_then(|newest| newest.message.as_deref()) {
        text.push_str(&format!("{}\n", harmless(message)));
    }
    text.push('\n');
    let (now, mut until) = (now_ms(), None);
    for condition in &status.conditions {
        let since = condition.last_transition_at;
        let lasted = match until {
            None => format!("for {} now", age(since, now)),
            Some(next) => format!("for {}", age(since, next)),
        };
        text.push_str(&format!("{since}  {:<9} {lasted}", wait::word(condition.state)));
        if let Some(reason) = &condition.reason {
            text.push_str(&format!("  {}", harmless(reason)));
        }
        text.push('\n');
        until = Some(since.unix_ms());
    }
    session.screen.print(&text)
}

impl Delete {
    /// Whether there is anything of its kind that anybody may delete.
    pub(crate) fn check(&self) -> Result<()> {
        let kind = self.kind.0;
        if kind.info().verbs != Verbs::ReadOnly {
            return Ok(());
        }
        Err(Failure::usage(format!("nobody deletes {}: they belong to the installation", plural(kind)))
            .next(format!("What there is: rempart list {}", plural(kind))))
    }
}

/// `delete KIND NAME...`
pub(crate) async fn delete(session: &Session<'_>, format: Format, delete: &Delete) -> Result<()> {
    let kind = delete.kind.0;
    let urns = delete.names.iter().map(|name| session.urn(kind, name)).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = urns.iter().map(full_name).collect();
    agree(session.screen, delete.consent.yes, &format!("Delete {}?", names.join(", "))).await?;
    for (done, urn) in urns.iter().enumerate() {
        ask_to_go(session, urn).await.map_err(|failure| already(failure, "deletion", &urns[..done]))?;
    }
    if delete.patience.no_wait {
        for urn in &urns {
            session.screen.note(&format!("{} is being deleted.", full_name(urn)));
        }
        return output::deleted(session.screen, format, &urns, false);
    }
    session.screen.if_interrupted(format!(
        "The deletion goes on without you; how it stands: rempart get {} {}",
        word(kind),
        delete.names.join(" ")
    ));
    for urn in &urns {
        wait::until(session, urn, Goal::Gone, delete.patience).await?;
        session.screen.note(&format!("{} is gone.", full_name(urn)));
    }
    output::deleted(session.screen, format, &urns, true)
}

/// With what the same command had asked for before it failed.
pub(crate) fn already(failure: Failure, what: &str, done: &[Urn]) -> Failure {
    if done.is_empty() {
        return failure;
    }
    let names: Vec<String> = done.iter().map(full_name).collect();
    failure.next(format!("Before that, {what} was asked for and goes on: {}", names.join(", ")))
}

/// Asks the server to delete.
pub(crate) async fn ask_to_go(session: &Session<'_>, urn: &Urn) -> Result<()> {
    session.client.delete(urn).await.map_err(|error| session.failure("delete", urn, &error))
}
