//! What of a host's objects its agent was told last.
//!
//! An object changes more often than what is desired of it: each report of its agent changes it. Told the same again, an
//! agent would look at its host once more for nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use prost::Message;
use rempart_api::Urn;

/// Of one session: what it told its agent of each object, as half of a SHA-256. Whoever chooses what is desired cannot
/// make two of them look the same.
#[derive(Debug, Default)]
pub(super) struct Sent(BTreeMap<Arc<Urn>, [u8; 16]>);

impl Sent {
    /// Notes what is told of an object. False if that was told last.
    pub(super) fn is_news(&mut self, urn: &Arc<Urn>, told: &impl Message) -> bool {
        let whole = digest(&SHA256, &told.encode_to_vec());
        let mut half = [0; 16];
        half.copy_from_slice(&whole.as_ref()[..16]);
        self.0.insert(urn.clone(), half) != Some(half)
    }

    /// Nothing is desired of the object any more.
    pub(super) fn forget(&mut self, urn: &Urn) {
        self.0.remove(urn);
    }
}

#[cfg(test)]
mod tests {
    use rempart_api::Kind;
    use rempart_proto::agent::v1::Volume;

    use super::*;

    #[test]
    fn the_same_is_told_once_and_anything_else_is_told() {
        let (one, other) = (Arc::new(Urn::global(Kind::Host, "a")), Arc::new(Urn::global(Kind::Host, "b")));
        let volume = |generation| Volume { generation, ..Volume::default() };
        let mut sent = Sent::default();
        assert!(sent.is_news(&one, &volume(1)));
        assert!(!sent.is_news(&one, &volume(1)));
        assert!(sent.is_news(&other, &volume(1)), "of another object");
        assert!(sent.is_news(&one, &volume(2)));
        assert!(sent.is_news(&one, &volume(1)), "as it was before what it was last");
        sent.forget(&one);
        assert!(sent.is_news(&one, &volume(1)), "gone in between");
    }
}
