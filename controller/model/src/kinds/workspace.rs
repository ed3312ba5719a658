//! Workspaces: a place for other resources, with no settings of its own.

use rempart_api::workspace::WorkspaceSpec;
use serde_json::Value;

use super::Rules;
use crate::refusal::Fault;
use crate::state::State;

/// Levels of nesting a spec may have. Readers of JSON stop at 128, and log entries and rows wrap it in some more:
/// what the API could still read, the log could not, and every replica would halt at the entry.
const MAX_DEPTH: usize = 16;

impl Rules for WorkspaceSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        if self.0.values().any(|value| deeper_than(value, MAX_DEPTH - 1)) {
            faults.push(Fault::new("/spec", format!("may be nested {MAX_DEPTH} levels deep, is deeper")));
        }
    }
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    let inner = |value: &Value| deeper_than(value, levels - 1);
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => true,
        Value::Array(items) => items.iter().any(inner),
        Value::Object(members) => members.values().any(inner),
        _ => false,
    }
}
