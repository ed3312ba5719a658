//! What tenants and workspaces have of what is counted, and whether they may have more.
//!
//! ```text
//!   insert, remove ──> sums per tenant and per workspace (an index, like every other) ──> status.usage
//!                        └─ after a PUT: grew, and is above the quota ──> the PUT is refused, and nothing has changed
//! ```
//!
//! What always holds: sums are those of the objects there are, so that they cannot drift; no PUT makes a sum grow beyond its
//! quota. A quota below what there is takes nothing away.

use std::collections::BTreeMap;

use rempart_api::tenancy::{Countable, Quota, Usage};
use rempart_api::{Kind, Urn};

use crate::kinds::Spec;
use crate::object::{Detail, Object};
use crate::refusal::Refusal;
use crate::state::{SHARED_TENANT, State};

/// What a tenant, or a workspace, has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    amounts: [u64; Countable::ALL.len()],
    /// Resources that are not being deleted.
    pub(crate) live: u64,
    /// Instances that are on, or are to be.
    pub(crate) on: u64,
}

impl Sums {
    fn of(state: &State, object: &Object) -> Sums {
        let mut sums = Sums { live: u64::from(!object.is_deleting()), ..Sums::default() };
        let mut count = |what: Countable, amount: u64| sums.amounts[what as usize] = amount;
        count(Countable::Resources, 1);
        match (&object.spec, &object.detail) {
            (Spec::Instance(_), Detail::Instance(instance)) => {
                let (vcpu, ram_gb) = match &instance.hardware {
                    Some(hardware) => (hardware.vcpus.into(), hardware.memory_mib.div_ceil(1 << 10)),
                    None => state.size_asked(object),
                };
                count(Countable::Instances, 1);
                count(Countable::Vcpu, vcpu);
                count(Countable::RamGb, ram_gb);
                sums.on = u64::from(instance.power.on && !object.is_deleting());
            }
            (Spec::BlockStorage(volume), _) => {
                count(Countable::Volumes, 1);
                count(Countable::StorageGb, volume.size_gb.into());
            }
            (Spec::PublicIp(_), _) => count(Countable::PublicIps, 1),
            (_, Detail::Nic(nic)) => count(Countable::Addresses, nic.addresses.len() as u64),
            _ => {}
        }
        sums
    }

    fn each(&mut self, other: &Sums, with: impl Fn(&mut u64, u64)) {
        for (amount, more) in self.amounts.iter_mut().zip(other.amounts) {
            with(amount, more);
        }
        with(&mut self.live, other.live);
        with(&mut self.on, other.on);
    }

    fn amount(&self, what: Countable) -> u64 {
        self.amounts[what as usize]
    }
}

/// The sums an object is part of: its tenant's, and its workspace's.
fn owners(urn: &Urn) -> impl Iterator<Item = (String, String)> {
    let tenant = (!urn.tenant.is_empty()).then(|| (urn.tenant.clone(), String::new()));
    let workspace = (!urn.workspace.is_empty()).then(|| (urn.tenant.clone(), urn.workspace.clone()));
    tenant.into_iter().chain(workspace)
}

impl State {
    /// vCPUs and GB of memory that an instance asks for which has no hardware yet: what its SKU has, as it is now. Nothing
    /// once it is being deleted.
    fn size_asked(&self, instance: &Object) -> (u64, u64) {
        let Spec::Instance(spec) = &instance.spec else { return (0, 0) };
        let sku = self.resolve(&spec.sku_ref, Kind::InstanceSku, &instance.urn);
        match sku.ok().and_then(|urn| self.get(&urn)).map(|sku| &sku.spec) {
            Some(Spec::InstanceSku(sku)) if !instance.is_deleting() => (sku.vcpu.into(), sku.ram.into()),
            _ => (0, 0),
        }
    }

    pub(crate) fn sums(&self, tenant: &str, workspace: &str) -> Sums {
        self.sums.get(&(tenant.to_owned(), workspace.to_owned())).copied().unwrap_or_default()
    }

    /// Counts what an object has: `old` no more, and `new` from now on.
    pub(crate) fn count(&mut self, old: Option<&Object>, new: Option<&Object>) {
        let sums = |object: Option<&Object>| object.map(|object| Sums::of(self, object)).unwrap_or_default();
        let (less, more) = (sums(old), sums(new));
        let Some(object) = new.or(old).filter(|_| less != more) else { return };
        for owner in owners(&object.urn) {
            let mut left = self.sums(&owner.0, &owner.1);
            left.each(&more, |sum, more| *sum += more);
            left.each(&less, |sum, less| *sum -= less);
            if left == Sums::default() {
                self.sums.remove(&owner);
            } else {
                self.sums.insert(owner, left);
            }
        }
    }

    /// Makes a change of an instance SKU, on which depends what those have that wait for a host.
    pub(crate) fn recount_waiting(&mut self, change: impl FnOnce(&mut State)) {
        let waiting: Vec<_> = self.waiting().cloned().collect();
        for object in &waiting {
            self.count(Some(object), None);
        }
        change(self);
        for object in &waiting {
            self.count(None, Some(object));
        }
    }

    fn quota_of(&self, tenant: &str, workspace: &str) -> Option<&Quota> {
        let urn = match workspace {
            "" => Urn::global(Kind::Tenant, tenant),
            workspace => Urn::tenant(Kind::WorkspaceQuota, tenant, workspace),
        };
        match self.get(&urn).map(|object| &object.spec)? {
            Spec::Tenant(spec) => Some(&spec.quota),
            Spec::WorkspaceQuota(spec) => Some(&spec.quota),
            _ => None,
        }
    }

    /// What a tenant has, or (not empty) one of its workspaces, beside what it may have.
    pub(crate) fn usage(&self, tenant: &str, workspace: &str) -> BTreeMap<Countable, Usage> {
        let (sums, quota) = (self.sums(tenant, workspace), self.quota_of(tenant, workspace));
        let usage = |what| {
            let limit = quota.and_then(|quota| quota.get(&what)).copied();
            (what, Usage { used: sums.amount(what), limit })
        };
        Countable::ALL.into_iter().map(usage).collect()
    }

    /// Refuses what a PUT of `urn` made of `before`, if something grew beyond its quota.
    pub(crate) fn check_quota(&self, before: &State, urn: &Urn) -> Result<(), Refusal> {
        if urn.tenant == SHARED_TENANT {
            return Ok(());
        }
        for (tenant, workspace) in owners(urn) {
            let Some(quota) = self.quota_of(&tenant, &workspace) else { continue };
            let (had, has) = (before.sums(&tenant, &workspace), self.sums(&tenant, &workspace));
            let beyond = |(what, limit): (&Countable, &u64)| {
                let (had, has) = (had.amount(*what), has.amount(*what));
                let noun = what.noun();
                (has > had && has > *limit)
                    .then(|| format!("{limit} {noun} and has {had}; this would make {has}"))
            };
            let beyond: Vec<_> = quota.iter().filter_map(beyond).collect();
            if beyond.is_empty() {
                continue;
            }
            let (who, next) = if workspace.is_empty() {
                (format!("tenant {tenant}"), "the operator may raise its quota")
            } else {
                let who = format!("workspace {workspace} of tenant {tenant}");
                (who, "its workspace quota may be raised")
            };
            return Err(Refusal::conflict(format!(
                "{who} may have {}. What is deleted counts until it is gone; {next}",
                beyond.join(", ")
            )));
        }
        Ok(())
    }

    /// Tenants that are suspended or being deleted, and something is left to do for it.
    pub fn winding_down(&self) -> impl Iterator<Item = &str> {
        self.of_kind(Kind::Tenant).filter_map(|tenant| {
            let Spec::Tenant(spec) = &tenant.spec else { return None };
            if !tenant.is_deleting() && !spec.suspended {
                return None;
            }
            let sums = self.sums(&tenant.urn.name, "");
            let left = if tenant.is_deleting() { sums.live } else { sums.on };
            (left > 0).then_some(tenant.urn.name.as_str())
        })
    }

    /// Whether a tenant is suspended.
    pub fn is_suspended(&self, tenant: &str) -> bool {
        matches!(self.get(&Urn::global(Kind::Tenant, tenant)).map(|tenant| &tenant.spec),
            Some(Spec::Tenant(spec)) if spec.suspended)
    }
}

#[cfg(test)]
mod tests;
