//! States and the condition history that every status carries in SECA.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// SECA's resource states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Not available, waiting for other resources or for the control plane.
    #[default]
    Pending,
    /// Not available, being made.
    Creating,
    /// Usable.
    Active,
    /// Usable, being changed.
    Updating,
    /// May still work, may vanish.
    Deleting,
    /// Failed; the newest condition says why.
    Error,
}

/// Most conditions a status keeps; the oldest go first.
pub const MAX_CONDITIONS: usize = 32;

/// One entry of the history of state transitions, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// State entered.
    pub state: Phase,
    /// When.
    pub last_transition_at: Timestamp,
    /// Stable word for machines: `^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// For people: what is happening or being waited for, and what to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

/// The part of a status that all kinds share: an exact history of state transitions.
///
/// Nothing but a transition adds an entry; finer progress is told in the newest entry's reason and message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Current state: that of the newest condition.
    pub state: Phase,
    /// Newest first, at most [`MAX_CONDITIONS`].
    pub conditions: Vec<Condition>,
}

impl Status {
    /// Enters `state` at `at`.
    pub fn enter(&mut self, state: Phase, at: Timestamp) {
        // Clocks of successive leaders differ; the list must not show time running back.
        let at = self.conditions.first().map_or(at, |newest| at.max(newest.last_transition_at));
        self.state = state;
        // Most objects never have more than those they are made with: a list that doubles would keep room for one more.
        self.conditions.reserve_exact(1);
        self.conditions.insert(0, Condition { state, last_transition_at: at, reason: None, message: None });
        self.conditions.truncate(MAX_CONDITIONS);
    }

    /// Says why the current state is what it is, or what it waits for. `None` when there is nothing to say.
    pub fn explain(&mut self, why: Option<(&str, String)>) {
        if let Some(newest) = self.conditions.first_mut() {
            (newest.reason, newest.message) = match why {
                Some((reason, message)) => (Some(reason.to_owned()), Some(message)),
                None => (None, None),
            };
        }
    }
}
