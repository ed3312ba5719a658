//! `list`, `get`, `explain` and `delete`: any kind of the table.

use rempart_api::compute::PowerState;
use rempart_api::standing::{Standing, StandingStep};
use rempart_api::{Kind, Urn, Verbs};

use crate::args::{Delete, Explain, Get};
use crate::failure::{Failure, Result};
use crate::kinds::{plural, word};
use crate::output::{self, Format};
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

/// `explain KIND NAME`: where it stands, by when and what next, and the history of its states, in the server's words.
pub(crate) async fn explain(session: &Session<'_>, format: Format, explain: &Explain) -> Result<()> {
    let urn = session.urn(explain.kind.0, &explain.name)?;
    let standing =
        session.client.explain(&urn).await.map_err(|error| session.failure("explain", &urn, &error))?;
    if format != Format::Table {
        return output::value(session.screen, format, &standing);
    }
    session.screen.print(&in_words(&full_name(&urn), &standing, now_ms()))
}

fn in_words(name: &str, standing: &Standing, now: i64) -> String {
    let Some(state) = standing.state else { return format!("{name} is there; it has no states.") };
    let mut text = format!("{name} is {}", wait::word(state));
    match standing.power_state {
        Some(PowerState::On) => text.push_str(", power on"),
        Some(PowerState::Off) => text.push_str(", power off"),
        None => {}
    }
    if let Some(deleted) = standing.deleted_at {
        text.push_str(&format!("; its deletion was asked for {} ago", age(deleted, now)));
    }
    text.push_str(".\n");
    if let Some(message) = &standing.message {
        text.push_str(&format!("{}\n", harmless(message)));
    }
    if let Some(step) = &standing.step {
        text.push_str(&format!(
            "\nStep:       {}, for {} now\nActs:       {}\nDeadline:   {}\nWaits for:  {}\nNext:       {}\n",
            harmless(&step.name),
            age(step.since, now),
            harmless(&step.owner),
            deadline(step, now),
            harmless(&step.waits_for),
            harmless(&step.next)
        ));
    }
    if let Some(host) = &standing.host {
        text.push_str(&format!("Host:       {}\n", harmless(host)));
    }
    text.push('\n');
    let mut until = None;
    for condition in &standing.conditions {
        let since = condition.last_transition_at;
        let lasted = match until {
            None => format!("for {} now", age(since, now)),
            Some(next) => format!("for {}", age(since, next)),
        };
        text.push_str(&format!("{since}  {:<9} {lasted}", wait::word(condition.state)));
        // Why it is as it is now; of the past, states alone are kept.
        if let Some(reason) = standing.reason.as_ref().filter(|_| until.is_none()) {
            text.push_str(&format!("  {}", harmless(reason)));
        }
        text.push('\n');
        until = Some(since.unix_ms());
    }
    text
}

/// By when, or since when it is too late.
fn deadline(step: &StandingStep, now: i64) -> String {
    match step.overdue_since {
        Some(since) => format!("overdue for {} (it had {} s)", age(since, now), step.deadline_seconds),
        None => format!("{} ({} s in all)", step.deadline, step.deadline_seconds),
    }
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

#[cfg(test)]
mod tests {
    use rempart_api::{Condition, Phase, Timestamp};

    use super::*;

    #[test]
    fn where_something_stands_is_told_with_who_acts_by_when_and_what_next() {
        let at = |minutes: i64| Timestamp::from_unix_ms(1_800_000_000_000 + minutes * 60_000);
        let mut standing = Standing {
            reference: "seca.compute/v1/tenants/t/workspaces/w/instances/web".into(),
            state: Some(Phase::Creating),
            power_state: Some(PowerState::Off),
            deleted_at: None,
            reason: Some("Preparing".into()),
            message: Some("Its volumes are being prepared.".into()),
            step: Some(StandingStep {
                name: "preparing-volumes".into(),
                owner: "agent".into(),
                since: at(0),
                deadline_seconds: 900,
                deadline: at(15),
                overdue: false,
                overdue_since: None,
                waits_for: "Its volumes.".into(),
                next: "Then its machine is made.".into(),
            }),
            host: None,
            uid: None,
            conditions: vec![Condition {
                state: Phase::Creating,
                last_transition_at: at(0),
                reason: None,
                message: None,
            }],
        };
        let words = in_words("web", &standing, at(3).unix_ms());
        assert!(
            words.starts_with("web is creating, power off.\nIts volumes are being prepared.\n"),
            "{words}"
        );
        for line in [
            "Step:       preparing-volumes, for 3m now\n".to_owned(),
            "Acts:       agent\n".to_owned(),
            format!("Deadline:   {} (900 s in all)\n", at(15)),
            "Waits for:  Its volumes.\nNext:       Then its machine is made.\n".to_owned(),
            format!("{}  creating  for 3m now  Preparing\n", at(0)),
        ] {
            assert!(words.contains(&line), "{line:?} is not in {words}");
        }
        if let Some(step) = &mut standing.step {
            (step.overdue, step.overdue_since) = (true, Some(at(15)));
        }
        standing.host = Some("h1".into());
        let words = in_words("web", &standing, at(20).unix_ms());
        assert!(words.contains("Deadline:   overdue for 5m (it had 900 s)\n"), "{words}");
        assert!(words.contains("Host:       h1\n"), "{words}");
    }
}
