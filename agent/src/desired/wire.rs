//! The only door through which desired state enters: wire types become [`crate::desired`] types, or are refused.
//!
//! What never happens: an object that failed a check here is stored, planned for or acted upon.

use super::{
    Blob, Digest, Disk, Hardware, ImageFormat, Instance, Nic, Object, Power, Presence, Seed, Stamp, Volume,
};
use rempart_image_format::MAX_VIRTUAL_SIZE_BYTES;
use rempart_proto::agent::v1 as wire;
use std::collections::BTreeMap;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// Most user data an instance may bring; with its SSH keys it fits the seed image whatever the escaping.
pub const MAX_USER_DATA_BYTES: usize = 256 * 1024;
/// Most SSH keys of an instance. As SECA has it: what tenants may ask for must be possible here.
pub const MAX_SSH_KEYS: usize = 32;
/// Most characters of each.
pub const MAX_SSH_KEY_CHARACTERS: usize = 4096;
const MAX_NAME_BYTES: usize = 255;
const MAX_DISKS: usize = 128;
const MAX_SERIAL_BYTES: usize = 20;
const MAX_SLOT: u32 = 255;
const SECTOR_BYTES: u64 = 512;

/// A desired state whose every object passed the door, and those that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Its place in the order of states.
    pub stamp: Stamp,
    /// Every object of this host is listed.
    pub whole: bool,
    /// Volumes that passed.
    pub volumes: Vec<Volume>,
    /// Instances that passed.
    pub instances: Vec<Instance>,
    /// Objects that did not.
    pub invalid: Vec<Invalid>,
    /// What operators ordered about leftovers; none where the message says nothing of it.
    pub orders: Option<BTreeMap<Uuid, Order>>,
}

/// What an operator ordered about a leftover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Move its files aside, and forget its domain.
    Quarantine,
    /// Delete what was moved aside.
    Remove,
}

/// An object that was refused at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Which one; none if even its uid was not one.
    pub object: Option<Object>,
    /// Its generation, for the report.
    pub generation: u64,
    /// Its epoch, for the report.
    pub epoch: u64,
    /// What is wrong, in an operator's words.
    pub why: String,
}

/// Reads a message. Fails only where nothing in it can be trusted: without a usable stamp.
pub fn desired(message: wire::Desired) -> Result<Desired, String> {
    let stamp = message.stamp.ok_or("a desired state without a stamp")?;
    if stamp.cluster_id.is_empty() {
        return Err("a desired state without a cluster".into());
    }
    let mut desired = Desired {
        stamp: self::stamp(stamp),
        whole: message.whole,
        volumes: Vec::with_capacity(message.volumes.len()),
        instances: Vec::with_capacity(message.instances.len()),
        invalid: Vec::new(),
        orders: message.orders.map(orders),
    };
    for message in message.volumes {
        let (uid, generation, epoch) = (uid(&message.uid).ok(), message.generation, message.epoch);
        match volume(message) {
            Ok(volume) => desired.volumes.push(volume),
            Err(why) => {
                desired.invalid.push(Invalid { object: uid.map(Object::Volume), generation, epoch, why })
            }
        }
    }
    for message in message.instances {
        let (uid, generation, epoch) = (uid(&message.uid).ok(), message.generation, message.epoch);
        match instance(message) {
            Ok(instance) => desired.instances.push(instance),
            Err(why) => {
                desired.invalid.push(Invalid { object: uid.map(Object::Instance), generation, epoch, why })
            }
        }
    }
    Ok(desired)
}

/// Those that make sense; an order of another sort is of a newer controller, and not for this agent.
fn orders(message: wire::LeftoverOrders) -> BTreeMap<Uuid, Order> {
    let order = |order: wire::LeftoverOrder| {
        let action = match order.action() {
            wire::LeftoverAction::Quarantine => Order::Quarantine,
            wire::LeftoverAction::Remove => Order::Remove,
            wire::LeftoverAction::Unspecified => return None,
        };
        Some((uid(&order.uid).ok()?, action))
    };
    message.orders.into_iter().filter_map(order).collect()
}

/// The stamp as it travels.
pub fn stamp_message(stamp: &Stamp) -> wire::Stamp {
    wire::Stamp {
        cluster_id: stamp.cluster_id.clone(),
        incarnation: stamp.incarnation,
        applied_index: stamp.applied_index,
    }
}

fn stamp(message: wire::Stamp) -> Stamp {
    Stamp {
        cluster_id: message.cluster_id,
        incarnation: message.incarnation,
        applied_index: message.applied_index,
    }
}

fn volume(message: wire::Volume) -> Result<Volume, String> {
    let presence = presence(message.presence())?;
    let volume = Volume {
        uid: uid(&message.uid)?,
        generation: message.generation,
        epoch: message.epoch,
        presence,
        size_bytes: message.size_bytes,
        source: match presence {
            Presence::Present => message.source.map(blob).transpose()?,
            // As for an instance: it can be removed, whatever it was to hold.
            Presence::Absent => message.source.and_then(|one| blob(one).ok()),
        },
        capture: (!message.capture_image_uid.is_empty())
            .then(|| uid(&message.capture_image_uid))
            .transpose()?,
        request_id: Uuid::parse_str(&message.request_id).ok(),
    };
    if presence == Presence::Present {
        ensure(
            (1..=MAX_VIRTUAL_SIZE_BYTES).contains(&volume.size_bytes)
                && volume.size_bytes.is_multiple_of(SECTOR_BYTES),
            "a volume's size is a multiple of 512 bytes, up to 64 TiB",
        )?;
        let fits = volume.source.as_ref().is_none_or(|blob| blob.virtual_size_bytes <= volume.size_bytes);
        ensure(fits, "a volume is not smaller than the image it starts from")?;
    }
    Ok(volume)
}

fn blob(message: wire::Blob) -> Result<Blob, String> {
    let format = match message.format() {
        wire::ImageFormat::Raw => ImageFormat::Raw,
        wire::ImageFormat::Qcow2 => ImageFormat::Qcow2,
        wire::ImageFormat::Unspecified => return Err("an image without a declared format".into()),
    };
    let blob = Blob {
        sha256: Digest::parse(&message.sha256).ok_or("an image digest that is not 64 hexadecimal digits")?,
        format,
        size_bytes: message.size_bytes,
        virtual_size_bytes: message.virtual_size_bytes,
    };
    ensure(
        (1..=MAX_VIRTUAL_SIZE_BYTES).contains(&blob.virtual_size_bytes) && blob.size_bytes > 0,
        "an image's sizes are above zero and at most 64 TiB",
    )?;
    ensure(
        format != ImageFormat::Raw || blob.size_bytes == blob.virtual_size_bytes,
        "a raw image is as large as the disk in it",
    )?;
    Ok(blob)
}

fn instance(message: wire::Instance) -> Result<Instance, String> {
    let presence = presence(message.presence())?;
    let power = message.power.unwrap_or_default();
    let (hardware, seed) = match presence {
        Presence::Present => {
            let hardware = message.hardware.ok_or("an instance without hardware").map(hardware)??;
            (Some(hardware), seed(message.seed.unwrap_or_default())?)
        }
        // What cannot be made can be removed: of what it was to be like, nothing is needed.
        Presence::Absent => (message.hardware.and_then(|one| hardware(one).ok()), Seed::default()),
    };
    Ok(Instance {
        uid: uid(&message.uid)?,
        generation: message.generation,
        epoch: message.epoch,
        presence,
        hardware,
        seed,
        power: Power { on: power.on, generation: power.generation, restart: power.restart },
        request_id: Uuid::parse_str(&message.request_id).ok(),
    })
}

fn hardware(message: wire::Hardware) -> Result<Hardware, String> {
    let uefi = match message.firmware() {
        wire::Firmware::Bios => false,
        wire::Firmware::Uefi => true,
        wire::Firmware::Unspecified => return Err("hardware without firmware".into()),
    };
    for name in [&message.machine, &message.cpu_model] {
        ensure(is_plain_name(name, MAX_NAME_BYTES), "a machine type or CPU model that is no plain name")?;
    }
    ensure(message.vcpus > 0 && message.memory_mib > 0, "hardware without CPUs or memory")?;
    ensure(!message.disks.is_empty() && message.disks.len() <= MAX_DISKS, "1 to 128 disks are possible")?;
    let hardware = Hardware {
        machine: message.machine,
        cpu_model: message.cpu_model,
        uefi,
        vcpus: message.vcpus,
        memory_mib: message.memory_mib,
        disks: message.disks.into_iter().map(disk).collect::<Result<_, _>>()?,
        nics: message.nics.into_iter().map(nic).collect::<Result<_, _>>()?,
    };
    let mut slots: Vec<u32> = hardware.disks.iter().map(|disk| disk.slot).collect();
    slots.extend(hardware.nics.iter().map(|nic| nic.slot));
    ensure(all_distinct(slots), "two devices in one slot")?;
    let volumes = hardware.disks.iter().map(|disk| disk.volume).collect();
    ensure(all_distinct(volumes), "one volume twice in an instance")?;
    Ok(hardware)
}

fn disk(message: wire::Disk) -> Result<Disk, String> {
    ensure(message.slot <= MAX_SLOT, "a slot beyond 255")?;
    ensure(
        message.serial.is_empty() || is_plain_name(&message.serial, MAX_SERIAL_BYTES),
        "a disk serial that is no plain name of at most 20 characters",
    )?;
    Ok(Disk { volume: uid(&message.volume_uid)?, slot: message.slot, serial: message.serial })
}

fn nic(message: wire::Nic) -> Result<Nic, String> {
    ensure(message.slot <= MAX_SLOT, "a slot beyond 255")?;
    let octets: Vec<&str> = message.mac.split(':').collect();
    let hexadecimal = |octet: &&str| octet.len() == 2 && octet.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure(octets.len() == 6 && octets.iter().all(hexadecimal), "a MAC address that is none")?;
    Ok(Nic { uid: uid(&message.uid)?, mac: message.mac, slot: message.slot })
}

fn seed(message: wire::Seed) -> Result<Seed, String> {
    ensure(message.user_data.len() <= MAX_USER_DATA_BYTES, "more user data than a seed holds")?;
    let fits = |key: &String| key.chars().count() <= MAX_SSH_KEY_CHARACTERS;
    let keys = &message.ssh_keys;
    ensure(keys.len() <= MAX_SSH_KEYS && keys.iter().all(fits), "more SSH keys than a seed holds")?;
    ensure(
        message.instance_id.len() <= MAX_NAME_BYTES && message.hostname.len() <= MAX_NAME_BYTES,
        "an instance id or host name beyond 255 bytes",
    )?;
    Ok(Seed {
        instance_id: message.instance_id,
        hostname: message.hostname,
        ssh_keys: message.ssh_keys,
        user_data: message.user_data,
    })
}

fn presence(presence: wire::Presence) -> Result<Presence, String> {
    match presence {
        wire::Presence::Present => Ok(Presence::Present),
        wire::Presence::Absent => Ok(Presence::Absent),
        wire::Presence::Unspecified => Err("neither present nor absent".into()),
    }
}

/// Accepts the hyphenated form alone, so that one uid has one spelling everywhere.
fn uid(text: &str) -> Result<Uuid, String> {
    let uid = Uuid::try_parse(text).map_err(|_| "a uid that is no UUID")?;
    let canonical = text == uid.hyphenated().to_string();
    ensure(canonical && !uid.is_nil(), "a uid that is no UUID in its usual form")?;
    Ok(uid)
}

fn is_plain_name(text: &str, max_bytes: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= max_bytes && text.bytes().all(plain)
}

fn all_distinct<T: Ord>(mut values: Vec<T>) -> bool {
    values.sort();
    values.windows(2).all(|pair| pair[0] != pair[1])
}

fn ensure(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}
