//! What should be on this host, in the agent's own terms.
//!
//! These types are what the ledger stores, so a field is only ever added with a default. The wire's types are
//! turned into them in [`wire`] and nowhere else: past that door a uid is a UUID, a digest is 64 hexadecimal digits,
//! a size is in bounds, and nothing needs checking again.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

pub mod wire;

/// Orders desired states: see [`Stamp::supersedes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The cluster this host belongs to.
    pub cluster_id: String,
    /// Raised when the cluster is restored from a backup.
    pub incarnation: u64,
    /// Log index of the state it was compiled from.
    pub applied_index: u64,
}

impl Stamp {
    /// Whether a desired state stamped `self` may follow one stamped `older`. Equal stamps may: after a change of
    /// leader the same state is compiled again.
    pub fn supersedes(&self, older: &Self) -> bool {
        self.cluster_id == older.cluster_id
            && (self.incarnation, self.applied_index) >= (older.incarnation, older.applied_index)
    }
}

/// An object of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A volume, by uid.
    Volume(Uuid),
    /// An instance, by uid.
    Instance(Uuid),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(uid) => write!(f, "volume {uid}"),
            Self::Instance(uid) => write!(f, "instance {uid}"),
        }
    }
}

/// Whether an object should be here. There is no third wish: what is not mentioned is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It should be here.
    Present,
    /// It should not be here.
    Absent,
}

/// SHA-256 of an image's bytes, as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Accepts exactly 64 lower-case hexadecimal digits: the text becomes a file name.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 64 && text.bytes().all(hexadecimal)).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a SHA-256 digest")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// Declared format of an image; never probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// Bytes as the guest sees them.
    Raw,
    /// qcow2, version 2 or 3.
    Qcow2,
}

impl ImageFormat {
    /// As qemu-img calls it; also the file's extension.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }

    /// As the judge of image files calls it.
    pub fn judged(self) -> rempart_image_format::Format {
        match self {
            Self::Raw => rempart_image_format::Format::Raw,
            Self::Qcow2 => rempart_image_format::Format::Qcow2,
        }
    }
}

/// Content-addressed image bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blob {
    /// Digest of the file.
    pub sha256: Digest,
    /// What the bytes are.
    pub format: ImageFormat,
    /// Size of the file.
    pub size_bytes: u64,
    /// Size of the disk a guest sees.
    pub virtual_size_bytes: u64,
}

/// A volume as desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Names the file.
    pub uid: Uuid,
    /// Of the desired state.
    pub generation: u64,
    /// Of the placement on this host.
    pub epoch: u64,
    /// Here or gone.
    pub presence: Presence,
    /// Size of the disk a guest sees.
    pub size_bytes: u64,
    /// Content to start from; none = blank.
    pub source: Option<Blob>,
    /// The image it is to be copied to, while no guest runs on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Uuid>,
    /// The request that last changed this, for logs; none from controllers that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
}

/// An instance as desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Is the domain's UUID.
    pub uid: Uuid,
    /// Of the desired state.
    pub generation: u64,
    /// Of the placement on this host.
    pub epoch: u64,
    /// Here or gone.
    pub presence: Presence,
    /// None only for an instance that should be gone.
    pub hardware: Option<Hardware>,
    /// What cloud-init shows the guest.
    pub seed: Seed,
    /// On or off.
    pub power: Power,
    /// The request that last changed this, for logs; none from controllers that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
}

impl Instance {
    /// The volumes it is made of.
    pub fn volumes(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.hardware.iter().flat_map(|hardware| hardware.disks.iter().map(|disk| disk.volume))
    }
}

/// Guest-visible hardware, allocated once by the controllers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// Versioned machine type.
    pub machine: String,
    /// Named CPU model.
    pub cpu_model: String,
    /// UEFI instead of BIOS.
    pub uefi: bool,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Boot disk first.
    pub disks: Vec<Disk>,
    /// Network interfaces; kept for the day the agent has networks.
    pub nics: Vec<Nic>,
}

/// A volume in an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Which volume.
    pub volume: Uuid,
    /// PCI slot, kept for the life of the attachment.
    pub slot: u32,
    /// Serial the guest sees.
    pub serial: String,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Which one.
    pub uid: Uuid,
    /// Its address, as the controllers wrote it.
    pub mac: String,
    /// PCI slot, kept for the life of the attachment.
    pub slot: u32,
}

/// What cloud-init's NoCloud source shows the guest. Tenant data: its `Debug` shows sizes only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// cloud-init runs its once-per-instance modules again when it changes.
    pub instance_id: String,
    /// Host name of the guest.
    pub hostname: String,
    /// Keys for the default user.
    pub ssh_keys: Vec<String>,
    /// Passed on byte for byte.
    pub user_data: String,
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed")
            .field("ssh_keys", &self.ssh_keys.len())
            .field("user_data_bytes", &self.user_data.len())
            .finish_non_exhaustive()
    }
}

/// Desired power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Power {
    /// On or off.
    pub on: bool,
    /// Raised by every start, stop and restart.
    pub generation: u64,
    /// `generation` asks for a running guest to be restarted.
    pub restart: bool,
}
