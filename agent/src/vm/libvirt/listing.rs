//! What domains there are, in what state.

use super::failure::Failure;
use super::handle::Handle;
use super::link::Link;
use crate::vm::definition::{DefinedFrom, NAMESPACE};
use crate::vm::{Domain, OffCause};
use std::collections::BTreeSet;
use uuid::Uuid;
use virt::error::{Error, ErrorNumber};
use virt::sys;

#[cfg(test)]
mod tests;

/// Every domain of the host.
pub(super) fn domains(link: &Link) -> Result<Vec<Domain>, Failure> {
    // All into handles first: an error half-way must not leave the rest to virt's destructor.
    let handles: Vec<Handle> = link.connect().list_all_domains(0)?.into_iter().map(Handle::new).collect();
    describe_all(link, &handles)
}

/// Of these domains, those that are here.
pub(super) fn domains_among(link: &Link, uuids: &BTreeSet<Uuid>) -> Result<Vec<Domain>, Failure> {
    let mut handles = Vec::with_capacity(uuids.len());
    for uuid in uuids {
        match virt::domain::Domain::lookup_by_uuid(link.connect(), *uuid) {
            Ok(domain) => handles.push(Handle::new(domain)),
            Err(error) if error.code() == ErrorNumber::NoDomain => {}
            Err(error) => return Err(error.into()),
        }
    }
    describe_all(link, &handles)
}

fn describe_all(link: &Link, handles: &[Handle]) -> Result<Vec<Domain>, Failure> {
    let mut domains = Vec::with_capacity(handles.len());
    for handle in handles {
        match describe(link, handle) {
            Ok(domain) => domains.push(domain),
            // Undefined since the list was made.
            Err(Described::Error(error)) if error.code() == ErrorNumber::NoDomain => {}
            Err(Described::Error(error)) => return Err(error.into()),
            Err(Described::Failure(failure)) => return Err(failure),
        }
    }
    Ok(domains)
}

enum Described {
    Error(Error),
    Failure(Failure),
}

impl From<Error> for Described {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

fn describe(link: &Link, handle: &Handle) -> Result<Domain, Described> {
    let (state, reason) = handle.get_state()?;
    let kind = i32::try_from(sys::VIR_DOMAIN_METADATA_ELEMENT).unwrap_or(-1);
    // Flags 0: of the running guest what it runs as, of one that is off what it would start as.
    let definition = match handle.get_metadata(kind, Some(NAMESPACE), 0) {
        Ok(element) => match DefinedFrom::read(&element) {
            Some(origin) => Some(origin.as_seen_from(&link.host().map_err(Described::Failure)?.facts)),
            None => None,
        },
        Err(error) if error.code() == ErrorNumber::NoDomainMetadata => None,
        Err(error) => return Err(error.into()),
    };
    let (running, off_cause) = power(state, reason);
    let paused = state == sys::VIR_DOMAIN_PAUSED;
    let (uuid, name) = (handle.get_uuid()?, handle.get_name()?);
    Ok(Domain { uuid, name, running, paused, off_cause, definition })
}

/// libvirt's state and reason in our terms.
fn power(state: sys::virDomainState, reason: i32) -> (bool, Option<OffCause>) {
    match state {
        sys::VIR_DOMAIN_CRASHED => (false, Some(OffCause::Crashed)),
        sys::VIR_DOMAIN_SHUTOFF => (false, off_cause(reason)),
        // Running, blocked, paused, shutting down, suspended: there is a QEMU, and its disks are open.
        _ => (true, None),
    }
}

fn off_cause(reason: i32) -> Option<OffCause> {
    match sys::virDomainShutoffReason::try_from(reason).ok()? {
        sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN => Some(OffCause::Shutdown),
        sys::VIR_DOMAIN_SHUTOFF_DESTROYED => Some(OffCause::Destroyed),
        // DAEMON: libvirtd came back and found the QEMU gone. One whose guest shuts down waits for libvirtd.
        sys::VIR_DOMAIN_SHUTOFF_CRASHED | sys::VIR_DOMAIN_SHUTOFF_FAILED | sys::VIR_DOMAIN_SHUTOFF_DAEMON => {
            Some(OffCause::Crashed)
        }
        // Unknown, or it went on elsewhere (migrated, saved, restored).
        _ => None,
    }
}
