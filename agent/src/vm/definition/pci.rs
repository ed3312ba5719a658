//! Where every device of a guest sits, for ever.
//!
//! ```text
//! pcie.0  00      host bridge                        (q35's own)
//!         01      VGA
//!         03.0-7  root ports of slots 0-7
//!         04.0-7  root ports of slots 8-15, and so on
//!         ...
//!         0d.0-7  root ports of slots 80-87
//!         1a.0-2  root ports of the system: seed, rng, balloon
//!         0e-19   free; for system ports to come
//!         1f      LPC bridge, SATA, SMBus            (q35's own)
//! ```
//!
//! A slot's address follows from its number alone, so attaching or detaching a device moves no other. Ports are made
//! in whole groups of eight, and no more groups than needed: under emulation each port adds about 0.15 s to a
//! guest's boot. A group that comes later lies behind all the others, so that firmware, which counts buses in this
//! order, gives the earlier ones the numbers they had: a guest's `enp5s0` keeps its name.

use serde::Serialize;

/// Slots for a guest's disks and network interfaces: [`crate::vm::GuestDisk::slot`] is below this.
///
/// SECA allows 64 data volumes and 17 interfaces; a boot disk makes 82. Rounded up to whole groups.
pub const SLOTS: u32 = 88;

/// Ports kept free behind the highest slot in use, since a root port cannot be hot-plugged itself: so many devices
/// can be attached to a running guest (up to [`SLOTS`]); more need a restart.
const HOT_PLUG_RESERVE: u32 = 4;

const PORTS_PER_GROUP: u32 = 8;
const SYSTEM_PORTS: u32 = 3;
/// Behind all slots: Linux names disks in this order, and the boot disk is expected to be `/dev/vda`.
const SYSTEM_DEVICE: u32 = 0x1a;
const FIRST_SLOT_DEVICE: u32 = 0x03;

/// A PCI Express root port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Port {
    device: u32,
    function: u32,
    /// libvirt's number of the bus behind it; bus 0 is the root complex. The guest does not see it.
    bus: u32,
}

impl Port {
    /// Carries the NoCloud seed.
    pub(super) const SEED: Self = Self::of_system(0);
    /// Carries the random number generator.
    pub(super) const RNG: Self = Self::of_system(1);
    /// Carries the memory balloon.
    pub(super) const BALLOON: Self = Self::of_system(2);

    const fn of_system(function: u32) -> Self {
        Self { device: SYSTEM_DEVICE, function, bus: 1 + function }
    }

    /// The port of a slot, if there is such a slot.
    pub(super) fn of_slot(slot: u32) -> Option<Self> {
        (slot < SLOTS).then_some(Self {
            device: FIRST_SLOT_DEVICE + slot / PORTS_PER_GROUP,
            function: slot % PORTS_PER_GROUP,
            bus: 1 + SYSTEM_PORTS + slot,
        })
    }

    /// The ports of a guest that uses slots up to `highest`.
    pub(super) fn all(highest: u32) -> impl Iterator<Item = Self> {
        let wanted =
            highest.saturating_add(1 + HOT_PLUG_RESERVE).min(SLOTS).next_multiple_of(PORTS_PER_GROUP);
        (0..SYSTEM_PORTS).map(Self::of_system).chain((0..wanted).filter_map(Self::of_slot))
    }

    /// libvirt's number of the bus behind it.
    pub(super) fn bus(self) -> u32 {
        self.bus
    }

    /// Address of the port itself.
    pub(super) fn address(self) -> PciAddress {
        PciAddress::new(0, self.device, self.function, (self.function == 0).then_some("on"))
    }

    /// Address of the one device behind it.
    pub(super) fn address_behind(self) -> PciAddress {
        PciAddress::new(self.bus, 0, 0, None)
    }

    /// Port number as the guest reads it from the link capabilities; it must be unique.
    pub(super) fn number(self) -> u32 {
        (self.device << 3) | self.function
    }
}

/// Address of the VGA adapter.
pub(super) fn video_address() -> PciAddress {
    PciAddress::new(0, 0x01, 0, None)
}

/// libvirt's handle of the disk in a slot: `vda`, ..., `vdz`, `vdaa`, ... The guest does not see it.
pub fn target_name(slot: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = slot + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'a' + u8::try_from(rest % 26).unwrap_or_default()));
        rest /= 26;
    }
    letters.push('d');
    letters.push('v');
    letters.iter().rev().collect()
}

/// An `<address type="pci">` element.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct PciAddress {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@domain")]
    domain: &'static str,
    #[serde(rename = "@bus")]
    bus: String,
    #[serde(rename = "@slot")]
    slot: String,
    #[serde(rename = "@function")]
    function: String,
    #[serde(rename = "@multifunction", skip_serializing_if = "Option::is_none")]
    multifunction: Option<&'static str>,
}

impl PciAddress {
    fn new(bus: u32, device: u32, function: u32, multifunction: Option<&'static str>) -> Self {
        Self {
            kind: "pci",
            domain: "0x0000",
            bus: format!("{bus:#04x}"),
            slot: format!("{device:#04x}"),
            function: format!("{function:#x}"),
            multifunction,
        }
    }
}
