//! Provider `seca.compute`: instance SKUs and instances.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Reference, Status, Timestamp, empty_as_absent};

/// A size of instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceSkuSpec {
    /// Virtual CPUs, 1..60.
    #[serde(rename = "vCPU")]
    #[schemars(range(min = 1, max = 60))]
    pub vcpu: u32,
    /// Memory in **gigabytes** (GiB), 1..65536.
    #[schemars(range(min = 1, max = 65536))]
    pub ram: u32,
}

/// Desired state of an instance. User data often holds credentials: [`std::fmt::Debug`] does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceSpec {
    /// Size; immutable.
    pub sku_ref: Reference,
    /// Zone; immutable.
    #[schemars(length(min = 1, max = 32))]
    pub zone: String,
    /// The disk it boots from; changes only while off.
    pub boot_volume: VolumeReference,
    /// Further disks, at most 64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 64))]
    pub data_volumes: Option<Vec<VolumeReference>>,
    /// First network card.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub primary_nic_ref: Option<Reference>,
    /// Further network cards, at most 16.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 16))]
    pub additional_nic_refs: Option<Vec<Reference>>,
    /// Applies besides those of the NICs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub security_group_ref: Option<Reference>,
    /// Public keys for the guest's first boot, at most 32, each 1..4096 characters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 4096)))]
    pub ssh_keys: Option<Vec<String>>,
    /// cloud-init user data for the guest's first boot, as plain text, at most 65536 characters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 65536))]
    pub user_data: Option<String>,
    /// Instances of one group in a workspace are placed on different hosts; at most 64 characters.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "empty_as_absent")]
    #[schemars(length(max = 64))]
    pub anti_affinity_group: Option<String>,
}

impl std::fmt::Debug for InstanceSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whole, so that a new field cannot be forgotten.
        let InstanceSpec {
            sku_ref,
            zone,
            boot_volume,
            data_volumes,
            primary_nic_ref,
            additional_nic_refs,
            security_group_ref,
            ssh_keys,
            user_data,
            anti_affinity_group,
        } = self;
        f.debug_struct("InstanceSpec")
            .field("sku_ref", sku_ref)
            .field("zone", zone)
            .field("boot_volume", boot_volume)
            .field("data_volumes", data_volumes)
            .field("primary_nic_ref", primary_nic_ref)
            .field("additional_nic_refs", additional_nic_refs)
            .field("security_group_ref", security_group_ref)
            .field("ssh_keys", ssh_keys)
            .field("user_data", &user_data.as_ref().map(|_| "hidden"))
            .field("anti_affinity_group", anti_affinity_group)
            .finish()
    }
}

/// A volume as an instance uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeReference {
    /// The block storage.
    pub device_ref: Reference,
    /// How the guest sees it; `virtio` when absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    pub bus: Option<VolumeBus>,
}

/// How a guest sees a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumeBus {
    /// virtio-blk.
    Virtio,
}

/// Whether an instance executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PowerState {
    /// It executes.
    On,
    /// It does not; what every instance is when created.
    #[default]
    Off,
}

/// An instance as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// Whether it executes.
    pub power_state: PowerState,
    /// Since when; absent if it never has. The last start, stop or restart.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub power_state_since: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_is_not_shown_for_debugging() {
        let json = serde_json::json!({
            "skuRef": "s", "zone": "a", "bootVolume": {"deviceRef": "b"}, "userData": "canary", "sshKeys": ["k"],
        });
        let spec: InstanceSpec = serde_json::from_value(json).unwrap();
        let shown = format!("{spec:?}");
        assert!(!shown.contains("canary") && shown.contains("hidden"), "{shown}");
    }
}
