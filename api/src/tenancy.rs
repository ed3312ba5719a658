//! Provider `rempart.tenancy`: tenants, and who owns them.

use serde::{Deserialize, Serialize};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// Subjects (the token's `sub`) who may do everything in this tenant; 1..256, each 1..128 characters.
    pub owners: Vec<String>,
}
