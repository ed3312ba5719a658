//! What a PUT has to satisfy before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use rempart_api::compute::PowerState;
use rempart_api::{Kind, Reference, StringMap, Urn};

use super::Tx;
use crate::command::PutCommand;
use crate::kinds::{Fixed, IMMUTABLE, IMMUTABLE_WHILE_ON, Link, Spec, Strength};
use crate::object::{Detail, Object};
use crate::refusal::{Fault, Refusal, RefusalClass};
use crate::state::{SHARED_TENANT, canonical_tenant};

impl Tx {
    pub(super) fn check_parent(&self, urn: &Urn) -> Result<(), Refusal> {
        let Some(parent) = urn.parent() else { return Ok(()) };
        // The missing ancestor nearest the root is the one to make first.
        if let Some(grandparent) = parent.parent()
            && self.state.get(&grandparent).is_none()
        {
            return self.check_parent(&parent);
        }
        let tenant = self.state.get(&Urn::global(Kind::Tenant, &urn.tenant));
        match tenant.filter(|tenant| tenant.is_deleting()).or_else(|| self.state.get(&parent)) {
            None => Err(Refusal::new(
                RefusalClass::ParentNotFound,
                format!("{parent} does not exist; create it before what is in it"),
            )),
            Some(parent) if parent.is_deleting() => Err(Refusal::conflict(format!(
                "{} is being deleted; nothing can be created in it",
                parent.urn
            ))),
            Some(_) => Ok(()),
        }
    }

    /// Everything about the body that can be wrong, in one answer; what is only in the way now, in the next.
    pub(super) fn check_body(&self, put: &PutCommand, old: Option<&Object>) -> Result<(), Refusal> {
        // What no state would take, and what this one does not.
        let (mut faults, mut conflicts) = (Vec::new(), Vec::new());
        let urn = &put.urn;
        if put.spec.kind() != urn.kind {
            return Err(Refusal::invalid(vec![Fault::new(
                "/spec",
                format!("is not the spec of a {}", urn.kind),
            )]));
        }
        let carried = matches!(
            urn.kind,
            Kind::Tenant
                | Kind::WorkspaceQuota
                | Kind::Workspace
                | Kind::Network
                | Kind::Role
                | Kind::Host
                | Kind::ServiceAccount
                | Kind::Region
        );
        let name = if carried {
            rempart_api::check_short_name(&urn.name)
        } else {
            rempart_api::check_name(&urn.name)
        };
        if urn.kind == Kind::Region {
            self.check_region(put, &mut faults);
        }
        if urn.kind == Kind::Tenant && canonical_tenant(&urn.name) != urn.name {
            let why = format!("{:?} is another name of tenant {SHARED_TENANT:?}", urn.name);
            faults.push(Fault::new("/metadata/name", why));
        }
        if matches!(&put.spec, Spec::Tenant(spec) if spec.suspended) && urn.name == SHARED_TENANT {
            faults
                .push(Fault::new("/spec/suspended", "the shared tenant is everybody's; it is not suspended"));
        }
        if let Err(error) = name {
            faults.push(Fault::new("/metadata/name", error.to_string()));
        }
        check_map(&mut faults, "/labels", &put.labels, 63);
        check_map(&mut faults, "/annotations", &put.annotations, 1024);
        // What operators note on a size (SECA: GPUs, until sizes have a field for them) is theirs.
        let operators = urn.kind.info().catalogue;
        if operators {
            check_map(&mut faults, "/extensions", &put.extensions, 1024);
        }
        for key in put.extensions.keys().filter(|_| !operators) {
            let shown: String = key.chars().take(63).collect();
            faults
                .push(Fault::new("/extensions", format!("extension {shown:?} is not known here; remove it")));
        }
        put.spec.check(&self.state, &mut faults);
        if let Some(old) = old {
            put.spec.check_change(&old.spec, &old.detail, &mut faults);
            self.check_fixed_links(put, old, &mut faults, &mut conflicts);
        }
        self.check_links(put, old, &mut faults, &mut conflicts);
        match (faults.is_empty(), conflicts.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(Refusal::of(RefusalClass::Conflict, conflicts)),
            (false, _) => Err(Refusal::invalid(faults)),
        }
    }

    /// Immutable references: another spelling of the same target is no change.
    fn check_fixed_links(
        &self,
        put: &PutCommand,
        old: &Object,
        faults: &mut Vec<Fault>,
        conflicts: &mut Vec<Fault>,
    ) {
        let off = matches!(&old.detail, Detail::Instance(instance)
            if instance.power_state == PowerState::Off && !instance.power.on);
        let once_set: BTreeSet<String> = old.spec.links().into_iter().map(|link| link.pointer).collect();
        let subnet = match &old.detail {
            Detail::Nic(nic) => Some(&*nic.subnet),
            _ => None,
        };
        let fixed = |spec: &Spec, in_force: bool| -> BTreeMap<String, (Reference, Option<Urn>, Fixed)> {
            let links = spec.links().into_iter();
            links
                .filter_map(|link| {
                    match link.fixed {
                        Fixed::Always => {}
                        Fixed::WhileOn if !off => {}
                        Fixed::OnceSet if once_set.contains(&link.pointer) => {}
                        Fixed::OnceSet | Fixed::WhileOn | Fixed::No => return None,
                    }
                    let target = match subnet.filter(|_| in_force && link.kind == Kind::Subnet) {
                        Some(subnet) => Some(subnet.clone()),
                        None => self.state.resolve(link.reference, link.kind, &put.urn).ok(),
                    };
                    Some((link.pointer, (link.reference.clone(), target, link.fixed)))
                })
                .collect()
        };
        let (before, after) = (fixed(&old.spec, true), fixed(&put.spec, false));
        for pointer in before.keys().chain(after.keys().filter(|pointer| !before.contains_key(*pointer))) {
            match (before.get(pointer), after.get(pointer)) {
                (Some((old, old_target, _)), Some((new, new_target, _)))
                    if old == new || old_target.is_some() && old_target == new_target => {}
                (Some((.., Fixed::WhileOn)), _) | (None, Some((.., Fixed::WhileOn))) => {
                    conflicts.push(Fault::new(pointer, IMMUTABLE_WHILE_ON));
                }
                (Some(_), _) | (None, Some(_)) => faults.push(Fault::new(pointer, IMMUTABLE)),
                (None, None) => {}
            }
        }
    }

    /// References of the new spec. A reference that was in the old spec, however it was spelt, is not looked up again: its
    /// target may have gone meanwhile where the kind's rule allows that.
    fn check_links(
        &self,
        put: &PutCommand,
        old: Option<&Object>,
        faults: &mut Vec<Fault>,
        conflicts: &mut Vec<Fault>,
    ) {
        let mut strong = BTreeSet::new();
        let in_force: BTreeSet<_> = old.iter().flat_map(|old| old.spec.links()).map(identity).collect();
        let targets: BTreeSet<Urn> = old.map_or_else(BTreeSet::new, |old| {
            old.spec.links().iter().filter_map(|link| self.state.target(old, link).ok()).collect()
        });
        for link in put.spec.links() {
            let kept = in_force.contains(&identity(link.clone()));
            let resolved = match old.filter(|_| kept) {
                Some(old) => self.state.target(old, &link),
                None => self.state.resolve(link.reference, link.kind, &put.urn),
            };
            let target = match resolved {
                Ok(target) => target,
                Err(error) => {
                    faults.push(Fault::new(link.pointer, error.to_string()));
                    continue;
                }
            };
            let shared = target.tenant == SHARED_TENANT;
            let reachable = target.tenant == put.urn.tenant || shared;
            let found = self.state.get(&target).filter(|_| reachable);
            match link.strength {
                Strength::Weak => {}
                Strength::AtPut | Strength::Copied if kept || targets.contains(&target) => {}
                _ => match found {
                    // A group may allow itself, from the first moment on.
                    None if target == put.urn => {}
                    None => faults.push(Fault::new(link.pointer.clone(), format!("{target} does not exist"))),
                    Some(found) if found.is_deleting() => {
                        faults.push(Fault::new(link.pointer.clone(), format!("{target} is being deleted")));
                    }
                    Some(_) => {}
                },
            }
            if link.strength == Strength::Strong {
                if shared && put.urn.tenant != SHARED_TENANT {
                    faults.push(Fault::new(
                        link.pointer.clone(),
                        format!("{target} belongs to another tenant"),
                    ));
                }
                let mut users = self.state.referrers(&target).filter(|user| *user.urn != put.urn);
                if let Some(user) = users.next().filter(|_| link.alone) {
                    let why = format!("{target} is attached to {}; detach it there first", user.urn);
                    conflicts.push(Fault::new(link.pointer.clone(), why));
                }
                if !strong.insert(target.clone()) {
                    faults.push(Fault::new(link.pointer, format!("{target} is named twice")));
                }
            }
        }
    }
}

/// What a link says, whatever the field that says it.
pub(crate) fn identity<'a>(link: Link<'a>) -> (Kind, &'a str, [Option<&'a str>; 4]) {
    let Reference { resource, provider, region, tenant, workspace } = link.reference;
    (link.kind, resource, [provider, region, tenant, workspace].map(|field| field.as_deref()))
}

fn check_map(faults: &mut Vec<Fault>, pointer: &str, map: &StringMap, max: usize) {
    for (key, value) in map {
        let length = value.chars().count();
        if length > max {
            let shown: String = key.chars().take(63).collect();
            faults.push(Fault::new(
                pointer,
                format!("value of {shown:?} has {length} characters, at most {max}"),
            ));
        }
        if key.is_empty() || key.chars().count() > 256 {
            faults.push(Fault::new(pointer, "keys must have 1 to 256 characters"));
        }
    }
}
