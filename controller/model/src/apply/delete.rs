//! DELETE, and the end of what is being deleted.

use rempart_api::{Kind, Phase, Urn};

use super::rights::check_no_system_role;
use super::{Tx, check_version};
use crate::answer::{Answer, Outcome};
use crate::command::DeleteCommand;
use crate::object::Detail;
use crate::planted;
use crate::refusal::Refusal;

/// How many of those who stand in the way are named.
const MOST_NAMED: usize = 5;

/// Some of them, in words.
pub(super) fn named(mut all: impl Iterator<Item = String>) -> String {
    let some = all.by_ref().take(MOST_NAMED).collect::<Vec<_>>().join(", ");
    if all.next().is_some() { format!("{some} and others") } else { some }
}

impl Tx {
    pub(super) fn delete(&mut self, delete: &DeleteCommand) -> Outcome {
        check_no_system_role(&delete.urn)?;
        let old = self.expect(&delete.urn)?;
        if old.is_deleting() {
            return Ok(Answer::Accepted);
        }
        check_version(&old, delete.if_unmodified_since)?;
        self.check_tenant_may_go(&delete.urn, &old.spec)?;
        let live = self.state.children.get(&delete.urn).map_or(0, |children| children.live);
        // A tenant goes with what is in it; of anything else that is asked for one by one.
        if live > 0 && delete.urn.kind != Kind::Tenant {
            let noun = if live == 1 { "resource" } else { "resources" };
            return Err(Refusal::conflict(format!(
                "{} still holds {live} {noun}; delete what is in it first: {}",
                delete.urn,
                named(self.live_children(&delete.urn))
            )));
        }
        let mut users = self.state.referrers(&delete.urn).filter(|user| !user.is_deleting()).peekable();
        if users.peek().is_some() {
            return Err(Refusal::conflict(format!(
                "{} is used by {}; delete or change that first",
                delete.urn,
                named(users.map(|user| user.urn.to_string()))
            )));
        }
        drop(users);
        if delete.urn.kind == Kind::Region {
            return Err(Refusal::conflict(format!("{} goes with the cluster alone", delete.urn)));
        }
        if delete.urn.kind == Kind::Host {
            self.check_empty(&delete.urn.name)?;
        }
        if delete.urn.kind == Kind::AddressPool {
            self.check_pool_unused(&old)?;
        }
        let mut object = (*old).clone();
        object.deleted_at = Some(self.now);
        object.count_request(self.now);
        match &mut object.detail {
            Detail::Instance(instance) => {
                instance.host_generation = object.resource_version;
                instance.power.on = false;
            }
            Detail::Volume(volume) => volume.raise_generation(object.resource_version),
            Detail::Image(image) => {
                if let Some(volume) = image.source.take() {
                    self.end_capture(volume, object.uid);
                }
            }
            _ => {}
        }
        object.status.enter(Phase::Deleting, self.now);
        self.write(object);
        self.finish_deletion(&delete.urn);
        Ok(Answer::Accepted)
    }

    /// What lives directly under `parent`. Of each kind the first hundred are looked at: enough to name some.
    fn live_children<'a>(&'a self, parent: &'a Urn) -> impl Iterator<Item = String> + 'a {
        let kinds = Kind::table().iter().map(|row| {
            let mut first = parent.sibling(row.kind, "");
            match parent.kind {
                Kind::Tenant => first.tenant.clone_from(&parent.name),
                Kind::Workspace => first.workspace.clone_from(&parent.name),
                Kind::Network => first.network.clone_from(&parent.name),
                _ => {}
            }
            first
        });
        let here = kinds.filter(|first| first.parent().as_ref() == Some(parent));
        here.flat_map(|first| {
            let some = self.state.collection(&first).take(100).filter(|child| !child.is_deleting());
            some.take(MOST_NAMED + 1).map(|child| child.urn.to_string()).collect::<Vec<_>>()
        })
    }

    /// A host goes only when nothing is bound to it: not even what waits for it to say that it has removed it.
    fn check_empty(&self, host: &str) -> Result<(), Refusal> {
        let count = |kind| self.state.on_host(host).filter(|object| object.urn.kind == kind).count();
        let (instances, volumes) = (count(Kind::Instance), count(Kind::BlockStorage));
        if instances + volumes == 0 {
            return Ok(());
        }
        let noun = |count, noun| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        Err(Refusal::conflict(format!(
            "host {host} still holds {} and {}; cordon it, have them deleted, and delete it when its agent has reported \
             them gone",
            noun(instances, "instance"),
            noun(volumes, "volume")
        )))
    }

    /// Removes `urn` if it is being deleted and nothing holds it any more: no children, no user, no host.
    pub(super) fn finish_deletion(&mut self, urn: &Urn) {
        let Some(object) = self.state.get(urn) else { return };
        let used = self.state.child_count(urn) > 0 || self.state.referrers(urn).next().is_some();
        if !object.is_deleting() || used {
            return;
        }
        if object.placement().is_none() || planted("gone-before-the-host-says-so") {
            self.remove(urn);
        } else {
            // Its last user has gone, so that now its host is to remove it: a change, although no field differs.
            let object = (**object).clone();
            self.write(object);
        }
    }
}
