//! Provider `rempart.tenancy`: tenants, who owns them, and how much they may have.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Status;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// Subjects (the token's `sub`) who may do everything in this tenant; 1..256, each 1..128 characters.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 128)))]
    pub owners: Vec<String>,
    /// Subjects that its roles may be given to, besides owners and its service accounts: an assignment that names anybody
    /// else is refused. Up to 1024, each 1..128 characters. Absent: whoever it names.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 128)))]
    pub subjects: Option<Vec<String>>,
    /// Nothing of it runs, and nobody but operators changes anything. Everything stays as it is, and can be read.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub suspended: bool,
    /// How much it may have in all its workspaces together. What is not named has no bound.
    #[serde(skip_serializing_if = "Quota::is_empty", default, deserialize_with = "by_name")]
    #[schemars(schema_with = "quota_schema")]
    pub quota: Quota,
}

/// How much a workspace may have; named like the workspace, which may come later. The tenant's own to set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceQuotaSpec {
    /// What is not named has no bound but the tenant's.
    #[serde(default, deserialize_with = "by_name")]
    #[schemars(schema_with = "quota_schema")]
    pub quota: Quota,
}

/// Upper bounds.
pub type Quota = BTreeMap<Countable, u64>;

/// As the map it is; but an amount that is wrong is named by what it is of.
fn by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quota, D::Error> {
    let amounts = BTreeMap::<String, u64>::deserialize(deserializer)?;
    let named =
        |(name, amount): (String, u64)| Ok((Countable::deserialize(name.into_deserializer())?, amount));
    amounts.into_iter().map(named).collect()
}

fn quota_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    // What every client can write as a number.
    let amount = serde_json::json!({ "type": "integer", "minimum": 0, "maximum": (1_u64 << 53) - 1 });
    let amounts = Countable::ALL.map(|what| (what.name(), amount.clone()));
    schemars::json_schema!({
        "type": "object",
        "properties": serde_json::Map::from_iter(amounts),
        "additionalProperties": false,
    })
}

/// What is counted. It counts from the entry that accepts it until it is gone, waiting and deleted ones among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Countable {
    /// Instances, on or off.
    Instances,
    /// Their virtual CPUs.
    #[serde(rename = "vCPU")]
    Vcpu,
    /// Their memory, in the unit of instance SKUs.
    #[serde(rename = "ramGB")]
    RamGb,
    /// Block storages.
    Volumes,
    /// Their sizes.
    #[serde(rename = "storageGB")]
    StorageGb,
    /// Public addresses.
    PublicIps,
    /// Addresses of NICs.
    Addresses,
    /// Resources of every kind.
    Resources,
}

impl Countable {
    /// All of them, in order.
    pub const ALL: [Countable; 8] = [
        Countable::Instances,
        Countable::Vcpu,
        Countable::RamGb,
        Countable::Volumes,
        Countable::StorageGb,
        Countable::PublicIps,
        Countable::Addresses,
        Countable::Resources,
    ];

    /// Its name in quotas and usages.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// What one says of some of it: `has 3 vCPUs`.
    pub const fn noun(self) -> &'static str {
        match self {
            Countable::Instances => "instances",
            Countable::Vcpu => "vCPUs",
            Countable::RamGb => "GB of memory",
            Countable::Volumes => "volumes",
            Countable::StorageGb => "GB of storage",
            Countable::PublicIps => "public IPs",
            Countable::Addresses => "NIC addresses",
            Countable::Resources => "resources",
        }
    }
}

/// How much there is of something, and how much there may be. `status.usage` of tenants and workspace quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// How much there is.
    pub used: u64,
    /// How much there may be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u64>,
}

/// A tenant, or a workspace quota, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// How much there is, and how much there may be.
    pub usage: BTreeMap<Countable, Usage>,
}
