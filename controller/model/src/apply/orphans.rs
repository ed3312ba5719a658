//! What operators order about what exists without a row, and about rows whose host will not come back.
//!
//! What never happens: something is touched of which there is a row, or that its host did not say to have; a guest that
//! runs is touched; a deletion ends without its host's word, unless that host was revoked and an operator says so.

use rempart_api::fleet::{Leftover, LeftoverPart};
use rempart_api::{Kind, Urn};
use uuid::Uuid;

use super::Tx;
use crate::answer::{Answer, Outcome};
use crate::command::{LeftoverAction, LeftoverCommand, ReleaseCommand};
use crate::object::{Detail, HostDetail};
use crate::refusal::{Refusal, RefusalClass};

/// Orders that a host has at a time.
const MOST_ORDERS: usize = 64;

impl Tx {
    pub(super) fn leftover(&mut self, command: &LeftoverCommand) -> Outcome {
        let host = &command.host;
        if let Some(object) = self.state.by_uid(command.uid) {
            return Err(Refusal::conflict(format!(
                "{} on {host} belongs to {}; have that deleted if it is to go",
                command.uid, object.urn
            )));
        }
        let mut object = (*self.expect(&Urn::global(Kind::Host, host))?).clone();
        let Detail::Host(detail) = &mut object.detail else {
            return Err(Refusal::conflict(format!("{host} is not a host")));
        };
        check_order(detail, command)?;
        if detail.orders.insert(command.uid, command.action) != Some(command.action) {
            self.write(object);
        }
        Ok(Answer::Accepted)
    }

    /// An operator's word in place of a host's, which counts no more.
    pub(super) fn release_from_host(&mut self, command: &ReleaseCommand) -> Outcome {
        let ReleaseCommand { host, uid } = command;
        let object = self.state.by_uid(*uid);
        let object =
            object.filter(|object| object.placement().is_some_and(|placement| placement.host == *host));
        let Some(mut object) = object.map(|object| (**object).clone()) else {
            let words = format!("nothing of {uid} is bound to host {host}");
            return Err(Refusal::new(RefusalClass::NotFound, words));
        };
        if self.state.host_identity(host).is_none_or(|identity| identity.revoked_at.is_none()) {
            return Err(Refusal::conflict(format!(
                "host {host} is not revoked, so it is waited for; revoke it first, if it will not come back"
            )));
        }
        let urn = object.urn.clone();
        if !object.is_deleting() {
            return Err(Refusal::conflict(format!("{urn} is not being deleted; have it deleted first")));
        }
        if self.state.referrers(&urn).next().is_some() {
            return Err(Refusal::conflict(format!("{urn} is still used; release what uses it first")));
        }
        match &mut object.detail {
            Detail::Instance(instance) => instance.placement = None,
            Detail::Volume(volume) => volume.placement = None,
            _ => {}
        }
        self.write(object);
        self.finish_deletion(&urn);
        Ok(Answer::Accepted)
    }
}

fn check_order(detail: &HostDetail, command: &LeftoverCommand) -> Result<(), Refusal> {
    let LeftoverCommand { host, uid, action } = command;
    let Some(left) = detail.report.leftovers.iter().find(|left| left.uid == *uid) else {
        let words = format!("host {host} has not said that it has anything of {uid}");
        return Err(Refusal::new(RefusalClass::NotFound, words));
    };
    if !is_open(std::slice::from_ref(left), *uid, *action) {
        return Err(Refusal::conflict(match action {
            LeftoverAction::Quarantine => format!("all that {host} has of {uid} is moved aside already"),
            LeftoverAction::Remove => {
                format!("nothing of {uid} is moved aside on {host}; quarantine it first")
            }
        }));
    }
    if left.running {
        return Err(Refusal::conflict(format!(
            "the domain of {uid} on {host} runs; shut it down there (virsh shutdown) once you know whose it is"
        )));
    }
    if detail.orders.len() >= MOST_ORDERS && !detail.orders.contains_key(uid) {
        return Err(Refusal::conflict(format!(
            "host {host} has {MOST_ORDERS} such orders to carry out already; order more when it has"
        )));
    }
    Ok(())
}

/// Whether there is still something to do for an order.
pub(super) fn is_open(leftovers: &[Leftover], uid: Uuid, action: LeftoverAction) -> bool {
    let mut parts = leftovers.iter().filter(|left| left.uid == uid).flat_map(|left| &left.parts);
    parts.any(|part| (*part == LeftoverPart::Quarantined) == (action == LeftoverAction::Remove))
}
