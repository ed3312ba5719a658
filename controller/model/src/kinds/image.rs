//! Images: a copy of a volume's content, so the volume may go afterwards.

use rempart_api::Kind;
use rempart_api::storage::ImageSpec;

use super::{Link, Rules, Strength};
use crate::object::Detail;
use crate::refusal::Fault;
use crate::state::State;

impl Rules for ImageSpec {
    fn check(&self, _state: &State, _faults: &mut Vec<Fault>) {}

    fn links(&self) -> Vec<Link<'_>> {
        let source = &self.block_storage_ref;
        vec![Link::new("/spec/blockStorageRef", source, Kind::BlockStorage, Strength::Copied).fixed()]
    }

    fn new_detail(&self) -> Detail {
        Detail::Image(Box::default())
    }
}
