//! Nobody gives more than they hold: neither by roles and assignments, nor by keys, nor by reference.

use std::collections::BTreeSet;

use rempart_api::authorization::{RoleAssignmentSpec, RoleScope};
use rempart_api::tenancy::TenantSpec;
use rempart_api::{Kind, Urn};
use uuid::Uuid;

use super::Tx;
use super::check::identity;
use super::hosts::MADE;
use crate::command::PutCommand;
use crate::kinds::{Spec, Strength};
use crate::object::Object;
use crate::refusal::{Fault, Refusal};
use crate::rights::{EVERYBODY, Rights, SYSTEM_PREFIX, VerbSet, WORKSPACE_ADMIN};
use crate::state::SHARED_TENANT;

/// System roles are the same in every tenant: nobody writes them.
pub(super) fn check_no_system_role(urn: &Urn) -> Result<(), Refusal> {
    if urn.kind == Kind::Role && urn.name.starts_with(SYSTEM_PREFIX) {
        return Err(Refusal::forbidden(format!(
            "{urn}: roles that begin with {SYSTEM_PREFIX} are the system's own; make one by another name"
        )));
    }
    Ok(())
}

/// What [`Tx::assign_creator`] makes for a workspace: of this incarnation, and of no other by the same name.
pub(super) fn creators_assignment(workspace: &Object) -> Urn {
    let digits = workspace.uid.simple().to_string();
    let name = format!("{}-creator-{}", workspace.urn.name, &digits[digits.len() - 12..]);
    Urn::tenant(Kind::RoleAssignment, &workspace.urn.tenant, &name)
}

/// Rights in a tenant are its own to give. Whether the other one exists is not told.
fn check_own_tenant(tenant: &str, assignment: &RoleAssignmentSpec) -> Result<(), Refusal> {
    let mut faults = Vec::new();
    for (position, scope) in assignment.scopes.iter().enumerate() {
        for (index, named) in scope.tenants.iter().flatten().enumerate() {
            if named != tenant {
                let shown: String = named.chars().take(64).collect();
                let why = format!(
                    "an assignment reaches no further than its own tenant, {tenant}; this is {shown:?}"
                );
                faults.push(Fault::new(format!("/spec/scopes/{position}/tenants/{index}"), why));
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(faults)) }
}

impl Tx {
    /// What a PUT gives, or makes use of, beyond the object it writes. Looked at before anything that would tell what
    /// exists.
    pub(super) fn check_rights(&self, put: &PutCommand, old: Option<&Object>) -> Result<(), Refusal> {
        check_no_system_role(&put.urn)?;
        // What is everybody's is written by operators alone, whose rights are not those of a tenant.
        if put.urn.tenant.is_empty() {
            return Ok(());
        }
        if put.urn.tenant == SHARED_TENANT {
            return match put.urn.kind {
                Kind::Role | Kind::RoleAssignment => Err(Refusal::forbidden(format!(
                    "tenant {SHARED_TENANT} has no roles: everybody reads its catalogue, and operators write it"
                ))),
                _ => Ok(()),
            };
        }
        let (giver, tenant) = (self.actor.as_str(), put.urn.tenant.as_str());
        let same = |old: &Object| old.spec == put.spec;
        let missing = match &put.spec {
            // Only what is new about it is given by who writes it.
            _ if old.is_some_and(same) => None,
            Spec::Role(role) => self.state.not_held(giver, tenant, &[None], &Rights::of(role)),
            Spec::RoleAssignment(assignment) => {
                check_own_tenant(tenant, assignment)?;
                self.check_subjects(tenant, assignment)?;
                self.state.more_than_held(giver, tenant, assignment)
            }
            Spec::ServiceAccount(_) => self.state.more_than_account_holds(giver, tenant, &put.urn.name),
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(Refusal::forbidden(format!(
                "{}: it would give what you do not hold yourself: {missing}",
                put.urn
            )));
        }
        self.check_right_to_links(put, old)
    }

    /// Where the operator has said whom a tenant's roles may be given to, nobody else is given any.
    fn check_subjects(&self, tenant: &str, assignment: &RoleAssignmentSpec) -> Result<(), Refusal> {
        let of = self.state.get(&Urn::global(Kind::Tenant, tenant)).map(|of| &of.spec);
        let Some(Spec::Tenant(tenants)) = of else { return Ok(()) };
        let TenantSpec { owners, subjects: Some(subjects), .. } = &**tenants else { return Ok(()) };
        let known: BTreeSet<&String> = owners.iter().chain(subjects).collect();
        let mut faults = Vec::new();
        for (position, subject) in assignment.subs.iter().enumerate() {
            let known = known.contains(subject) || subject == EVERYBODY;
            if !known && !self.state.is_account(tenant, subject) {
                let shown: String = subject.chars().take(128).collect();
                let why = format!(
                    "{shown:?} is not known in tenant {tenant}; its operator lists whom its roles may be given to"
                );
                faults.push(Fault::new(format!("/spec/subs/{position}"), why));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(faults)) }
    }

    /// SECA: who creates a workspace may run it. Said by an assignment that everybody sees and owners may take away; not made
    /// for those who may anyway. It goes with the workspace.
    pub(super) fn assign_creator(&mut self, workspace: &Object) {
        // Only what a request made: entries of before did not, and lead to the State they led to.
        if self.request_id().is_none() || workspace.urn.tenant == SHARED_TENANT {
            return;
        }
        if self.state.holds_role(&self.actor, &workspace.urn, WORKSPACE_ADMIN) {
            return;
        }
        let spec = RoleAssignmentSpec {
            roles: vec![WORKSPACE_ADMIN.to_owned()],
            subs: vec![self.actor.clone()],
            scopes: vec![RoleScope {
                workspaces: Some(vec![workspace.urn.name.clone()]),
                ..RoleScope::default()
            }],
        };
        // Beside the workspace's own, which was minted for it alone.
        let uid = Uuid::from_u128(workspace.uid.as_u128() ^ 1);
        let urn = creators_assignment(workspace);
        if self.state.by_uid(uid).is_none() && self.state.get(&urn).is_none() {
            let object = self.new_object(urn, uid, spec.into(), &MADE);
            self.write(object);
        }
    }

    /// A reference to what lies outside is a use of it: by name alone, whether it exists or not.
    fn check_right_to_links(&self, put: &PutCommand, old: Option<&Object>) -> Result<(), Refusal> {
        let in_force: BTreeSet<_> = old.iter().flat_map(|old| old.spec.links()).map(identity).collect();
        for link in put.spec.links() {
            if in_force.contains(&identity(link.clone())) {
                continue;
            }
            let Ok(target) = self.state.resolve(link.reference, link.kind, &put.urn) else { continue };
            let beside = !put.urn.workspace.is_empty() && target.workspace == put.urn.workspace;
            // What is shared is everybody's, and what is another tenant's cannot be referred to at all.
            if target.tenant != put.urn.tenant || beside {
                continue;
            }
            let (verbs, verb) = match link.strength {
                Strength::Strong => (VerbSet::PUT, "put"),
                _ => (VerbSet::GET, "get"),
            };
            if !self.state.may(&self.actor, &target, verbs) {
                return Err(Refusal::forbidden(format!(
                    "{}: you have no right to use {target} ({verb})",
                    link.pointer
                )));
            }
        }
        Ok(())
    }
}
