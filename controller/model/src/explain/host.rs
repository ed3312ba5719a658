//! How it is with a host: in a word, for its operators, and for those who have something on it.

use rempart_api::fleet::HostState;
use rempart_api::{Kind, Urn};

use super::{Explanation, since};
use crate::kinds::Spec;
use crate::object::{Detail, HostDetail, Object};
use crate::state::State;

/// How it is with a host, in a word: what keeps it from taking instances, the worst first.
pub(crate) fn host_state(object: &Object, host: &HostDetail) -> HostState {
    let cordoned = matches!(&object.spec, Spec::Host(spec) if spec.cordoned);
    match host {
        _ if host.is_revoked() => HostState::Revoked,
        _ if !host.was_seen() => HostState::Joining,
        _ if !host.reachable => HostState::Unreachable,
        _ if !host.report.hypervisor.available => HostState::NoHypervisor,
        _ if cordoned => HostState::Cordoned,
        _ => HostState::Ready,
    }
}

/// Trouble of the host itself, in words for an object bound to it.
pub(super) fn host_trouble(state: &State, host: &str) -> Option<Explanation> {
    let object = state.get(&Urn::global(Kind::Host, host))?;
    let Detail::Host(detail) = &object.detail else { return None };
    match host_state(object, detail) {
        HostState::Revoked => Some(Explanation::new(
            "HostRevoked",
            "The machine this resource is on was taken out of service. A running guest keeps running; what was asked for \
             is carried out when the machine is back. Ask your operator.",
            format!("Host {host} was revoked; its agent is not listened to until it enrols again."),
        )),
        HostState::Unreachable => {
            let when = since(detail.since);
            Some(Explanation::new(
                "HostUnreachable",
                format!(
                    "The machine this resource is on has been out of touch{when}. A running guest keeps running; what \
                     was asked for is carried out when the machine is back. Nothing needs to be done."
                ),
                format!(
                    "The agent of host {host} is out of touch{when}; check the host, its network and rempart-agent."
                ),
            ))
        }
        HostState::NoHypervisor => {
            let health = &detail.report.hypervisor;
            let when = since(health.since);
            Some(Explanation::new(
                "HypervisorUnavailable",
                format!(
                    "The virtualisation service of the machine this resource is on has not answered{when}. A running \
                     guest keeps running; changes are carried out when the service is back. Nothing needs to be done."
                ),
                format!("libvirtd on host {host} does not answer{when}: {}", health.reason),
            ))
        }
        HostState::Joining | HostState::Cordoned | HostState::Ready => None,
    }
}

/// For operators, about the host itself.
pub(super) fn explain(object: &Object, host: &HostDetail) -> Option<Explanation> {
    let name = &object.urn.name;
    let both = |reason, words: String| Some(Explanation::new(reason, words.clone(), words));
    match host_state(object, host) {
        HostState::Revoked => both(
            "Revoked",
            format!(
                "The identity of {name} was revoked; its agent is not served, its guests may well be running. Enrol it \
                 with a new token to take it in again, or delete it when it is empty."
            ),
        ),
        HostState::Joining if host.identity.is_none() => both(
            "Joining",
            format!("{name} has not enrolled yet; mint a join token for it and start its agent."),
        ),
        HostState::Joining => both(
            "Joining",
            format!(
                "{name} has enrolled and not introduced itself yet; check that rempart-agent runs there."
            ),
        ),
        HostState::Unreachable => both(
            "Unreachable",
            format!(
                "The agent of {name} is out of touch{}. Its guests may well be running. Check the host, its network and \
                 rempart-agent there.",
                since(host.since)
            ),
        ),
        HostState::NoHypervisor => {
            let health = &host.report.hypervisor;
            both(
                "HypervisorUnavailable",
                format!("libvirtd does not answer{}: {}", since(health.since), health.reason),
            )
        }
        HostState::Cordoned | HostState::Ready if !host.report.unexpected_domains.is_empty() => {
            let unexpected = &host.report.unexpected_domains;
            let names: Vec<_> = unexpected.iter().map(|domain| domain.name.as_str()).collect();
            both(
                "UnexpectedDomains",
                format!("{} domains that nobody asked for; left alone: {}", names.len(), names.join(", ")),
            )
        }
        HostState::Cordoned => both(
            "Cordoned",
            format!(
                "{name} takes nothing new; what is on it stays. Uncordon it to have instances placed on it."
            ),
        ),
        HostState::Ready => None,
    }
}
