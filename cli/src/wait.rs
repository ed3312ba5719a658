//! Waiting until a resource is as it should be, and telling meanwhile what it waits for.
//!
//! A controller that is away for a while does not end the waiting: what was asked for goes on without us.

use std::time::{Duration, Instant};

use rempart_api::compute::PowerState;
use rempart_api::{Phase, ResourceView, Urn};

use crate::args::Patience;
use crate::failure::{Exit, Failure, Result};
use crate::output::status;
use crate::session::{Session, full_name};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Everything asked for is there.
    Active,
    /// Active, and executing or not.
    Power(PowerState),
    /// It is no more.
    Gone,
}

/// How it stands.
#[derive(Debug, PartialEq, Eq)]
enum Stand {
    Reached,
    /// Not yet; in words.
    Waiting(String),
    /// It will not get there by itself; in words.
    Failed(String),
}

/// How long no controller may answer.
const AWAY: Duration = Duration::from_secs(60);

/// Waits for `goal`; the resource as it is then, unless it is gone.
pub(crate) async fn until(
    session: &Session<'_>,
    urn: &Urn,
    goal: Goal,
    patience: Patience,
) -> Result<Option<ResourceView>> {
    let work = session.screen.work(&full_name(urn));
    let start = Instant::now();
    let mut answered = start;
    let mut pause = Duration::from_millis(100);
    loop {
        let said = match session.find(urn).await {
            Ok(view) => {
                answered = Instant::now();
                match stand(view.as_ref(), goal) {
                    Stand::Reached => return Ok(view),
                    Stand::Waiting(how) => how,
                    Stand::Failed(why) => return Err(Failure::failed(format!("{} {why}", full_name(urn)))),
                }
            }
            Err(failure) if failure.may_pass() && answered.elapsed() < AWAY => {
                "no controller answers; still trying".to_owned()
            }
            Err(failure) => return Err(failure),
        };
        work.say(&said);
        if patience.timeout.is_some_and(|seconds| start.elapsed() >= Duration::from_secs(seconds)) {
            let kind = crate::kinds::word(urn.kind);
            return Err(Failure::new(
                Exit::Unreachable,
                format!("{} is not there yet after {} s: {said}", full_name(urn), start.elapsed().as_secs()),
            )
            .next(format!("It goes on without you; how it stands: rempart explain {kind} {}", urn.name)));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_secs(1));
    }
}

fn stand(view: Option<&ResourceView>, goal: Goal) -> Stand {
    let Some(view) = view else {
        let gone = || Stand::Failed("was deleted meanwhile".to_owned());
        return if goal == Goal::Gone { Stand::Reached } else { gone() };
    };
    let Some(status) = status(view) else {
        // Kinds without a status are there once they are there.
        return if goal == Goal::Gone { Stand::Waiting("going".to_owned()) } else { Stand::Reached };
    };
    let newest = status.conditions.first();
    let message = newest.and_then(|condition| condition.message.as_deref()).unwrap_or_default();
    let reason = newest.and_then(|condition| condition.reason.as_deref()).unwrap_or_default();
    let state = word(status.state);
    let in_words = if message.is_empty() { state.to_owned() } else { format!("{state}. {message}") };
    match (goal, status.state) {
        (Goal::Gone, Phase::Error) => Stand::Failed(format!("cannot be removed: {message}")),
        (Goal::Gone, _) => Stand::Waiting(in_words),
        (_, Phase::Error) => Stand::Failed(format!("has failed: {message}")),
        (_, Phase::Deleting) => Stand::Failed("is being deleted".to_owned()),
        (Goal::Active, Phase::Active) => Stand::Reached,
        (Goal::Power(wanted), Phase::Active) => {
            let is = view.status.as_ref().and_then(|status| status.get("powerState"));
            if is == serde_json::to_value(wanted).ok().as_ref() {
                Stand::Reached
            } else if matches!(reason, "GuestCrashed" | "GuestShutdown") {
                Stand::Failed(format!("did not stay on: {message}"))
            } else {
                Stand::Waiting(in_words)
            }
        }
        _ => Stand::Waiting(in_words),
    }
}

/// A state as a word.
pub(crate) fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "pending",
        Phase::Creating => "creating",
        Phase::Active => "active",
        Phase::Updating => "updating",
        Phase::Deleting => "deleting",
        Phase::Error => "error",
    }
}

#[cfg(test)]
mod tests;
