//! The last desired state of this host, on its disk: what guests come back from when no controller answers.
//!
//! ```text
//! ledger/stamp.json               the newest stamp ever accepted
//! ledger/volumes/<uid>.json       VolumeRecord
//! ledger/instances/<uid>.json     InstanceRecord
//! ledger/power/<uid>.json         PowerRecord: which power generation was executed under which boot of the host
//! ```
//!
//! What never happens: something is acted upon before it is durable here; an older state replaces a newer one
//! (by stamp for a message, by incarnation, epoch and generation for an object); an object's absence from a message
//! removes it from the host; a damaged file is dropped in silence or believed.
//!
//! The stamp is written before the objects of its message. After a crash in between, the ledger refuses what is
//! older than the half-accepted message, and the controllers send the whole again on connect.

use crate::desired::wire::{Invalid, Order};
use crate::desired::{Instance, Object, Presence, Stamp, Volume};
use crate::disk::seed;
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

mod accept;
pub mod power;
mod records;
#[cfg(test)]
mod tests;
mod together;

use power::PowerRecord;
use records::{Loaded, RecordDirectory};

/// A volume as accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// The stamp of the message it came with.
    pub stamp: Stamp,
    /// Whether the last whole message listed it. What is not listed is left alone: nothing is done for it.
    pub listed: bool,
    /// What is desired.
    pub volume: Volume,
}

/// An instance as accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The stamp of the message it came with.
    pub stamp: Stamp,
    /// Whether the last whole message listed it. What is not listed is left alone: nothing is done for it.
    pub listed: bool,
    /// Volumes of former definitions: a domain that was not redefined since may still use them.
    pub former_volumes: BTreeSet<Uuid>,
    /// What is desired.
    pub instance: Instance,
    /// Fingerprint of `instance.seed`, computed once.
    #[serde(skip)]
    pub seed_fingerprint: String,
}

impl VolumeRecord {
    /// Orders desired states of one volume. A restore from backup (a higher incarnation) may lower the rest.
    fn order(&self) -> (u64, u64, u64) {
        (self.stamp.incarnation, self.volume.epoch, self.volume.generation)
    }
}

impl InstanceRecord {
    /// Orders desired states of one instance. A restore from backup (a higher incarnation) may lower the rest.
    fn order(&self) -> (u64, u64, u64) {
        (self.stamp.incarnation, self.instance.epoch, self.instance.generation)
    }
}

/// The ledger's content at one moment: cheap to take, never changing under the one who holds it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Volumes by uid.
    pub volumes: OrdMap<Uuid, Arc<VolumeRecord>>,
    /// Instances by uid.
    pub instances: OrdMap<Uuid, Arc<InstanceRecord>>,
    /// Executed power by instance.
    pub power: OrdMap<Uuid, PowerRecord>,
    /// Volumes, each with an instance that uses it or did before it was defined anew.
    users: OrdSet<(Uuid, Uuid)>,
    /// Objects whose records were found damaged and that nobody has sent again since.
    pub damaged: BTreeSet<Object>,
    /// Objects the controllers sent and the door refused, until they send something better.
    pub invalid: BTreeMap<Object, Invalid>,
    /// Objects desired absent that the last whole message no longer listed, or that the controllers have heard to be gone:
    /// forgotten once they are.
    pub closed: BTreeSet<Object>,
    /// What operators ordered about leftovers, as of the last message that spoke of it. Not on the disk: an agent that starts
    /// is told again.
    pub orders: BTreeMap<Uuid, Order>,
    /// The controllers asked, under this stamp, for everything that is here. Not on the disk either.
    pub asked: Option<Stamp>,
}

/// What was said to be gone: of which placement, and of which desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Which object.
    pub object: Object,
    /// Epoch of its placement.
    pub epoch: u64,
    /// Generation of the wish that it be absent.
    pub generation: u64,
}

/// What may be different from when it was last asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// More than objects: nothing may be taken as it was.
    pub everything: bool,
    /// These objects, among them some that are no more.
    pub objects: BTreeSet<Object>,
}

/// What became of a message that was not refused.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Objects whose record changed.
    pub changed: Vec<Object>,
    /// Objects older than what is stored.
    pub outdated: Vec<Object>,
}

/// Why a desired state was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It is older than what was accepted before, or of another cluster.
    #[error("desired state {offered:?} refused: the ledger holds {held:?}")]
    Refused {
        /// What was offered.
        offered: Stamp,
        /// What is held.
        held: Stamp,
    },
    /// The disk refused.
    #[error("ledger at {path}: {cause}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
}

/// The ledger of one agent, with its content in memory.
#[derive(Debug)]
pub struct Ledger {
    root: RecordDirectory,
    volumes: RecordDirectory,
    instances: RecordDirectory,
    power: RecordDirectory,
    stamp: Option<Stamp>,
    content: Snapshot,
    changed: Changed,
}

const STAMP: &str = "stamp";

impl Ledger {
    /// Opens the ledger in `directory`, creating it if need be. Damaged files are set aside and named in
    /// [`Snapshot::damaged`].
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        let open = |name: &str| {
            let path = directory.join(name);
            RecordDirectory::open(&path).map_err(|cause| LedgerError::Io { path, cause })
        };
        let mut ledger = Self {
            root: open("")?,
            volumes: open("volumes")?,
            instances: open("instances")?,
            power: open("power")?,
            stamp: None,
            content: Snapshot::default(),
            changed: Changed { everything: true, objects: BTreeSet::new() },
        };
        ledger.load()?;
        Ok(ledger)
    }

    fn load(&mut self) -> Result<(), LedgerError> {
        let volumes: Loaded<VolumeRecord> = read_all(&self.volumes)?;
        let instances: Loaded<InstanceRecord> = read_all(&self.instances)?;
        let power: Loaded<PowerRecord> = read_all(&self.power)?;
        let damaged = volumes.damaged.into_iter().map(Object::Volume);
        self.content.damaged = damaged.chain(instances.damaged.into_iter().map(Object::Instance)).collect();
        let stored = self.root.read::<Stamp>(STAMP).map_err(at(&self.root))?;
        // A lost stamp must not open the door to old states: no object is newer than the stamp was.
        let stamps = volumes.records.values().map(|record| &record.stamp);
        let stamps = stamps.chain(instances.records.values().map(|record| &record.stamp));
        self.stamp =
            stamps.chain(&stored).max_by_key(|stamp| (stamp.incarnation, stamp.applied_index)).cloned();
        self.content.volumes =
            volumes.records.into_iter().map(|(uid, record)| (uid, Arc::new(record))).collect();
        for mut record in instances.records.into_values() {
            record.seed_fingerprint = seed::fingerprint(&record.instance.seed);
            self.content.put_instance(record);
        }
        self.content.power = power.records.into_iter().collect();
        Ok(())
    }

    /// The newest stamp accepted.
    pub fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_ref()
    }

    /// The present content.
    pub fn snapshot(&self) -> Snapshot {
        self.content.clone()
    }

    /// What may have changed since this was last called.
    pub fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// Whether nothing has changed since [`Ledger::take_changed`] was last called.
    #[cfg(test)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.changed == Changed::default()
    }

    fn note(&mut self, object: Object) {
        self.changed.objects.insert(object);
    }

    /// Writes down a step of power before (or after) it is taken. Durable when it returns.
    pub fn record_power(&mut self, instance: Uuid, record: PowerRecord) -> Result<(), LedgerError> {
        self.power.write(&name(instance), &record).map_err(at(&self.power))?;
        self.content.power.insert(instance, record);
        self.note(Object::Instance(instance));
        Ok(())
    }

    /// The domain of `instance` was defined from the present record: former volumes are free.
    pub fn release_former_volumes(&mut self, instance: Uuid) -> Result<(), LedgerError> {
        let Some(record) = self.content.instances.get(&instance) else { return Ok(()) };
        if record.former_volumes.is_empty() {
            return Ok(());
        }
        let record = InstanceRecord { former_volumes: BTreeSet::new(), ..InstanceRecord::clone(record) };
        self.put_instance(record)?;
        self.instances.sync().map_err(at(&self.instances))
    }

    /// Whether the controllers ask for everything that is here, with the desired state accepted last.
    pub fn ask_for_everything(&mut self, asked: bool) {
        let stamp = self.stamp.clone().filter(|_| asked);
        self.changed.everything |= stamp != self.content.asked;
        self.content.asked = stamp;
    }

    /// The controllers have heard that these are gone. One that has been desired anew since stays.
    pub fn close(&mut self, gone: &[Gone]) {
        for Gone { object, epoch, generation } in gone {
            let held = match object {
                Object::Volume(uid) => self.content.volumes.get(uid).map(|record| {
                    let volume = &record.volume;
                    (volume.presence, volume.epoch, volume.generation)
                }),
                Object::Instance(uid) => self.content.instances.get(uid).map(|record| {
                    let instance = &record.instance;
                    (instance.presence, instance.epoch, instance.generation)
                }),
            };
            if held == Some((Presence::Absent, *epoch, *generation)) {
                self.content.closed.insert(*object);
                self.note(*object);
            }
        }
    }

    /// Drops the record of an object that is gone from the host and that the controllers no longer list. One that has been
    /// desired anew since stays.
    pub fn forget(&mut self, object: Object) -> Result<(), LedgerError> {
        if !self.content.closed.contains(&object) {
            return Ok(());
        }
        match object {
            Object::Volume(uid) => {
                self.volumes.remove(&name(uid)).map_err(at(&self.volumes))?;
                self.content.volumes.remove(&uid);
            }
            Object::Instance(uid) => {
                self.instances.remove(&name(uid)).map_err(at(&self.instances))?;
                self.power.remove(&name(uid)).map_err(at(&self.power))?;
                self.content.remove_instance(uid);
                self.content.power.remove(&uid);
            }
        }
        self.content.closed.remove(&object);
        self.note(object);
        Ok(())
    }

    fn put_volume(&mut self, record: VolumeRecord) -> Result<(), LedgerError> {
        let uid = record.volume.uid;
        self.volumes.write_content(&name(uid), &record).map_err(at(&self.volumes))?;
        self.content.volumes.insert(uid, Arc::new(record));
        self.note(Object::Volume(uid));
        Ok(())
    }

    fn put_instance(&mut self, record: InstanceRecord) -> Result<(), LedgerError> {
        let uid = record.instance.uid;
        self.instances.write_content(&name(uid), &record).map_err(at(&self.instances))?;
        self.content.put_instance(record);
        self.note(Object::Instance(uid));
        Ok(())
    }
}

fn name(uid: Uuid) -> String {
    uid.hyphenated().to_string()
}

fn read_all<T: serde::de::DeserializeOwned>(directory: &RecordDirectory) -> Result<Loaded<T>, LedgerError> {
    directory.read_all().map_err(at(directory))
}

fn at(directory: &RecordDirectory) -> impl Fn(io::Error) -> LedgerError + use<> {
    let path = directory.path().to_path_buf();
    move |cause| LedgerError::Io { path: path.clone(), cause }
}
