//! Tenants: who owns them, and how much they and their workspaces may have.

use rempart_api::tenancy::{TenantSpec, WorkspaceQuotaSpec};

use super::{Rules, check_text};
use crate::refusal::Fault;
use crate::state::State;

/// Most subjects that a tenant's roles may be given to.
const MAX_SUBJECTS: usize = 1024;

impl Rules for TenantSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        if self.owners.is_empty() || self.owners.len() > 256 {
            faults.push(Fault::new(
                "/spec/owners",
                format!("must name 1 to 256 subjects, names {}", self.owners.len()),
            ));
        }
        for (position, owner) in self.owners.iter().enumerate() {
            check_text(faults, format!("/spec/owners/{position}"), owner, 128);
        }
        let subjects = self.subjects.as_deref().unwrap_or_default();
        if subjects.len() > MAX_SUBJECTS {
            let why = format!("must name at most {MAX_SUBJECTS} subjects, names {}", subjects.len());
            faults.push(Fault::new("/spec/subjects", why));
        }
        for (position, subject) in subjects.iter().enumerate() {
            check_text(faults, format!("/spec/subjects/{position}"), subject, 128);
        }
    }
}

impl Rules for WorkspaceQuotaSpec {
    fn check(&self, _state: &State, _faults: &mut Vec<Fault>) {}
}
