//! Tokens of service accounts: signed by the account's own key, which stands in State.
//!
//! ```text
//!   header  {"alg": "EdDSA", "kid": KEY}
//!   payload {"iss": "sa:TENANT/NAME", "sub": the same, "aud": "rempart-api", "exp": within the hour}
//! ```
//!
//! What always holds: a key that was taken out of its account verifies nothing any more, whatever was remembered: the key is
//! part of the [`Proof`], and the service asks State for it again before it does anything.

use futures_util::future::BoxFuture;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::authority::Audience;
use super::cache::Known;
use super::{NO_JWT, Proof, unix_s, words};

/// What subjects of service accounts begin with.
pub(super) const PREFIX: &str = "sa";
/// Longest life of a token that an account signs, in seconds.
const MAX_LIFETIME_S: u64 = 3600;
/// How far its clock may be from ours, in seconds.
const CLOCK_SKEW_S: u64 = 60;

/// Public keys of service accounts, as this replica's State has them.
pub trait Accounts: Send + Sync {
    /// The key that an account calls so: base64url of its 32 bytes.
    fn key(&self, tenant: &str, name: &str, kid: &str) -> Option<String>;

    /// Ends when State has everything that was acknowledged before, if that can be had.
    fn catch_up(&self) -> BoxFuture<'_, ()>;
}

/// Said alike of an account that is not there, of a key it does not have, and of another key's signature: who asks about an
/// account without a key of its learns nothing.
const UNKNOWN: &str = "the token is not signed with a key that its service account has";
/// A point that is a key of no account's.
const NOBODYS: &str = "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY";

#[derive(Deserialize)]
struct Claims {
    exp: u64,
}

/// Whether an issuer or a subject is, by its form, a service account.
pub(super) fn is_account(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with(':'))
}

/// What a token proves whose issuer calls itself `identity`.
pub(super) async fn verify(accounts: &dyn Accounts, identity: &str, token: &str) -> Result<Known, String> {
    let name = identity.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(':'));
    let (tenant, name) = name.and_then(|name| name.split_once('/')).ok_or_else(|| NO_JWT.to_owned())?;
    let header = jsonwebtoken::decode_header(token).map_err(|_| NO_JWT.to_owned())?;
    if header.alg != Algorithm::EdDSA || header.crit.is_some() {
        return Err("a service account signs by EdDSA, and demands nothing else (crit)".to_owned());
    }
    let kid = header.kid.ok_or("the token does not say which key of its account signed it (kid)")?;
    let key = || accounts.key(tenant, name, &kid);
    let mut signed = check(key(), identity, token);
    if matches!(signed, Err(Unsigned::Otherwise)) {
        // Its key may have been added at another controller a moment ago.
        accounts.catch_up().await;
        signed = check(key(), identity, token);
    }
    let (x, expires_unix_s) = signed.map_err(|unsigned| match unsigned {
        Unsigned::Otherwise => UNKNOWN.to_owned(),
        Unsigned::But(why) => why,
    })?;
    if expires_unix_s > unix_s() + MAX_LIFETIME_S + CLOCK_SKEW_S {
        return Err(format!("a service account's token holds for {MAX_LIFETIME_S} seconds at most"));
    }
    let proof = Proof::Account { tenant: tenant.to_owned(), name: name.to_owned(), kid, x };
    Ok(Known { subject: identity.into(), proof, expires_unix_s, stale_from: None })
}

/// A token that was not signed so that it counts.
enum Unsigned {
    /// With no key of its account's, or there is no such account.
    Otherwise,
    /// By its account, and yet worth nothing.
    But(String),
}

/// By `x`, if there is such a key. Where there is none the same work is done for nothing: strangers do not learn from how
/// long it takes which accounts there are.
fn check(x: Option<String>, identity: &str, token: &str) -> Result<(String, u64), Unsigned> {
    let key = DecodingKey::from_ed_components(x.as_deref().unwrap_or(NOBODYS));
    let key = key.map_err(|_| Unsigned::Otherwise)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[Audience::Api.name()]);
    validation.set_issuer(&[identity]);
    validation.sub = Some(identity.to_owned());
    validation.set_required_spec_claims(&["exp", "sub", "aud", "iss"]);
    validation.validate_nbf = true;
    validation.leeway = CLOCK_SKEW_S;
    let decoded = jsonwebtoken::decode::<Claims>(token, &key, &validation);
    let x = x.ok_or(Unsigned::Otherwise)?;
    match decoded {
        Ok(decoded) => Ok((x, decoded.claims.exp)),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => Err(Unsigned::Otherwise),
        Err(error) => Err(Unsigned::But(words(&error))),
    }
}

#[cfg(test)]
mod tests;
