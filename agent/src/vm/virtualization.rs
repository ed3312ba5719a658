//! The one place that decides how guests are executed here: by the CPU through KVM, or by emulation.
//!
//! `/dev/kvm` alone proves nothing. There are kernels (`kvm_pvm`) whose device opens and makes virtual machines in
//! which an ordinary guest hangs. So KVM counts as usable only when all of this holds:
//!
//! ```text
//! every CPU has vmx or svm  ->  /dev/kvm opens  ->  libvirt offers KVM for x86_64
//! ```
//!
//! [`decide`] is pure; [`HostFacts::gather`] reads this host.

use super::Acceleration;
use serde::Deserialize;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

#[cfg(test)]
mod tests;

/// What the decision is made from, as found.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// `/proc/cpuinfo`.
    pub cpuinfo: String,
    /// What became of opening `/dev/kvm`.
    pub device: KvmDevice,
    /// Loaded kernel modules whose name begins with "kvm_": the implementations.
    pub implementations: Vec<String>,
    /// libvirt's `capabilities` document.
    pub capabilities: String,
}

/// What became of opening `/dev/kvm` for reading and writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvmDevice {
    /// It opened.
    Opens,
    /// There is none.
    Missing,
    /// There is one, but.
    Refused(String),
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How guests are executed.
    pub acceleration: Acceleration,
    /// Why, in an operator's words.
    pub reason: String,
}

impl HostFacts {
    /// Reads this host; `capabilities` come from its libvirt.
    pub fn gather(capabilities: String) -> io::Result<Self> {
        let mut implementations: Vec<String> = fs::read_dir("/sys/module")?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("kvm_"))
            .collect();
        implementations.sort();
        Ok(Self {
            cpuinfo: fs::read_to_string("/proc/cpuinfo")?,
            device: KvmDevice::open(Path::new("/dev/kvm")),
            implementations,
            capabilities,
        })
    }
}

impl KvmDevice {
    fn open(path: &Path) -> Self {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(_) => Self::Opens,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Missing,
            Err(error) => Self::Refused(error.to_string()),
        }
    }
}

/// Decides.
pub fn decide(facts: &HostFacts) -> Verdict {
    let device = match &facts.device {
        KvmDevice::Opens if facts.implementations.is_empty() => "/dev/kvm exists".to_owned(),
        KvmDevice::Opens => format!("/dev/kvm exists ({})", facts.implementations.join(", ")),
        KvmDevice::Missing => "/dev/kvm does not exist".to_owned(),
        KvmDevice::Refused(error) => format!("/dev/kvm does not open ({error})"),
    };
    let Some(extension) = Extension::of(&facts.cpuinfo) else {
        return emulated(format!("CPU flags lack vmx and svm; {device}"));
    };
    let flags = format!("CPU flags have {}", extension.flag());
    match facts.device {
        KvmDevice::Opens => {}
        KvmDevice::Missing => {
            let module = extension.module();
            return emulated(format!("{flags}, but {device}: load the kernel module {module}"));
        }
        KvmDevice::Refused(_) => return emulated(format!("{flags}, but {device}")),
    }
    match offers_kvm(&facts.capabilities) {
        Ok(true) => {}
        Ok(false) => {
            let hint = "QEMU's user needs access to the device, and libvirtd a restart after it was given";
            return emulated(format!("{flags} and {device}, but libvirt does not offer KVM: {hint}"));
        }
        Err(error) => {
            return emulated(format!(
                "{flags} and {device}, but libvirt's capabilities are not understood: {error}"
            ));
        }
    }
    let nested =
        if has_flag(&facts.cpuinfo, "hypervisor") { " (nested: this host is a guest itself)" } else { "" };
    Verdict {
        acceleration: Acceleration::Kvm,
        reason: format!("{flags}, {device}, libvirt offers KVM: guests run on the CPU{nested}"),
    }
}

fn emulated(cause: String) -> Verdict {
    Verdict { acceleration: Acceleration::Emulation, reason: format!("{cause}: guests run emulated") }
}

/// The CPU's own support for guests.
#[derive(Debug, Clone, Copy)]
enum Extension {
    Intel,
    Amd,
}

impl Extension {
    fn of(cpuinfo: &str) -> Option<Self> {
        [Self::Intel, Self::Amd].into_iter().find(|extension| has_flag(cpuinfo, extension.flag()))
    }

    fn flag(self) -> &'static str {
        match self {
            Self::Intel => "vmx",
            Self::Amd => "svm",
        }
    }

    fn module(self) -> &'static str {
        match self {
            Self::Intel => "kvm_intel",
            Self::Amd => "kvm_amd",
        }
    }
}

/// Whether every CPU has `flag`; a line "vmx flags" also exists and is another thing.
fn has_flag(cpuinfo: &str, flag: &str) -> bool {
    let mut cpus = cpuinfo.lines().filter_map(|line| {
        let (key, values) = line.split_once(':')?;
        (key.trim_end() == "flags").then_some(values)
    });
    let has = |values: &str| values.split_ascii_whitespace().any(|value| value == flag);
    cpus.next().is_some_and(has) && cpus.all(has)
}

/// Whether libvirt would run an x86_64 guest with KVM.
fn offers_kvm(capabilities: &str) -> Result<bool, quick_xml::DeError> {
    #[derive(Deserialize)]
    struct Capabilities {
        #[serde(default)]
        guest: Vec<GuestKind>,
    }
    #[derive(Deserialize)]
    struct GuestKind {
        arch: Architecture,
    }
    #[derive(Deserialize)]
    struct Architecture {
        #[serde(rename = "@name")]
        name: String,
        #[serde(default)]
        domain: Vec<DomainKind>,
    }
    #[derive(Deserialize)]
    struct DomainKind {
        #[serde(rename = "@type")]
        kind: String,
    }
    let capabilities: Capabilities = quick_xml::de::from_str(capabilities)?;
    let native = |guest: &GuestKind| guest.arch.name == "x86_64";
    let kvm = |guest: &GuestKind| guest.arch.domain.iter().any(|domain| domain.kind == "kvm");
    Ok(capabilities.guest.iter().any(|guest| native(guest) && kvm(guest)))
}
