//! Provider `seca.workspace`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::Status;

/// A workspace has no settings of its own; what clients send is kept and echoed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(transparent)]
pub struct WorkspaceSpec(#[serde(deserialize_with = "null_as_empty")] pub Map<String, Value>);

/// A workspace as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// Resources in it, of all providers, those that are being deleted among them.
    pub resource_count: u64,
}

/// Clients send `{}`, `null` or nothing.
fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
