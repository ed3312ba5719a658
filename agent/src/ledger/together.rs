//! Which objects hang together: instances and the volumes they use, or used before they were defined anew. What is planned for
//! one of them, and what is said of it, depends on no other object of the host.

use super::{InstanceRecord, Snapshot};
use crate::desired::Object;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

#[cfg(test)]
mod tests;

impl InstanceRecord {
    /// All volumes that its domain may use.
    pub fn all_volumes(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.instance.volumes().chain(self.former_volumes.iter().copied())
    }
}

impl Snapshot {
    /// Takes a record in, in the place of the one before.
    pub(crate) fn put_instance(&mut self, record: InstanceRecord) {
        let uid = record.instance.uid;
        self.remove_instance(uid);
        for volume in record.all_volumes() {
            self.users.insert((volume, uid));
        }
        self.instances.insert(uid, Arc::new(record));
    }

    pub(super) fn remove_instance(&mut self, uid: Uuid) {
        if let Some(record) = self.instances.remove(&uid) {
            for volume in record.all_volumes() {
                self.users.remove(&(volume, uid));
            }
        }
    }

    /// Instances that use a volume, or did before they were defined anew.
    pub fn users(&self, volume: Uuid) -> impl Iterator<Item = Uuid> + '_ {
        self.users.range((volume, Uuid::nil())..=(volume, Uuid::max())).map(|(_, instance)| *instance)
    }

    /// `objects`, and all that hangs together with them.
    pub fn together(&self, objects: BTreeSet<Object>) -> BTreeSet<Object> {
        let mut pending: Vec<Object> = objects.iter().copied().collect();
        let mut all = objects;
        while let Some(object) = pending.pop() {
            let next: Vec<Object> = match object {
                Object::Volume(uid) => self.users(uid).map(Object::Instance).collect(),
                Object::Instance(uid) => {
                    let record = self.instances.get(&uid);
                    record.into_iter().flat_map(|record| record.all_volumes()).map(Object::Volume).collect()
                }
            };
            pending.extend(next.into_iter().filter(|object| all.insert(*object)));
        }
        all
    }

    /// What this says of `objects`, and of nothing else.
    pub fn only(&self, objects: &BTreeSet<Object>) -> Self {
        let mut part = Self::default();
        for object in objects {
            match object {
                Object::Volume(uid) => {
                    part.volumes.extend(self.volumes.get(uid).map(|record| (*uid, record.clone())));
                    part.users.extend(self.users(*uid).map(|instance| (*uid, instance)));
                }
                Object::Instance(uid) => {
                    part.instances.extend(self.instances.get(uid).map(|record| (*uid, record.clone())));
                    part.power.extend(self.power.get(uid).map(|record| (*uid, record.clone())));
                }
            }
            if self.damaged.contains(object) {
                part.damaged.insert(*object);
            }
            if self.closed.contains(object) {
                part.closed.insert(*object);
            }
            part.invalid.extend(self.invalid.get(object).map(|invalid| (*object, invalid.clone())));
        }
        part
    }
}
