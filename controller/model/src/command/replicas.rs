//! What the controllers tell one another through the log: the version of the cluster, and what they have.

use serde::{Deserialize, Serialize};

use crate::version::ClusterVersion;

/// See [`super::Command::Upgrade`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpgradeCommand {
    /// The version from now on: the one after the present one.
    pub version: ClusterVersion,
}

/// See [`super::Command::Digest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DigestCommand {
    /// What a majority had at an earlier such entry. Who had something else there is wrong, and stops.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agreed: Option<Agreed>,
}

/// The digest that a majority had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Agreed {
    /// Log index of the entry at which it was noted.
    pub index: u64,
    /// 32 hexadecimal digits.
    pub digest: String,
}
