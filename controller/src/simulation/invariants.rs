//! What has to hold after every step, and what in the end.

use std::collections::{BTreeMap, BTreeSet};

use rempart_api::compute::PowerState;
use rempart_api::fleet::Overcommit;
use rempart_api::{Kind, Phase};
use rempart_model::{Detail, Object, Spec, State};
use uuid::Uuid;

use crate::raft::{Ballot, Status};
use crate::store::simulated::Memory;

use super::controller::Controller;
use super::digest;
use super::hosts::Host;
use super::ledger::Ledger;

/// Of so many States one is checked by [`State::check`], which builds every index anew; and the last one.
const WHOLE_EVERY: u64 = 5;

/// What is remembered from step to step.
#[derive(Default)]
pub(super) struct Memories {
    /// The newest epoch of each placement.
    epochs: BTreeMap<Uuid, u64>,
    /// What each replica last voted, over all lives.
    votes: BTreeMap<u64, Ballot>,
    /// The newest entry that anybody reported to be committed.
    committed: Option<u64>,
    /// What each replica said to be durable on its disk: one after the last index.
    durable: BTreeMap<u64, u64>,
    /// What each replica acknowledged to a leader: its term, and one after the last index.
    acknowledged: BTreeMap<u64, (u64, u64)>,
    /// How many States there were.
    states: u64,
    /// The newest State anybody has.
    pub(super) newest: State,
}

impl Memories {
    /// Looks at one replica: purged <= durably applied <= applied <= committed, its promises, and its State.
    pub(super) fn look(&mut self, controller: &mut Controller, memory: &Memory, ledger: &Ledger) {
        let id = controller.id;
        let status = controller.node.status();
        let (mark, commits) = {
            let tables = memory.tables();
            (tables.mark.as_ref().map(|mark| mark.applied_index), tables.commits)
        };
        let applied = ledger.pages().machines.get(&id).copied();
        let flushed = controller.flushed();
        ledger.check(flushed <= mark, || {
            format!("replica {id}: {flushed:?} is taken for durable, and its database has {mark:?}")
        });
        let chain = [status.purged_index, mark, applied];
        ledger.check(chain.is_sorted(), || {
            format!("replica {id}: purged, durably applied and applied are {chain:?}")
        });
        if let Some(committed) = status.committed_index {
            // What it reports of itself may lag while its disk is slow; what anybody reported is committed.
            self.committed = self.committed.max(Some(committed));
            let known =
                [self.committed, controller.resumed, status.snapshot_index].into_iter().max().flatten();
            ledger.check(applied <= known, || {
                format!("replica {id}: applied {applied:?}, and no more than {known:?} is committed")
            });
        }
        if let Some(vote) = controller.node.voted() {
            let known = self.votes.entry(id).or_insert(vote);
            ledger.check(vote >= *known, || format!("replica {id} voted {known:?}, and now {vote:?}"));
            *known = vote;
        }
        self.look_at_promises(controller, &status, ledger);
        if status.snapshot_index > controller.snapshot_index {
            controller.snapshot_index = status.snapshot_index;
            ledger.count("snapshot");
        }
        if status.purged_index.is_some() {
            ledger.count("purged");
        }
        self.look_at_state(controller, ledger);
        if controller.seen_commits != commits {
            controller.seen_commits = commits;
            look_at_tables(id, memory, ledger);
        }
    }

    /// What a replica said to have on its disk is there after a crash.
    fn look_at_promises(&mut self, controller: &mut Controller, status: &Status, ledger: &Ledger) {
        let id = controller.id;
        let term = self.votes.get(&id).map_or(0, |vote| vote.term);
        // Under a newer leader it may have been told to give up some of it.
        if self.acknowledged.get(&id).is_some_and(|known| known.0 < term) {
            self.acknowledged.remove(&id);
        }
        if controller.is_new {
            controller.is_new = false;
            let end = status.durable_end.max(status.snapshot_index.map_or(0, |index| index + 1));
            let durable = self.durable.get(&id).copied().unwrap_or_default();
            let acknowledged = self.acknowledged.get(&id).map_or(0, |known| known.1);
            ledger.check(end >= durable, || {
                format!("replica {id} had {durable} entries for good, and has {end}")
            });
            ledger.check(end >= acknowledged, || {
                format!("replica {id} acknowledged {acknowledged} entries, and has {end}")
            });
        }
        self.durable.insert(id, status.durable_end);
        for (follower, matched) in &status.matched_index {
            let follows = self.votes.get(follower).is_some_and(|vote| vote.term == status.term);
            if let Some(matched) = matched.filter(|_| follows && *follower != id) {
                self.acknowledged.insert(*follower, (status.term, matched + 1));
            }
        }
    }

    fn look_at_state(&mut self, controller: &mut Controller, ledger: &Ledger) {
        let state = controller.replica.state();
        let index = state.applied_index();
        if controller.seen_index == Some(index) || index == 0 {
            return;
        }
        controller.seen_index = Some(index);
        let digest = controller.digest.of(&state);
        if !ledger.state(&format!("replica {}", controller.id), index, digest) {
            return;
        }
        if index > self.newest.applied_index() {
            self.newest = (*state).clone();
            self.states += 1;
            if self.states.is_multiple_of(WHOLE_EVERY) {
                state.check();
            }
            self.check_meaning(&state, ledger);
        }
    }

    /// What must be true of any State, told independently of the core.
    fn check_meaning(&mut self, state: &State, ledger: &Ledger) {
        let mut addresses = BTreeSet::new();
        let mut disks = BTreeSet::new();
        for object in state.objects() {
            let urn = &object.urn;
            if let Some(placement) = object.placement() {
                let epoch = self.epochs.entry(object.uid).or_insert(placement.epoch);
                ledger.check(placement.epoch >= *epoch, || {
                    format!("{urn}: epoch {} after {epoch}", placement.epoch)
                });
                *epoch = placement.epoch;
            }
            match &object.detail {
                Detail::Nic(nic) => {
                    for address in &nic.addresses {
                        let free = addresses.insert((nic.subnet.to_string(), *address));
                        ledger.check(free, || format!("{urn}: {address} has another owner"));
                    }
                }
                Detail::PublicIp(public) => {
                    let free = addresses.insert((String::new(), public.address));
                    ledger.check(free, || format!("{urn}: {} has another owner", public.address));
                }
                Detail::Instance(instance) => {
                    for disk in instance.hardware.iter().flat_map(|hardware| &hardware.disks) {
                        let free = instance.placement.is_none() || disks.insert(disk.volume);
                        ledger.check(free, || format!("{urn}: its disk {} is another's, too", disk.volume));
                        check_reach(state, object, disk.volume, ledger);
                    }
                }
                _ => {}
            }
        }
        check_room(state, ledger);
        check_quota(state, ledger);
    }

    /// What hosts did beside what State says they did.
    pub(super) fn look_at_hosts(&self, hosts: &[Host], ledger: &Ledger) {
        let mut open: BTreeMap<Uuid, &str> = BTreeMap::new();
        for host in hosts {
            for disk in host.guests.values().filter(|guest| guest.running).flat_map(|guest| &guest.disks) {
                let other = open.insert(*disk, &host.name);
                ledger.check(other.is_none(), || {
                    format!("the disk {disk} is open on {} and on {other:?}", host.name)
                });
            }
            for object in self.newest.on_host(&host.name) {
                let realised = match &object.detail {
                    Detail::Instance(instance) => &instance.realised,
                    Detail::Volume(volume) => &volume.realised,
                    _ => continue,
                };
                let done = host.realised.get(&object.uid).copied().unwrap_or_default();
                ledger.check(realised.generation <= done, || {
                    let said = realised.generation;
                    format!("{}: taken for realised is {said}, and {} did {done}", object.urn, host.name)
                });
                if let Detail::Instance(instance) = &object.detail {
                    let executed = host.guests.get(&object.uid).map_or(0, |guest| guest.executed);
                    let said = instance.executed_power_generation;
                    ledger.check(said <= executed || object.is_deleting(), || {
                        format!("{}: power {said} is taken for done, {executed} is", object.urn)
                    });
                }
            }
        }
    }

    /// Everything asked for has come true. What has not, in words.
    pub(super) fn unsettled(&self, hosts: &[Host]) -> Option<String> {
        let state = &self.newest;
        for object in state.objects() {
            let (urn, phase) = (&object.urn, object.status.state);
            let Detail::Instance(instance) = &object.detail else {
                if phase != Phase::Active {
                    return Some(format!("{urn} is {phase:?}"));
                }
                continue;
            };
            let Some(placement) = &instance.placement else {
                if phase != Phase::Pending {
                    return Some(format!("{urn} is {phase:?}, and nowhere"));
                }
                if rempart_model::placement::choose(state, object).is_some() {
                    return Some(format!("{urn} waits, and a host would take it"));
                }
                continue;
            };
            let on = instance.power_state == PowerState::On;
            if phase != Phase::Active || (instance.power.on && !on) {
                return Some(format!("{urn} is {phase:?}, on: {on}: {instance:?}"));
            }
            let host = hosts.iter().find(|host| host.name == placement.host);
            let guest = host.and_then(|host| host.guests.get(&object.uid));
            if guest.is_none_or(|guest| guest.running != on) {
                return Some(format!("{urn} is not what runs on its host: {guest:?}, {instance:?}"));
            }
        }
        for host in hosts {
            let things = host.guests.keys().chain(&host.volumes);
            if let Some(thing) = things.into_iter().find(|uid| state.by_uid(**uid).is_none()) {
                return Some(format!("{thing} lies on {}, and nothing is known of it", host.name));
            }
        }
        None
    }
}

/// What a replica's database holds is the State at its mark.
fn look_at_tables(id: u64, memory: &Memory, ledger: &Ledger) {
    let tables = memory.tables();
    let Some(mark) = tables.mark.as_ref().map(|mark| mark.applied_index) else { return };
    if let Some(digest) = digest::of_tables(&tables) {
        ledger.state(&format!("the database of {id}"), mark, digest);
    }
}

/// One entry of history for each request, and the same on every replica.
pub(super) fn check_history(memories: &BTreeMap<u64, Memory>, ledger: &Ledger) {
    let mut known = BTreeMap::new();
    for (id, memory) in memories {
        let tables = memory.tables();
        let mut requests = BTreeMap::new();
        for (key, row) in &tables.audit {
            let other = requests.insert(row.request_id, key.0);
            ledger.check(other.is_none(), || {
                format!("replica {id}: request {} took effect at {other:?} and at {}", row.request_id, key.0)
            });
            let first = known.entry(*key).or_insert_with(|| row.clone());
            ledger.check(first == row, || format!("replica {id}: another history of entry {}", key.0));
        }
    }
}

/// An instance and its disks are on one host.
fn check_reach(state: &State, instance: &Object, volume: Uuid, ledger: &Ledger) {
    let there = state.by_uid(volume).and_then(|volume| volume.placement()).map(|there| &there.host);
    let here = instance.placement().map(|here| &here.host);
    ledger.check(here.is_none() || here == there, || {
        format!("{} runs on {here:?}, its disk is on {there:?}", instance.urn)
    });
}

/// What is taken on a host is no more than its capacity times what its operator allows. Neither ever falls here.
fn check_room(state: &State, ledger: &Ledger) {
    for host in state.of_kind(Kind::Host) {
        let (Spec::Host(spec), Detail::Host(detail)) = (&host.spec, &host.detail) else { continue };
        let (mut vcpus, mut memory_mib, mut disk_mib) = (0, 0, 0);
        for object in state.on_host(&host.urn.name) {
            match (&object.spec, &object.detail) {
                (_, Detail::Instance(instance)) => {
                    let hardware = instance.hardware.as_ref();
                    vcpus += hardware.map_or(0, |hardware| u64::from(hardware.vcpus));
                    memory_mib += hardware.map_or(0, |hardware| hardware.memory_mib);
                }
                (Spec::BlockStorage(volume), _) => disk_mib += u64::from(volume.size_gb) << 10,
                _ => {}
            }
        }
        let Overcommit { vcpu_percent, memory_percent, disk_percent } = spec.overcommit.unwrap_or_default();
        let report = &detail.report;
        let within = |what: &str, taken: u64, of: u64, percent: u32| {
            let limit = of * u64::from(percent) / 100;
            ledger.check(taken <= limit, || format!("{}: {taken} {what} of {limit}", host.urn));
        };
        within("vCPUs", vcpus, report.vcpus.into(), vcpu_percent);
        within("MiB of memory", memory_mib, report.memory_mib, memory_percent);
        if spec.overcommit.is_some() {
            within("MiB of disk", disk_mib, report.disk_mib, disk_percent);
        }
    }
}

/// Quotas are set once here, and never exceeded.
fn check_quota(state: &State, ledger: &Ledger) {
    for tenant in state.of_kind(Kind::Tenant) {
        let Spec::Tenant(spec) = &tenant.spec else { continue };
        let name = tenant.urn.name.as_str();
        let count = |kind| {
            state.objects().filter(|object| object.urn.kind == kind && object.urn.tenant == name).count()
                as u64
        };
        let volumes = state.of_tenant(Kind::BlockStorage, name).filter_map(|volume| match &volume.spec {
            Spec::BlockStorage(spec) => Some(u64::from(spec.size_gb)),
            _ => None,
        });
        let storage: u64 = volumes.sum();
        for (what, limit) in &spec.quota {
            use rempart_api::tenancy::Countable;
            let has = match what {
                Countable::Instances => count(Kind::Instance),
                Countable::Volumes => count(Kind::BlockStorage),
                Countable::PublicIps => count(Kind::PublicIp),
                Countable::Addresses => count(Kind::Nic),
                Countable::StorageGb => storage,
                _ => continue,
            };
            ledger.check(has <= *limit, || {
                format!("tenant {name} has {has} of {what:?}, and may have {limit}")
            });
        }
    }
}
