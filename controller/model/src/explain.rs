//! Why an object is not where it should be: the reason, since when, what is being waited for, what happens next.
//!
//! Computed from the State when asked, so that no explanation is ever stale and none costs a log entry.

use std::fmt::Write as _;

use rempart_api::compute::PowerState;
use rempart_api::{Kind, Phase, Timestamp, Urn};

use crate::object::{Detail, InstanceDetail, Object, OffCause};
use crate::placement;
use crate::state::State;

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

/// Why `object` is not plainly fine; none when there is nothing to say.
pub fn explain(state: &State, object: &Object) -> Option<Explanation> {
    match &object.detail {
        Detail::Instance(instance) => explain_instance(state, object, instance),
        Detail::Volume(volume) => explain_volume(state, object, volume),
        Detail::Host(host) => explain_host(object, host),
        _ if object.is_deleting() => {
            let left = state.child_count(&object.urn);
            let words = format!("waits for {left} resources in it that are being deleted");
            Some(Explanation::new("ChildrenRemain", words.clone(), words))
        }
        _ => None,
    }
}

fn since(at: Option<Timestamp>) -> String {
    at.map(|at| format!(" since {at}")).unwrap_or_default()
}

/// Trouble of the host itself, in words for an object bound to it.
fn host_trouble(state: &State, host: &str) -> Option<Explanation> {
    let detail = match state.get(&Urn::global(Kind::Host, host)).map(|host| &host.detail) {
        Some(Detail::Host(detail)) => detail,
        _ => return None,
    };
    if !detail.reachable {
        let when = since(detail.since);
        return Some(Explanation::new(
            "HostUnreachable",
            format!(
                "The machine this resource is on has been out of touch{when}. A running guest keeps running; what \
                 was asked for is carried out when the machine is back. Nothing needs to be done."
            ),
            format!(
                "The agent of host {host} is out of touch{when}; check the host, its network and rempart-agent."
            ),
        ));
    }
    let health = &detail.report.hypervisor;
    if !health.available {
        let when = since(health.since);
        return Some(Explanation::new(
            "HypervisorUnavailable",
            format!(
                "The virtualisation service of the machine this resource is on has not answered{when}. A running \
                 guest keeps running; changes are carried out when the service is back. Nothing needs to be done."
            ),
            format!("libvirtd on host {host} does not answer{when}: {}", health.reason),
        ));
    }
    None
}

fn explain_instance(state: &State, object: &Object, instance: &InstanceDetail) -> Option<Explanation> {
    let Some(placement) = &instance.placement else {
        return (!object.is_deleting()).then(|| explain_waiting(state, object));
    };
    if let Some(trouble) = host_trouble(state, &placement.host) {
        return Some(trouble);
    }
    if let Some(failure) = &instance.realised.failure {
        return Some(Explanation::new(
            &failure.reason,
            format!("{}. It is tried again by itself.", failure.message.trim_end_matches('.')),
            format!("on host {}: {} {}", placement.host, failure.message, failure.detail),
        ));
    }
    let step = |reason, words: &str| {
        Some(Explanation::new(
            reason,
            words,
            format!("{words}; on host {}, epoch {}", placement.host, placement.epoch),
        ))
    };
    match object.status.state {
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

fn explain_waiting(state: &State, object: &Object) -> Explanation {
    let (tenant, operator) = match placement::choose(state, object) {
        Ok(_) => ("A machine was found; placement follows.".to_owned(), "about to be placed".to_owned()),
        Err(refusals) if refusals.is_empty() => (
            "No machine has joined this region yet. The instance is placed as soon as one does.".to_owned(),
            "no host is enrolled; start rempart-agent on one".to_owned(),
        ),
        Err(refusals) => {
            let mut counts = String::new();
            for (rule, count) in &refusals {
                let separator = if counts.is_empty() { "" } else { ", " };
                let _ = write!(counts, "{separator}{count} {}", rule.tenant_words());
            }
            let tenant = format!(
                "No machine can take this instance now: {counts}. It is placed as soon as one can; a smaller SKU or \
                 another zone may be placed at once."
            );
            (tenant, format!("refusals per rule: {refusals:?}"))
        }
    };
    Explanation::new("NoHost", tenant, operator)
}

fn explain_volume(
    state: &State,
    object: &Object,
    volume: &crate::object::VolumeDetail,
) -> Option<Explanation> {
    let placement = volume.placement.as_ref()?;
    if let Some(failure) = &volume.realised.failure {
        return Some(Explanation::new(
            &failure.reason,
            format!("{}. It is tried again by itself.", failure.message.trim_end_matches('.')),
            format!("on host {}: {} {}", placement.host, failure.message, failure.detail),
        ));
    }
    if !object.is_deleting() {
        return None;
    }
    if let Some(user) = state.referrers(&object.urn).next() {
        let words = format!("It goes when {} has gone.", user.urn);
        return Some(Explanation::new("InUse", words.clone(), words));
    }
    host_trouble(state, &placement.host).or_else(|| {
        let words = "Its data is being removed.";
        Some(Explanation::new("Removing", words, format!("{words} On host {}.", placement.host)))
    })
}

fn explain_host(object: &Object, host: &crate::object::HostDetail) -> Option<Explanation> {
    let both = |reason, words: String| Some(Explanation::new(reason, words.clone(), words));
    if !host.reachable {
        let when = since(host.since);
        return both(
            "Unreachable",
            format!(
                "The agent of {} is out of touch{when}. Its guests may well be running. Check the host, its network \
                 and rempart-agent there.",
                object.urn.name
            ),
        );
    }
    let health = &host.report.hypervisor;
    if !health.available {
        let words = format!("libvirtd does not answer{}: {}", since(health.since), health.reason);
        return both("HypervisorUnavailable", words);
    }
    let unexpected = host.report.unexpected_domains.len();
    if unexpected > 0 {
        let names: Vec<_> =
            host.report.unexpected_domains.iter().map(|domain| domain.name.as_str()).collect();
        let words = format!("{unexpected} domains that nobody asked for; left alone: {}", names.join(", "));
        return both("UnexpectedDomains", words);
    }
    None
}
