//! Instances.

use rempart_api::Kind;
use rempart_api::compute::{InstanceSpec, PowerState};

use super::secret::check_stored;
use super::{Link, Rules, Strength, check_same, check_text, check_zone};
use crate::object::{Detail, InstanceDetail, Power, Realised};
use crate::refusal::Fault;
use crate::state::State;

impl Rules for InstanceSpec {
    fn check(&self, state: &State, faults: &mut Vec<Fault>) {
        check_zone(state, faults, "/spec/zone", &self.zone);
        let keys = self.ssh_keys.as_deref().unwrap_or_default();
        if keys.len() > 32 {
            faults.push(Fault::new("/spec/sshKeys", format!("at most 32 keys, has {}", keys.len())));
        }
        for (position, key) in keys.iter().enumerate() {
            check_text(faults, format!("/spec/sshKeys/{position}"), key, 4096);
        }
        if let Some(text) = &self.user_data {
            check_stored(faults, "/spec/userData", text);
        }
        if let Some(group) = &self.anti_affinity_group {
            check_text(faults, "/spec/antiAffinityGroup", group, 64);
        }
        let volumes = self.data_volumes.as_deref().unwrap_or_default();
        if volumes.len() > 64 {
            faults
                .push(Fault::new("/spec/dataVolumes", format!("at most 64 volumes, has {}", volumes.len())));
        }
        let nics = self.additional_nic_refs.as_deref().unwrap_or_default();
        if nics.len() > 16 {
            let why = format!("at most 16 NICs, has {}", nics.len());
            faults.push(Fault::new("/spec/additionalNicRefs", why));
        }
    }

    fn check_change(&self, old: &Self, _detail: &Detail, faults: &mut Vec<Fault>) {
        check_same(faults, "/spec/zone", &old.zone, &self.zone);
    }

    fn links(&self) -> Vec<Link<'_>> {
        let mut links = vec![
            Link::new("/spec/skuRef", &self.sku_ref, Kind::InstanceSku, Strength::AtPut).fixed(),
            Link::new(
                "/spec/bootVolume/deviceRef",
                &self.boot_volume.device_ref,
                Kind::BlockStorage,
                Strength::Strong,
            )
            .alone()
            .fixed_while_on(),
        ];
        links.extend(self.data_volumes.iter().flatten().enumerate().map(|(position, volume)| {
            Link::new(
                format!("/spec/dataVolumes/{position}/deviceRef"),
                &volume.device_ref,
                Kind::BlockStorage,
                Strength::Strong,
            )
            .alone()
        }));
        let nic = |pointer, nic| Link::new(pointer, nic, Kind::Nic, Strength::Strong).alone();
        links.extend(self.primary_nic_ref.as_ref().map(|primary| nic("/spec/primaryNicRef".into(), primary)));
        let additional = self.additional_nic_refs.iter().flatten().enumerate();
        links.extend(additional.map(|(at, other)| nic(format!("/spec/additionalNicRefs/{at}"), other)));
        links.extend(
            self.security_group_ref.as_ref().map(|group| {
                Link::new("/spec/securityGroupRef", group, Kind::SecurityGroup, Strength::Strong)
            }),
        );
        links
    }

    fn secrets(&mut self) -> Vec<(&'static str, &mut String)> {
        self.user_data.as_mut().map(|text| ("userData", text)).into_iter().collect()
    }

    fn new_detail(&self) -> Detail {
        Detail::Instance(Box::new(InstanceDetail {
            placement: None,
            epoch: 0,
            host_generation: 1,
            realised: Realised::default(),
            power: Power::default(),
            executed_power_generation: 0,
            power_state: PowerState::Off,
            power_state_since: None,
            off_cause: None,
            hardware: None,
            changed_while_on: false,
            request_id: None,
        }))
    }
}
