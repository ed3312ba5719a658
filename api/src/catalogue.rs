//! Provider `rempart.catalogue`: what operators offer and SECA has no way to write.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Public addresses that may be given out. Every address of its blocks is usable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolSpec {
    /// 1..64 CIDR blocks, IPv4 and IPv6; no two overlap, in this pool or another. One of which an address was given out
    /// stays.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 43)))]
    pub blocks: Vec<String>,
}

/// What operators write of the region: its zones. The document that they read has its providers as well, which are the
/// installation's to say: passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionZones {
    /// The only legal values of `zone`; 1..32 different ones, each 1..32 characters. One in which something stands stays.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 32)), extend("uniqueItems" = true))]
    pub available_zones: Vec<String>,
}
