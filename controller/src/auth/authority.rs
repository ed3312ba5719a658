//! The built-in issuer: Ed25519-signed tokens (RFC 8037, RFC 7519) for people and services that call the API, and one-time
//! tokens for machines that join. One audience each, so that none passes for another. Machines that have joined prove
//! themselves with certificates (`rempart_identity`).
//!
//! That a one-time token was not used before is not decided here: only the log can tell.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Proof;
use super::cache::Known;

/// Who a token is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The REST API.
    Api,
    /// A machine that joins; the subject is its identity. One-time.
    Join,
    /// Whoever opens a console of an instance; what else it says is `console`'s. One-time.
    Console,
}

impl Audience {
    pub(super) fn name(self) -> &'static str {
        match self {
            Audience::Api => "rempart-api",
            Audience::Join => "rempart-join",
            Audience::Console => "rempart-console",
        }
    }
}

pub(super) const ISSUER: &str = "rempart";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: u64,
    exp: u64,
    /// Of a one-time token: a UUIDv7.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    jti: Option<Uuid>,
    /// Where a joining host will stand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    zone: Option<String>,
}

/// A one-time token that is genuine and in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTime {
    /// Its identity, by which its use is remembered.
    pub id: Uuid,
    /// Who or what it is for.
    pub subject: String,
    /// When it was made, in milliseconds of Unix time.
    pub issued_at_ms: i64,
    /// When it ends, in milliseconds of Unix time.
    pub expires_at_ms: i64,
    /// Where a joining host will stand, if that was decided.
    pub zone: Option<String>,
}

/// A token that says more than whose it is; see [`Authority::issue_for`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Special<T> {
    iss: String,
    /// Whose it is.
    #[serde(rename = "sub")]
    pub subject: String,
    aud: String,
    iat: u64,
    /// When it ends, in seconds of Unix time.
    #[serde(rename = "exp")]
    pub expires_unix_s: u64,
    /// What else it says.
    #[serde(flatten)]
    pub extra: T,
}

/// The issuer's key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("issuer key: {0}")]
pub struct AuthorityError(String);

/// Signs and verifies tokens.
pub struct Authority {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Authority {
    /// A new signing key (PKCS#8), to be sealed and kept.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn generate() -> Result<Vec<u8>, AuthorityError> {
        let key = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1());
        key.map(|key| key.as_ref().to_vec()).map_err(|error| AuthorityError(error.to_string()))
    }

    /// With this signing key (PKCS#8).
    ///
    /// # Errors
    /// When it is no Ed25519 key.
    pub fn from_pkcs8(key: &[u8]) -> Result<Authority, AuthorityError> {
        let pair = Ed25519KeyPair::from_pkcs8(key);
        let pair = pair.map_err(|error| AuthorityError(format!("no Ed25519 key: {error}")))?;
        Ok(Authority {
            encoding: EncodingKey::from_ed_der(key),
            decoding: DecodingKey::from_ed_der(pair.public_key().as_ref()),
        })
    }

    /// A token for `subject`, valid from now for `lifetime`.
    pub fn issue(
        &self,
        audience: Audience,
        subject: &str,
        lifetime: Duration,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(audience, subject, None, None, lifetime)
    }

    /// A token that is meant to be used once; see [`OneTime`].
    pub fn issue_once(
        &self,
        audience: Audience,
        subject: &str,
        zone: Option<&str>,
        lifetime: Duration,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign(audience, subject, Some(Uuid::now_v7()), zone, lifetime)
    }

    fn sign(
        &self,
        audience: Audience,
        subject: &str,
        jti: Option<Uuid>,
        zone: Option<&str>,
        lifetime: Duration,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: subject.to_owned(),
            aud: audience.name().to_owned(),
            iat: now,
            exp: now + lifetime.as_secs(),
            jti,
            zone: zone.map(str::to_owned),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.encoding)
    }

    /// A token that says `extra` beside the usual, and when it ends in seconds of Unix time.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn issue_for<T: Serialize>(
        &self,
        audience: Audience,
        subject: &str,
        lifetime: Duration,
        extra: &T,
    ) -> Result<(String, u64), jsonwebtoken::errors::Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Special {
            iss: ISSUER.to_owned(),
            subject: subject.to_owned(),
            aud: audience.name().to_owned(),
            iat: now,
            expires_unix_s: now + lifetime.as_secs(),
            extra,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.encoding)?;
        Ok((token, claims.expires_unix_s))
    }

    /// A token of [`issue_for`](Self::issue_for), as [`verify`](Self::verify), with no leeway after its end.
    pub fn verify_for<T: DeserializeOwned>(
        &self,
        audience: Audience,
        token: &str,
    ) -> Result<Special<T>, String> {
        self.decode(audience, token, 0)
    }

    /// What a token for the API proves; as [`verify`](Self::verify).
    pub(super) fn verify_api(&self, token: &str) -> Result<Known, String> {
        let Claims { sub, iat, exp, .. } = self.claims(Audience::Api, token)?;
        let proof = Proof::Own { issued_unix_s: iat };
        Ok(Known { subject: sub.into(), proof, expires_unix_s: exp, stale_from: None })
    }

    /// The subject of a token, if it is ours, meant for `audience`, and in force. The error says why not, and holds
    /// nothing of the token.
    pub fn verify(&self, audience: Audience, token: &str) -> Result<String, String> {
        self.claims(audience, token).map(|claims| claims.sub)
    }

    /// A one-time token, if it is ours, meant for `audience`, and in force. As [`verify`](Self::verify).
    pub fn verify_once(&self, audience: Audience, token: &str) -> Result<OneTime, String> {
        let claims = self.claims(audience, token)?;
        let id = claims.jti.ok_or("the token is not one that is used once")?;
        let (seconds, nanos) = id.get_timestamp().map(|at| at.to_unix()).unwrap_or_default();
        let issued_at_ms = seconds.saturating_mul(1000) + u64::from(nanos / 1_000_000);
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        Ok(OneTime {
            id,
            subject: claims.sub,
            issued_at_ms: signed(issued_at_ms),
            expires_at_ms: signed(claims.exp.saturating_mul(1000)),
            zone: claims.zone,
        })
    }

    fn claims(&self, audience: Audience, token: &str) -> Result<Claims, String> {
        self.decode(audience, token, 5)
    }

    fn decode<C: DeserializeOwned>(
        &self,
        audience: Audience,
        token: &str,
        leeway_s: u64,
    ) -> Result<C, String> {
        super::check_readable(token)?;
        // The algorithm is pinned: a token cannot choose how it is checked.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[audience.name()]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "sub", "aud", "iss"]);
        validation.leeway = leeway_s;
        let data = jsonwebtoken::decode::<C>(token, &self.decoding, &validation);
        data.map(|data| data.claims).map_err(|error| super::words(&error))
    }
}

#[cfg(test)]
mod tests;
