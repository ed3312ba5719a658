//! What operators offer: regions, SKUs, hosts. Tenants read them.

use rempart_api::compute::InstanceSkuSpec;
use rempart_api::fleet::{HostSpec, Overcommit};
use rempart_api::network::NetworkSkuSpec;
use rempart_api::region::RegionSpec;
use rempart_api::storage::StorageSkuSpec;

use super::{Rules, check_range, check_same};
use crate::object::Detail;
use crate::refusal::Fault;
use crate::state::State;

impl Rules for RegionSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_range(faults, "/spec/availableZones", self.available_zones.len() as u64, 1, 32);
        for (position, zone) in self.available_zones.iter().enumerate() {
            if let Err(error) = rempart_api::check_zone(zone) {
                faults.push(Fault::new(format!("/spec/availableZones/{position}"), error.to_string()));
            }
        }
    }
}

impl Rules for InstanceSkuSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_range(faults, "/spec/vCPU", self.vcpu.into(), 1, 60);
        check_range(faults, "/spec/ram", self.ram.into(), 1, 65_536);
    }
}

impl Rules for StorageSkuSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_range(faults, "/spec/iops", self.iops.into(), 1, 45_000);
        check_range(faults, "/spec/minVolumeSize", self.min_volume_size.into(), 1, u32::MAX.into());
    }
}

impl Rules for NetworkSkuSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_range(faults, "/spec/bandwidth", self.bandwidth.into(), 1, 800_000);
        check_range(faults, "/spec/packets", self.packets, 1, 200_000_000_000);
    }
}

impl Rules for HostSpec {
    fn check(&self, state: &State, faults: &mut Vec<Fault>) {
        super::check_zone(state, faults, "/spec/zone", &self.zone);
        if let Some(overcommit) = &self.overcommit {
            let Overcommit { vcpu_percent, memory_percent, disk_percent } = *overcommit;
            check_range(faults, "/spec/overcommit/vcpuPercent", vcpu_percent.into(), 10, 10_000);
            check_range(faults, "/spec/overcommit/memoryPercent", memory_percent.into(), 10, 1000);
            check_range(faults, "/spec/overcommit/diskPercent", disk_percent.into(), 10, 10_000);
        }
    }

    fn check_change(&self, old: &Self, detail: &Detail, faults: &mut Vec<Fault>) {
        if matches!(detail, Detail::Host(host) if host.was_seen()) {
            check_same(faults, "/spec/zone", &old.zone, &self.zone);
        }
    }

    fn new_detail(&self) -> Detail {
        Detail::Host(Box::default())
    }
}
