//! libvirt's domain document, as far as Rempart writes it: data only, one type per element.
//!
//! Element and attribute order is field order; libvirt's schema (checked at every define) leaves it free within an
//! element. Whatever a field holds, quick-xml escapes it, so no value can become structure.

use super::devices::Devices;
use serde::Serialize;

/// Namespace of our element in a domain's `<metadata>`.
pub(crate) const NAMESPACE: &str = "urn:rempart:domain:1";

/// An element with nothing in it.
#[derive(Debug, Serialize)]
pub(super) struct Empty {}

/// The root element.
#[derive(Debug, Serialize)]
#[serde(rename = "domain")]
pub(super) struct Domain<'a> {
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) metadata: Metadata<'a>,
    pub(super) memory: Mebibytes,
    #[serde(rename = "currentMemory")]
    pub(super) current_memory: Mebibytes,
    pub(super) vcpu: Vcpu,
    pub(super) os: Os<'a>,
    pub(super) features: Features,
    pub(super) cpu: Cpu<'a>,
    pub(super) clock: Clock,
    pub(super) on_poweroff: &'static str,
    pub(super) on_reboot: &'static str,
    pub(super) on_crash: &'static str,
    pub(super) pm: PowerManagement,
    pub(super) devices: Devices<'a>,
}

/// Where others may leave notes in a domain; libvirt keeps them.
#[derive(Debug, Serialize)]
pub(super) struct Metadata<'a> {
    #[serde(rename = "rempart:domain")]
    pub(super) origin: Origin<'a>,
}

/// Our note.
#[derive(Debug, Serialize)]
pub(super) struct Origin<'a> {
    #[serde(rename = "@xmlns:rempart")]
    pub(super) namespace: &'static str,
    #[serde(rename = "@definition")]
    pub(super) definition: &'a str,
    #[serde(rename = "@host")]
    pub(super) host: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Mebibytes {
    #[serde(rename = "@unit")]
    pub(super) unit: &'static str,
    #[serde(rename = "$text")]
    pub(super) value: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Vcpu {
    #[serde(rename = "@placement")]
    pub(super) placement: &'static str,
    #[serde(rename = "$text")]
    pub(super) count: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Os<'a> {
    #[serde(rename = "type")]
    pub(super) kind: OsType<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loader: Option<Loader<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nvram: Option<Nvram<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct OsType<'a> {
    #[serde(rename = "@arch")]
    pub(super) architecture: &'static str,
    #[serde(rename = "@machine")]
    pub(super) machine: &'a str,
    #[serde(rename = "$text")]
    pub(super) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Loader<'a> {
    #[serde(rename = "@readonly")]
    pub(super) read_only: &'static str,
    #[serde(rename = "@secure")]
    pub(super) secure: &'static str,
    #[serde(rename = "@type")]
    pub(super) kind: &'static str,
    #[serde(rename = "$text")]
    pub(super) path: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Nvram<'a> {
    #[serde(rename = "@template")]
    pub(super) template: &'a str,
    #[serde(rename = "$text")]
    pub(super) path: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Features {
    pub(super) acpi: Empty,
    pub(super) apic: Empty,
    pub(super) vmport: State,
}

#[derive(Debug, Serialize)]
pub(super) struct State {
    #[serde(rename = "@state")]
    pub(super) state: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Cpu<'a> {
    #[serde(rename = "@mode")]
    pub(super) mode: &'static str,
    #[serde(rename = "@match")]
    pub(super) matching: &'static str,
    #[serde(rename = "@check")]
    pub(super) check: &'static str,
    pub(super) model: CpuModel<'a>,
    pub(super) topology: Topology,
}

#[derive(Debug, Serialize)]
pub(super) struct CpuModel<'a> {
    #[serde(rename = "@fallback")]
    pub(super) fallback: &'static str,
    #[serde(rename = "$text")]
    pub(super) name: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Topology {
    #[serde(rename = "@sockets")]
    pub(super) sockets: u32,
    #[serde(rename = "@dies")]
    pub(super) dies: u32,
    #[serde(rename = "@cores")]
    pub(super) cores: u32,
    #[serde(rename = "@threads")]
    pub(super) threads: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Clock {
    #[serde(rename = "@offset")]
    pub(super) offset: &'static str,
    pub(super) timer: Vec<Timer>,
}

#[derive(Debug, Serialize)]
pub(super) struct Timer {
    #[serde(rename = "@name")]
    pub(super) name: &'static str,
    #[serde(rename = "@tickpolicy", skip_serializing_if = "Option::is_none")]
    pub(super) tick_policy: Option<&'static str>,
    #[serde(rename = "@present", skip_serializing_if = "Option::is_none")]
    pub(super) present: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct PowerManagement {
    #[serde(rename = "suspend-to-mem")]
    pub(super) suspend_to_memory: Enabled,
    #[serde(rename = "suspend-to-disk")]
    pub(super) suspend_to_disk: Enabled,
}

#[derive(Debug, Serialize)]
pub(super) struct Enabled {
    #[serde(rename = "@enabled")]
    pub(super) enabled: &'static str,
}
