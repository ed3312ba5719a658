//! A digest of a whole State, kept up with every change: replicas that have the same have the same digest.
//!
//! It is the sum of a hash of each object's stored text, so that a change costs what it changes, and no order matters. It
//! finds damage and divergence, not forgery: 128 bits of SHA-256, added up.
//!
//! What has gone is taken off by the text that it has in memory: a bit that fell there shows when the object changes, or
//! when a snapshot is written (`whole.rs`), whichever is first.

use std::collections::VecDeque;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use rempart_model::Core;

use super::to_text;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(u128);

impl Digest {
    /// Of no object but these.
    pub fn of<'a>(bodies: impl IntoIterator<Item = &'a str>) -> Digest {
        let mut sum = Digest::default();
        bodies.into_iter().for_each(|body| sum.add(body));
        sum
    }

    /// An object came, with this text.
    pub fn add(&mut self, body: &str) {
        self.0 = self.0.wrapping_add(hash(body));
    }

    /// An object went, that had this text.
    pub fn remove(&mut self, body: &str) {
        self.0 = self.0.wrapping_sub(hash(body));
    }

    /// With the objects of another.
    #[must_use]
    pub fn with(self, other: Digest) -> Digest {
        Digest(self.0.wrapping_add(other.0))
    }

    /// With what is not an object.
    #[must_use]
    pub fn with_core(mut self, core: &Core) -> Digest {
        self.add(&to_text(core));
        self
    }
}

impl fmt::Display for Digest {
    /// As it is stored: 32 hexadecimal digits.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:032x}", self.0)
    }
}

fn hash(text: &str) -> u128 {
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref().iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// What this replica had at an entry at which all of them noted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// Log index of the entry.
    pub index: u64,
    /// With the entry applied.
    pub digest: Digest,
}

/// The last few that were noted: what a majority had is told some entries later.
#[derive(Debug, Default)]
pub(super) struct Notes(VecDeque<Noted>);

impl Notes {
    const KEPT: usize = 16;

    pub(super) fn note(&mut self, noted: Noted) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(noted);
    }

    /// What was noted at `index`; none if this replica did not apply that entry in this life.
    pub(super) fn at(&self, index: u64) -> Option<Digest> {
        self.0.iter().find(|noted| noted.index == index).map(|noted| noted.digest)
    }
}

#[cfg(test)]
mod tests;
