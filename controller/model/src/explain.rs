//! Why an object is not where it should be: the reason, since when, what is being waited for, what happens next.
//!
//! Computed from the State when asked, so that no explanation is ever stale and none costs a log entry.

mod host;
pub(crate) mod late;
mod lost;
mod waiting;

use rempart_api::compute::PowerState;
use rempart_api::{Phase, Timestamp};
use uuid::Uuid;

use crate::apply::resumed;
use crate::kinds::Spec;
use crate::object::{Detail, Failure, ImageDetail, InstanceDetail, Object, OffCause};
use crate::placement::Verdicts;
use crate::restored::VOLUME_LOST;
use crate::state::State;
use crate::transition::overdue;

pub(crate) use host::host_state;
use host::host_trouble;

/// Why, for each audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Stable word, as in SECA's `reason`.
    pub reason: String,
    /// For the tenant: nothing about hosts.
    pub tenant: String,
    /// For operators: what the tenant is told, and the rest.
    pub operator: String,
}

impl Explanation {
    fn new(reason: &str, tenant: impl Into<String>, operator: impl Into<String>) -> Explanation {
        Explanation { reason: reason.to_owned(), tenant: tenant.into(), operator: operator.into() }
    }
}

/// Why `object` is not plainly fine; none when there is nothing to say. `verdicts` are of this very State: whoever
/// explains many objects of one State hands in the same.
pub fn explain(state: &State, object: &Object, verdicts: &Verdicts) -> Option<Explanation> {
    let lost = || if object.is_deleting() { None } else { lost::explain(state, object) };
    let why = of_its_kind(state, object, verdicts).or_else(lost).or_else(|| not_connected(object));
    match overdue(state, object) {
        Some(overdue) => Some(late::explain(object, overdue, why)),
        None => why,
    }
}

fn of_its_kind(state: &State, object: &Object, verdicts: &Verdicts) -> Option<Explanation> {
    match &object.detail {
        Detail::Instance(instance) => explain_instance(state, object, instance, verdicts),
        Detail::Volume(volume) => explain_volume(state, object, volume),
        Detail::Host(host) => host::explain(object, host),
        Detail::Image(image) if image.source.is_some() => explain_image(state, object.uid, image),
        _ if object.is_deleting() => {
            let left = state.child_count(&object.urn);
            if left == 0
                && let Some(user) = state.referrers(&object.urn).next()
            {
                let words = format!("It goes when {} has gone.", user.urn);
                return Some(Explanation::new("InUse", words.clone(), words));
            }
            let words = format!("waits for {left} resources in it that are being deleted");
            Some(Explanation::new("ChildrenRemain", words.clone(), words))
        }
        _ => None,
    }
}

/// An instance with a NIC: told while networks are records.
fn not_connected(object: &Object) -> Option<Explanation> {
    let Spec::Instance(spec) = &object.spec else { return None };
    let nics = spec.primary_nic_ref.iter().chain(spec.additional_nic_refs.iter().flatten());
    (object.status.state == Phase::Active && nics.count() > 0).then(|| {
        let words = "Its NICs and their addresses are reserved for it; guests are not connected to networks by this \
                     version.";
        Explanation::new("NetworkNotConnected", words, words)
    })
}

fn since(at: Option<Timestamp>) -> String {
    at.map(|at| format!(" since {at}")).unwrap_or_default()
}

fn explain_instance(
    state: &State,
    object: &Object,
    instance: &InstanceDetail,
    verdicts: &Verdicts,
) -> Option<Explanation> {
    let Some(placement) = &instance.placement else {
        return (!object.is_deleting()).then(|| waiting::explain(state, object, verdicts));
    };
    if let Some(trouble) = host_trouble(state, &placement.host) {
        return Some(trouble);
    }
    if let Some(failure) = &instance.realised.failure {
        return Some(failing(&placement.host, failure, TRIED_AGAIN));
    }
    let step = |reason, words: &str| {
        Some(Explanation::new(
            reason,
            words,
            format!("{words}; on host {}, epoch {}", placement.host, placement.epoch),
        ))
    };
    // What has failed by its deadline goes on where it was.
    let at_work = match object.status.state {
        Phase::Error => resumed(&object.status),
        state => state,
    };
    match at_work {
        Phase::Creating => step("Preparing", "Its volumes and its virtual machine are being prepared."),
        Phase::Deleting => step("Removing", "Its virtual machine is being turned off and removed."),
        Phase::Updating if instance.power.on && instance.power_state == PowerState::Off => {
            step("Starting", "Its virtual machine is being started.")
        }
        Phase::Updating if !instance.power.on && instance.power_state == PowerState::On => step(
            "Stopping",
            "The guest was asked to shut down; it is turned off if it does not within 30 seconds.",
        ),
        Phase::Updating => step("Changing", "The change is being carried out."),
        Phase::Active if instance.power.on && instance.power_state == PowerState::Off => step(
            "Returning",
            "The machine it is on was restarted; the guest is started again by itself. Nothing needs to be done.",
        ),
        Phase::Active if instance.changed_while_on => step(
            "TakesEffectAtNextStart",
            "Its volumes were changed while the guest runs; the guest sees that at its next start. Restart the \
             instance, or stop and start it, when it suits you.",
        ),
        _ => match instance.off_cause {
            Some(OffCause::Guest) if instance.power_state == PowerState::Off => {
                step("GuestShutdown", "The guest shut itself down. Start the instance to run it again.")
            }
            Some(OffCause::Crashed) if instance.power_state == PowerState::Off => step(
                "GuestCrashed",
                "The guest or its virtual machine failed and is off. Start the instance to run it again.",
            ),
            _ => None,
        },
    }
}

fn explain_volume(
    state: &State,
    object: &Object,
    volume: &crate::object::VolumeDetail,
) -> Option<Explanation> {
    let placement = volume.placement.as_ref()?;
    if let Some(failure) = &volume.realised.failure {
        let what_next = if volume.gone { "" } else { TRIED_AGAIN };
        return Some(failing(&placement.host, failure, what_next));
    }
    if !object.is_deleting() {
        let from = volume.realised_size_gb?;
        return host_trouble(state, &placement.host).or_else(|| {
            let words = format!("It is growing from {from} GB.");
            Some(Explanation::new("Growing", words.clone(), format!("{words} On host {}.", placement.host)))
        });
    }
    if let Some(user) = state.referrers(&object.urn).next() {
        let words = format!("It goes when {} has gone.", user.urn);
        return Some(Explanation::new("InUse", words.clone(), words));
    }
    if let Some(image) = volume.capture.as_ref().and_then(|capture| state.by_uid(capture.image)) {
        let words = format!("It goes when it has been copied to {}.", image.urn);
        return Some(Explanation::new("InUse", words.clone(), words));
    }
    host_trouble(state, &placement.host).or_else(|| {
        let words = "Its data is being removed.";
        Some(Explanation::new("Removing", words, format!("{words} On host {}.", placement.host)))
    })
}

fn explain_image(state: &State, uid: Uuid, image: &ImageDetail) -> Option<Explanation> {
    let Some((volume, capture)) = state.copied_to(uid, image) else {
        let words = "The volume that it was to be a copy of had no bytes any more when the installation was restored from a \
                     backup. Nothing comes after this; delete it.";
        return Some(Explanation::new(VOLUME_LOST, words, words));
    };
    let host = &volume.placement()?.host;
    if let Some(trouble) = host_trouble(state, host) {
        return Some(trouble);
    }
    if let Some(failure) = &capture.failure {
        return Some(failing(host, failure, TRIED_AGAIN));
    }
    let words = match state.referrers(&volume.urn).find(|user| is_on(user)) {
        Some(user) => format!("{} is copied once {} is off.", volume.urn, user.urn),
        None => format!("{} is being copied.", volume.urn),
    };
    Some(Explanation::new("Copying", words.clone(), format!("{words} On host {host}.")))
}

/// What follows for what a host failed to do.
const TRIED_AGAIN: &str = " It is tried again by itself.";

/// What a host says of what it failed to do.
fn failing(host: &str, failure: &Failure, what_next: &str) -> Explanation {
    Explanation::new(
        &failure.reason,
        format!("{}.{what_next}", failure.message.trim_end_matches('.')),
        format!("on host {host}: {} {}", failure.message, failure.detail),
    )
}

/// Whether it is an instance that executes, or should.
pub(crate) fn is_on(object: &Object) -> bool {
    match &object.detail {
        Detail::Instance(instance) => instance.power.on || instance.power_state == PowerState::On,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
