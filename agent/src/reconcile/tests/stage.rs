//! The simulated hypervisor, which counts here what it is asked and looks whether it may be asked that.

use crate::vm::simulated::{Behaviour, Simulated};
use crate::vm::{ChangedDomains, Domain, Guest, Hypervisor, HypervisorError, OffCause, Survey};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use tokio::sync::watch;
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct StageHypervisor {
    simulated: Simulated,
    refuses_starts: AtomicBool,
    attempts: AtomicUsize,
    starts: AtomicUsize,
    presses: AtomicUsize,
}

impl StageHypervisor {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            simulated: Simulated::new(Behaviour::default()),
            refuses_starts: false.into(),
            attempts: 0.into(),
            starts: 0.into(),
            presses: 0.into(),
        })
    }

    pub(crate) fn domain(&self, uuid: Uuid) -> Option<Domain> {
        self.simulated.domains().unwrap().into_iter().find(|domain| domain.uuid == uuid)
    }

    fn is_running(&self, uuid: Uuid) -> bool {
        self.domain(uuid).is_some_and(|domain| domain.running)
    }

    pub(crate) fn add_foreign(&self, uuid: Uuid) {
        let name = "foreign".into();
        self.simulated.add_foreign(Domain {
            uuid,
            name,
            running: true,
            paused: false,
            off_cause: None,
            definition: None,
        });
    }

    pub(crate) fn go_off(&self, uuid: Uuid, cause: OffCause) {
        self.simulated.end(uuid, cause);
    }

    pub(crate) fn answer(&self, answers: bool) {
        self.simulated.set_trouble((!answers).then_some("told not to answer"));
    }

    pub(crate) fn refuse_starts(&self, refuses: bool) {
        self.refuses_starts.store(refuses, SeqCst);
    }

    /// Rings as after any domain changed.
    pub(crate) fn ring(&self) {
        self.answer(true);
    }

    /// Starts asked for, whatever came of them.
    pub(crate) fn attempts(&self) -> usize {
        self.attempts.load(SeqCst)
    }

    /// Guests that went from off to on.
    pub(crate) fn starts(&self) -> usize {
        self.starts.load(SeqCst)
    }

    pub(crate) fn presses(&self) -> usize {
        self.presses.load(SeqCst)
    }
}

impl Hypervisor for StageHypervisor {
    fn survey(&self) -> Result<Survey, HypervisorError> {
        self.simulated.survey()
    }

    fn domains(&self) -> Result<Vec<Domain>, HypervisorError> {
        self.simulated.domains()
    }

    fn domains_among(&self, uuids: &BTreeSet<Uuid>) -> Result<Vec<Domain>, HypervisorError> {
        self.simulated.domains_among(uuids)
    }

    fn define(&self, guest: &Guest) -> Result<(), HypervisorError> {
        assert!(guest.disks.iter().all(|disk| disk.path.is_file()), "defined before its disks were made");
        assert!(guest.seed.is_file() && guest.run_dir.is_dir(), "defined before its seed was written");
        assert!(!self.is_running(guest.uuid), "redefined while running");
        self.simulated.define(guest)
    }

    fn start(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.attempts.fetch_add(1, SeqCst);
        if self.refuses_starts.load(SeqCst) {
            // A guest that fails to start changes its state twice.
            self.ring();
            return Err(HypervisorError::Refused { action: "start", uuid, cause: "told to refuse".into() });
        }
        self.starts.fetch_add(usize::from(!self.is_running(uuid)), SeqCst);
        self.simulated.start(uuid)
    }

    fn resume(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.simulated.resume(uuid)
    }

    fn press_power_button(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.presses.fetch_add(1, SeqCst);
        self.simulated.press_power_button(uuid)
    }

    fn power_off(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.simulated.power_off(uuid)
    }

    fn grow_disk(&self, uuid: Uuid, path: &std::path::Path, size_bytes: u64) -> Result<(), HypervisorError> {
        self.simulated.grow_disk(uuid, path, size_bytes)
    }

    fn open_screen(&self, uuid: Uuid) -> Result<Option<std::os::unix::net::UnixStream>, HypervisorError> {
        self.simulated.open_screen(uuid)
    }

    fn undefine(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.simulated.undefine(uuid)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.simulated.changes()
    }

    fn take_changed(&self) -> ChangedDomains {
        self.simulated.take_changed()
    }
}
