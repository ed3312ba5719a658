//! The difference between what should be and what is, as steps. Pure: no I/O, no clock, no memory of its own.
//!
//! A plan is made afresh from the world after every step, and every step is idempotent, so a crash anywhere only
//! means that planning starts again from what is really there (the tests try every point).
//!
//! ```text
//! volume    PRESENT  FetchImage                            no file, nor its image, or that is not sound
//!                    VerifyBase -> CreateVolume            no file
//!                    GrowVolume or GrowRunning             too small; a guest that has it open sees it at once
//!                    CaptureVolume, then SendCapture       an image is to be made of it, and no guest runs on it
//!           ABSENT   DeleteVolume                          no domain may use it
//! instance  PRESENT  CreateRunDir -> WriteSeed -> Define   off, volumes ready; then power (`plan::power`)
//!           ABSENT   PowerOff -> Undefine -> RemoveSeed -> RemoveRunDir
//! ```
//!
//! What never happens: a step for a domain or an object the ledger does not hold, or that the controllers no longer
//! list; the definition or seed of a running guest changes; a volume file is deleted that a domain may use, or made
//! again over one that is there, or in the place of one that was lost; anything is concluded from a hypervisor that does not answer.

use crate::desired::{Blob, Digest, Object, Seed};
use crate::layout::DataDir;
use crate::ledger::power::PowerRecord;
use crate::ledger::{InstanceRecord, Snapshot};
use crate::vm::{Firmware, Guest, GuestDisk};
use crate::world::{Host, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

mod instance;
pub mod power;
#[cfg(test)]
pub(crate) mod tests;
mod volume;

/// Everything a plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What should be.
    pub ledger: &'a Snapshot,
    /// What is.
    pub world: &'a World,
    /// Where files lie.
    pub host: &'a Host,
    /// Power buttons pressed by this process.
    pub pressed: &'a BTreeMap<Uuid, Pressed>,
}

/// A power button that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressed {
    /// For which power generation.
    pub generation: u64,
    /// How long ago for the first time.
    pub ago: Duration,
    /// How long ago for the last time.
    pub last_ago: Duration,
}

/// One idempotent step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Brings a base image from the controllers into the cache, verified.
    FetchImage(Blob),
    /// Reads a base image and compares its digest, header and size with what is declared.
    VerifyBase(Blob),
    /// Makes a volume's file.
    CreateVolume {
        /// Which volume.
        volume: Uuid,
        /// Size of the disk a guest sees.
        size_bytes: u64,
        /// Content to start from.
        base: Option<Blob>,
    },
    /// Makes a volume larger that no guest has open.
    GrowVolume {
        /// Which volume.
        volume: Uuid,
        /// The new size.
        size_bytes: u64,
    },
    /// Makes a volume larger that a running guest has open.
    GrowRunning {
        /// Which guest.
        instance: Uuid,
        /// Which volume.
        volume: Uuid,
        /// The new size.
        size_bytes: u64,
    },
    /// Deletes a volume's file.
    DeleteVolume(Uuid),
    /// Copies a volume that no guest has open, for an image.
    CaptureVolume {
        /// Which volume.
        volume: Uuid,
        /// For which image.
        image: Uuid,
    },
    /// Gives such a copy to the controllers.
    SendCapture {
        /// Of which volume.
        volume: Uuid,
        /// Epoch of the volume's placement.
        epoch: u64,
        /// For which image.
        image: Uuid,
    },
    /// Deletes a copy that nobody asks for any more.
    DropCapture {
        /// Of which volume.
        volume: Uuid,
        /// For which image.
        image: Uuid,
    },
    /// Makes the directory for a guest's sockets, serial log and firmware variables.
    CreateRunDir(Uuid),
    /// Writes a guest's cloud-init seed.
    WriteSeed(Uuid, SharedSeed),
    /// Makes a guest known to the hypervisor.
    Define(Guest),
    /// Writes to the ledger how far a power generation got.
    RecordPower(Uuid, PowerRecord),
    /// Gives a guest a QEMU, paused.
    Start(Uuid),
    /// Lets a guest execute.
    Resume(Uuid),
    /// Presses the ACPI power button, for this power generation.
    PressPowerButton(Uuid, u64),
    /// Turns a guest off at once.
    PowerOff(Uuid),
    /// Makes the hypervisor forget a guest that is off.
    Undefine(Uuid),
    /// Deletes a guest's seed.
    RemoveSeed(Uuid),
    /// Deletes a guest's directory.
    RemoveRunDir(Uuid),
}

impl Action {
    /// Its name, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FetchImage(_) => "fetch image",
            Self::VerifyBase(_) => "verify base image",
            Self::CreateVolume { .. } => "create volume",
            Self::GrowVolume { .. } => "grow volume",
            Self::GrowRunning { .. } => "grow running volume",
            Self::DeleteVolume(_) => "delete volume",
            Self::CaptureVolume { .. } => "capture volume",
            Self::SendCapture { .. } => "send capture",
            Self::DropCapture { .. } => "drop capture",
            Self::CreateRunDir(_) => "create run directory",
            Self::WriteSeed(..) => "write seed",
            Self::Define(_) => "define",
            Self::RecordPower(..) => "record power",
            Self::Start(_) => "start",
            Self::Resume(_) => "resume",
            Self::PressPowerButton(..) => "press power button",
            Self::PowerOff(_) => "power off",
            Self::Undefine(_) => "undefine",
            Self::RemoveSeed(_) => "remove seed",
            Self::RemoveRunDir(_) => "remove run directory",
        }
    }
}

/// A seed by reference to the ledger's record, which is shared and not copied. `Debug` shows no tenant data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSeed(Arc<InstanceRecord>);

impl SharedSeed {
    /// The seed.
    pub fn seed(&self) -> &Seed {
        &self.0.instance.seed
    }
}

/// What one object needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPlan {
    /// Steps, in this order; a failed one ends the sequence.
    pub actions: Vec<Action>,
    /// What no one else may work on meanwhile.
    pub claims: BTreeSet<Claim>,
    /// How the object stands.
    pub progress: Progress,
    /// Plan again after this time even if nothing rings: a grace period runs.
    pub wake_after: Option<Duration>,
}

/// Something only one object's steps may work on at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// An instance.
    Instance(Uuid),
    /// A volume: held by its own steps and by those of instances that use it.
    Volume(Uuid),
    /// A base image that is being fetched or verified.
    Image(Digest),
    /// Copies of a volume.
    Captures(Uuid),
}

impl Claim {
    /// What whoever works on `object` itself holds.
    pub fn on(object: Object) -> Self {
        match object {
            Object::Volume(uid) => Self::Volume(uid),
            Object::Instance(uid) => Self::Instance(uid),
        }
    }
}

/// How an object stands to what is desired of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The desired presence is real.
    Reached,
    /// Steps are planned, or another object's steps come first.
    Working,
    /// The hypervisor does not answer, so nothing can be said.
    Unknown,
    /// Nothing can be done until something else changes.
    Blocked(Obstacle),
}

/// Why nothing can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The volume's file cannot be read; in an operator's words.
    VolumeUnreadable(String),
    /// The volume had a file, and has none.
    VolumeLost,
    /// The volume's file stands on another image than desired.
    VolumeMismatch,
    /// The volume is larger than desired; data would be lost.
    ShrinkRefused,
    /// A domain uses the volume that should go.
    VolumeInUse,
    /// A domain of ours that the ledger does not hold might use the volume.
    UnexpectedDomain,
    /// These volumes come first.
    Volumes(Vec<Uuid>),
}

impl ObjectPlan {
    fn new(actions: Vec<Action>, claims: BTreeSet<Claim>) -> Self {
        let progress = if actions.is_empty() { Progress::Reached } else { Progress::Working };
        Self { actions, claims, progress, wake_after: None }
    }

    fn idle(progress: Progress) -> Self {
        Self { actions: Vec::new(), claims: BTreeSet::new(), progress, wake_after: None }
    }

    fn blocked(obstacle: Obstacle) -> Self {
        Self::idle(Progress::Blocked(obstacle))
    }
}

/// Plans for every object the ledger holds and the controllers list.
pub fn plan(input: Input<'_>) -> BTreeMap<Object, ObjectPlan> {
    let volumes = input.ledger.volumes.iter().filter(|(_, record)| record.listed);
    let volumes = volumes.map(|(uid, record)| (Object::Volume(*uid), volume::plan(input, &record.volume)));
    let instances = input.ledger.instances.iter().filter(|(_, record)| record.listed);
    let instances = instances.map(|(uid, record)| (Object::Instance(*uid), instance::plan(input, record)));
    volumes.chain(instances).collect()
}

/// A guest in the hypervisor's terms; none for an instance without hardware, which is on its way out.
pub fn guest(data: &DataDir, record: &InstanceRecord) -> Option<Guest> {
    let instance = &record.instance;
    let hardware = instance.hardware.as_ref()?;
    let disks = hardware.disks.iter().map(|disk| GuestDisk {
        path: data.volume_file(disk.volume),
        slot: disk.slot,
        serial: disk.serial.clone(),
    });
    Some(Guest {
        uuid: instance.uid,
        machine: hardware.machine.clone(),
        cpu_model: hardware.cpu_model.clone(),
        firmware: if hardware.uefi { Firmware::Uefi } else { Firmware::Bios },
        vcpus: hardware.vcpus,
        memory_mib: hardware.memory_mib,
        disks: disks.collect(),
        seed: data.seed_file(instance.uid),
        run_dir: data.run_dir(instance.uid),
    })
}
