//! Taking a desired state in.

use super::{Accepted, InstanceRecord, Ledger, LedgerError, STAMP, VolumeRecord, at};
use crate::desired::wire::Desired;
use crate::desired::{Instance, Object, Presence, Stamp, Volume};
use crate::disk::seed;
use std::collections::BTreeSet;

impl Ledger {
    /// Takes a desired state in: durable when it returns, refused as a whole if its stamp is older than the
    /// ledger's or of another cluster.
    pub fn accept(&mut self, desired: Desired) -> Result<Accepted, LedgerError> {
        let Desired { stamp, whole, volumes, instances, invalid, orders } = desired;
        if let Some(held) = self.stamp.as_ref().filter(|held| !stamp.supersedes(held)) {
            return Err(LedgerError::Refused { offered: stamp, held: held.clone() });
        }
        if self.stamp.as_ref() != Some(&stamp) {
            self.root.write(STAMP, &stamp).map_err(at(&self.root))?;
            self.stamp = Some(stamp.clone());
        }
        let mut accepted = Accepted::default();
        if let Some(orders) = orders {
            self.changed.everything |= self.content.orders != orders;
            self.content.orders = orders;
        }
        let mut listed: BTreeSet<Object> = invalid.iter().filter_map(|invalid| invalid.object).collect();
        for volume in volumes {
            listed.insert(Object::Volume(volume.uid));
            self.accept_volume(volume, &stamp, &mut accepted)?;
        }
        for instance in instances {
            listed.insert(Object::Instance(instance.uid));
            self.accept_instance(instance, &stamp, &mut accepted)?;
        }
        for invalid in invalid {
            if let Some(object) = invalid.object {
                self.content.invalid.insert(object, invalid);
                self.note(object);
                accepted.changed.push(object);
            }
        }
        if whole {
            self.changed.everything = true;
            self.mark_unlisted(&listed, &mut accepted)?;
        }
        self.volumes.sync().map_err(at(&self.volumes))?;
        self.instances.sync().map_err(at(&self.instances))?;
        Ok(accepted)
    }

    fn accept_volume(
        &mut self,
        volume: Volume,
        stamp: &Stamp,
        accepted: &mut Accepted,
    ) -> Result<(), LedgerError> {
        let object = Object::Volume(volume.uid);
        let offered = VolumeRecord { stamp: stamp.clone(), listed: true, volume };
        match self.content.volumes.get(&offered.volume.uid) {
            Some(held) if offered.order() < held.order() => {
                accepted.outdated.push(object);
                return Ok(());
            }
            Some(held) if held.listed && held.volume == offered.volume && held.order() == offered.order() => {
            }
            _ => {
                self.put_volume(offered)?;
                accepted.changed.push(object);
            }
        }
        self.is_known_again(object);
        Ok(())
    }

    fn accept_instance(
        &mut self,
        mut instance: Instance,
        stamp: &Stamp,
        accepted: &mut Accepted,
    ) -> Result<(), LedgerError> {
        if instance.presence == Presence::Absent {
            // It never starts again, but its record stays until the controllers no longer list it: without its secrets.
            instance.seed.user_data.clear();
            instance.seed.ssh_keys.clear();
        }
        let object = Object::Instance(instance.uid);
        let mut offered = InstanceRecord {
            stamp: stamp.clone(),
            listed: true,
            former_volumes: BTreeSet::new(),
            seed_fingerprint: seed::fingerprint(&instance.seed),
            instance,
        };
        match self.content.instances.get(&offered.instance.uid) {
            Some(held) if offered.order() < held.order() => {
                accepted.outdated.push(object);
                return Ok(());
            }
            Some(held)
                if held.listed && held.instance == offered.instance && held.order() == offered.order() => {}
            held => {
                if let Some(held) = held {
                    let current: BTreeSet<_> = offered.instance.volumes().collect();
                    offered.former_volumes =
                        held.all_volumes().filter(|volume| !current.contains(volume)).collect();
                }
                self.put_instance(offered)?;
                accepted.changed.push(object);
            }
        }
        self.is_known_again(object);
        Ok(())
    }

    /// A good record of `object` is held: what was wrong with it before is history.
    fn is_known_again(&mut self, object: Object) {
        self.content.damaged.remove(&object);
        self.content.invalid.remove(&object);
        self.content.closed.remove(&object);
        self.note(object);
    }

    /// What a whole message does not list is left alone from now on; what was on its way out still goes.
    fn mark_unlisted(
        &mut self,
        listed: &BTreeSet<Object>,
        accepted: &mut Accepted,
    ) -> Result<(), LedgerError> {
        let volumes = self.content.volumes.values().filter(|record| record.listed);
        let volumes = volumes.filter(|record| !listed.contains(&Object::Volume(record.volume.uid)));
        for record in volumes.cloned().collect::<Vec<_>>() {
            let object = Object::Volume(record.volume.uid);
            if record.volume.presence == Presence::Absent {
                self.content.closed.insert(object);
            } else {
                self.put_volume(VolumeRecord { listed: false, ..VolumeRecord::clone(&record) })?;
                accepted.changed.push(object);
            }
        }
        let instances = self.content.instances.values().filter(|record| record.listed);
        let instances = instances.filter(|record| !listed.contains(&Object::Instance(record.instance.uid)));
        for record in instances.cloned().collect::<Vec<_>>() {
            let object = Object::Instance(record.instance.uid);
            if record.instance.presence == Presence::Absent {
                self.content.closed.insert(object);
            } else {
                self.put_instance(InstanceRecord { listed: false, ..InstanceRecord::clone(&record) })?;
                accepted.changed.push(object);
            }
        }
        self.content.invalid.retain(|object, _| listed.contains(object));
        self.content.damaged.retain(|object| listed.contains(object));
        Ok(())
    }
}
