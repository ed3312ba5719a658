//! The real hypervisor: QEMU, through libvirt.
//!
//! ```text
//!            +------------- lost (close callback, or a call found out) ----------+
//!            v                                                                   |
//!   no link: calls fail at once --- opened, events subscribed (supervisor) ---> link: calls run
//! ```
//!
//! Invariants:
//! - At most one link carries new calls. A lost one is never repaired: the supervisor opens another.
//! - Every call ends: by libvirt's answer, by the keepalive (a libvirtd that hangs is given up after 20 s), or by its
//!   [`Patience`](call::Patience). A call that ended as `Unavailable` may still have had its effect.
//! - `virt`'s handles are never dropped by `virt` (which panics if libvirt objects), nor on libvirt's event thread.

use super::definition::{self, Undefinable};
use super::{ChangedDomains, Domain, Guest, Hypervisor, HypervisorError, Survey};
use call::{Lanes, Patience};
use failure::Failure;
use handle::Handle;
use link::Link;
use std::collections::BTreeSet;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;
use supervisor::Supervisor;
use tokio::sync::watch;
use uuid::Uuid;
use virt::error::{Error, ErrorNumber};
use virt::sys;

mod account;
mod call;
mod events;
mod failure;
mod handle;
mod link;
mod listing;
mod supervisor;
#[cfg(test)]
mod tests;

/// What a domain leaves behind at libvirt is forgotten with it.
const UNDEFINE_FLAGS: u32 = sys::VIR_DOMAIN_UNDEFINE_NVRAM
    | sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;

/// libvirt at one URI.
#[derive(Debug)]
pub struct Libvirt {
    supervisor: Supervisor,
    lanes: Lanes,
}

impl Libvirt {
    /// Begins to keep a connection to the libvirt at `uri` ("qemu:///system").
    ///
    /// Waits a few seconds for the first attempt to end, so that calls made right after find libvirt if it is there.
    /// That it is not there is no error here: it may come. Errors are this process's own, such as no more threads.
    pub fn connect(uri: &str) -> Result<Self, HypervisorError> {
        events::run_loop().map_err(HypervisorError::Unavailable)?;
        let supervisor =
            Supervisor::start(uri).map_err(|error| HypervisorError::Unavailable(error.to_string()))?;
        supervisor.await_first_attempt();
        Ok(Self { supervisor, lanes: Lanes::default() })
    }

    /// Does `work` over the current link, on a thread of its own so that it can be waited for with a bound.
    fn ask<T: Send + 'static>(
        &self,
        patience: Patience,
        work: impl FnOnce(&Link) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let outcome = self.supervisor.link().map_err(Failure::Unavailable).and_then(|link| {
            let epoch = link.epoch();
            let outcome = self.lanes.run(patience, move || {
                let outcome = work(&link);
                // Libvirt's own word on whether this was about the guest or about the connection.
                if outcome.is_ok() || link.is_alive() {
                    outcome
                } else {
                    outcome.map_err(Failure::blame_connection)
                }
            });
            let outcome = outcome.unwrap_or_else(|hung| Err(Failure::Unavailable(hung)));
            if let Err(Failure::Unavailable(reason)) = &outcome {
                self.supervisor.lose(epoch, reason);
            }
            outcome
        });
        outcome.map_err(|failure| failure.naming(self.supervisor.uri()))
    }

    /// Does `work` on one domain; `unknown` is the answer when libvirt does not know it.
    fn ask_domain<T: Send + 'static>(
        &self,
        action: &'static str,
        uuid: Uuid,
        unknown: Result<T, Failure>,
        work: impl FnOnce(&virt::domain::Domain) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, HypervisorError> {
        let begun = Instant::now();
        let asked = self.ask(Patience::Change, move |link| {
            match virt::domain::Domain::lookup_by_uuid(link.connect(), uuid) {
                Ok(domain) => work(&Handle::new(domain)),
                Err(error) if error.code() == ErrorNumber::NoDomain => unknown,
                Err(error) => Err(error.into()),
            }
        });
        let outcome = asked.map_err(|failure| failure.about(action, uuid));
        account::note(action, Some(uuid), begun, &outcome);
        outcome
    }
}

impl Hypervisor for Libvirt {
    fn survey(&self) -> Result<Survey, HypervisorError> {
        let host = self.ask(Patience::Query, |link| link.host().cloned());
        Ok(host.map_err(Failure::about_host)?.survey)
    }

    fn domains(&self) -> Result<Vec<Domain>, HypervisorError> {
        let begun = Instant::now();
        let outcome = self.ask(Patience::Query, listing::domains).map_err(Failure::about_host);
        account::note("list domains", None, begun, &outcome);
        outcome
    }

    fn domains_among(&self, uuids: &BTreeSet<Uuid>) -> Result<Vec<Domain>, HypervisorError> {
        let (uuids, begun) = (uuids.clone(), Instant::now());
        let looked = self.ask(Patience::Query, move |link| listing::domains_among(link, &uuids));
        let outcome = looked.map_err(Failure::about_host);
        account::note("look at domains", None, begun, &outcome);
        outcome
    }

    fn define(&self, guest: &Guest) -> Result<(), HypervisorError> {
        let (uuid, guest) = (guest.uuid, guest.clone());
        let begun = Instant::now();
        let defined = self.ask(Patience::Change, move |link| {
            let xml = definition::write(&guest, &link.host()?.facts)?;
            let flags = sys::VIR_DOMAIN_DEFINE_VALIDATE;
            let domain = virt::domain::Domain::define_xml_flags(link.connect(), &xml, flags)?;
            drop(Handle::new(domain));
            Ok(())
        });
        let outcome = defined.map_err(|failure| failure.about("define", uuid));
        account::note("define", Some(uuid), begun, &outcome);
        outcome
    }

    fn start(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.ask_domain("start", uuid, Err(Failure::refused("it is not defined")), |domain| {
            let paused = || domain.create_with_flags(sys::VIR_DOMAIN_START_PAUSED).map(drop);
            unless(domain.is_active()?, paused).or_else(|error| {
                // Somebody else was faster.
                if domain.is_active().unwrap_or(false) { Ok(()) } else { Err(error.into()) }
            })
        })
    }

    fn resume(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.ask_domain("resume", uuid, Ok(()), |domain| {
            let paused = domain.get_state()?.0 == sys::VIR_DOMAIN_PAUSED;
            unless(!paused, || domain.resume().map(drop)).or_else(|error| off_after_all(domain, error))
        })
    }

    fn press_power_button(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.ask_domain("press the power button", uuid, Ok(()), |domain| {
            let press = || domain.shutdown_flags(sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN).map(drop);
            unless(!domain.is_active()?, press).or_else(|error| off_after_all(domain, error))
        })
    }

    fn power_off(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.ask_domain("power off", uuid, Ok(()), |domain| {
            unless(!domain.is_active()?, || domain.destroy()).or_else(|error| off_after_all(domain, error))
        })
    }

    fn grow_disk(&self, uuid: Uuid, path: &Path, size_bytes: u64) -> Result<(), HypervisorError> {
        // Our paths are made of UUIDs below the data directory; libvirt takes text.
        let path = path.to_string_lossy().into_owned();
        let unknown = Err(Failure::refused("it is not defined"));
        self.ask_domain("grow a disk", uuid, unknown, move |domain| {
            domain.block_resize(&path, size_bytes, sys::VIR_DOMAIN_BLOCK_RESIZE_BYTES)?;
            Ok(())
        })
    }

    fn open_screen(&self, uuid: Uuid) -> Result<Option<UnixStream>, HypervisorError> {
        self.ask_domain("show the screen", uuid, Ok(None), |domain| {
            if !domain.is_active()? {
                return Ok(None);
            }
            let (ours, theirs) = UnixStream::pair().map_err(Failure::refused)?;
            // Who holds libvirt's socket could do anything to the guest: a password would protect nothing.
            domain.open_graphics(0, theirs.as_raw_fd(), sys::VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)?;
            Ok(Some(ours))
        })
    }

    fn undefine(&self, uuid: Uuid) -> Result<(), HypervisorError> {
        self.ask_domain("undefine", uuid, Ok(()), |domain| {
            // libvirt would make it transient: it would run on, and vanish without a trace at its end.
            if domain.is_active()? {
                return Err(Failure::refused("it is running"));
            }
            match domain.undefine_flags(UNDEFINE_FLAGS) {
                Err(error) if error.code() == ErrorNumber::NoDomain => Ok(()),
                outcome => Ok(outcome?),
            }
        })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.supervisor.changes()
    }

    fn take_changed(&self) -> ChangedDomains {
        self.supervisor.take_changed()
    }
}

fn unless(done: bool, act: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    if done { Ok(()) } else { act() }
}

/// The guest may end by itself between our look and our call.
fn off_after_all(domain: &virt::domain::Domain, error: Error) -> Result<(), Failure> {
    match domain.is_active() {
        Ok(false) => Ok(()),
        Err(gone) if gone.code() == ErrorNumber::NoDomain => Ok(()),
        _ => Err(error.into()),
    }
}

impl From<Undefinable> for Failure {
    fn from(cause: Undefinable) -> Self {
        Self::refused(cause)
    }
}
