//! One connection to libvirt, from opening to closing.

use super::events::{Listener, Subscription};
use super::failure::Failure;
use crate::vm::definition::Facts;
use crate::vm::virtualization::{self, HostFacts};
use crate::vm::{Survey, firmware};
use std::fmt;
use std::sync::{Arc, OnceLock};
use virt::connect::Connect;
use virt::error::Error;

/// Seconds between two keepalive messages.
const KEEPALIVE_INTERVAL_SECONDS: i32 = 5;
/// Unanswered keepalive messages after which a libvirtd is given up.
const KEEPALIVE_COUNT: u32 = 3;

/// What is known of the host behind a link. It holds for the life of the link: libvirtd itself looks once.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) survey: Survey,
    pub(super) facts: Facts,
}

/// An open connection with its callbacks. Dropping it ends both, and may wait for libvirtd: so it is never dropped
/// on libvirt's event thread.
pub(super) struct Link {
    connect: Connect,
    subscription: Subscription,
    epoch: u64,
    host: OnceLock<Host>,
}

impl Link {
    /// Opens the `epoch`th connection. A libvirtd that accepts and then hangs blocks this until it ends.
    pub(super) fn open(uri: &str, epoch: u64, listener: &Arc<dyn Listener>) -> Result<Self, Error> {
        let connect = Connect::open(Some(uri))?;
        // From here on an error drops the link, which closes what was opened.
        let mut link = Self { connect, subscription: Subscription::default(), epoch, host: OnceLock::new() };
        link.connect.set_keep_alive(KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_COUNT)?;
        link.subscription.begin(&link.connect, listener)?;
        Ok(link)
    }

    /// For calls.
    pub(super) fn connect(&self) -> &Connect {
        &self.connect
    }

    /// Counts the links of this process, to tell them apart.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the connection still carries calls, as far as is known without asking.
    pub(super) fn is_alive(&self) -> bool {
        self.connect.is_alive().unwrap_or(false)
    }

    /// The host behind it.
    pub(super) fn host(&self) -> Result<&Host, Failure> {
        if let Some(host) = self.host.get() {
            return Ok(host);
        }
        let host = self.look_at_host()?;
        Ok(self.host.get_or_init(|| host))
    }

    fn look_at_host(&self) -> Result<Host, Failure> {
        let capabilities = self.connect.get_capabilities()?;
        let found =
            HostFacts::gather(capabilities).map_err(|error| Failure::refused(format!("/proc: {error}")))?;
        let verdict = virtualization::decide(&found);
        let uefi = firmware::uefi_of_this_host();
        let survey = Survey {
            acceleration: verdict.acceleration,
            reason: verdict.reason,
            hypervisor_version: format!("QEMU {}", Version(self.connect.get_hyp_version()?)),
            libvirt_version: Version(self.connect.get_lib_version()?).to_string(),
            uefi: uefi.is_some(),
        };
        Ok(Host { survey, facts: Facts { acceleration: verdict.acceleration, uefi } })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.subscription.end(&self.connect);
        if let Err(error) = self.connect.close() {
            tracing::warn!(error = error.message(), "libvirt does not close a connection; it leaks");
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// libvirt's way to write versions: 7_002_022 is "7.2.22".
struct Version(u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0 / 1_000_000, self.0 / 1_000 % 1_000, self.0 % 1_000)
    }
}
