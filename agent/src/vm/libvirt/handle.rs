//! Owning a libvirt domain object without `virt`'s destructor.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use virt::domain::Domain;

/// A domain object that is freed like `virt`'s own, but does not panic if libvirt objects: that would take a thread
/// (or, while another panic unwinds, the agent) down for a leak of some bytes.
#[derive(Debug)]
pub(super) struct Handle(ManuallyDrop<Domain>);

impl Handle {
    pub(super) fn new(domain: Domain) -> Self {
        Self(ManuallyDrop::new(domain))
    }
}

impl Deref for Handle {
    type Target = Domain;
    fn deref(&self) -> &Domain {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.0.free() {
            tracing::warn!(error = error.message(), "libvirt does not free a domain object; it leaks");
        }
    }
}
