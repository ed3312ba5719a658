//! Tokens that were verified, by digest.
//!
//! What always holds: an entry counts until its token expires, and not beyond the time for which its issuer's keys may be
//! used; it is bounded ([`HALF`] twice); [`Cache::forget`] empties it at once, and what was being verified with the keys of
//! before is not remembered afterwards. The tokens themselves are not kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest as sha2};

use super::{Proof, Proven};

/// SHA-256 of a token.
pub(super) type Digest = [u8; 32];

/// Entries of the younger half; when it is full, the older half goes.
const HALF: usize = 8192;

/// What a token proved.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) subject: Arc<str>,
    pub(super) proof: Proof,
    pub(super) expires_unix_s: u64,
    /// From when on the keys it was verified with are too old.
    pub(super) stale_from: Option<Instant>,
}

impl Known {
    pub(super) fn proven(&self) -> Proven {
        Proven { subject: self.subject.clone(), proof: self.proof.clone() }
    }
}

#[derive(Default)]
pub(super) struct Cache(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    generation: u64,
    young: HashMap<Digest, Known>,
    old: HashMap<Digest, Known>,
}

pub(super) fn digest(token: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(sha2(&SHA256, token.as_bytes()).as_ref());
    bytes
}

impl Cache {
    /// What a token proves that is known and still in force.
    pub(super) fn get(&self, digest: &Digest, now_unix_s: u64) -> Option<Proven> {
        let mut halves = self.halves();
        let in_force = |known: &Known| {
            now_unix_s < known.expires_unix_s && known.stale_from.is_none_or(|from| Instant::now() < from)
        };
        if let Some(known) = halves.young.get(digest) {
            return in_force(known).then(|| known.proven());
        }
        // What is asked for stays.
        let known = halves.old.remove(digest).filter(in_force)?;
        let proven = known.proven();
        halves.keep(*digest, known);
        Some(proven)
    }

    /// Changes whenever everything is forgotten.
    pub(super) fn generation(&self) -> u64 {
        self.halves().generation
    }

    /// Remembers a token that was verified since `generation`.
    pub(super) fn remember(&self, generation: u64, digest: Digest, known: Known) {
        let mut halves = self.halves();
        if halves.generation == generation {
            halves.keep(digest, known);
        }
    }

    /// Forgets all.
    pub(super) fn forget(&self) {
        let mut halves = self.halves();
        *halves = Halves { generation: halves.generation + 1, ..Halves::default() };
    }

    fn halves(&self) -> std::sync::MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn keep(&mut self, digest: Digest, known: Known) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, known);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn known(expires_unix_s: u64) -> Known {
        Known { subject: "alice".into(), proof: Proof::Foreign, expires_unix_s, stale_from: None }
    }

    fn subject(proven: Option<Proven>) -> Option<Arc<str>> {
        proven.map(|proven| proven.subject)
    }

    #[test]
    fn an_entry_counts_until_its_end_and_the_keys_are_too_old() {
        let cache = Cache::default();
        let (one, other) = (digest("one"), digest("other"));
        cache.remember(cache.generation(), one, known(100));
        assert_eq!(subject(cache.get(&one, 99)).as_deref(), Some("alice"));
        assert_eq!(cache.get(&one, 100), None);
        assert_eq!(cache.get(&other, 99), None);
        let stale_from = Some(Instant::now());
        cache.remember(cache.generation(), other, Known { stale_from, ..known(100) });
        assert_eq!(cache.get(&other, 99), None);
        let stale_from = Some(Instant::now() + Duration::from_secs(60));
        cache.remember(cache.generation(), other, Known { stale_from, ..known(100) });
        assert_eq!(subject(cache.get(&other, 99)).as_deref(), Some("alice"));
    }

    #[test]
    fn what_was_verified_with_the_keys_of_before_is_not_remembered() {
        let cache = Cache::default();
        let (before, token) = (cache.generation(), digest("token"));
        cache.remember(before, token, known(100));
        cache.forget();
        assert_eq!(cache.get(&token, 1), None);
        cache.remember(before, token, known(100));
        assert_eq!(cache.get(&token, 1), None);
    }

    #[test]
    fn it_is_bounded_and_what_is_used_stays() {
        let cache = Cache::default();
        let used = digest("used");
        cache.remember(0, used, known(100));
        for number in 0..5 * HALF {
            cache.remember(0, digest(&number.to_string()), known(100));
            if number % 100 == 0 {
                assert!(cache.get(&used, 1).is_some(), "after {number}");
            }
        }
        let halves = cache.halves();
        assert!(halves.young.len() <= HALF && halves.old.len() <= HALF);
        drop(halves);
        assert!(cache.get(&digest("0"), 1).is_none());
    }
}
