//! Provider `rempart.catalogue`: what operators offer that SECA has no kind for.

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
