//! Provider `seca.storage`: storage SKUs, block storages (volumes) and images.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Reference, Status};

/// A class of storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageSkuSpec {
    /// Guaranteed operations per second and volume, 1..45000.
    #[schemars(range(min = 1, max = 45_000))]
    pub iops: u32,
    /// GB from which the performance is promised, 1..4294967295; not a lower bound for volumes.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub min_volume_size: u32,
    /// Durability and reach.
    #[serde(rename = "type")]
    pub class: StorageClass,
}

/// Durability and reach of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StorageClass {
    /// On the hypervisor; may be lost with it.
    LocalEphemeral,
    /// On the hypervisor, with redundancy.
    LocalDurable,
    /// Over the network, with redundancy.
    RemoteDurable,
}

/// Desired state of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockStorageSpec {
    /// GB (GiB) the guest sees, 1..1000000; only grows.
    #[serde(rename = "sizeGB")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub size_gb: u32,
    /// Class; immutable.
    pub sku_ref: Reference,
    /// Image to start from, immutable; absent = blank.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_image_ref: Option<Box<Reference>>,
}

/// A volume as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockStorageStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// GB it has: those of the spec, once it has grown.
    #[serde(rename = "sizeGB")]
    pub size_gb: u32,
    /// The instance that uses it, if there is one, on or off.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attached_to: Option<Reference>,
}

/// Desired state of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// The volume it is a copy of; immutable.
    pub block_storage_ref: Reference,
    /// CPU architecture of the software in it.
    pub cpu_architecture: CpuArchitecture,
    /// How it boots; UEFI when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub boot: Option<BootMode>,
    /// What configures the guest at its first boot; none when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub initializer: Option<Initializer>,
}

/// An image as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// MB of the disk in it.
    #[serde(rename = "sizeMB")]
    pub size_mb: u64,
}

/// A CPU architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum CpuArchitecture {
    Amd64,
    Arm64,
}

impl CpuArchitecture {
    /// All of them.
    pub const ALL: [CpuArchitecture; 2] = [CpuArchitecture::Amd64, CpuArchitecture::Arm64];

    /// As clients write it.
    pub const fn name(self) -> &'static str {
        match self {
            CpuArchitecture::Amd64 => "amd64",
            CpuArchitecture::Arm64 => "arm64",
        }
    }
}

/// How a disk boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum BootMode {
    #[default]
    Uefi,
    Bios,
}

/// What configures a guest at its first boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
pub enum Initializer {
    /// Nothing.
    #[default]
    #[serde(rename = "none")]
    None,
    /// cloud-init 22 or later.
    #[serde(rename = "cloudinit-22")]
    CloudInit22,
}

/// Content-addressed bytes of an image or volume. The format is always explicit, never probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlobSpec {
    /// SHA-256 of the bytes, 64 lower-case hexadecimal digits.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// How the bytes encode a disk.
    pub format: BlobFormat,
    /// Number of bytes.
    pub size_bytes: u64,
    /// Size of the disk in bytes.
    pub virtual_size_bytes: u64,
}

/// Formats accepted for disk content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BlobFormat {
    /// The disk, byte by byte.
    Raw,
    /// QEMU copy-on-write, version 2 or 3, without backing or data file.
    Qcow2,
}
