//! Runs one step of a plan. Blocks; `reconcile` decides where and how many at a time.
//!
//! What never happens: a step is taken that was not planned; a step leaves something half-done under its final name.

use crate::disk::{DiskError, Disks};
use crate::ledger::{Ledger, LedgerError, Snapshot};
use crate::plan::Action;
use crate::vm::{Hypervisor, HypervisorError};
use crate::world::{Host, World};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
    /// What is below it.
    pub disks: Arc<dyn Disks>,
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
    /// The agent itself failed: a bug.
    #[error("the step ended in a panic: {0}")]
    Panicked(String),
}

impl Executor {
    /// Looks at what `ledger` holds, and at every domain if it is the `whole` of it. Blocks; the second value tells why domains are unknown, if they are.
    pub fn look(&self, ledger: &Snapshot, whole: bool) -> (World, Option<HypervisorError>) {
        World::observe(&self.host.boot_id, ledger, whole, self.hypervisor.as_ref(), self.disks.as_ref())
    }

    /// Takes one step.
    pub fn run(&self, action: &Action) -> Result<(), ActionError> {
        match action {
            Action::FetchImage(blob) => self.disks.fetch_image(blob)?,
            Action::VerifyBase(blob) => self.disks.verify_image(blob)?,
            Action::CreateVolume { volume, size_bytes, base } => {
                self.disks.create_volume(*volume, *size_bytes, base.as_ref())?;
            }
            Action::GrowVolume { volume, size_bytes } => self.disks.grow_volume(*volume, *size_bytes)?,
            Action::GrowRunning { instance, volume, size_bytes } => {
                let path = self.host.data.volume_file(*volume);
                self.hypervisor.grow_disk(*instance, &path, *size_bytes)?;
            }
            Action::DeleteVolume(uid) => self.disks.delete_volume(*uid)?,
            Action::CaptureVolume { volume, image } => self.disks.make_capture(*volume, *image)?,
            Action::SendCapture { volume, epoch, image } => {
                self.disks.send_capture(*volume, *epoch, *image)?;
            }
            Action::DropCapture { volume, image } => self.disks.drop_capture(*volume, *image)?,
            Action::CreateRunDir(uid) => self.disks.create_run_dir(*uid)?,
            Action::WriteSeed(uid, shared) => self.disks.write_seed(*uid, shared.seed())?,
            Action::Define(guest) => {
                self.hypervisor.define(guest)?;
                self.ledger.lock().release_former_volumes(guest.uuid)?;
            }
            Action::RecordPower(uid, record) => self.ledger.lock().record_power(*uid, record.clone())?,
            Action::Start(uid) => self.hypervisor.start(*uid)?,
            Action::Resume(uid) => self.hypervisor.resume(*uid)?,
            Action::PressPowerButton(uid, _) => self.hypervisor.press_power_button(*uid)?,
            Action::PowerOff(uid) => self.hypervisor.power_off(*uid)?,
            Action::Undefine(uid) => self.hypervisor.undefine(*uid)?,
            Action::RemoveSeed(uid) => self.disks.remove_seed(*uid)?,
            Action::RemoveRunDir(uid) => self.disks.remove_run_dir(*uid)?,
        }
        Ok(())
    }
}
