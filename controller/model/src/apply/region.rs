//! The zones of the region, which operators change when a room is built or closed.
//!
//! What always holds: [`crate::Core::zones`] are those of the region's object, and everything that has a zone has one of them.

use rempart_api::region::RegionSpec;
use rempart_api::{Kind, Urn};

use super::Tx;
use super::delete::named;
use crate::command::PutCommand;
use crate::kinds::Spec;
use crate::object::Object;
use crate::refusal::{Fault, Refusal};
use crate::state::State;

impl Tx {
    /// There is the region of the founding and no other, and it has none of the maps that other resources have.
    pub(super) fn check_region(&self, put: &PutCommand, faults: &mut Vec<Fault>) {
        let region = &self.state.core.region;
        if put.urn.name != *region {
            let why = format!(
                "is no region of this control plane, which serves {region} alone: no other is made or changed here"
            );
            faults.push(Fault::new("/metadata/name", why));
        }
        for (pointer, map) in [("/labels", &put.labels), ("/annotations", &put.annotations)] {
            if !map.is_empty() {
                faults.push(Fault::new(pointer, "a region has none; leave them out"));
            }
        }
    }

    /// A zone may go only when nothing stands in it. Looks at everything of the kinds that have one, and that only where one
    /// is to go.
    pub(super) fn check_left_zones(
        &self,
        urn: &Urn,
        old: &RegionSpec,
        new: &RegionSpec,
    ) -> Result<(), Refusal> {
        let left = old.available_zones.iter().filter(|zone| !new.available_zones.contains(zone));
        for zone in left {
            let mut there = standing_in(&self.state, zone).peekable();
            if there.peek().is_some() {
                return Err(Refusal::conflict(format!(
                    "zone {zone:?} cannot be taken from {urn}: in it stand {}; it goes when nothing is in it any more",
                    named(there.map(|object| object.urn.to_string()))
                )));
            }
        }
        Ok(())
    }
}

/// Everything in a zone, hosts first.
fn standing_in<'a>(state: &'a State, zone: &'a str) -> impl Iterator<Item = &'a Object> + 'a {
    let kinds = [Kind::Host, Kind::Instance, Kind::Subnet].into_iter();
    let all = kinds.flat_map(|kind| state.of_kind(kind)).map(|object| &**object);
    all.filter(move |object| zone_of(&object.spec) == Some(zone))
}

/// The zone of what has one; none of what has not, and of a host that nobody has told yet where it stands.
pub(crate) fn zone_of(spec: &Spec) -> Option<&str> {
    let zone = match spec {
        Spec::Host(host) => &host.zone,
        Spec::Instance(instance) => &instance.zone,
        Spec::Subnet(subnet) => &subnet.zone,
        _ => return None,
    };
    (!zone.is_empty()).then_some(zone)
}
