//! Provider `rempart.fleet`: the hypervisor hosts, for operators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
