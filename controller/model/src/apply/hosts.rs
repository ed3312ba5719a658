//! Founding the cluster, what is known of its hosts, and what operators do with them.
//!
//! What an operator decides (zone, cordoned, overcommit) is never overwritten by what a host says; a host that was
//! revoked says nothing any more.

use std::sync::Arc;

use rempart_api::fleet::HostSpec;
use rempart_api::region::RegionSpec;
use rempart_api::{Kind, Phase, Status, StringMap, Urn};

use super::orphans::is_open;
use super::{Tx, check_version, resumed};
use crate::answer::{Answer, Outcome};
use crate::command::{Founding, HostAction, HostCommand, HostName, HostSeen};
use crate::kinds::Spec;
use crate::object::{Detail, OBJECT_SCHEMA, Object};
use crate::refusal::{Fault, Refusal};
use crate::state::State;

/// States of what needs no host work.
pub(super) const MADE: [Phase; 3] = [Phase::Pending, Phase::Creating, Phase::Active];

impl State {
    /// Whether State has all that was seen of a host but when: then it needs no entry. A thousand agents that come over from a
    /// leader to the next one have nothing new to say.
    #[must_use]
    pub fn knows_host(&self, seen: &HostSeen) -> bool {
        let Some(object) = self.get(&Urn::global(Kind::Host, &seen.host)) else { return false };
        let (Spec::Host(spec), Detail::Host(host)) = (&object.spec, &object.detail) else { return false };
        let same_key = match (&host.identity, &seen.key_sha256) {
            (Some(identity), Some(key)) => identity.revoked_at.is_none() && identity.key_sha256 == *key,
            _ => false,
        };
        let settled = host.reachable && object.status.state == Phase::Active;
        settled && same_key && spec.zone == seen.zone && host.report == seen.report
    }
}

impl Tx {
    pub(super) fn found(&mut self, founding: &Founding) -> Outcome {
        if self.state.core.cluster_id.is_some() {
            return Err(Refusal::conflict("the cluster is founded already"));
        }
        let region = RegionSpec { available_zones: founding.zones.clone(), providers: Vec::new() };
        let mut faults = Vec::new();
        if let Err(error) = rempart_api::check_short_name(&founding.region) {
            faults.push(Fault::new("/region", error.to_string()));
        }
        let spec = Spec::from(region);
        spec.check(&self.state, &mut faults);
        if !faults.is_empty() {
            return Err(Refusal::invalid(faults));
        }
        self.state.core.cluster_id = Some(founding.cluster_id);
        self.state.core.incarnation = 1;
        self.state.core.region.clone_from(&founding.region);
        self.state.core.zones.clone_from(&founding.zones);
        let urn = Urn::global(Kind::Region, &founding.region);
        let object = self.new_object(urn, founding.cluster_id, spec, &MADE);
        self.write(object);
        for entry in &founding.catalogue {
            self.put(entry)?;
        }
        Ok(Answer::Done)
    }

    /// An object of the control plane's own making, which has entered `phases`.
    pub(super) fn new_object(&self, urn: Urn, uid: uuid::Uuid, spec: Spec, phases: &[Phase]) -> Object {
        let mut status = Status::default();
        for phase in phases {
            status.enter(*phase, self.now);
        }
        Object {
            schema: OBJECT_SCHEMA,
            urn: Arc::new(urn),
            uid,
            labels: StringMap::new(),
            annotations: StringMap::new(),
            extensions: StringMap::new(),
            created_at: self.now,
            modified_at: self.now,
            deleted_at: None,
            resource_version: 1,
            changed_index: self.index,
            detail: spec.new_detail(),
            spec,
            status,
            overdue: None,
        }
    }

    /// A host introduced itself, or what it says of itself changed.
    pub(super) fn host_seen(&mut self, seen: &HostSeen) -> Outcome {
        if !self.state.zones().contains(&seen.zone) {
            return Err(Refusal::conflict(format!(
                "host {:?} says it stands in zone {:?}, which this region does not have; its zones: {}",
                seen.host,
                seen.zone,
                self.state.zones().join(", ")
            )));
        }
        if let Err(error) = rempart_api::check_short_name(&seen.host) {
            return Err(Refusal::conflict(format!("host name {:?}: {error}", seen.host)));
        }
        self.check_identity(seen)?;
        let urn = Urn::global(Kind::Host, &seen.host);
        let mut object = match self.state.get(&urn) {
            Some(known) => (**known).clone(),
            None => {
                self.check_fresh(seen.uid)?;
                let spec = HostSpec { zone: seen.zone.clone(), ..HostSpec::default() };
                self.new_object(urn, seen.uid, spec.into(), &MADE)
            }
        };
        let (Spec::Host(spec), Detail::Host(host)) = (&mut object.spec, &mut object.detail) else {
            return Ok(Answer::Done);
        };
        // Hosts that nobody enrolled or wrote come from the time when a host's own word was all there was.
        let decided = spec.overcommit.is_some() || host.identity.is_some();
        if decided && !spec.zone.is_empty() && spec.zone != seen.zone {
            return Err(Refusal::conflict(format!(
                "host {:?} says it stands in zone {:?}, but it was given zone {:?}; start its agent with that zone, or \
                 delete the host and enrol it again",
                seen.host, seen.zone, spec.zone
            )));
        }
        if spec.zone != seen.zone {
            Arc::make_mut(spec).zone.clone_from(&seen.zone);
        }
        if !host.reachable {
            host.since = Some(self.now);
        }
        host.reachable = true;
        host.report = seen.report.clone();
        let left = &host.report.leftovers;
        host.orders.retain(|uid, action| is_open(left, *uid, *action));
        host.reported_at = seen.at.or(host.reported_at);
        match object.status.state {
            Phase::Active => {}
            Phase::Creating => object.status.enter(Phase::Active, self.now),
            _ => {
                object.status.enter(Phase::Updating, self.now);
                object.status.enter(Phase::Active, self.now);
            }
        }
        self.write(object);
        Ok(Answer::Done)
    }

    /// The key a host's session runs under is the one enrolled under its name, and counts.
    fn check_identity(&self, seen: &HostSeen) -> Result<(), Refusal> {
        let refuse = |why: &str| {
            Err(Refusal::conflict(format!(
                "host {:?} {why}; to take it in, enrol it with a new token",
                seen.host
            )))
        };
        match (self.state.host_identity(&seen.host), &seen.key_sha256) {
            (Some(identity), _) if identity.revoked_at.is_some() => refuse("was revoked"),
            (Some(identity), Some(key)) if identity.key_sha256 != *key => {
                refuse("is another machine since: one has enrolled under its name")
            }
            (None, Some(_)) => refuse("is not enrolled, or was deleted"),
            _ => Ok(()),
        }
    }

    /// What a PUT of a host leads to: it joins when its agent introduces itself, and stays as well as it is.
    pub(super) fn settle_host(&mut self, mut object: Object) -> Arc<Object> {
        if let Detail::Host(host) = &object.detail {
            match (host.was_seen(), host.reachable) {
                (true, true) => object.status.enter(Phase::Active, self.now),
                (true, false) => object.status.enter(Phase::Error, self.now),
                (false, _) if object.status.state == Phase::Pending => {
                    object.status.enter(Phase::Creating, self.now);
                }
                (false, _) => {}
            }
        }
        self.write(object)
    }

    /// Cordon, uncordon, revoke. What is so already is accepted and changes nothing.
    pub(super) fn host_action(&mut self, command: &HostCommand) -> Outcome {
        let mut object = (*self.expect(&command.urn)?).clone();
        check_version(&object, command.if_unmodified_since)?;
        let name = &command.urn;
        let (Spec::Host(spec), Detail::Host(detail)) = (&mut object.spec, &mut object.detail) else {
            return Err(Refusal::conflict(format!("{name} is not a host")));
        };
        let open = object.status.state == Phase::Creating;
        match command.action {
            HostAction::Cordon | HostAction::Uncordon => {
                let cordon = command.action == HostAction::Cordon;
                if spec.cordoned == cordon {
                    return Ok(Answer::Accepted);
                }
                Arc::make_mut(spec).cordoned = cordon;
            }
            HostAction::Revoke => {
                let Some(identity) = &mut detail.identity else {
                    return Err(Refusal::conflict(format!(
                        "{name} has no identity to revoke: it never enrolled"
                    )));
                };
                if identity.revoked_at.is_some() {
                    return Ok(Answer::Accepted);
                }
                identity.revoked_at = Some(self.now);
                if detail.reachable {
                    (detail.reachable, detail.since) = (false, Some(self.now));
                }
            }
        }
        object.count_request(self.now);
        if !open {
            object.status.enter(resumed(&object.status), self.now);
        }
        self.settle_host(object);
        Ok(Answer::Accepted)
    }

    /// The leader has not heard from a host for too long. Its guests may well be running.
    pub(super) fn host_unreachable(&mut self, host: &HostName) -> Outcome {
        let mut object = (*self.expect(&Urn::global(Kind::Host, &host.host))?).clone();
        if host.changed_index.is_some_and(|judged| judged != object.changed_index) {
            return Ok(Answer::Done);
        }
        let Detail::Host(detail) = &mut object.detail else { return Ok(Answer::Done) };
        if detail.reachable {
            detail.reachable = false;
            detail.since = Some(self.now);
            object.status.enter(Phase::Error, self.now);
            self.write(object);
        }
        Ok(Answer::Done)
    }
}
