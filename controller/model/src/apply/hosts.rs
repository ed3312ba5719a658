//! Founding the cluster, and what is known of its hosts.

use std::sync::Arc;

use rempart_api::fleet::HostSpec;
use rempart_api::region::RegionSpec;
use rempart_api::{Kind, Phase, Status, StringMap, Urn};

use super::Tx;
use crate::answer::{Answer, Outcome};
use crate::command::{Founding, HostName, HostSeen};
use crate::kinds::Spec;
use crate::object::{Detail, OBJECT_SCHEMA, Object};
use crate::refusal::{Fault, Refusal};

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
        let spec = Spec::Region(region);
        spec.check(&self.state, &mut faults);
        if !faults.is_empty() {
            return Err(Refusal::invalid(faults));
        }
        self.state.core.cluster_id = Some(founding.cluster_id);
        self.state.core.incarnation = 1;
        self.state.core.region.clone_from(&founding.region);
        self.state.core.zones.clone_from(&founding.zones);
        let urn = Urn::global(Kind::Region, &founding.region);
        let object = self.new_object(urn, founding.cluster_id, spec);
        self.write(object);
        for entry in &founding.catalogue {
            self.put(entry)?;
        }
        Ok(Answer::Done)
    }

    fn new_object(&self, urn: Urn, uid: uuid::Uuid, spec: Spec) -> Object {
        let mut status = Status::default();
        for phase in [Phase::Pending, Phase::Creating, Phase::Active] {
            status.enter(phase, self.now);
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
        let urn = Urn::global(Kind::Host, &seen.host);
        let spec = Spec::Host(HostSpec { zone: seen.zone.clone() });
        let mut object = match self.state.get(&urn) {
            Some(known) => (**known).clone(),
            None => {
                self.check_fresh(seen.uid)?;
                self.new_object(urn, seen.uid, spec.clone())
            }
        };
        if object.status.state != Phase::Active {
            object.status.enter(Phase::Updating, self.now);
            object.status.enter(Phase::Active, self.now);
        }
        object.spec = spec;
        if let Detail::Host(host) = &mut object.detail {
            if !host.reachable {
                host.since = Some(self.now);
            }
            host.reachable = true;
            host.report = seen.report.clone();
        }
        self.write(object);
        Ok(Answer::Done)
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
