//! Who this host is and what it offers: the Hello of every session.

use crate::desired::wire::stamp_message;
use crate::execute::SharedLedger;
use crate::vm::{Acceleration, Hypervisor, Survey};
use rempart_proto::agent::v1 as wire;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything a Hello is made from.
pub struct Introduction {
    /// The name operators gave this host.
    pub host: String,
    /// Where it stands.
    pub zone: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// What it has.
    pub capacity: wire::Capacity,
    /// Asked what it can do.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// Asked for its stamp.
    pub ledger: SharedLedger,
}

impl Introduction {
    /// Says who this host is. Blocks.
    pub fn hello(&self) -> wire::Hello {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_unix_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let (survey, reason) = match self.hypervisor.survey() {
            Ok(survey) => (Some(survey), String::new()),
            Err(error) => (None, error.to_string()),
        };
        wire::Hello {
            host: self.host.clone(),
            boot_id: self.boot_id.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            zone: self.zone.clone(),
            capacity: Some(self.capacity),
            hypervisor: Some(wire::HypervisorHealth { available: survey.is_some(), reason, since_unix_ms }),
            virtualization: survey.map(virtualization),
            ledger: self.ledger.lock().stamp().map(stamp_message),
        }
    }
}

fn virtualization(survey: Survey) -> wire::Virtualization {
    let acceleration = match survey.acceleration {
        Acceleration::Kvm => wire::Acceleration::Kvm,
        Acceleration::Emulation => wire::Acceleration::Emulation,
    };
    wire::Virtualization {
        acceleration: acceleration.into(),
        reason: survey.reason,
        hypervisor_version: survey.hypervisor_version,
        libvirt_version: survey.libvirt_version,
        uefi: survey.uefi,
    }
}

/// What this machine has: CPUs, memory, and the disk space that guests' volumes use or may still use.
///
/// The space of existing volumes counts as capacity, so that the figure does not shrink as guests fill it.
pub fn detect_capacity(data_dir: &Path, volumes_dir: &Path) -> std::io::Result<wire::Capacity> {
    let vcpus = std::thread::available_parallelism()?.get();
    let disk = rustix::fs::statvfs(data_dir)?;
    let mut disk_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    for entry in std::fs::read_dir(volumes_dir)? {
        use std::os::unix::fs::MetadataExt;
        const STAT_BLOCK_BYTES: u64 = 512;
        disk_bytes += entry?.metadata()?.blocks() * STAT_BLOCK_BYTES;
    }
    Ok(wire::Capacity {
        vcpus: u32::try_from(vcpus).unwrap_or(u32::MAX),
        memory_mib: memory_mib(&std::fs::read_to_string("/proc/meminfo")?)?,
        disk_mib: disk_bytes >> 20,
    })
}

/// MemTotal of /proc/meminfo.
pub(super) fn memory_mib(meminfo: &str) -> std::io::Result<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib =
        total.and_then(|rest| rest.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    Ok(kib.ok_or_else(|| std::io::Error::other("/proc/meminfo has no MemTotal"))? / 1024)
}
