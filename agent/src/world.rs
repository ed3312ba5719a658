//! What is really on this host, looked at afresh every time: nothing here is remembered between two looks.
//!
//! Only objects the ledger knows are looked for, or some of them; of domains all are seen in a look at the whole, so that
//! unexpected ones can be reported.

use crate::desired::{Blob, Presence};
use crate::disk::Disks;
use crate::disk::image::{ImageState, ImageStore};
use crate::disk::volume::VolumeFile;
use crate::layout::DataDir;
use crate::ledger::Snapshot;
use crate::vm::{Domain, Hypervisor, HypervisorError};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The host at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Every domain; none while the hypervisor service does not answer. Unknown is not empty.
    pub domains: Option<BTreeMap<Uuid, Domain>>,
    /// Volumes that have a file.
    pub volumes: BTreeMap<Uuid, VolumeState>,
    /// Complete copies of volumes, and the images they are for.
    pub captures: BTreeMap<Uuid, BTreeSet<Uuid>>,
    /// Base images of volumes that have no file yet.
    pub images: BTreeMap<Blob, ImageState>,
    /// Fingerprints of seed images; empty where a file is there but is not a seed of ours.
    pub seeds: BTreeMap<Uuid, String>,
    /// Instances with a directory for sockets and firmware variables.
    pub run_dirs: BTreeSet<Uuid>,
}

/// A volume's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeState {
    /// A sound file.
    File(VolumeFile),
    /// There is something, and it cannot be read; in an operator's words.
    Unreadable(String),
}

/// Where files lie, and the identity of this boot.
#[derive(Debug, Clone)]
pub struct Host {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Where files lie.
    pub data: DataDir,
    /// Where base images lie.
    pub images: ImageStore,
}

impl World {
    /// Looks at what `ledger` holds, and at every domain if it is the `whole` of it. Blocks; the second value tells why domains
    /// are unknown, if they are.
    pub fn observe(
        boot_id: &str,
        ledger: &Snapshot,
        whole: bool,
        hypervisor: &dyn Hypervisor,
        disks: &dyn Disks,
    ) -> (Self, Option<HypervisorError>) {
        let mut world = Self { boot_id: boot_id.to_owned(), ..Self::default() };
        let domains = if whole {
            hypervisor.domains()
        } else {
            hypervisor.domains_among(&ledger.instances.keys().copied().collect())
        };
        let error = match domains {
            Ok(domains) => {
                world.domains = Some(domains.into_iter().map(|domain| (domain.uuid, domain)).collect());
                None
            }
            Err(error) => Some(error),
        };
        for (uid, record) in &ledger.volumes {
            match disks.volume(*uid) {
                Ok(Some(file)) => _ = world.volumes.insert(*uid, VolumeState::File(file)),
                Ok(None) => {
                    if let (Presence::Present, Some(blob)) = (record.volume.presence, &record.volume.source) {
                        world.images.entry(blob.clone()).or_insert_with(|| disks.image(blob));
                    }
                }
                Err(error) => {
                    world.volumes.insert(*uid, VolumeState::Unreadable(error.to_string()));
                }
            }
        }
        match disks.captures() {
            Ok(captures) => world.captures = captures,
            Err(error) => tracing::warn!(%error, "copies of volumes are not looked at"),
        }
        for uid in ledger.instances.keys() {
            if let Some(fingerprint) = disks.seed(*uid) {
                world.seeds.insert(*uid, fingerprint);
            }
            if disks.has_run_dir(*uid) {
                world.run_dirs.insert(*uid);
            }
        }
        (world, error)
    }
}
