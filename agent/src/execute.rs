//! Runs one step of a plan. Blocks; `reconcile` decides where and how many at a time.
//!
//! What never happens: a step is taken that was not planned; a step leaves something half-done under its final name.

use crate::disk::fetch::ImageSource;
use crate::disk::image::ImageState;
use crate::disk::{DiskError, capture, seed, volume};
use crate::layout::{self, LayoutError};
use crate::ledger::{Ledger, LedgerError};
use crate::plan::Action;
use crate::vm::{Hypervisor, HypervisorError};
use crate::world::Host;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// The ledger, shared between the session that fills it and the core that acts upon it. Its lock is held while the
/// disk syncs, so it is only taken where blocking is allowed.
#[derive(Debug, Clone)]
pub struct SharedLedger(Arc<Mutex<Ledger>>);

impl SharedLedger {
    /// Shares a ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self(Arc::new(Mutex::new(ledger)))
    }

    /// Takes the lock. A panic under it cannot have left the ledger half-changed in a way its files do not correct.
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What steps act upon.
#[derive(Clone)]
pub struct Executor {
    /// Where files lie.
    pub host: Host,
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// Where base images come from.
    pub source: ImageSource,
    /// How long base images stay that no volume needs.
    pub image_grace: Duration,
    /// Where power is recorded.
    pub ledger: SharedLedger,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// Work on disks.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The hypervisor.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
    /// The ledger: without it nothing is acted upon.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A directory.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The agent itself failed: a bug.
    #[error("the step ended in a panic: {0}")]
    Panicked(String),
}

impl Executor {
    /// Takes one step.
    pub fn run(&self, action: &Action) -> Result<(), ActionError> {
        match action {
            Action::FetchImage(blob) => Ok(self.source.fetch(&self.host.images, blob)?),
            Action::VerifyBase(blob) => Ok(self.host.images.verify(blob)?),
            Action::CreateVolume { volume, size_bytes, base } => {
                let path = self.host.data.volume_file(*volume);
                let base = base.as_ref().map(|blob| (self.host.images.file(blob), blob));
                if let Some((_, blob)) = &base
                    && self.host.images.state(blob) != ImageState::Verified
                {
                    let cause = "it changed since it was verified".into();
                    return Err(DiskError::ImageRefused { digest: blob.sha256.clone(), cause }.into());
                }
                let base = base.as_ref().map(|(file, blob)| (file.as_path(), blob.format));
                Ok(volume::create(&path, *size_bytes, base)?)
            }
            Action::GrowVolume { volume, size_bytes } => {
                Ok(volume::grow(&self.host.data.volume_file(*volume), *size_bytes)?)
            }
            Action::GrowRunning { instance, volume, size_bytes } => {
                let path = self.host.data.volume_file(*volume);
                Ok(self.hypervisor.grow_disk(*instance, &path, *size_bytes)?)
            }
            Action::DeleteVolume(uid) => Ok(volume::delete(&self.host.data.volume_file(*uid))?),
            Action::CaptureVolume { volume, image } => {
                let data = &self.host.data;
                Ok(capture::make(&data.volume_file(*volume), &data.capture_file(*volume, *image))?)
            }
            Action::SendCapture { volume, epoch, image } => {
                let file = self.host.data.capture_file(*volume, *image);
                Ok(self.source.deposit(&file, *volume, *epoch, *image)?)
            }
            Action::DropCapture { volume, image } => {
                Ok(volume::delete(&self.host.data.capture_file(*volume, *image))?)
            }
            Action::CreateRunDir(uid) => Ok(layout::make_directory(&self.host.data.run_dir(*uid), 0o711)?),
            Action::WriteSeed(uid, shared) => {
                Ok(seed::write(&self.host.data.seed_file(*uid), shared.seed())?)
            }
            Action::Define(guest) => {
                self.hypervisor.define(guest)?;
                Ok(self.ledger.lock().release_former_volumes(guest.uuid)?)
            }
            Action::RecordPower(uid, record) => Ok(self.ledger.lock().record_power(*uid, record.clone())?),
            Action::Start(uid) => Ok(self.hypervisor.start(*uid)?),
            Action::Resume(uid) => Ok(self.hypervisor.resume(*uid)?),
            Action::PressPowerButton(uid, _) => Ok(self.hypervisor.press_power_button(*uid)?),
            Action::PowerOff(uid) => Ok(self.hypervisor.power_off(*uid)?),
            Action::Undefine(uid) => Ok(self.hypervisor.undefine(*uid)?),
            Action::RemoveSeed(uid) => self.remove_seed(*uid),
            Action::RemoveRunDir(uid) => self.remove_run_dir(*uid),
        }
    }

    fn remove_seed(&self, uid: Uuid) -> Result<(), ActionError> {
        let path = self.host.data.seed_file(uid);
        crate::durable::remove(&path).map_err(|cause| DiskError::Io { path, cause }.into())
    }

    fn remove_run_dir(&self, uid: Uuid) -> Result<(), ActionError> {
        let path = self.host.data.run_dir(uid);
        match fs::remove_dir_all(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(DiskError::Io { path, cause }.into())
            }
            _ => Ok(()),
        }
    }
}
