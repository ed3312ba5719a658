//! Console tokens: signed by the built-in issuer, for one console of one incarnation of one instance.
//!
//! A token says all there is to say, so that any replica may issue it and nothing is stored. That it is used once is the
//! log's business (`Command::Redeem`), wherever it is shown. There is no leeway at its end: a minute is a minute.

use std::time::Duration;

use rempart_api::console::ConsoleKind;
use rempart_api::{Kind, Timestamp, Urn};
use rempart_model::TokenUse;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::{Audience, Authority, Proof};
use crate::replica::now;
use crate::service::Caller;

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// Which token.
    jti: Uuid,
    tenant: String,
    workspace: String,
    instance: String,
    /// Incarnation of the instance.
    pub(super) uid: Uuid,
    pub(super) kind: ConsoleKind,
    /// What the right to it rests on: called back, it opens nothing any more.
    #[serde(default)]
    proof: Proof,
    /// It was asked for by an operator, where operators ask.
    #[serde(default)]
    operates: bool,
}

/// A token that was verified. That it was not used before is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    subject: String,
    pub(super) claims: Claims,
    pub(super) expires_at: Timestamp,
}

impl Claims {
    pub(super) fn urn(&self) -> Urn {
        Urn::workspace(Kind::Instance, &self.tenant, &self.workspace, &self.instance)
    }
}

impl Shown {
    /// Whom it was issued to.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            subject: self.subject.clone(),
            proof: self.claims.proof.clone(),
            operates: self.claims.operates,
        }
    }

    pub(super) fn to_use(&self) -> TokenUse {
        TokenUse { id: self.claims.jti, expires_at: self.expires_at }
    }
}

/// A new token for `caller`, and its end.
pub(super) fn issue(
    authority: &Authority,
    caller: &Caller,
    instance: &Urn,
    uid: Uuid,
    kind: ConsoleKind,
    lifetime: Duration,
) -> Result<(String, Timestamp), String> {
    let claims = Claims {
        jti: Uuid::new_v4(),
        tenant: instance.tenant.clone(),
        workspace: instance.workspace.clone(),
        instance: instance.name.clone(),
        uid,
        kind,
        proof: caller.proof.clone(),
        operates: caller.operates,
    };
    let (token, expires_unix_s) = authority
        .issue_for(Audience::Console, &caller.subject, lifetime, &claims)
        .map_err(|error| format!("signing a console token: {error}"))?;
    Ok((token, timestamp(expires_unix_s)))
}

/// What a token says, if it is ours and in force.
pub(super) fn verify(authority: &Authority, token: &str) -> Result<Shown, String> {
    let verified = authority.verify_for::<Claims>(Audience::Console, token)?;
    let expires_at = timestamp(verified.expires_unix_s);
    // JWT's own "after its end" is a second later.
    if expires_at <= now() {
        return Err("the token has expired; ask for a new one".to_owned());
    }
    Ok(Shown { subject: verified.subject, claims: verified.extra, expires_at })
}

fn timestamp(unix_s: u64) -> Timestamp {
    Timestamp::from_unix_ms(i64::try_from(unix_s.saturating_mul(1000)).unwrap_or(i64::MAX))
}
