//! Service accounts, and tokens that were called back.
//!
//! Neither holds a secret. Who verifies a token asks the State for the account's key, or for the moment until which a
//! subject's tokens were called back; so both take effect with the entry, on every replica.

use std::collections::BTreeSet;

use rempart_api::identity::{AccountKey, ServiceAccountSpec, TokenRevocationSpec};
use rempart_api::{Kind, Timestamp, Urn};

use super::{Rules, Spec, check_text};
use crate::refusal::Fault;
use crate::state::State;

const MAX_KEYS: usize = 8;
/// 32 bytes in base64url.
const KEY_CHARACTERS: usize = 43;

impl Rules for ServiceAccountSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        if self.keys.len() > MAX_KEYS {
            let why = format!("must hold at most {MAX_KEYS} keys, holds {}", self.keys.len());
            faults.push(Fault::new("/spec/keys", why));
        }
        let mut seen = BTreeSet::new();
        for (position, key) in self.keys.iter().enumerate() {
            let at = |field: &str| format!("/spec/keys/{position}/{field}");
            check_text(faults, at("kid"), &key.kid, 64);
            if !seen.insert(&key.kid) {
                faults.push(Fault::new(at("kid"), "is that of another key of this account"));
            }
            if key.kty != "OKP" {
                faults.push(Fault::new(at("kty"), "must be \"OKP\""));
            }
            if key.crv != "Ed25519" {
                faults.push(Fault::new(at("crv"), "must be \"Ed25519\""));
            }
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if key.x.len() != KEY_CHARACTERS || !key.x.bytes().all(legal) {
                let why =
                    format!("must be {KEY_CHARACTERS} characters of base64url: the public key's 32 bytes");
                faults.push(Fault::new(at("x"), why));
            }
        }
    }
}

impl Rules for TokenRevocationSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_text(faults, "/spec/subject", &self.subject, 128);
    }
}

impl State {
    /// The key of a service account that is there and not being deleted.
    pub fn account_key(&self, tenant: &str, name: &str, kid: &str) -> Option<&AccountKey> {
        let account = self.get(&Urn::tenant(Kind::ServiceAccount, tenant, name))?;
        match &account.spec {
            Spec::ServiceAccount(spec) if !account.is_deleting() => {
                spec.keys.iter().find(|key| key.kid == kid)
            }
            _ => None,
        }
    }

    /// Until when the tokens of our own issuer for `subject` were called back, if they were. What was called back after a
    /// backup is not in it, so a cluster that was restored from one takes none that are older than that.
    pub fn revoked_until(&self, subject: &str) -> Option<Timestamp> {
        let first = (subject.to_owned(), std::sync::Arc::new(Urn::global(Kind::Region, "")));
        let revocations = self.revoked.range(first..).take_while(|(of, _)| of == subject);
        revocations
            .filter_map(|(_, urn)| self.objects.get(urn))
            .map(|object| object.modified_at)
            .chain(self.core.restored.as_ref().map(|restored| restored.restored_at))
            .max()
    }
}

#[cfg(test)]
mod tests;
