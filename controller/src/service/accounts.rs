//! What State says of a caller's proof: a service account's key, a token that was called back.
//!
//! Asked twice: when a token is verified, of State as it is here; and with each call, of State as it is when the call is
//! decided (for a read after catching up, for a write on the leader). The second time counts.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rempart_model::State;
use tokio::time::Instant;

use super::authorise::Caller;
use super::{Service, ServiceError};
use crate::auth::{Accounts, Proof};

/// How long a token may wait for State.
const PATIENCE: Duration = Duration::from_secs(5);

impl Accounts for Service {
    fn key(&self, tenant: &str, name: &str, kid: &str) -> Option<String> {
        self.inner.replica.state().account_key(tenant, name, kid).map(|key| key.x.clone())
    }

    fn catch_up(&self) -> BoxFuture<'_, ()> {
        // If it cannot, the token is judged by what is known here.
        Service::catch_up(self, Instant::now() + PATIENCE).map(drop).boxed()
    }
}

/// Whether the caller's proof still holds.
pub(super) fn check_proof(state: &State, caller: &Caller) -> Result<(), ServiceError> {
    let holds = match &caller.proof {
        Proof::Foreign => true,
        // A token says in seconds when it was issued; those of the second of the revocation are called back, too.
        Proof::Own { issued_unix_s } => state.revoked_until(&caller.subject).is_none_or(|until| {
            i64::try_from(*issued_unix_s).is_ok_and(|issued| issued > until.unix_ms().div_euclid(1000))
        }),
        Proof::Account { tenant, name, kid, x } => {
            state.account_key(tenant, name, kid).is_some_and(|key| key.x == *x)
        }
    };
    if holds { Ok(()) } else { Err(ServiceError::Revoked) }
}
