//! Where an object stands, in whole: its state, its step with owner and deadline, why, and what happens next.

use std::sync::Arc;

use rempart_api::fleet::HostState;
use rempart_api::standing::{Standing, StandingStep};
use rempart_api::{Kind, Phase, Timestamp, Urn};

use crate::explain::{explain, host_state};
use crate::object::{Detail, Object};
use crate::placement::Verdicts;
use crate::state::State;
use crate::transition::{Overdue, Owner, Stand, Then, limit_seconds, overdue, stand};

/// For whom, and by which limits.
#[derive(Debug, Clone, Copy)]
pub struct Audience {
    /// Hosts are named.
    pub operator: bool,
    /// What the installation makes of every limit, in percent.
    pub deadline_percent: u64,
}

impl Audience {
    /// How long `object` may be in a step, in seconds, here.
    pub fn limit_seconds(&self, state: &State, object: &Object, stand: &Stand) -> u64 {
        scaled(limit_seconds(state, object, stand.step), self.deadline_percent)
    }
}

/// A limit as the installation wants it: at least a second.
pub fn scaled(seconds: u64, percent: u64) -> u64 {
    (seconds.saturating_mul(percent) / 100).max(1)
}

/// Where `object` stands, named as `asked`.
pub fn standing(state: &State, object: &Object, asked: &Urn, audience: Audience) -> Standing {
    let why = explain(state, object, &Verdicts::default());
    let (reason, message) = match why {
        Some(why) => (Some(why.reason), Some(if audience.operator { why.operator } else { why.tenant })),
        None => (None, None),
    };
    let power_state = match &object.detail {
        Detail::Instance(instance) => Some(instance.power_state),
        _ => None,
    };
    let has_status = object.urn.kind.info().has_status;
    Standing {
        reference: asked.to_string(),
        state: has_status.then_some(object.status.state),
        power_state,
        deleted_at: object.deleted_at,
        reason,
        message,
        step: step(state, object, audience),
        host: object.placement().filter(|_| audience.operator).map(|placement| placement.host.clone()),
        uid: audience.operator.then(|| object.uid.to_string()),
        conditions: if has_status { object.status.conditions.clone() } else { Vec::new() },
    }
}

fn step(state: &State, object: &Object, audience: Audience) -> Option<StandingStep> {
    let own = stand(state, object);
    let away = host_away(state, object);
    let away = away.as_ref().map(|(host, stand)| (host, *stand));
    match (own, away) {
        (Some(own), away) => {
            let mut step = told(state, object, own, audience);
            if let Some((_, host)) = away {
                // Its agent cannot, and an operator can.
                step.owner = Owner::Operator.name().to_owned();
                host.step.info().waits_for.clone_into(&mut step.waits_for);
            }
            Some(step)
        }
        // Nothing has to happen to it but that its host comes back.
        (None, Some((host, stand))) => Some(told(state, host, stand, audience)),
        (None, None) => None,
    }
}

fn told(state: &State, object: &Object, stand: Stand, audience: Audience) -> StandingStep {
    let info = stand.step.info();
    let late: Option<&Overdue> = overdue(state, object);
    let deadline_seconds = audience.limit_seconds(state, object, &stand);
    let mut next = info.next.to_owned();
    let failed = late.is_some() && object.status.state == Phase::Error;
    if info.then == Then::Fails && !failed && !object.is_deleting() {
        next.push_str(
            " If that is not so by its deadline, its state is error; it is gone on with all the same.",
        );
    } else if failed {
        next.push_str(" Until then its state is error, or until something else is asked of it.");
    }
    let limit_ms = i64::try_from(deadline_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
    StandingStep {
        name: info.name.to_owned(),
        owner: info.owner.name().to_owned(),
        since: stand.since,
        deadline_seconds,
        deadline: Timestamp::from_unix_ms(stand.since.unix_ms().saturating_add(limit_ms)),
        overdue: late.is_some(),
        overdue_since: late.map(|late| late.at),
        waits_for: info.waits_for.to_owned(),
        next,
    }
}

/// The host that `object` is bound to, and the step it is in, while it does not do what it is told.
fn host_away(state: &State, object: &Object) -> Option<(Arc<Object>, Stand)> {
    let host = state.get(&Urn::global(Kind::Host, &object.placement()?.host))?;
    let Detail::Host(detail) = &host.detail else { return None };
    match host_state(host, detail) {
        HostState::Revoked | HostState::Unreachable | HostState::NoHypervisor => {
            Some((host.clone(), stand(state, host)?))
        }
        HostState::Joining | HostState::Cordoned | HostState::Ready => None,
    }
}
