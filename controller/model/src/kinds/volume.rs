//! Block storages. A volume is active once admitted; its bytes are made on the host that placement binds it to.

use rempart_api::Kind;
use rempart_api::storage::BlockStorageSpec;

use super::{Link, Rules, Strength, check_range};
use crate::object::{Detail, VolumeDetail};
use crate::refusal::Fault;
use crate::state::State;

impl Rules for BlockStorageSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_range(faults, "/spec/sizeGB", self.size_gb.into(), 1, 1_000_000);
    }

    fn check_change(&self, old: &Self, _detail: &Detail, faults: &mut Vec<Fault>) {
        if self.size_gb < old.size_gb {
            faults.push(Fault::new(
                "/spec/sizeGB",
                format!("a volume only grows: it has {} GB, {} GB was asked for", old.size_gb, self.size_gb),
            ));
        }
    }

    fn links(&self) -> Vec<Link<'_>> {
        let mut links =
            vec![Link::new("/spec/skuRef", &self.sku_ref, Kind::StorageSku, Strength::AtPut).fixed()];
        links.extend(
            self.source_image_ref
                .as_ref()
                .map(|image| Link::new("/spec/sourceImageRef", image, Kind::Image, Strength::Copied).fixed()),
        );
        links
    }

    fn new_detail(&self) -> Detail {
        Detail::Volume(Box::new(VolumeDetail { host_generation: 1, ..VolumeDetail::default() }))
    }
}
