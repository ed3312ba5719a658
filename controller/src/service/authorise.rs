//! Who may do what. Deny by default; a stranger to a tenant gets the same answer whether anything exists or not.
//!
//! In this version a tenant has owners who may do everything in it (`rempart.tenancy`); SECA's roles come later.

use rempart_api::{Kind, Urn, Verbs};
use rempart_model::{SHARED_TENANT, Spec, State};
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
}

/// Whether the caller may; the answer says whether as an operator.
pub(super) fn authorise(
    state: &State,
    operators: &[String],
    caller: &Caller,
    call: &Call,
) -> Result<bool, ServiceError> {
    check_proof(state, caller)?;
    let urn = call.urn();
    let operator = operators.contains(&caller.subject);
    let allowed = match urn.kind {
        // SECA: any authenticated caller may read the regions.
        Kind::Region => !call.is_write(),
        Kind::Tenant => operator || matches!(call, Call::Get { urn } if owns(state, &urn.name, caller)),
        Kind::Host | Kind::TokenRevocation | Kind::AddressPool => operator,
        _ if urn.tenant == SHARED_TENANT => operator || (!call.is_write() && is_catalogue(urn)),
        // Naming a digest would give access to bytes that others uploaded.
        _ if matches!(call, Call::Fill { uploaded: false, .. }) => false,
        _ if urn.kind.info().verbs == Verbs::ReadOnly => !call.is_write() && owns(state, &urn.tenant, caller),
        _ => owns(state, &urn.tenant, caller),
    };
    if allowed { Ok(operator) } else { Err(ServiceError::Forbidden) }
}

fn is_catalogue(urn: &Urn) -> bool {
    urn.kind.info().catalogue || urn.kind == Kind::Image
}

fn owns(state: &State, tenant: &str, caller: &Caller) -> bool {
    match state.get(&Urn::global(Kind::Tenant, tenant)).map(|tenant| &tenant.spec) {
        Some(Spec::Tenant(tenant)) => tenant.owners.contains(&caller.subject),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
