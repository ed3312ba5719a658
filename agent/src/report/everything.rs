//! All that is here, for controllers that were restored from a backup and compare what they know with it.
//!
//! What never happens: it is said while the hypervisor does not answer, or before the directories were looked through, or
//! without a stamp under which it was asked for.

use super::{Sources, off_cause};
use crate::desired::Presence;
use crate::desired::wire::stamp_message;
use rempart_proto::agent::v1 as wire;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use wire::LeftoverPart as Part;

#[cfg(test)]
mod tests;

/// What the ledger holds, and what lies here beside that.
pub(super) fn see(sources: Sources<'_>) -> Option<wire::Everything> {
    let Sources { ledger, world, leftovers, .. } = sources;
    let asked = ledger.asked.as_ref()?;
    let domains = world.domains.as_ref()?;
    let lying: BTreeMap<Uuid, &wire::Leftover> =
        leftovers?.iter().filter_map(|left| Some((Uuid::parse_str(&left.uid).ok()?, left))).collect();
    let lies = |uid: &Uuid, part: Part| lying.get(uid).is_some_and(|left| left.parts.contains(&part.into()));
    let beside = |part: Part| lying.keys().copied().filter(move |uid| lies(uid, part)).collect::<Vec<_>>();

    let mut volumes: BTreeSet<Uuid> = ledger.volumes.keys().copied().collect();
    volumes.extend(beside(Part::Volume));
    let volumes = volumes.into_iter().map(|uid| {
        let record = ledger.volumes.get(&uid);
        wire::Thing {
            uid: uid.to_string(),
            kind: wire::ThingKind::Volume.into(),
            here: world.volumes.contains_key(&uid) || lies(&uid, Part::Volume),
            going: record.is_some_and(|record| record.volume.presence == Presence::Absent),
            ..wire::Thing::default()
        }
    });
    let mut instances: BTreeSet<Uuid> = ledger.instances.keys().copied().collect();
    instances.extend(beside(Part::Domain));
    let instances = instances.into_iter().map(|uid| {
        let (record, domain) = (ledger.instances.get(&uid), domains.get(&uid));
        let running = domain.is_some_and(|domain| domain.running);
        let mut thing = wire::Thing {
            uid: uid.to_string(),
            kind: wire::ThingKind::Instance.into(),
            here: domain.is_some(),
            going: record.is_some_and(|record| record.instance.presence == Presence::Absent),
            running,
            ..wire::Thing::default()
        };
        if let Some(record) = record {
            let seen = domain.and_then(|domain| domain.off_cause);
            thing.set_off_cause(off_cause(record, ledger.power.get(&uid), running, seen, &world.boot_id));
        }
        thing
    });
    Some(wire::Everything { ledger: Some(stamp_message(asked)), things: volumes.chain(instances).collect() })
}
