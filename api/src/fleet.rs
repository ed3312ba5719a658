//! Provider `rempart.fleet`: the hypervisor hosts, for operators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

/// What operators decide about a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostSpec {
    /// Zone it stands in; immutable once the host was seen. Empty while only the host itself can tell.
    pub zone: String,
    /// Nothing new is placed on it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub cordoned: bool,
    /// How much of it may be given out; a PUT without it means [`Overcommit::default`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub overcommit: Option<Overcommit>,
}

/// How much of what a host has may be given out, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overcommit {
    /// Of its logical CPUs, 10..10000; 400 when absent.
    #[serde(default = "four_times")]
    #[schemars(range(min = 10, max = 10_000))]
    pub vcpu_percent: u32,
    /// Of its memory, 10..1000; 100 when absent.
    #[serde(default = "once")]
    #[schemars(range(min = 10, max = 1000))]
    pub memory_percent: u32,
    /// Of its space for volumes, 10..10000; 100 when absent. Volumes count with the size their guest sees.
    #[serde(default = "once")]
    #[schemars(range(min = 10, max = 10_000))]
    pub disk_percent: u32,
}

impl Default for Overcommit {
    fn default() -> Overcommit {
        Overcommit { vcpu_percent: four_times(), memory_percent: once(), disk_percent: once() }
    }
}

fn four_times() -> u32 {
    400
}

fn once() -> u32 {
    100
}

/// How it is with a host, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// Written or enrolled, and not introduced yet.
    Joining,
    /// It takes instances.
    Ready,
    /// Its operator wants nothing new on it.
    Cordoned,
    /// Its hypervisor service does not answer.
    NoHypervisor,
    /// Its agent is out of touch.
    Unreachable,
    /// Its identity was revoked.
    Revoked,
}

/// Amounts of what a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostResources {
    /// CPUs.
    pub vcpus: u64,
    /// Memory in MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u64,
    /// Space for volumes in MiB; absent where it is not limited.
    #[serde(rename = "diskMiB", skip_serializing_if = "Option::is_none", default)]
    pub disk_mib: Option<u64>,
}

/// Status of a host, beside the state and its history that every status has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// In a word.
    pub host_state: HostState,
    /// Its agent is in touch.
    pub reachable: bool,
    /// Since when that is so; absent while it was never seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// When it last said something new of itself. While it is reachable it has been heard within the last seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reported_at: Option<Timestamp>,
    /// What it said: capacity, virtualisation, versions, boot id, unexpected domains.
    pub host: HostReport,
    /// How much may be given out: its capacity, overcommitted as its spec says.
    pub allocatable: HostResources,
    /// How much is.
    pub allocated: HostResources,
    /// Instances bound to it.
    pub instances: u64,
    /// Volumes bound to it.
    pub volumes: u64,
    /// When it enrolled; absent if it never did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub enrolled_at: Option<Timestamp>,
    /// When its identity was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<Timestamp>,
}

/// What a host said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostReport {
    /// Logical CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u64,
    /// Space for volumes in MiB.
    #[serde(rename = "diskMiB")]
    pub disk_mib: u64,
    /// What guests really run on.
    pub virtualization: Virtualization,
    /// Kernel boot id.
    pub boot_id: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Whether the hypervisor service answers.
    pub hypervisor: HypervisorHealth,
    /// Domains nobody asked for; left alone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unexpected_domains: Vec<UnexpectedDomain>,
    /// What lies in its agent's directories, or runs, of which nothing is desired there; left alone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub leftovers: Vec<Leftover>,
}

/// What a host has of something that nothing is desired of there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// Of which incarnation.
    #[schemars(with = "String")]
    pub uid: Uuid,
    /// What there is of it.
    pub parts: Vec<LeftoverPart>,
    /// How much room its files take.
    pub bytes: u64,
    /// Its domain runs.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub running: bool,
    /// Why what an operator ordered about it was not done, if something failed.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub trouble: String,
}

/// A part of a leftover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeftoverPart {
    /// A domain that an agent of ours defined.
    Domain,
    /// The file of a volume.
    Volume,
    /// A cloud-init seed.
    Seed,
    /// A guest's directory: its serial log and firmware variables.
    GuestDirectory,
    /// A copy of a volume on its way to be an image.
    Capture,
    /// What was moved aside on an operator's order.
    Quarantined,
}

/// Everything that exists without a row, or is a row without its thing: of all hosts, as far as they have said, and of the
/// controllers that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orphans {
    /// On hosts; at most a thousand.
    pub items: Vec<Orphan>,
    /// There are more; they are shown when some of these are gone.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub more: bool,
    /// On controllers.
    #[serde(default)]
    pub blobs: BlobOrphans,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// What it is named by in repairs: `HOST:UID`.
    pub id: String,
    /// What is wrong.
    pub class: OrphanClass,
    /// Where.
    pub host: String,
    /// The resource, if there is one.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<String>,
    /// What there is of it on the host.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub parts: Vec<LeftoverPart>,
    /// How much room that takes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// Its domain runs.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub running: bool,
    /// In words, and what to do about it.
    pub message: String,
    /// The repair that may be ordered now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repair: Option<Repair>,
    /// The repair that was ordered, and that the host has not said to be done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ordered: Option<Repair>,
}

/// What is wrong with an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OrphanClass {
    /// Files or a domain of an agent of ours, of which no row is bound to that host.
    Leftover,
    /// Such files, moved aside.
    Quarantined,
    /// A domain that no agent of ours made.
    ForeignDomain,
    /// A row is bound to the host, and the host says that it has lost what belongs to it.
    Lost,
    /// A row is bound to a host that was revoked.
    HostRevoked,
}

/// Bytes of images ("blobs") on controllers without a row, and rows whose bytes are missing. Nothing is ordered about them:
/// each controller looks after its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlobOrphans {
    /// At most a thousand.
    pub items: Vec<BlobOrphan>,
    /// There are more; they are shown when some of these are gone.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub more: bool,
    /// Controllers whose disks this knows nothing of.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub not_asked: Vec<NotAsked>,
}

/// A controller that said nothing of its blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotAsked {
    /// Its id.
    pub controller: u64,
    /// Why.
    pub why: String,
}

/// A blob that is in the wrong place, or in none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlobOrphan {
    /// Name of its file, among a controller's blobs: `SHA256.FORMAT`.
    pub name: String,
    /// What is wrong.
    pub class: BlobOrphanClass,
    /// The controller that has it, or lacks it; absent where none has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub controller: Option<u64>,
    /// Number of bytes that it has, or should have.
    pub bytes: u64,
    /// Since when the controller has known; it forgets that when it is restarted. Absent in the first moments.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// Not before this it is removed, by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub goes_at: Option<Timestamp>,
    /// Volumes and images that refer to it: the first twenty.
    #[serde(rename = "refs", skip_serializing_if = "Vec::is_empty", default)]
    pub references: Vec<String>,
    /// In words: what happens by itself, and what to do about it.
    pub message: String,
}

/// What is wrong with a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BlobOrphanClass {
    /// No controller that was asked has it, and something refers to it.
    Lost,
    /// A controller lacks it, and another one has it.
    Missing,
    /// A controller has it, and nothing refers to it.
    Unneeded,
}

/// What an operator may order about an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// Its host moves the files aside and forgets the domain, which has to be off. Nothing is deleted.
    Quarantine,
    /// Its host deletes what was moved aside.
    Remove,
    /// What is being deleted and is bound to a revoked host goes without that host's word.
    Release,
}

impl Repair {
    /// As in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Repair::Quarantine => "quarantine",
            Repair::Remove => "remove",
            Repair::Release => "release",
        }
    }

    /// The repair of this name.
    pub fn from_name(name: &str) -> Option<Repair> {
        [Repair::Quarantine, Repair::Remove, Repair::Release].into_iter().find(|repair| repair.name() == name)
    }
}

/// What guests run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Virtualization {
    /// KVM, or software emulation.
    pub acceleration: Acceleration,
    /// Why, in operator's words.
    pub reason: String,
    /// "QEMU 7.2.22"
    pub hypervisor_version: String,
    /// "9.0.0"
    pub libvirt_version: String,
    /// UEFI firmware for guests is installed.
    pub uefi: bool,
}

/// How guest instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Acceleration {
    /// By the CPU, through KVM.
    Kvm,
    /// By QEMU's software emulation: complete but slow.
    #[default]
    Emulation,
}

/// Whether the hypervisor service (libvirtd) answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HypervisorHealth {
    /// It answers.
    pub available: bool,
    /// In operator's words, when it does not.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
}

/// A domain on a host that no State asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnexpectedDomain {
    /// libvirt's UUID of it.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
}
