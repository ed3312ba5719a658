//! Where a resource stands: what `GET /providers/rempart.explain/v1/{provider}/{path of the resource}` answers, to whoever may
//! read the resource, and to operators. It shows nothing of spec, labels or user data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compute::PowerState;
use crate::{Condition, Phase, Timestamp};

/// Its provider.
pub const PROVIDER: &str = "rempart.explain";

/// Where a resource stands, why, and what happens next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Its URN.
    #[serde(rename = "ref")]
    pub reference: String,
    /// State, as in its status; absent for kinds without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<Phase>,
    /// Of an instance: whether it executes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub power_state: Option<PowerState>,
    /// When its deletion was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deleted_at: Option<Timestamp>,
    /// Stable word for why it is not plainly fine; absent when there is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// What it is on its way through; absent when nothing has to happen to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub step: Option<StandingStep>,
    /// The host it is bound to; for operators alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// Its incarnation; for operators alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<String>,
    /// History of its states, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub conditions: Vec<Condition>,
}

/// A step on the way; `docs/operating/deadlines.md` lists all there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandingStep {
    /// `awaiting-host`
    pub name: String,
    /// Who has to act: `placement`, `agent`, `controllers`, `tenant` or `operator`.
    pub owner: String,
    /// Since when.
    pub since: Timestamp,
    /// How long it may last.
    pub deadline_seconds: u64,
    /// When that is over, at the earliest: the leader counts from when it first saw the step, and a new leader anew.
    pub deadline: Timestamp,
    /// That is over, and was said.
    pub overdue: bool,
    /// When it was said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub overdue_since: Option<Timestamp>,
    /// What it waits for.
    pub waits_for: String,
    /// What happens next.
    pub next: String,
}
