//! Provider `seca.workspace`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A workspace has no settings of its own; what clients send is kept and echoed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(transparent)]
pub struct WorkspaceSpec(#[serde(deserialize_with = "null_as_empty")] pub Map<String, Value>);

/// Clients send `{}`, `null` or nothing.
fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
