//! Roles and their assignments: bounds, and what would never give anything.

use rempart_api::authorization::{Permission, RoleAssignmentSpec, RoleScope, RoleSpec};
use rempart_api::{Kind, Provider};

use super::{Rules, check_text};
use crate::refusal::Fault;
use crate::rights::{MAX_PATTERNS, Rights, VerbSet, is_pattern};
use crate::state::State;

const MAX_PERMISSIONS: usize = 256;
const MAX_RESOURCES: usize = 256;
const MAX_VERBS: usize = 16;

fn check_count(faults: &mut Vec<Fault>, pointer: &str, count: usize, low: usize, high: usize) {
    if !(low..=high).contains(&count) {
        faults.push(Fault::new(pointer, format!("must have {low} to {high} items, has {count}")));
    }
}

impl Rules for RoleSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_count(faults, "/spec/permissions", self.permissions.len(), 1, MAX_PERMISSIONS);
        for (position, permission) in self.permissions.iter().enumerate() {
            check_permission(faults, &format!("/spec/permissions/{position}"), permission);
        }
        let patterns = Rights::of(self).patterns();
        if patterns > MAX_PATTERNS {
            let why = format!("must have at most {MAX_PATTERNS} different resources with *, has {patterns}");
            faults.push(Fault::new("/spec/permissions", why));
        }
    }
}

fn check_permission(faults: &mut Vec<Fault>, pointer: &str, permission: &Permission) {
    let at = format!("{pointer}/provider");
    check_text(faults, &*at, &permission.provider, 64);
    if provider_of(&permission.provider).is_none() {
        let offered: Vec<_> = tenants_providers().map(Provider::name).collect();
        let shown: String = permission.provider.chars().take(64).collect();
        faults
            .push(Fault::new(at, format!("{shown:?} is not offered here; there are {}", offered.join(", "))));
    }
    let at = format!("{pointer}/resources");
    check_count(faults, &at, permission.resources.len(), 1, MAX_RESOURCES);
    for (position, resource) in permission.resources.iter().enumerate() {
        check_text(faults, format!("{at}/{position}"), resource, 256);
    }
    let at = format!("{pointer}/verb");
    check_count(faults, &at, permission.verb.len(), 1, MAX_VERBS);
    for (position, verb) in permission.verb.iter().enumerate() {
        if VerbSet::read(verb).is_none() {
            let shown: String = verb.chars().take(16).collect();
            let why = format!(
                "{shown:?} is none of get, list, put, delete, post, post.start, post.stop, post.restart and *"
            );
            faults.push(Fault::new(format!("{at}/{position}"), why));
        }
    }
}

/// Providers with resources inside tenants.
fn tenants_providers() -> impl Iterator<Item = Provider> {
    let inside = |provider: &Provider| {
        Kind::table().iter().any(|row| row.provider == *provider && row.scope != rempart_api::Scope::Global)
    };
    // Regions are everybody's; the system roles of SECA name them all the same.
    Provider::ALL.into_iter().filter(move |provider| *provider == Provider::Region || inside(provider))
}

/// The provider that a permission names, with or without its version.
pub(crate) fn provider_of(text: &str) -> Option<Provider> {
    tenants_providers().find(|provider| text == provider.name() || text == provider.id())
}

impl Rules for RoleAssignmentSpec {
    fn check(&self, state: &State, faults: &mut Vec<Fault>) {
        check_count(faults, "/spec/roles", self.roles.len(), 1, 32);
        for (position, role) in self.roles.iter().enumerate() {
            check_text(faults, format!("/spec/roles/{position}"), role, 64);
        }
        check_count(faults, "/spec/subs", self.subs.len(), 1, 256);
        for (position, subject) in self.subs.iter().enumerate() {
            check_text(faults, format!("/spec/subs/{position}"), subject, 128);
            if subject != "*" && is_pattern(subject) {
                let why = "must be a whole subject, or * for everybody the tenant knows";
                faults.push(Fault::new(format!("/spec/subs/{position}"), why));
            }
        }
        check_count(faults, "/spec/scopes", self.scopes.len(), 1, 256);
        for (position, scope) in self.scopes.iter().enumerate() {
            check_scope(state, faults, &format!("/spec/scopes/{position}"), scope);
        }
    }
}

fn check_scope(state: &State, faults: &mut Vec<Fault>, pointer: &str, scope: &RoleScope) {
    for (field, names, most) in [
        ("tenants", &scope.tenants, 64),
        ("regions", &scope.regions, 64),
        ("workspaces", &scope.workspaces, 256),
    ] {
        let Some(names) = names else { continue };
        check_count(faults, &format!("{pointer}/{field}"), names.len(), 0, most);
        for (position, name) in names.iter().enumerate() {
            let at = format!("{pointer}/{field}/{position}");
            check_text(faults, &*at, name, 64);
            if field == "regions" && state.core().region != *name {
                let shown: String = name.chars().take(64).collect();
                faults.push(Fault::new(at, format!("region {shown:?} does not exist")));
            }
        }
    }
}

#[cfg(test)]
mod tests;
