//! Choosing a host. Pure: the leader proposes with it, `apply` verifies with it.
//!
//! The policy reads as a chain of named rules; the first that refuses a host is the one that is counted.

use std::collections::BTreeMap;

use rempart_api::storage::BootMode;
use rempart_api::{Kind, Urn};

use crate::kinds::Spec;
use crate::object::{Detail, HostDetail, Object};
use crate::state::State;

/// Why a host cannot take an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// No such host, or not a host.
    Unknown,
    /// It stands in another zone.
    Zone,
    /// Its agent is out of touch.
    Unreachable,
    /// Its hypervisor service does not answer.
    Hypervisor,
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
}

impl Rule {
    /// For the tenant: what the hosts lack. Host names are not a tenant's business.
    pub fn tenant_words(self) -> &'static str {
        match self {
            Rule::Unknown => "unknown",
            Rule::Zone => "in another zone",
            Rule::Unreachable => "out of touch",
            Rule::Hypervisor => "with their hypervisor service down",
            Rule::Firmware => "without UEFI firmware",
            Rule::VolumeReach => "without access to the instance's volumes",
            Rule::AntiAffinity => "holding another instance of its anti-affinity group",
            Rule::Vcpus => "short of CPUs",
            Rule::Memory => "short of memory",
        }
    }
}

/// What an instance takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// How it boots.
    pub firmware: BootMode,
}

/// What `instance` takes; none if its SKU has gone.
pub fn needs(state: &State, instance: &Object) -> Option<Needs> {
    let Spec::Instance(spec) = &instance.spec else { return None };
    if let Detail::Instance(detail) = &instance.detail
        && let Some(hardware) = &detail.hardware
    {
        return Some(Needs {
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
    Some(Needs { vcpus: sku.vcpu, memory_mib: u64::from(sku.ram) * 1024, firmware })
}

/// Whether `host` can take `instance`; if not, the first rule that refuses.
pub fn fits(state: &State, instance: &Object, host: &str) -> Result<(), Rule> {
    let host = state.get(&Urn::global(Kind::Host, host)).ok_or(Rule::Unknown)?;
    let needs = needs(state, instance).ok_or(Rule::Unknown)?;
    check(state, instance, needs, host)
}

/// The host with the most free memory among those that fit, or the count of refusals per rule.
pub fn choose(state: &State, instance: &Object) -> Result<String, BTreeMap<Rule, usize>> {
    let mut refusals = BTreeMap::new();
    let mut best: Option<(u64, &str)> = None;
    let needs = needs(state, instance);
    for host in state.of_kind(Kind::Host) {
        let verdict = needs.ok_or(Rule::Unknown).and_then(|needs| check(state, instance, needs, host));
        match verdict {
            Ok(()) => {
                let free = free_memory_mib(state, host);
                if best.is_none_or(|(most, _)| free > most) {
                    best = Some((free, &host.urn.name));
                }
            }
            Err(rule) => *refusals.entry(rule).or_insert(0) += 1,
        }
    }
    best.map(|(_, name)| name.to_owned()).ok_or(refusals)
}

fn detail(host: &Object) -> Option<&HostDetail> {
    match &host.detail {
        Detail::Host(detail) => Some(detail),
        _ => None,
    }
}

fn free_memory_mib(state: &State, host: &Object) -> u64 {
    let total = detail(host).map_or(0, |detail| detail.report.memory_mib);
    total.saturating_sub(state.allocated(&host.urn.name).memory_mib)
}

/// CPUs may be given out four times; memory once.
const VCPU_OVERCOMMIT: u64 = 4;

fn check(state: &State, instance: &Object, needs: Needs, host: &Object) -> Result<(), Rule> {
    let beside = detail(host).ok_or(Rule::Unknown)?;
    let (Spec::Instance(spec), Spec::Host(place)) = (&instance.spec, &host.spec) else {
        return Err(Rule::Unknown);
    };
    let name = &host.urn.name;
    let taken = state.allocated(name);
    let refuse = |rule, refused| if refused { Err(rule) } else { Ok(()) };
    refuse(Rule::Zone, place.zone != spec.zone)?;
    refuse(Rule::Unreachable, !beside.reachable)?;
    refuse(Rule::Hypervisor, !beside.report.hypervisor.available)?;
    refuse(Rule::Firmware, needs.firmware == BootMode::Uefi && !beside.report.virtualization.uefi)?;
    refuse(Rule::VolumeReach, !volumes_reach(state, instance, name))?;
    refuse(Rule::AntiAffinity, holds_group(state, instance, name))?;
    let vcpus = u64::from(beside.report.vcpus) * VCPU_OVERCOMMIT;
    refuse(Rule::Vcpus, taken.vcpus + u64::from(needs.vcpus) > vcpus)?;
    refuse(Rule::Memory, taken.memory_mib + needs.memory_mib > beside.report.memory_mib)
}

fn volumes_reach(state: &State, instance: &Object, host: &str) -> bool {
    state
        .strong_targets(instance)
        .iter()
        .filter_map(|urn| state.get(urn)?.placement().map(|placement| placement.host == host))
        .all(|here| here)
}

fn holds_group(state: &State, instance: &Object, host: &str) -> bool {
    let Spec::Instance(spec) = &instance.spec else { return false };
    let Some(group) = &spec.anti_affinity_group else { return false };
    state.on_host(host).any(|other| {
        let same_workspace =
            other.urn.tenant == instance.urn.tenant && other.urn.workspace == instance.urn.workspace;
        let same_group =
            matches!(&other.spec, Spec::Instance(other) if other.anti_affinity_group.as_ref() == Some(group));
        same_workspace && same_group && other.uid != instance.uid
    })
}

#[cfg(test)]
mod tests;
