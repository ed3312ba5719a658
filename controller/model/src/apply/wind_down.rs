//! What a tenant's suspension and deletion leave to do, a bounded part of it in each entry.

use rempart_api::{Kind, Scope, Urn};

use super::Tx;
use crate::answer::{Answer, Outcome};
use crate::command::{DeleteCommand, WindDownCommand};
use crate::kinds::Spec;
use crate::object::Detail;
use crate::refusal::Refusal;

/// Most objects that one entry changes.
const MOST: usize = 256;

impl Tx {
    /// Deletes what is in a tenant that is being deleted; else turns off what is on in one that is suspended.
    pub(super) fn wind_down(&mut self, command: &WindDownCommand) -> Outcome {
        let tenant = self.expect(&Urn::global(Kind::Tenant, &command.tenant))?;
        let done = if tenant.is_deleting() {
            self.delete_some(&command.tenant)
        } else if self.state.is_suspended(&command.tenant) {
            self.turn_off_some(&command.tenant)
        } else {
            0
        };
        match done {
            0 => Err(Refusal::conflict(format!("nothing is left to do for tenant {}", command.tenant))),
            _ => Ok(Answer::Done),
        }
    }

    /// As its owner would, one after the other: what is used or holds something waits for a later turn.
    fn delete_some(&mut self, tenant: &str) -> usize {
        let mut kinds: Vec<_> = Kind::table().iter().filter(|row| row.scope != Scope::Global).collect();
        // Instances and NICs use most of the others, and what is deep is in what is not.
        let uses = |kind| match kind {
            Kind::Instance => 0,
            Kind::Nic => 1,
            _ => 2,
        };
        kinds.sort_by_key(|row| (uses(row.kind), std::cmp::Reverse(row.scope)));
        let mut done = 0;
        for row in kinds {
            for urn in self.live_of(row.kind, tenant) {
                if done == MOST {
                    return done;
                }
                done += usize::from(self.delete(&DeleteCommand { urn, if_unmodified_since: None }).is_ok());
            }
        }
        done
    }

    fn turn_off_some(&mut self, tenant: &str) -> usize {
        let instances = self.state.of_tenant(Kind::Instance, tenant);
        let on = instances.filter(|object| {
            matches!(&object.detail, Detail::Instance(instance) if instance.power.on && !object.is_deleting())
        });
        let on: Vec<_> = on.take(MOST).cloned().collect();
        for object in &on {
            self.switch((**object).clone(), false, false);
        }
        on.len()
    }

    fn live_of(&self, kind: Kind, tenant: &str) -> Vec<Urn> {
        let all = self.state.of_tenant(kind, tenant);
        all.filter(|object| !object.is_deleting()).take(MOST).map(|object| (*object.urn).clone()).collect()
    }

    /// A tenant that holds something goes with all of it, but only after somebody has thought of that once before.
    pub(super) fn check_tenant_may_go(&self, urn: &Urn, spec: &Spec) -> Result<(), Refusal> {
        let Spec::Tenant(spec) = spec else { return Ok(()) };
        if urn.name == crate::state::SHARED_TENANT {
            return Err(Refusal::conflict(format!("{urn} holds what is everybody's; it does not go")));
        }
        let live = self.state.sums(&urn.name, "").live;
        if live == 0 || spec.suspended {
            return Ok(());
        }
        let noun = if live == 1 { "resource" } else { "resources" };
        Err(Refusal::conflict(format!(
            "{urn} still holds {live} {noun}. Suspend it first (spec.suspended): then it is deleted with all that is in it"
        )))
    }
}
