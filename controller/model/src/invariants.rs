//! What is true of every State, whatever the log says.

mod addresses;

use std::collections::{BTreeMap, BTreeSet};

use rempart_api::{Kind, Phase, Urn};

use crate::apply::{is_settled, zone_of};
use crate::kinds::Spec;
use crate::object::{Detail, InstanceDetail, Object};
use crate::placement;
use crate::state::{State, WINDOW};
use crate::transition::{Step, overdue, stand};

impl State {
    /// Panics when an invariant is broken. Tests call it after every entry.
    pub fn check(&self) {
        self.check_indexes();
        self.check_zones();
        let mut users = BTreeMap::new();
        let mut seen = addresses::Seen::default();
        for object in self.objects.values() {
            self.check_envelope(object);
            self.check_parent(object);
            self.check_references(object, &mut users);
            self.check_addresses(object, &mut seen);
            if let Detail::Instance(instance) = &object.detail {
                self.check_instance(object, instance);
            }
            self.check_capture(object);
        }
    }

    fn check_indexes(&self) {
        let mut rebuilt = State { core: self.core.clone(), ..State::default() };
        for object in self.objects.values() {
            rebuilt.insert(object.clone());
        }
        assert_eq!(rebuilt.by_uid.len(), self.objects.len(), "a uid names two objects");
        assert_eq!(rebuilt.by_uid, self.by_uid, "index by uid");
        assert_eq!(rebuilt.referrers, self.referrers, "index of references");
        assert_eq!(rebuilt.placed, self.placed, "index of placements");
        assert_eq!(rebuilt.waiting, self.waiting, "index of waiting instances");
        assert_eq!(rebuilt.under_way, self.under_way, "index of what is on its way");
        assert_eq!(rebuilt.allocated, self.allocated, "allocations");
        assert_eq!(rebuilt.rooms, self.rooms, "index of hosts by room");
        assert_eq!(rebuilt.groups, self.groups, "index of anti-affinity groups");
        assert_eq!(rebuilt.revoked, self.revoked, "index of revocations");
        assert_eq!(rebuilt.assigned, self.assigned, "index of assignments");
        assert_eq!(rebuilt.rights, self.rights, "index of roles");
        assert_eq!(rebuilt.children, self.children, "children");
        assert_eq!(rebuilt.sums, self.sums, "sums of tenants and workspaces");
        assert_eq!(rebuilt.claims, self.claims, "claims of addresses");
        assert_eq!(rebuilt.subnets, self.subnets, "index of subnets by name");
        assert!(
            self.answers.len() <= WINDOW && self.answers.len() == self.answer_order.len(),
            "request window"
        );
        for waiting in self.waiting() {
            let verdict = placement::verdict(self, waiting);
            assert_eq!(placement::choose(self, waiting), verdict.host, "{}: where it fits", waiting.urn);
        }
        assert!(self.room_changed <= self.applied_index, "room that is to come");
    }

    /// The region's object and the core say the same, and nothing stands where no zone is.
    fn check_zones(&self) {
        let region = self.objects.get(&Urn::global(Kind::Region, &self.core.region));
        assert_eq!(region.is_some(), self.core.cluster_id.is_some(), "the region of a founded cluster");
        if let Some(Spec::Region(region)) = region.map(|region| &region.spec) {
            assert_eq!(region.available_zones, self.core.zones, "zones of the region");
        }
        for object in self.objects.values() {
            let Some(zone) = zone_of(&object.spec) else { continue };
            assert!(
                self.core.zones.iter().any(|known| known == zone),
                "{} is in no zone: {zone}",
                object.urn
            );
        }
    }

    fn check_envelope(&self, object: &Object) {
        let urn = &object.urn;
        let status = &object.status;
        assert_eq!(status.conditions.first().map(|newest| newest.state), Some(status.state), "{urn}");
        assert!(status.conditions.len() <= rempart_api::MAX_CONDITIONS, "{urn}");
        let times: Vec<_> = status.conditions.iter().map(|entry| entry.last_transition_at).collect();
        assert!(times.is_sorted_by(|newer, older| newer >= older), "{urn}: times run back");
        assert_eq!(object.is_deleting(), status.state == Phase::Deleting, "{urn}");
        assert!(object.resource_version >= 1 && object.changed_index <= self.applied_index, "{urn}");
        let ahead = object.modified_at.unix_ms() - self.core.clock.unix_ms();
        assert!(ahead < object.resource_version as i64, "{urn}: {ahead} ms ahead of the clock");
        assert!(object.created_at <= object.modified_at, "{urn}");
        assert_eq!(urn.kind, object.spec.kind(), "{urn}");
        self.check_step(object);
        if let Some(placement) = object.placement() {
            let host = self.objects.get(&Urn::global(Kind::Host, &placement.host));
            assert!(host.is_some(), "{urn} is bound to an unknown host");
        }
    }

    /// What is neither here nor gone is in a step, which is in the index; and the reverse of the first, as far as it goes.
    fn check_step(&self, object: &Object) {
        let urn = &object.urn;
        let step = stand(self, object).map(|stand| stand.step);
        let open = object.status.state != Phase::Active;
        assert!(step.is_some() || !open || urn.kind == Kind::Host, "{urn} is under way in no step");
        assert!(step.is_none() || self.under_way.contains(urn), "{urn} is in a step that nobody watches");
        if let Some(step) = step {
            let kinds = step.info().kinds;
            assert!(
                kinds.is_empty() || kinds.contains(&urn.kind),
                "{urn} is in another kind's step: {step:?}"
            );
        }
        if object.status.state == Phase::Error && urn.kind != Kind::Host {
            let failing = matches!(step, Some(Step::Failing | Step::Lost));
            assert!(failing || overdue(self, object).is_some(), "{urn}: failed for no reason");
        }
    }

    fn check_parent(&self, object: &Object) {
        let urn = &object.urn;
        if let Some(parent) = urn.parent() {
            let parent = self.objects.get(&parent).unwrap_or_else(|| panic!("{urn} has lost its parent"));
            // A tenant takes what is in it with it, step by step.
            let going = parent.is_deleting() && parent.urn.kind != Kind::Tenant;
            assert!(!going || object.is_deleting(), "{urn} lives in a parent that is going");
        }
        if object.is_deleting() {
            let held = object.placement().is_some()
                || self.child_count(urn) > 0
                || self.referrers(urn).next().is_some();
            assert!(held, "{urn} is being deleted and nothing holds it");
        }
    }

    /// What is strong does not dangle, and has one user where it is for one.
    fn check_references(&self, object: &Object, users: &mut BTreeMap<Urn, Urn>) {
        let urn = &object.urn;
        for target in self.strong_targets(object) {
            let target = self.objects.get(&target).unwrap_or_else(|| panic!("{urn} dangles: {target}"));
            assert!(
                !target.is_deleting() || object.is_deleting(),
                "{urn} uses what is going: {}",
                target.urn
            );
            assert_eq!(urn.tenant, target.urn.tenant, "{urn} uses what is another tenant's");
            if matches!(target.urn.kind, Kind::BlockStorage | Kind::Nic | Kind::PublicIp) {
                let other = users.insert((*target.urn).clone(), (**urn).clone());
                assert_eq!(other, None, "one thing, two users: {}", target.urn);
            }
            if target.urn.kind == Kind::BlockStorage
                && let Some(here) = object.placement()
            {
                let there = target.placement().map(|there| there.host.as_str());
                assert_eq!(there, Some(here.host.as_str()), "{urn}: disk on another host: {}", target.urn);
            }
        }
    }

    /// An image that is being copied and its volume know of each other.
    fn check_capture(&self, object: &Object) {
        let urn = &object.urn;
        match &object.detail {
            Detail::Volume(volume) => {
                let Some(capture) = &volume.capture else { return };
                assert!(volume.placement.is_some(), "{urn}: copied, and not there");
                let image = self.by_uid(capture.image).map(|image| &image.detail);
                let waits = matches!(image, Some(Detail::Image(image)) if image.source == Some(object.uid));
                assert!(waits, "{urn} is copied for nobody");
            }
            Detail::Image(image) => {
                let creating = matches!(object.status.state, Phase::Creating | Phase::Error);
                assert_eq!(creating, image.source.is_some(), "{urn}: creating is waiting for a copy");
                // What was lost with its volume does not wait.
                let copied = self.copied_to(object.uid, image).is_some();
                let waits = object.status.state == Phase::Creating;
                assert!(copied || !waits, "{urn} waits for a copy that nobody makes");
            }
            _ => {}
        }
    }

    fn check_instance(&self, object: &Object, instance: &InstanceDetail) {
        let urn = &object.urn;
        let placed = instance.placement.is_some();
        let open = matches!(object.status.state, Phase::Creating | Phase::Updating);
        assert_eq!(object.status.state == Phase::Pending, !placed, "{urn}: pending is waiting for a host");
        assert!(!(open && is_settled(instance)), "{urn}: an open transition that is done");
        let failed = object.status.state == Phase::Error;
        let expired = object.overdue.as_ref().is_some_and(|overdue| overdue.step.has_failed());
        assert!(!failed || expired || instance.realised.failure.is_some(), "{urn}: failed for no reason");
        assert!(
            instance.executed_power_generation <= instance.power.generation,
            "{urn}: power nobody asked for"
        );
        assert!(
            instance.realised.generation <= instance.host_generation,
            "{urn}: realised what nobody asked for"
        );
        assert!(instance.host_generation <= object.resource_version, "{urn}: host ahead of the requests");
        let Some(hardware) = instance.hardware.as_ref().filter(|_| placed) else { return };
        let attached: Vec<_> = self
            .strong_targets(object)
            .iter()
            .filter(|target| target.kind == Kind::BlockStorage)
            .filter_map(|volume| self.objects.get(volume).map(|volume| volume.uid))
            .collect();
        let disks: Vec<_> = hardware.disks.iter().map(|disk| disk.volume).collect();
        assert_eq!(disks, attached, "{urn}: its disks are not its volumes");
        let slots: BTreeSet<_> = hardware.disks.iter().map(|disk| disk.slot).collect();
        let serials: BTreeSet<_> = hardware.disks.iter().map(|disk| &disk.serial).collect();
        assert!(slots.len() == disks.len() && serials.len() == disks.len(), "{urn}: two disks look the same");
    }
}
