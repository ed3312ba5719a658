//! A hypervisor in memory, for tests of everything above it and for hundreds of hosts in one process.
//!
//! It keeps the same contract as the real one, idempotence included, and can be told to misbehave like it.

use super::{
    Acceleration, Bell, ChangedDomains, Domain, Guest, Hypervisor, HypervisorError, OffCause, Survey,
};
use crate::disk::Disks as _;
use crate::disk::simulated::SimulatedDisks;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// How simulated guests behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behaviour {
    /// How long [`Hypervisor::start`] takes. It blocks, as libvirt does.
    pub boot_delay: Duration,
    /// Guests do nothing when their power button is pressed.
    pub ignores_power_button: bool,
}

/// The hypervisor in memory.
#[derive(Debug)]
pub struct Simulated {
    behaviour: Behaviour,
    disks: Option<Arc<SimulatedDisks>>,
    state: Mutex<State>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct State {
    domains: BTreeMap<Uuid, Domain>,
    trouble: Option<String>,
}

impl Simulated {
    /// An empty host.
    pub fn new(behaviour: Behaviour) -> Self {
        Self { behaviour, disks: None, state: Mutex::default(), bell: Bell::new() }
    }

    /// An empty host whose disks are simulated, too.
    pub fn on(disks: Arc<SimulatedDisks>, behaviour: Behaviour) -> Self {
        Self { disks: Some(disks), ..Self::new(behaviour) }
    }

    /// From now on every call fails as unavailable for this reason; `None` ends that. Guests run on.
    pub fn set_trouble(&self, reason: Option<&str>) {
        self.lock().trouble = reason.map(str::to_owned);
        self.bell.ring_for_all();
    }

    /// Puts a domain here that no guest was defined for.
    pub fn add_foreign(&self, domain: Domain) {
        let uuid = domain.uuid;
        self.lock().domains.insert(uuid, domain);
        self.bell.ring_for(uuid);
    }

    /// A running guest ends by itself.
    pub fn end(&self, uuid: Uuid, cause: OffCause) {
        if let Some(domain) = self.lock().domains.get_mut(&uuid) {
            switch_off(domain, cause);
        }
        self.bell.ring_for(uuid);
    }

    /// The host restarts: all guests are off, and nobody knows why.
    pub fn reboot_host(&self) {
        for domain in self.lock().domains.values_mut() {
            (domain.running, domain.paused) = (false, false);
            domain.off_cause = None;
        }
        self.bell.ring_for_all();
    }

    /// Whether nothing has rung since [`Hypervisor::take_changed`] was last called.
    #[cfg(test)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.bell.is_quiet()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn available(&self) -> Result<MutexGuard<'_, State>, HypervisorError> {
        let state = self.lock();
        match &state.trouble {
            Some(reason) => Err(HypervisorError::Unavailable(reason.clone())),
            None => Ok(state),
        }
    }
}

impl Hypervisor for Simulated {
    fn survey(&self) -> Result<Survey, HypervisorError> {
        drop(self.available()?);
        Ok(Survey {
            acceleration: Acceleration::Emulation,
            reason: "this host is simulated: guests are not executed at all".into(),
            hypervisor_version: "simulated".into(),
            libvirt_version: "none".into(),
            uefi: true,
        })
    }

    fn domains(&self) -> Result<Vec<Domain>, HypervisorError> {
        Ok(self.available()?.domains.values().cloned().collect())
    }

    fn domains_among(&self, uuids: &BTreeSet<Uuid>) -> Result<Vec<Domain>, HypervisorError> {
        let state = self.available()?;
        Ok(uuids.iter().filter_map(|uuid| state.domains.get(uuid).cloned()).collect())
    }

    fn define(&self, guest: &Guest) -> Result<(), HypervisorError> {
        let mut state = self.available()?;
        let domain = state.domains.entry(guest.uuid).or_insert_with(|| Domain {
            uuid: guest.uuid,
            name: super::definition::domain_name(guest),
            running: false,
            paused: false,
            off_cause: None,
            definition: None,
        });
        domain.definition = Some(guest.digest());
        drop(state);
        self.bell.ring_for(guest.uuid);
        Ok(())
    }

    fn start(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        drop(self.available()?);
        thread::sleep(self.behaviour.boot_delay);
        let mut state = self.available()?;
        let Some(domain) = state.domains.get_mut(&uuid) else {
            return Err(HypervisorError::Refused {
                action: "start",
                uuid,
                cause: "it is not defined".into(),
            });
        };
        (domain.paused, domain.running) = (!domain.running || domain.paused, true);
        domain.off_cause = None;
        drop(state);
        self.bell.ring_for(uuid);
        Ok(())
    }

    fn resume(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        if let Some(domain) = self.available()?.domains.get_mut(&uuid) {
            domain.paused = false;
        }
        self.bell.ring_for(uuid);
        Ok(())
    }

    fn press_power_button(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        let mut state = self.available()?;
        match state.domains.get_mut(&uuid) {
            Some(domain) if !self.behaviour.ignores_power_button => switch_off(domain, OffCause::Shutdown),
            _ => {}
        }
        drop(state);
        self.bell.ring_for(uuid);
        Ok(())
    }

    fn power_off(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        let mut state = self.available()?;
        if let Some(domain) = state.domains.get_mut(&uuid) {
            switch_off(domain, OffCause::Destroyed);
        }
        drop(state);
        self.bell.ring_for(uuid);
        Ok(())
    }

    fn grow_disk(&self, uuid: Uuid, path: &Path, size_bytes: u64) -> Result<(), HypervisorError> {
        let refused = |cause: String| HypervisorError::Refused { action: "grow a disk", uuid, cause };
        let state = self.available()?;
        if !state.domains.get(&uuid).is_some_and(|domain| domain.running) {
            return Err(refused("it is not running".into()));
        }
        let volume = path.file_stem().and_then(|stem| Uuid::try_parse(stem.to_str()?).ok());
        let grown = match (&self.disks, volume) {
            (Some(disks), Some(volume)) => disks.grow_volume(volume, size_bytes),
            _ => crate::disk::volume::grow(path, size_bytes),
        };
        grown.map_err(|error| refused(error.to_string()))
    }

    /// A screen that shows nothing: its other end is closed.
    fn open_screen(&self, uuid: Uuid) -> Result<Option<UnixStream>, HypervisorError> {
        let state = self.available()?;
        if !state.domains.get(&uuid).is_some_and(|domain| domain.running) {
            return Ok(None);
        }
        let refused = |cause: std::io::Error| HypervisorError::Refused {
            action: "show the screen",
            uuid,
            cause: cause.to_string(),
        };
        UnixStream::pair().map(|(ours, _)| Some(ours)).map_err(refused)
    }

    fn undefine(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        let mut state = self.available()?;
        if state.domains.get(&uuid).is_some_and(|domain| domain.running) {
            return Err(HypervisorError::Refused { action: "undefine", uuid, cause: "it is running".into() });
        }
        state.domains.remove(&uuid);
        drop(state);
        self.bell.ring_for(uuid);
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    fn take_changed(&self) -> ChangedDomains {
        self.bell.take_changed()
    }
}

fn switch_off(domain: &mut Domain, cause: OffCause) {
    if domain.running {
        (domain.running, domain.paused) = (false, false);
        domain.off_cause = Some(cause);
    }
}
