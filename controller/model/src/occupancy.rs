//! What hosts offer, and what is taken of it: indexes kept with State, so that a decision about placement reads one row
//! per host and never a host's objects.
//!
//! What is taken is the sum over the objects bound to a host, whatever their state: what is being deleted takes its room
//! until its host has reported it gone. Limits are a host's capacity times what its operator allows. They may fall below
//! what is taken (a host that shrank): then nothing new is placed, and nothing is moved.

use std::cmp::Reverse;
use std::sync::Arc;

use rempart_api::fleet::Overcommit;
use rempart_api::{Kind, Urn};

use crate::kinds::Spec;
use crate::object::{Detail, Object};
use crate::planted;
use crate::state::State;

/// Resources taken on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allocation {
    /// Virtual CPUs of all instances bound there.
    pub vcpus: u64,
    /// Their memory in MiB.
    pub memory_mib: u64,
    /// Space of all volumes bound there in MiB, as their guests see them.
    pub disk_mib: u64,
    /// How many instances.
    pub instances: u64,
    /// How many volumes.
    pub volumes: u64,
}

/// Instances of one workspace that are to be on different hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) tenant: String,
    pub(crate) workspace: String,
    pub(crate) name: String,
}

impl Group {
    /// The group an instance names.
    pub(crate) fn of(object: &Object) -> Option<Group> {
        let Spec::Instance(spec) = &object.spec else { return None };
        let (tenant, workspace) = (object.urn.tenant.clone(), object.urn.workspace.clone());
        Some(Group { tenant, workspace, name: spec.anti_affinity_group.clone()? })
    }
}

/// What one object takes of its host.
#[derive(Debug, PartialEq, Eq)]
struct Share<'a> {
    host: &'a str,
    taken: Allocation,
    group: Option<Group>,
}

fn share(object: &Object) -> Option<Share<'_>> {
    let host = object.placement()?.host.as_str();
    match (&object.spec, &object.detail) {
        (Spec::Instance(_), Detail::Instance(instance)) => {
            let hardware = instance.hardware.as_ref();
            let taken = Allocation {
                vcpus: hardware.map_or(0, |hardware| hardware.vcpus.into()),
                memory_mib: hardware.map_or(0, |hardware| hardware.memory_mib),
                instances: 1,
                ..Allocation::default()
            };
            Some(Share { host, taken, group: Group::of(object) })
        }
        (Spec::BlockStorage(spec), _) => {
            let disk_mib = u64::from(spec.size_gb) << 10;
            let taken = Allocation { disk_mib, volumes: 1, ..Allocation::default() };
            Some(Share { host, taken, group: None })
        }
        _ => None,
    }
}

/// A host that may take something: its zone, how much memory is left, its name.
pub(crate) type Room = (String, Reverse<u64>, String);

/// What a host offers to instances, as far as placement asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer<'a> {
    pub(crate) zone: &'a str,
    pub(crate) seen: bool,
    pub(crate) revoked: bool,
    pub(crate) reachable: bool,
    pub(crate) hypervisor: bool,
    pub(crate) cordoned: bool,
    pub(crate) uefi: bool,
    pub(crate) vcpus: u64,
    pub(crate) memory_mib: u64,
    /// None: volumes are not counted. So it is on hosts from before they were.
    pub(crate) disk_mib: Option<u64>,
}

impl Offer<'_> {
    /// What `host` offers; none if it is not a host.
    pub(crate) fn of(host: &Object) -> Option<Offer<'_>> {
        let (Spec::Host(spec), Detail::Host(detail)) = (&host.spec, &host.detail) else { return None };
        let Overcommit { vcpu_percent, memory_percent, .. } = spec.overcommit.unwrap_or_default();
        let part = |of: u64, percent: u32| of.saturating_mul(percent.into()) / 100;
        let report = &detail.report;
        Some(Offer {
            zone: &spec.zone,
            seen: detail.was_seen(),
            revoked: detail.is_revoked(),
            reachable: detail.reachable,
            hypervisor: report.hypervisor.available,
            cordoned: spec.cordoned,
            uefi: report.virtualization.uefi,
            vcpus: part(report.vcpus.into(), vcpu_percent),
            memory_mib: part(report.memory_mib, memory_percent),
            disk_mib: spec.overcommit.map(|overcommit| part(report.disk_mib, overcommit.disk_percent)),
        })
    }

    /// The room that is left where so much is taken; none if nothing can be placed there whatever it asks.
    fn room(&self, host: &str, taken: Allocation) -> Option<Room> {
        let open = self.seen && !self.revoked && self.reachable && self.hypervisor && !self.cordoned;
        let free_mib = self.memory_mib.saturating_sub(taken.memory_mib);
        let any = free_mib > 0 && self.vcpus > taken.vcpus;
        (open && any || planted("room-unchecked"))
            .then(|| (self.zone.to_owned(), Reverse(free_mib), host.to_owned()))
    }
}

impl State {
    /// What is taken on a host.
    pub fn allocated(&self, host: &str) -> Allocation {
        self.allocated.get(host).copied().unwrap_or_default()
    }

    /// Log index of the newest entry after which something that waited may fit: room became free, a host offers more or
    /// something else, something new waits. Not stored: after a start it is the index of the State that was loaded.
    pub fn room_changed(&self) -> u64 {
        self.room_changed
    }

    /// Hosts that hold members of a group, other than `but`.
    pub(crate) fn hosts_of_group(&self, group: &Group, but: &Object) -> Vec<String> {
        let first = (group.clone(), String::new(), but.urn.clone());
        let mut hosts: Vec<String> = self
            .groups
            .range(first..)
            .take_while(|(of, ..)| of == group)
            .filter(|(_, _, member)| *member != but.urn)
            .map(|(_, host, _)| host.clone())
            .collect();
        hosts.dedup();
        hosts
    }

    /// Hosts of a zone that may take something, with the memory in MiB that is left on them: the emptiest first, and of equal
    /// ones the first by name.
    pub(crate) fn rooms<'a>(&'a self, zone: &'a str) -> impl Iterator<Item = (u64, &'a str)> + 'a {
        let first = (zone.to_owned(), Reverse(u64::MAX), String::new());
        let rooms = self.rooms.range(first..).take_while(move |(of, ..)| of == zone);
        rooms.map(|(_, Reverse(free_mib), host)| (*free_mib, host.as_str()))
    }

    fn room_of(&self, host: &str) -> Option<Room> {
        let found = self.get(&Urn::global(Kind::Host, host))?;
        Offer::of(found)?.room(host, self.allocated(host))
    }

    fn exchange_rooms(&mut self, before: Option<Room>, now: Option<Room>) {
        if before == now {
            return;
        }
        if let Some(room) = before {
            self.rooms.remove(&room);
        }
        if let Some(room) = now {
            self.rooms.insert(room);
        }
    }

    /// A host came, changed or went.
    pub(crate) fn keep_room(&mut self, old: Option<&Object>, new: Option<&Object>) {
        let room = |host: &Object| Offer::of(host)?.room(&host.urn.name, self.allocated(&host.urn.name));
        let (before, now) = (old.and_then(room), new.and_then(room));
        self.exchange_rooms(before, now);
    }

    /// Counts what an object takes: `old` no more, and `new` from now on.
    pub(crate) fn take_room(&mut self, old: Option<&Object>, new: Option<&Arc<Object>>) {
        if old.and_then(share) == new.and_then(|new| share(new)) {
            return;
        }
        let hosts = [old.and_then(share), new.and_then(|new| share(new))];
        let hosts: Vec<String> = hosts.into_iter().flatten().map(|share| share.host.to_owned()).collect();
        let before: Vec<Option<Room>> = hosts.iter().map(|host| self.room_of(host)).collect();
        if let Some(old) = old {
            self.vacate(old);
        }
        if let Some(new) = new {
            self.occupy(new);
        }
        for (host, before) in hosts.iter().zip(before) {
            let now = self.room_of(host);
            self.exchange_rooms(before, now);
        }
    }

    fn occupy(&mut self, object: &Arc<Object>) {
        let Some(Share { host, taken, group }) = share(object) else { return };
        let mut sum = self.allocated(host);
        sum.vcpus += taken.vcpus;
        sum.memory_mib += taken.memory_mib;
        sum.disk_mib += taken.disk_mib;
        sum.instances += taken.instances;
        sum.volumes += taken.volumes;
        self.allocated.insert(host.to_owned(), sum);
        if let Some(group) = group {
            self.groups.insert((group, host.to_owned(), object.urn.clone()));
        }
    }

    fn vacate(&mut self, object: &Object) {
        let Some(Share { host, taken, group }) = share(object) else { return };
        if planted("room-not-given-back") {
            return;
        }
        let mut sum = self.allocated(host);
        sum.vcpus -= taken.vcpus;
        sum.memory_mib -= taken.memory_mib;
        sum.disk_mib -= taken.disk_mib;
        sum.instances -= taken.instances;
        sum.volumes -= taken.volumes;
        if sum == Allocation::default() {
            self.allocated.remove(host);
        } else {
            self.allocated.insert(host.to_owned(), sum);
        }
        if let Some(group) = group {
            self.groups.remove(&(group, host.to_owned(), object.urn.clone()));
        }
    }
}

/// Whether something that waits may fit after this change and did not before.
pub(crate) fn makes_room(old: Option<&Object>, new: Option<&Object>) -> bool {
    let given_back = old.and_then(share).is_some_and(|old| new.and_then(share).as_ref() != Some(&old));
    let differs = |new: &Object| old.is_none_or(|old| old.spec != new.spec);
    let news = new.is_some_and(|new| match &new.spec {
        Spec::Host(_) => old.and_then(Offer::of) != Offer::of(new),
        Spec::InstanceSku(_) => differs(new),
        Spec::Instance(_) => new.placement().is_none() && !new.is_deleting() && differs(new),
        _ => false,
    });
    given_back || news
}
