//! A hypervisor for tests that counts what it is asked, and fails when told to.

use crate::vm::{Acceleration, Domain, Guest, Hypervisor, HypervisorError, OffCause, Survey};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct StageHypervisor {
    domains: Mutex<BTreeMap<Uuid, Domain>>,
    bell: watch::Sender<u64>,
    answers: AtomicBool,
    refuses_starts: AtomicBool,
    attempts: AtomicUsize,
    starts: AtomicUsize,
    presses: AtomicUsize,
}

impl StageHypervisor {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            domains: Mutex::default(),
            bell: watch::channel(0).0,
            answers: true.into(),
            refuses_starts: false.into(),
            attempts: 0.into(),
            starts: 0.into(),
            presses: 0.into(),
        })
    }

    pub(crate) fn domain(&self, uuid: Uuid) -> Option<Domain> {
        self.domains.lock().unwrap().get(&uuid).cloned()
    }

    pub(crate) fn add_foreign(&self, uuid: Uuid) {
        let domain =
            Domain { uuid, name: "foreign".into(), running: true, off_cause: None, definition: None };
        self.domains.lock().unwrap().insert(uuid, domain);
        self.ring();
    }

    pub(crate) fn go_off(&self, uuid: Uuid, cause: OffCause) {
        if let Some(domain) = self.domains.lock().unwrap().get_mut(&uuid).filter(|domain| domain.running) {
            (domain.running, domain.off_cause) = (false, Some(cause));
        }
        self.ring();
    }

    pub(crate) fn ring(&self) {
        self.bell.send_modify(|count| *count += 1);
    }

    pub(crate) fn answer(&self, answers: bool) {
        self.answers.store(answers, SeqCst);
        self.ring();
    }

    pub(crate) fn refuse_starts(&self, refuses: bool) {
        self.refuses_starts.store(refuses, SeqCst);
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

    fn check(&self) -> Result<(), HypervisorError> {
        let away = || HypervisorError::Unavailable("told not to answer".into());
        self.answers.load(SeqCst).then_some(()).ok_or_else(away)
    }
}

impl Hypervisor for StageHypervisor {
    fn survey(&self) -> Result<Survey, HypervisorError> {
        self.check()?;
        Ok(Survey {
            acceleration: Acceleration::Emulation,
            reason: "a test".into(),
            hypervisor_version: "stage 1".into(),
            libvirt_version: "0".into(),
            uefi: false,
        })
    }

    fn domains(&self) -> Result<Vec<Domain>, HypervisorError> {
        self.check()?;
        Ok(self.domains.lock().unwrap().values().cloned().collect())
    }

    fn define(&self, guest: &Guest) -> Result<(), HypervisorError> {
        self.check()?;
        for disk in &guest.disks {
            assert!(disk.path.is_file() && guest.seed.is_file() && guest.run_dir.is_dir());
        }
        let mut domains = self.domains.lock().unwrap();
        let former = domains.get(&guest.uuid);
        assert!(!former.is_some_and(|domain| domain.running), "redefined while running");
        let off_cause = former.and_then(|domain| domain.off_cause);
        let (uuid, name, definition) = (guest.uuid, guest.uuid.to_string(), Some(guest.digest()));
        domains.insert(uuid, Domain { uuid, name, running: false, off_cause, definition });
        Ok(())
    }

    fn start(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.check()?;
        self.attempts.fetch_add(1, SeqCst);
        if self.refuses_starts.load(SeqCst) {
            self.ring();
            return Err(HypervisorError::Refused { action: "start", uuid, cause: "told to refuse".into() });
        }
        let mut domains = self.domains.lock().unwrap();
        let domain = domains.get_mut(&uuid).expect("started before it was defined");
        if !domain.running {
            self.starts.fetch_add(1, SeqCst);
            (domain.running, domain.off_cause) = (true, None);
        }
        drop(domains);
        self.ring();
        Ok(())
    }

    fn press_power_button(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.check()?;
        self.presses.fetch_add(1, SeqCst);
        self.go_off(uuid, OffCause::Shutdown);
        Ok(())
    }

    fn power_off(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.check()?;
        self.go_off(uuid, OffCause::Destroyed);
        Ok(())
    }

    fn undefine(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.check()?;
        self.domains.lock().unwrap().remove(&uuid);
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }
}
