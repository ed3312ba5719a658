//! Who may do what. Deny by default; a stranger to a tenant gets the same answer whether anything exists or not.
//!
//! What is inside a tenant is decided by its owners and its roles (`rempart_model`, `rights.rs`). This adds what lies outside.

use std::collections::BTreeSet;

use rempart_api::{Kind, Urn, Verbs};
use rempart_model::{Refusal, RefusalClass, SHARED_TENANT, Seen, State, is_shared};
use serde::{Deserialize, Serialize};

use super::accounts::check_proof;
use super::call::Call;
use super::error::ServiceError;
use crate::auth::Proof;

/// Who asks, as authenticated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Caller {
    /// The token's `sub`.
    pub subject: String,
    /// What that rests on.
    #[serde(default)]
    pub proof: Proof,
    /// They are an operator, and ask where operators do.
    #[serde(default)]
    pub operates: bool,
}

/// Whether the caller may; the answer says whether as an operator.
///
/// Operators hold nothing in a tenant by being operators, and a tenant's roles nothing outside of it.
pub(super) fn authorise(state: &State, caller: &Caller, call: &Call) -> Result<bool, ServiceError> {
    check_proof(state, caller)?;
    let urn = call.urn();
    let operator = caller.operates;
    let subject = caller.subject.as_str();
    let may = || state.may(subject, urn, call.verbs());
    let allowed = match urn.kind {
        // Who has to mend what does not go on has to see where it stands.
        _ if operator && matches!(call, Call::Explain { .. }) => true,
        // SECA: any authenticated caller may read the regions.
        Kind::Region => operator || !call.is_write(),
        Kind::Tenant => operator || (matches!(call, Call::Get { .. } | Call::Explain { .. }) && may()),
        Kind::Host | Kind::TokenRevocation | Kind::AddressPool => operator,
        _ if urn.tenant == SHARED_TENANT => operator || (!call.is_write() && is_shared(urn.kind)),
        // Naming a digest would give access to bytes that others uploaded.
        _ if matches!(call, Call::Fill { uploaded: false, .. }) => false,
        // Whom a tenant knows sees under its path what is everybody's under the shared tenant's.
        _ if urn.kind.info().verbs == Verbs::ReadOnly => {
            !call.is_write() && (state.knows(&urn.tenant, subject) || may())
        }
        Kind::Workspace if matches!(call, Call::List { .. }) => {
            state.workspaces_seen(subject, &urn.tenant) != Seen::Only(BTreeSet::new())
        }
        _ => may(),
    };
    if !allowed {
        return Err(ServiceError::Forbidden);
    }
    if call.is_write() && state.is_suspended(&urn.tenant) {
        return Err(ServiceError::Refused(Refusal {
            class: RefusalClass::Forbidden,
            detail: format!(
                "tenant {} is suspended: until its operator ends that, it can only be read",
                urn.tenant
            ),
            sources: Vec::new(),
        }));
    }
    Ok(operator)
}

/// What the caller, who may list a collection, sees of it: of workspaces perhaps not all.
pub(super) fn seen(state: &State, caller: &Caller, from: &Urn) -> Seen {
    match from.kind {
        Kind::Workspace if from.tenant != SHARED_TENANT => {
            state.workspaces_seen(&caller.subject, &from.tenant)
        }
        _ => Seen::All,
    }
}

#[cfg(test)]
mod tests;
