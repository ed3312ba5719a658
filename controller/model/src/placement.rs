//! Choosing a host. Pure: the leader proposes with it, `apply` verifies with it.
//!
//! The policy reads as a chain of named rules; the first that refuses a host is the one that is counted. An instance is
//! reduced to a [`Demand`] first: equal demands get equal answers of one State, so many instances that wait for the same
//! cost one choice ([`Verdicts`]). Spread is the policy: of the hosts that fit, the one with the most memory left.

mod architecture;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rempart_api::storage::BootMode;
use rempart_api::{Kind, Urn};

use crate::kinds::Spec;
use crate::object::{Detail, Object};
use crate::occupancy::{Allocation, Group, Offer};
use crate::planted;
use crate::state::State;

pub use architecture::check_architecture;
use architecture::is_foreign;

/// Why a host cannot take an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// No such host, or not a host.
    Unknown,
    /// The instance's size has gone: no host can tell whether it fits.
    Size,
    /// It stands in another zone.
    Zone,
    /// It has not introduced itself yet.
    Joining,
    /// Its identity was revoked.
    Revoked,
    /// Its agent is out of touch.
    Unreachable,
    /// Its hypervisor service does not answer.
    Hypervisor,
    /// Its operator wants nothing new on it.
    Cordoned,
    /// Its CPUs do not execute what is in the instance's boot volume.
    Architecture,
    /// No UEFI firmware for guests.
    Firmware,
    /// A volume of the instance has its data on another host.
    VolumeReach,
    /// Another instance of its anti-affinity group is there.
    AntiAffinity,
    /// Not enough virtual CPUs left.
    Vcpus,
    /// Not enough memory left.
    Memory,
    /// Not enough space left for the instance's volumes.
    Disk,
}

impl Rule {
    /// For the tenant: what the hosts lack. Host names are not a tenant's business.
    pub fn tenant_words(self) -> &'static str {
        match self {
            Rule::Unknown => "unknown",
            Rule::Size => "without knowing its size",
            Rule::Zone => "in another zone",
            Rule::Joining => "about to join",
            Rule::Revoked => "taken out of service",
            Rule::Unreachable => "out of touch",
            Rule::Hypervisor => "with their hypervisor service down",
            Rule::Cordoned => "cordoned",
            Rule::Architecture => "of another CPU architecture",
            Rule::Firmware => "without UEFI firmware",
            Rule::VolumeReach => "without access to the instance's volumes",
            Rule::AntiAffinity => "holding another instance of its anti-affinity group",
            Rule::Vcpus => "short of CPUs",
            Rule::Memory => "short of memory",
            Rule::Disk => "short of disk space",
        }
    }
}

/// Everything about an instance that decides where it fits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Demand {
    zone: String,
    vcpus: u32,
    memory_mib: u64,
    uefi: bool,
    /// Its boot volume holds software for other CPUs than our hosts have.
    foreign: bool,
    /// Space for those of its volumes that are nowhere yet.
    disk_mib: u64,
    /// Where its other volumes are: no place but these will do, and all of them must be the same.
    reach: Vec<String>,
    /// Where others of its group are.
    apart_from: Vec<String>,
}

/// What an instance's hardware is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Virtual CPUs.
    pub(crate) vcpus: u32,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// How it boots.
    pub(crate) firmware: BootMode,
}

/// The size of `instance`; none if its SKU has gone before it was placed.
pub(crate) fn size(state: &State, instance: &Object) -> Option<Size> {
    let Spec::Instance(spec) = &instance.spec else { return None };
    if let Detail::Instance(detail) = &instance.detail
        && let Some(hardware) = &detail.hardware
    {
        return Some(Size {
            vcpus: hardware.vcpus,
            memory_mib: hardware.memory_mib,
            firmware: hardware.firmware,
        });
    }
    let sku = state.resolve(&spec.sku_ref, Kind::InstanceSku, &instance.urn).ok()?;
    let Spec::InstanceSku(sku) = &state.get(&sku)?.spec else { return None };
    let volume = state.resolve(&spec.boot_volume.device_ref, Kind::BlockStorage, &instance.urn).ok()?;
    let firmware = match &state.get(&volume)?.detail {
        Detail::Volume(volume) => volume.boot.unwrap_or_default(),
        _ => BootMode::default(),
    };
    Some(Size { vcpus: sku.vcpu, memory_mib: u64::from(sku.ram) * 1024, firmware })
}

/// What `instance` asks of a host.
///
/// # Errors
/// [`Rule::Size`] if its SKU has gone before it was placed.
pub fn demand(state: &State, instance: &Object) -> Result<Demand, Rule> {
    let Spec::Instance(spec) = &instance.spec else { return Err(Rule::Unknown) };
    let Size { vcpus, memory_mib, firmware } = size(state, instance).ok_or(Rule::Size)?;
    let (mut disk_mib, mut reach) = (0, Vec::new());
    for volume in state.strong_targets(instance) {
        let Some(volume) = state.get(&volume) else { continue };
        match (volume.placement(), &volume.spec) {
            (Some(placement), _) => reach.push(placement.host.clone()),
            (None, Spec::BlockStorage(volume)) => disk_mib += u64::from(volume.size_gb) << 10,
            _ => {}
        }
    }
    reach.sort_unstable();
    reach.dedup();
    let apart_from = Group::of(instance).map(|group| state.hosts_of_group(&group, instance));
    Ok(Demand {
        zone: spec.zone.clone(),
        vcpus,
        memory_mib,
        uefi: firmware == BootMode::Uefi,
        foreign: is_foreign(state, instance),
        disk_mib,
        reach,
        apart_from: apart_from.unwrap_or_default(),
    })
}

/// Whether `host` can take `instance`; if not, the first rule that refuses.
///
/// What `apply` verifies. The CPU architecture is not part of it: it cannot have changed since a leader chose, and old
/// logs were written without that rule.
///
/// # Errors
/// The rule.
pub fn fits(state: &State, instance: &Object, host: &str) -> Result<(), Rule> {
    let found = state.get(&Urn::global(Kind::Host, host)).ok_or(Rule::Unknown)?;
    let demand = Demand { foreign: false, ..demand(state, instance)? };
    check(&demand, host, Offer::of(found).ok_or(Rule::Unknown)?, state.allocated(host))
}

/// The host with the most memory left among those that fit.
pub fn choose(state: &State, instance: &Object) -> Option<String> {
    choose_for(state, &demand(state, instance).ok()?)
}

/// The same for a demand. Looks at hosts that may take something, from the emptiest on: mostly at one.
pub fn choose_for(state: &State, demand: &Demand) -> Option<String> {
    let fits = |host: &str| {
        let offer = state.get(&Urn::global(Kind::Host, host)).and_then(|host| Offer::of(host));
        offer.is_some_and(|offer| check(demand, host, offer, state.allocated(host)).is_ok())
    };
    match demand.reach.as_slice() {
        [there] if !planted("disk-on-another-host") => fits(there).then(|| there.clone()),
        [_, _, ..] if !planted("disk-on-another-host") => None,
        _ => {
            let enough = |free_mib| free_mib >= demand.memory_mib || planted("room-unchecked");
            let rooms = state.rooms(&demand.zone).take_while(|(free_mib, _)| enough(*free_mib));
            rooms.map(|(_, host)| host).find(|host| fits(host)).map(str::to_owned)
        }
    }
}

/// What every host says to `instance`: as long a work as there are hosts.
pub fn verdict(state: &State, instance: &Object) -> Verdict {
    verdict_on(state, demand(state, instance).as_ref())
}

fn verdict_on(state: &State, demand: Result<&Demand, &Rule>) -> Verdict {
    match demand {
        Ok(demand) => judge(state, demand),
        Err(rule) => Verdict::unknowable(state, *rule),
    }
}

/// What all hosts say to one demand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// The best that fits.
    pub host: Option<String>,
    /// How many refuse, by rule.
    pub refusals: BTreeMap<Rule, usize>,
    /// Which they are, and why: the first [`TOLD_BY_NAME`].
    pub by_name: Vec<(String, Rule)>,
}

/// Hosts that an operator is told of one by one.
pub const TOLD_BY_NAME: usize = 50;

impl Verdict {
    fn refuse(&mut self, host: &str, rule: Rule) {
        *self.refusals.entry(rule).or_insert(0) += 1;
        if self.by_name.len() < TOLD_BY_NAME {
            self.by_name.push((host.to_owned(), rule));
        }
    }

    /// Nothing is known of the demand, so every host refuses by `rule`.
    fn unknowable(state: &State, rule: Rule) -> Verdict {
        let mut verdict = Verdict::default();
        for host in state.of_kind(Kind::Host) {
            verdict.refuse(&host.urn.name, rule);
        }
        verdict
    }
}

fn judge(state: &State, demand: &Demand) -> Verdict {
    let mut verdict = Verdict::default();
    let mut most = 0;
    for host in state.of_kind(Kind::Host) {
        let name = &host.urn.name;
        let Some(offer) = Offer::of(host) else { continue };
        let taken = state.allocated(name);
        match check(demand, name, offer, taken) {
            Ok(()) => {
                let free = offer.memory_mib.saturating_sub(taken.memory_mib);
                if verdict.host.is_none() || free > most {
                    (most, verdict.host) = (free, Some(name.clone()));
                }
            }
            Err(rule) => verdict.refuse(name, rule),
        }
    }
    verdict
}

fn check(demand: &Demand, name: &str, offer: Offer<'_>, taken: Allocation) -> Result<(), Rule> {
    let refuse = |rule, refused| if refused { Err(rule) } else { Ok(()) };
    refuse(Rule::Joining, !offer.seen)?;
    refuse(Rule::Zone, offer.zone != demand.zone)?;
    refuse(Rule::Revoked, offer.revoked)?;
    refuse(Rule::Unreachable, !offer.reachable)?;
    refuse(Rule::Hypervisor, !offer.hypervisor)?;
    refuse(Rule::Cordoned, offer.cordoned)?;
    refuse(Rule::Architecture, demand.foreign)?;
    refuse(Rule::Firmware, demand.uefi && !offer.uefi)?;
    refuse(
        Rule::VolumeReach,
        demand.reach.iter().any(|there| there != name) && !planted("disk-on-another-host"),
    )?;
    refuse(Rule::AntiAffinity, demand.apart_from.iter().any(|there| there == name))?;
    if planted("room-unchecked") {
        return Ok(());
    }
    refuse(Rule::Vcpus, taken.vcpus + u64::from(demand.vcpus) > offer.vcpus)?;
    refuse(Rule::Memory, taken.memory_mib + demand.memory_mib > offer.memory_mib)?;
    refuse(Rule::Disk, !disk_holds(offer, taken, demand.disk_mib))
}

fn disk_holds(offer: Offer<'_>, taken: Allocation, more_mib: u64) -> bool {
    more_mib == 0 || offer.disk_mib.is_none_or(|limit| taken.disk_mib + more_mib <= limit)
}

/// Whether `host` has space for so much more of volumes.
pub(crate) fn has_space(state: &State, host: &str, more_mib: u64) -> bool {
    let found = state.get(&Urn::global(Kind::Host, host));
    let Some(offer) = found.and_then(|host| Offer::of(host)) else { return false };
    disk_holds(offer, state.allocated(host), more_mib)
}

/// Space that volumes of `instance` will take which are nowhere yet, in MiB.
pub(crate) fn new_space_mib(state: &State, instance: &Object) -> u64 {
    let volumes = state.strong_targets(instance);
    let unbound =
        volumes.iter().filter_map(|urn| state.get(urn)).filter(|volume| volume.placement().is_none());
    unbound
        .map(|volume| match &volume.spec {
            Spec::BlockStorage(volume) => u64::from(volume.size_gb) << 10,
            _ => 0,
        })
        .sum()
}

/// What one State says to demands it was asked about: asked again, it is not worked out again.
#[derive(Debug, Default)]
pub struct Verdicts(RefCell<BTreeMap<Result<Demand, Rule>, Rc<Verdict>>>);

impl Verdicts {
    /// What `state`, always the same one, says to `instance`.
    pub fn of(&self, state: &State, instance: &Object) -> Rc<Verdict> {
        let demand = demand(state, instance);
        let mut known = self.0.borrow_mut();
        if let Some(verdict) = known.get(&demand) {
            return verdict.clone();
        }
        let verdict = Rc::new(verdict_on(state, demand.as_ref()));
        known.insert(demand, verdict.clone());
        verdict
    }
}

#[cfg(test)]
mod tests;
