//! A stored resource: what was asked for, what the control plane decided, what a host reported.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rempart_api::compute::PowerState;
use rempart_api::fleet::HostReport;
use rempart_api::network::Cidr;
use rempart_api::storage::{BlobSpec, BootMode};
use rempart_api::{Status, StringMap, Timestamp, Urn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::command::LeftoverAction;
use crate::kinds::Spec;
use crate::transition::Overdue;

/// One incarnation of a resource. This is also its row in Postgres (`resource.body`), so it changes compatibly only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Version of this layout.
    pub schema: u32,
    /// Name.
    pub urn: Arc<Urn>,
    /// Incarnation: a name used again gets another.
    pub uid: Uuid,
    /// Client's labels.
    #[serde(skip_serializing_if = "StringMap::is_empty", default)]
    pub labels: StringMap,
    /// Client's annotations.
    #[serde(skip_serializing_if = "StringMap::is_empty", default)]
    pub annotations: StringMap,
    /// Extensions the operator accepts.
    #[serde(skip_serializing_if = "StringMap::is_empty", default)]
    pub extensions: StringMap,
    /// When the first PUT was accepted.
    pub created_at: Timestamp,
    /// When the last request was accepted.
    pub modified_at: Timestamp,
    /// When deletion was requested.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deleted_at: Option<Timestamp>,
    /// Generation: raised by accepted requests only.
    pub resource_version: u64,
    /// Log index of the last change of any sort.
    pub changed_index: u64,
    /// What the client wants.
    pub spec: Spec,
    /// State and its history.
    pub status: Status,
    /// What the control plane keeps beside it.
    #[serde(skip_serializing_if = "Detail::is_none", default)]
    pub detail: Detail,
    /// That it stood too long in a step; whether it still does, [`crate::overdue`] says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub overdue: Option<Box<Overdue>>,
}

/// Layout of [`Object`] that this version writes.
pub(crate) const OBJECT_SCHEMA: u32 = 1;

/// A stored object that this version cannot read. The replica must not start: what it does not understand it would
/// apply entries to differently from the others.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not an object as this version knows it.
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    /// Another layout.
    #[error("it has layout {0}, this version reads layout {OBJECT_SCHEMA}")]
    Schema(u32),
}

impl Object {
    /// Reads an object as it was stored.
    ///
    /// # Errors
    /// When this version does not know its layout, or it has none.
    pub fn read(text: &str) -> Result<Object, ReadError> {
        /// What every layout has; the rest of another one need not be readable.
        #[derive(Deserialize)]
        struct AnySchema {
            schema: u32,
        }
        match serde_json::from_str::<Object>(text) {
            Ok(object) if object.schema == OBJECT_SCHEMA => Ok(object),
            Ok(object) => Err(ReadError::Schema(object.schema)),
            Err(error) => match serde_json::from_str::<AnySchema>(text) {
                Ok(other) if other.schema != OBJECT_SCHEMA => Err(ReadError::Schema(other.schema)),
                _ => Err(error.into()),
            },
        }
    }

    /// Counts a request that was accepted at `now`. SECA: `lastModifiedAt` changes with each of them; where several come within
    /// one millisecond, it runs ahead.
    pub(crate) fn count_request(&mut self, now: Timestamp) {
        if self.resource_version > 0 {
            let next = Timestamp::from_unix_ms(self.modified_at.unix_ms() + 1);
            self.modified_at = now.max(next);
        }
        self.resource_version += 1;
    }

    /// Deletion was requested.
    pub fn is_deleting(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// What its host has to do differs where this does. None for what no host has to do with.
    pub(crate) fn task(&self) -> Option<(&Placement, u64, u64, bool)> {
        let placement = self.placement()?;
        match &self.detail {
            Detail::Instance(instance) => {
                Some((placement, instance.host_generation, instance.power.generation, self.is_deleting()))
            }
            Detail::Volume(volume) => Some((placement, volume.host_generation, 0, self.is_deleting())),
            _ => None,
        }
    }

    /// Notes the request that changed what its host has to do.
    pub(crate) fn set_request_id(&mut self, request_id: Uuid) {
        match &mut self.detail {
            Detail::Instance(instance) => instance.request_id = Some(request_id),
            Detail::Volume(volume) => volume.request_id = Some(request_id),
            _ => {}
        }
    }

    /// Where it is bound, if it is.
    pub fn placement(&self) -> Option<&Placement> {
        match &self.detail {
            Detail::Instance(instance) => instance.placement.as_ref(),
            Detail::Volume(volume) => volume.placement.as_ref(),
            _ => None,
        }
    }
}

/// What the control plane keeps beside spec and status, per kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// An instance's.
    Instance(Box<InstanceDetail>),
    /// A block storage's.
    Volume(Box<VolumeDetail>),
    /// An image's.
    Image(Box<ImageDetail>),
    /// A host's.
    Host(Box<HostDetail>),
    /// A network's or a subnet's, where the server chose a block.
    Blocks(Box<BlocksDetail>),
    /// A NIC's.
    Nic(Box<NicDetail>),
    /// A public address's.
    PublicIp(PublicIpDetail),
}

impl Detail {
    fn is_none(&self) -> bool {
        matches!(self, Detail::None)
    }
}

/// Binding of an object to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Name of the host.
    pub host: String,
    /// Grows with every placement of the same object, so that an old host's words are not taken for the new one's.
    pub epoch: u64,
}

/// What a host last said of an object bound to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Realised {
    /// Newest desired generation the host has realised.
    pub generation: u64,
    /// Why it has not realised the current one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Box<Failure>>,
}

/// Why a host could not do what is desired. It keeps trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Stable word: `ImageMissing`.
    pub reason: String,
    /// For the tenant.
    pub message: String,
    /// For operators: paths, hosts, the hypervisor's own words.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
}

/// Beside an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceDetail {
    /// Where it is bound.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub placement: Option<Placement>,
    /// Newest epoch ever given, also while unbound.
    pub epoch: u64,
    /// Resource version at which the part a host has to realise last changed.
    pub host_generation: u64,
    /// What the host said.
    #[serde(default)]
    pub realised: Realised,
    /// Desired power.
    pub power: Power,
    /// Newest power generation the host has executed.
    #[serde(default)]
    pub executed_power_generation: u64,
    /// Observed power.
    pub power_state: PowerState,
    /// Last start, stop or restart; none if never started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub power_state_since: Option<Timestamp>,
    /// Why it is off, when that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub off_cause: Option<OffCause>,
    /// Guest hardware, allocated at the first placement and kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hardware: Option<Hardware>,
    /// Its disks changed while it ran: the guest sees that at its next start.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub changed_while_on: bool,
    /// The request that last changed what its host has to do, for the host's logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<Uuid>,
}

/// Desired power. Each generation is executed at most once per boot of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Power {
    /// Should execute.
    pub on: bool,
    /// Raised by start, stop and restart.
    pub generation: u64,
    /// This generation asks a running guest to be restarted.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub restart: bool,
}

/// Why a guest is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OffCause {
    /// The guest shut itself down.
    Guest,
    /// A stop that was asked for.
    Requested,
    /// The guest or the hypervisor failed.
    Crashed,
}

/// Guest hardware that must not change under the guest: domain definitions derive from it alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// Versioned machine type.
    pub machine: String,
    /// Named CPU model.
    pub cpu_model: String,
    /// Firmware.
    pub firmware: BootMode,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u64,
    /// Disks, boot disk first.
    pub disks: Vec<HardwareDisk>,
}

/// A disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HardwareDisk {
    /// Incarnation of the volume.
    pub volume: Uuid,
    /// PCIe root port, kept for the life of the attachment.
    pub slot: u32,
    /// Serial the guest sees, 20 characters.
    pub serial: String,
}

/// Beside a block storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct VolumeDetail {
    /// What it starts from: its image's content, or what an upload filled it with. None = blank.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<BlobSpec>,
    /// Firmware the content boots with, from its image.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub boot: Option<BootMode>,
    /// Where its bytes are (to be); bound with the first instance that uses it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub placement: Option<Placement>,
    /// Resource version at which the part a host has to realise last changed.
    pub host_generation: u64,
    /// What the host said.
    #[serde(default)]
    pub realised: Realised,
    /// The request that last changed what its host has to do, for the host's logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<Uuid>,
    /// GB (GiB) its bytes really have while it is growing; none when they have the size that is asked for.
    #[serde(rename = "realisedSizeGB", skip_serializing_if = "Option::is_none", default)]
    pub realised_size_gb: Option<u32>,
    /// The image that its host is copying it to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capture: Option<Box<Capture>>,
    /// Its host had nothing of it when the cluster was restored from a backup: it is not told to make it anew.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub gone: bool,
}

impl VolumeDetail {
    /// What its host has to do changed, with this version of the volume or without a request of its own.
    pub(crate) fn raise_generation(&mut self, resource_version: u64) {
        self.host_generation = resource_version.max(self.host_generation + 1);
    }
}

/// A copy of a volume on its way to be an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capture {
    /// Incarnation of the image.
    pub image: Uuid,
    /// Why it is not there yet, if something fails.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
}

/// Beside an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct ImageDetail {
    /// Its own copy of the source volume's content. None = a blank disk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<BlobSpec>,
    /// Disk size of the source in GB.
    #[serde(rename = "sizeGB")]
    pub size_gb: u32,
    /// Incarnation of the volume that is still to be copied to it, or that was lost before; none when it is complete.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Uuid>,
}

/// Beside a network or a subnet: its blocks, all of them given. None is kept where the spec says all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct BlocksDetail {
    /// Main block.
    pub cidr: Cidr,
    /// Of a network: its further blocks, in the order of the spec.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub additional: Vec<Cidr>,
}

/// Beside a NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NicDetail {
    /// The subnet it was made in, whatever its reference could mean by now.
    pub subnet: Arc<Urn>,
    /// Its addresses: those asked for in the order of the spec.
    pub addresses: Vec<IpAddr>,
    /// Its MAC address, for life.
    pub mac: Mac,
}

/// A MAC address: `02:00:5e:00:53:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub(crate) u64);

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [_, _, a, b, c, d, e, g] = self.0.to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u64::from_str_radix(&text.replace(':', ""), 16).map(Mac);
        number.ok().filter(|mac| mac.to_string() == text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is not a MAC address such as 02:00:5e:00:53:01"))
        })
    }
}

/// Beside a public address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicIpDetail {
    /// The address, from one of the operator's pools.
    pub address: IpAddr,
}

/// Beside a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct HostDetail {
    /// What it said of itself.
    pub report: HostReport,
    /// Its agent is in touch.
    pub reachable: bool,
    /// Since when that is so; none while it was never seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// When it last said something new of itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reported_at: Option<Timestamp>,
    /// Whose certificates are its own; none until it has enrolled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identity: Option<Identity>,
    /// What operators want it to do with what it has and nothing is desired of, until it has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub orders: BTreeMap<Uuid, LeftoverAction>,
}

impl HostDetail {
    /// It has introduced itself once.
    pub fn was_seen(&self) -> bool {
        self.since.is_some()
    }

    /// It had an identity, and an operator took it away.
    pub fn is_revoked(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.revoked_at.is_some())
    }
}

/// What a machine proves itself with: whoever holds this key is the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// SHA-256 of its public key (SPKI, DER), 64 lower-case hexadecimal digits.
    pub key_sha256: String,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// From when on it counts no more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests;
