//! Provider `seca.workspace`.

use serde::{Deserialize, Serialize};

/// A workspace has no settings of its own; what clients send is kept and echoed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct WorkspaceSpec(pub serde_json::Map<String, serde_json::Value>);
