//! A [`Guest`] as a libvirt domain.
//!
//! Invariants:
//! - The document derives from the guest and [`Facts`] about the host alone: libvirt is left nothing to choose that
//!   a guest could notice, so a QEMU upgrade or a move to another host changes nothing inside.
//! - It is made of typed elements and never of formatted strings: no value becomes structure. What XML cannot carry
//!   at all is refused here, before libvirt (whose binding would panic on a NUL) sees it.
//! - The format of every disk is stated. Nothing listens but unix sockets.

use super::{Acceleration, Firmware, Guest, GuestDisk};
use devices::{
    Audio, Balloon, Boot, Controller, Devices, Disk, DiskDriver, DiskTarget, File, Graphics, Input, Listen,
    Log, Named, PortTarget, Rng, RngBackend, Serial, SerialTarget, SocketSource, Video, VideoModel,
};
use domain::{
    Clock, Cpu, CpuModel, Domain, Empty, Enabled, Features, Loader, Mebibytes, Metadata, Nvram, Origin, Os,
    OsType, PowerManagement, State, Timer, Topology, Vcpu,
};
use pci::Port;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

mod devices;
mod digest;
mod domain;
mod origin;
mod pci;
#[cfg(test)]
mod tests;

pub(crate) use domain::NAMESPACE;
pub use origin::DefinedFrom;
pub use pci::{SLOTS, target_name};

/// What `sockaddr_un` holds, less its final NUL.
const UNIX_PATH_MAX_BYTES: usize = 107;
/// What virtio-blk shows a guest.
const DISK_SERIAL_MAX_BYTES: usize = 20;
/// The serial a guest sees on its seed; no volume's serial (derived from a UUID) is equal.
const SEED_SERIAL: &str = "rempart-seed";

/// Facts about a host that its guests' definitions depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// How guest instructions are executed.
    pub acceleration: Acceleration,
    /// Firmware for UEFI guests, if there is one.
    pub uefi: Option<UefiImage>,
}

/// OVMF on this host, without secure boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UefiImage {
    /// The code, mapped read-only.
    pub code: PathBuf,
    /// What a guest's variables start as.
    pub variables_template: PathBuf,
}

/// Why a guest cannot be defined, whatever the hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undefinable {
    /// XML 1.0 has no way to write some characters, nor bytes that are not text.
    #[error("{field} holds a character that a domain definition cannot carry")]
    Unwritable {
        /// Of the guest.
        field: &'static str,
    },
    /// The kernel would refuse to bind it.
    #[error("the socket path {path:?} is longer than {UNIX_PATH_MAX_BYTES} bytes")]
    SocketPath {
        /// As it would have been.
        path: PathBuf,
    },
    /// The address map is that of q35; an unversioned name changes its meaning when QEMU is upgraded.
    #[error("machine type {0:?} is not a versioned q35")]
    Machine(String),
    /// No such PCI slot.
    #[error("slot {0} does not exist: a guest has {max}", max = SLOTS)]
    Slot(u32),
    /// Two devices, one slot.
    #[error("slot {0} is given twice")]
    SlotTaken(u32),
    /// QEMU would cut it.
    #[error("disk serial {0:?} is longer than {DISK_SERIAL_MAX_BYTES} bytes")]
    Serial(String),
    /// A UEFI guest on a host without OVMF.
    #[error("this host has no UEFI firmware")]
    NoUefi,
    /// Should not happen.
    #[error("the domain definition cannot be written: {0}")]
    Document(String),
}

/// Name of a guest's domain.
pub fn domain_name(guest: &Guest) -> String {
    format!("rempart-{}", guest.uuid)
}

/// Writes the domain document of `guest` on a host with `facts`.
pub fn write(guest: &Guest, facts: &Facts) -> Result<String, Undefinable> {
    let definition = guest.digest();
    let host = facts.digest();
    let loader = match (guest.firmware, &facts.uefi) {
        (Firmware::Bios, _) => None,
        (Firmware::Uefi, Some(image)) => Some(image),
        (Firmware::Uefi, None) => return Err(Undefinable::NoUefi),
    };
    let memory = || Mebibytes { unit: "MiB", value: guest.memory_mib };
    let document = Domain {
        kind: match facts.acceleration {
            Acceleration::Kvm => "kvm",
            Acceleration::Emulation => "qemu",
        },
        name: domain_name(guest),
        uuid: guest.uuid.to_string(),
        metadata: Metadata { origin: Origin { namespace: NAMESPACE, definition: &definition, host: &host } },
        memory: memory(),
        current_memory: memory(),
        vcpu: Vcpu { placement: "static", count: guest.vcpus },
        os: os(guest, loader)?,
        features: Features { acpi: Empty {}, apic: Empty {}, vmport: State { state: "off" } },
        cpu: Cpu {
            mode: "custom",
            matching: "exact",
            check: "none",
            model: CpuModel { fallback: "forbid", name: writable("cpu_model", &guest.cpu_model)? },
            // One socket: some guests are licensed for no more.
            topology: Topology { sockets: 1, dies: 1, cores: guest.vcpus, threads: 1 },
        },
        clock: Clock {
            offset: "utc",
            timer: vec![
                Timer { name: "rtc", tick_policy: Some("catchup"), present: None },
                Timer { name: "pit", tick_policy: Some("delay"), present: None },
                Timer { name: "hpet", tick_policy: None, present: Some("no") },
            ],
        },
        on_poweroff: "destroy",
        on_reboot: "restart",
        on_crash: "destroy",
        // A guest that suspends itself would look like one that hangs: only the outside can wake it.
        pm: PowerManagement {
            suspend_to_memory: Enabled { enabled: "no" },
            suspend_to_disk: Enabled { enabled: "no" },
        },
        devices: devices(guest)?,
    };
    print(&document)
}

fn os<'a>(guest: &'a Guest, uefi: Option<&'a UefiImage>) -> Result<Os<'a>, Undefinable> {
    // "pc-q35-" and a version; "q35" and "pc-q35" without one mean whatever QEMU is installed.
    if !guest.machine.starts_with("pc-q35-") {
        return Err(Undefinable::Machine(guest.machine.clone()));
    }
    let machine = writable("machine", &guest.machine)?;
    let (loader, nvram) = match uefi {
        None => (None, None),
        Some(image) => (
            Some(Loader {
                read_only: "yes",
                secure: "no",
                kind: "pflash",
                path: writable_path("UEFI code", &image.code)?,
            }),
            Some(Nvram {
                template: writable_path("UEFI variables", &image.variables_template)?,
                path: in_run_dir(guest, "nvram.fd")?,
            }),
        ),
    };
    Ok(Os { kind: OsType { architecture: "x86_64", machine, kind: "hvm" }, loader, nvram })
}

fn devices(guest: &Guest) -> Result<Devices<'_>, Undefinable> {
    let mut taken = BTreeSet::new();
    let mut disks = Vec::with_capacity(guest.disks.len() + 1);
    for (position, disk) in guest.disks.iter().enumerate() {
        if !taken.insert(disk.slot) {
            return Err(Undefinable::SlotTaken(disk.slot));
        }
        disks.push(volume(disk, (position == 0).then_some(Boot { order: 1 }))?);
    }
    disks.push(seed(&guest.seed)?);
    let input = |kind| Input { kind, bus: "ps2" };
    Ok(Devices {
        controller: controllers(taken.last().copied().unwrap_or_default()),
        disk: disks,
        serial: Serial {
            kind: "unix",
            source: SocketSource { mode: "bind", path: socket_in_run_dir(guest, "serial.sock")? },
            log: Log { path: in_run_dir(guest, "serial.log")?, append: "on" },
            target: SerialTarget { kind: "isa-serial", port: 0, model: Named { name: "isa-serial" } },
        },
        input: vec![input("mouse"), input("keyboard")],
        // A socket in libvirt's own directory: QEMU binds it by itself, and its user may write nowhere else. Who is
        // to see the screen gets a file descriptor from libvirt (virDomainOpenGraphicsFD).
        graphics: Graphics { kind: "vnc", listen: Listen { kind: "socket" } },
        audio: Audio { id: 1, kind: "none" },
        video: Video {
            model: VideoModel { kind: "vga", video_memory_kib: 16 * 1024, heads: 1, primary: "yes" },
            address: pci::video_address(),
        },
        rng: Rng {
            model: "virtio",
            backend: RngBackend { model: "random", path: "/dev/urandom" },
            address: Port::RNG.address_behind(),
        },
        memballoon: Balloon { model: "virtio", address: Port::BALLOON.address_behind() },
    })
}

fn controllers(highest_slot: u32) -> Vec<Controller> {
    let bare =
        |kind, index, model| Controller { kind, index, model, hardware: None, target: None, address: None };
    let port = |port: Port| Controller {
        hardware: Some(Named { name: "pcie-root-port" }),
        // Chassis and bus number are the same count; 0 is not allowed for either.
        target: Some(PortTarget { chassis: port.bus(), port: format!("{:#04x}", port.number()) }),
        address: Some(port.address()),
        ..bare("pci", Some(port.bus()), "pcie-root-port")
    };
    [bare("usb", None, "none"), bare("pci", Some(0), "pcie-root")]
        .into_iter()
        .chain(Port::all(highest_slot).map(port))
        .collect()
}

fn volume(disk: &GuestDisk, boot: Option<Boot>) -> Result<Disk<'_>, Undefinable> {
    if disk.serial.len() > DISK_SERIAL_MAX_BYTES {
        return Err(Undefinable::Serial(disk.serial.clone()));
    }
    let port = Port::of_slot(disk.slot).ok_or(Undefinable::Slot(disk.slot))?;
    Ok(Disk {
        kind: "file",
        device: "disk",
        driver: DiskDriver { name: "qemu", format: "qcow2", cache: "none", discard: Some("unmap") },
        source: File { path: writable_path("disk path", &disk.path)? },
        target: DiskTarget { name: target_name(disk.slot), bus: "virtio" },
        readonly: None,
        serial: writable("disk serial", &disk.serial)?,
        boot,
        address: port.address_behind(),
    })
}

fn seed(path: &Path) -> Result<Disk<'_>, Undefinable> {
    Ok(Disk {
        kind: "file",
        device: "disk",
        driver: DiskDriver { name: "qemu", format: "raw", cache: "none", discard: None },
        source: File { path: writable_path("seed path", path)? },
        // The name after the last slot's.
        target: DiskTarget { name: target_name(SLOTS), bus: "virtio" },
        readonly: Some(Empty {}),
        serial: SEED_SERIAL,
        boot: None,
        address: Port::SEED.address_behind(),
    })
}

fn in_run_dir(guest: &Guest, file: &str) -> Result<String, Undefinable> {
    writable_path("run_dir", &guest.run_dir.join(file)).map(str::to_owned)
}

fn socket_in_run_dir(guest: &Guest, file: &str) -> Result<String, Undefinable> {
    let path = in_run_dir(guest, file)?;
    if path.len() > UNIX_PATH_MAX_BYTES {
        return Err(Undefinable::SocketPath { path: path.into() });
    }
    Ok(path)
}

fn writable_path<'a>(field: &'static str, path: &'a Path) -> Result<&'a str, Undefinable> {
    writable(field, path.to_str().ok_or(Undefinable::Unwritable { field })?)
}

/// Lets through what is a `Char` of XML 1.0: the rest is not well-formed even as a character reference.
fn writable<'a>(field: &'static str, text: &'a str) -> Result<&'a str, Undefinable> {
    let allowed = |c: char| match c {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => c >= ' ',
    };
    if text.chars().all(allowed) { Ok(text) } else { Err(Undefinable::Unwritable { field }) }
}

fn print(document: &Domain<'_>) -> Result<String, Undefinable> {
    let mut xml = String::new();
    let mut serializer = quick_xml::se::Serializer::new(&mut xml);
    serializer.indent(' ', 2);
    // Full: even "]]>" in text, which would pass for well-formed with some parsers only.
    serializer.set_quote_level(quick_xml::se::QuoteLevel::Full);
    document.serialize(serializer).map_err(|error| Undefinable::Document(error.to_string()))?;
    Ok(xml)
}
