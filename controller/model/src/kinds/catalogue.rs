//! What operators offer: regions, SKUs, hosts, public addresses. Tenants read the first two.

use std::collections::BTreeSet;

use rempart_api::catalogue::AddressPoolSpec;
use rempart_api::compute::InstanceSkuSpec;
use rempart_api::fleet::{HostSpec, Overcommit};
use rempart_api::network::{IpVersion, NetworkSkuSpec};
use rempart_api::region::RegionSpec;
use rempart_api::storage::StorageSkuSpec;

use super::{Rules, check_range, check_same};
use crate::block::Block;
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

    // Not of what a cluster was founded with: nobody asked then.
    fn check_change(&self, _old: &Self, _detail: &Detail, faults: &mut Vec<Fault>) {
        let mut before = BTreeSet::new();
        for (position, zone) in self.available_zones.iter().enumerate() {
            if !before.insert(zone) {
                faults.push(Fault::new(format!("/spec/availableZones/{position}"), "is named twice"));
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

/// The blocks of a pool.
pub(crate) fn pool_blocks(spec: &AddressPoolSpec) -> impl Iterator<Item = Block> + '_ {
    spec.blocks.iter().filter_map(|text| Block::parse_any(text).ok())
}

impl Rules for AddressPoolSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_range(faults, "/spec/blocks", self.blocks.len() as u64, 1, 64);
        let mut before: Vec<Block> = Vec::new();
        for (position, text) in self.blocks.iter().enumerate().take(64) {
            let why = match Block::parse_any(text) {
                Err(why) => why,
                Ok(block) if !is_host_range(block) => {
                    format!("{block} has addresses that no machine can have (0.0.0.0, loopback or multicast)")
                }
                Ok(block) => match before.iter().find(|other| other.overlaps(&block)) {
                    Some(other) => format!("{block} overlaps with {other} of the same pool"),
                    None => {
                        before.push(block);
                        continue;
                    }
                },
            };
            faults.push(Fault::new(format!("/spec/blocks/{position}"), why));
        }
    }
}

/// Whether machines can have its addresses: not this network, loopback, multicast or what is reserved behind it.
fn is_host_range(block: Block) -> bool {
    let range = match block.version {
        IpVersion::V4 => 0x0100_0000..=0xdfff_ffff,
        IpVersion::V6 => 2..=(0xff << 120) - 1,
    };
    let loopback = Block::new(IpVersion::V4, 127 << 24, 8);
    range.contains(&block.first) && range.contains(&block.last()) && !block.overlaps(&loopback)
}
