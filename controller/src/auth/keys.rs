//! The keys an issuer publishes, as far as its tokens may be signed with them.
//!
//! What always holds: a key verifies by algorithms of its own type and curve only, among those the settings allow and, if
//! the key names one, that one; a symmetric key is none. What is not understood in a set is passed over, as RFC 7517 asks.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Most keys of a set.
const MAX_KEYS: usize = 64;

/// A key with which tokens are verified.
pub(super) struct Key {
    published: Jwk,
    algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// All of an issuer's.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a JWKS.
    pub(super) fn read(bytes: &[u8], allowed: &[Algorithm]) -> Result<Keys, String> {
        let set: Set = serde_json::from_slice(bytes).map_err(|error| format!("no set of keys: {error}"))?;
        if set.keys.len() > MAX_KEYS {
            return Err(format!("there are {} keys, more than {MAX_KEYS}", set.keys.len()));
        }
        let published = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let mut keys: Vec<Key> = published.filter_map(|key| Key::new(key, allowed)).collect();
        keys.sort_by(|one, other| one.published.common.key_id.cmp(&other.published.common.key_id));
        Ok(Keys(keys))
    }

    /// The one that a token of this header has to be signed with.
    pub(super) fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> Choice<'_> {
        let mut fitting = self.0.iter().filter(|key| {
            let named = kid.is_none_or(|kid| key.published.common.key_id.as_deref() == Some(kid));
            named && key.algorithms.contains(&algorithm)
        });
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Choice::Key(key),
            (Some(_), Some(_)) => Choice::Several,
            (None, _) => Choice::Unknown,
        }
    }

    /// Whether these are the same keys.
    pub(super) fn are(&self, others: &Keys) -> bool {
        let published = |keys: &Keys| keys.0.iter().map(|key| key.published.clone()).collect::<Vec<_>>();
        published(self) == published(others)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

/// See [`Keys::choose`].
pub(super) enum Choice<'a> {
    Key(&'a Key),
    /// More than one would do; the token has to name its own.
    Several,
    Unknown,
}

impl Key {
    fn new(published: Jwk, allowed: &[Algorithm]) -> Option<Key> {
        let common = &published.common;
        let signs = match &common.public_key_use {
            None | Some(PublicKeyUse::Signature) => true,
            Some(_) => false,
        };
        let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !signs || !verifies {
            return None;
        }
        use Algorithm as A;
        let of_type: &[A] = match &published.algorithm {
            AlgorithmParameters::RSA(_) => &[A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[A::ES256],
                EllipticCurve::P384 => &[A::ES384],
                _ => &[],
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[A::EdDSA],
            _ => &[],
        };
        let named = common.key_algorithm.map(|named| named.to_string());
        let own = |one: &&A| named.as_ref().is_none_or(|named| *named == format!("{one:?}"));
        let algorithms: Vec<A> =
            of_type.iter().filter(|one| allowed.contains(one)).filter(own).copied().collect();
        if algorithms.is_empty() {
            return None;
        }
        let decoding = DecodingKey::from_jwk(&published).ok()?;
        Some(Key { published, algorithms, decoding })
    }
}

#[cfg(test)]
mod tests;
