//! Driving guests: what the agent needs from a hypervisor, and nothing more.
//!
//! [`libvirt`] is the real one and the only code of Rempart that knows `virt`; [`simulated`] exists for scale tests.
//! Calls block; `execute` runs them on a bounded blocking pool. A guest is named by the UUID of its SECA instance's
//! incarnation, never by anything a tenant chose.

mod bell;
pub mod definition;
pub mod firmware;
pub mod libvirt;
pub mod simulated;
pub mod virtualization;

pub(crate) use bell::Bell;
pub use bell::ChangedDomains;
use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What the agent asks of a hypervisor. Every call is idempotent: repeating it after a crash reaches the same state.
pub trait Hypervisor: Send + Sync + 'static {
    /// Asks the hypervisor what it is and can do.
    fn survey(&self) -> Result<Survey, HypervisorError>;
    /// Every domain on this host, ours or not.
    fn domains(&self) -> Result<Vec<Domain>, HypervisorError>;
    /// Of these domains, the ones that are here.
    fn domains_among(&self, uuids: &BTreeSet<Uuid>) -> Result<Vec<Domain>, HypervisorError>;
    /// Makes `guest` known without starting it; redefines it when it is known already.
    fn define(&self, guest: &Guest) -> Result<(), HypervisorError>;
    /// Gives a defined guest a QEMU, in which it does not execute until [`Hypervisor::resume`]. One that has a QEMU is
    /// left alone.
    fn start(&self, uuid: Uuid) -> Result<(), HypervisorError>;
    /// Lets a guest execute. One that does, or is off, is left alone.
    fn resume(&self, uuid: Uuid) -> Result<(), HypervisorError>;
    /// Presses the ACPI power button. The guest may take its time, or ignore it. An off guest is left alone.
    fn press_power_button(&self, uuid: Uuid) -> Result<(), HypervisorError>;
    /// Turns a guest off at once, as pulling the plug would. An off guest is left alone.
    fn power_off(&self, uuid: Uuid) -> Result<(), HypervisorError>;
    /// Makes the disk at `path` of a running guest larger; the file grows with it, and the guest sees it at once. A disk
    /// that has the size is left alone. An off guest is refused: its file is nobody's but ours.
    fn grow_disk(&self, uuid: Uuid, path: &Path, size_bytes: u64) -> Result<(), HypervisorError>;
    /// A new connection to a running guest's screen, as a VNC client has one after its password. None while it is off.
    fn open_screen(&self, uuid: Uuid) -> Result<Option<UnixStream>, HypervisorError>;
    /// Forgets a guest that is off, with its firmware variables. An unknown guest is fine.
    fn undefine(&self, uuid: Uuid) -> Result<(), HypervisorError>;
    /// A bell: rings (at least once) after any domain changed state, and when the connection was lost or came back.
    /// It carries nothing: whoever hears it asks [`Hypervisor::take_changed`], and looks again.
    fn changes(&self) -> tokio::sync::watch::Receiver<u64>;
    /// Which domains have rung since this was last called. For one caller only.
    fn take_changed(&self) -> ChangedDomains;
}

/// What a host's hypervisor really offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Whether guests run on the CPU or are emulated.
    pub acceleration: Acceleration,
    /// Why, in an operator's words.
    pub reason: String,
    /// "QEMU 7.2.22"
    pub hypervisor_version: String,
    /// "9.0.0"
    pub libvirt_version: String,
    /// Firmware for UEFI guests was found.
    pub uefi: bool,
}

/// How guest instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceleration {
    /// By the CPU, through KVM.
    Kvm,
    /// By QEMU's software emulation (TCG): complete but slow.
    Emulation,
}

/// A domain as the hypervisor shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// The domain's UUID.
    pub uuid: Uuid,
    /// The domain's name.
    pub name: String,
    /// Whether it executes, or is paused on its way to or from executing.
    pub running: bool,
    /// Whether it is paused: there is a QEMU, in which nothing executes.
    pub paused: bool,
    /// Why it is off, where the hypervisor still knows.
    pub off_cause: Option<OffCause>,
    /// [`Guest::digest`] of the definition we made it from; `None` for a domain that is not ours.
    pub definition: Option<String>,
}

/// Why a domain is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffCause {
    /// The guest shut itself down (also after our ACPI button).
    Shutdown,
    /// It was turned off from outside.
    Destroyed,
    /// QEMU or the guest failed.
    Crashed,
}

/// A guest in the hypervisor's terms: hardware that was allocated once, with the host paths behind it.
/// The domain definition derives from it and from nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// UUID of the domain: the instance's uid.
    pub uuid: Uuid,
    /// Versioned machine type: "pc-q35-7.2".
    pub machine: String,
    /// Named CPU model.
    pub cpu_model: String,
    /// What starts the guest.
    pub firmware: Firmware,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disks, boot disk first.
    pub disks: Vec<GuestDisk>,
    /// The NoCloud seed, read-only.
    pub seed: PathBuf,
    /// Directory, for libvirt to write, of this guest's serial log (`serial.log`), serial socket (`serial.sock`) and
    /// firmware variables (`nvram.fd`). At most 95 bytes: a unix socket's path is short.
    pub run_dir: PathBuf,
}

/// What starts a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF, without secure boot.
    Uefi,
}

/// A virtio-blk disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestDisk {
    /// The qcow2 file.
    pub path: PathBuf,
    /// 0-based index of the PCIe root port that carries it, below [`definition::SLOTS`]; kept for the life of the
    /// attachment.
    pub slot: u32,
    /// Serial the guest sees, at most 20 characters.
    pub serial: String,
}

/// Why a hypervisor did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HypervisorError {
    /// The hypervisor service does not answer; guests may well be running. Retry when [`Hypervisor::changes`] rings.
    #[error("the hypervisor service does not answer: {0}")]
    Unavailable(String),
    /// It answered, and refused.
    #[error("{action} of domain {uuid} failed: {cause}")]
    Refused {
        /// What was asked: "start".
        action: &'static str,
        /// Of which domain.
        uuid: Uuid,
        /// The hypervisor's own words.
        cause: String,
    },
}
