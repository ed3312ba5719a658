//! What this host did about an instance's desired power.

use crate::vm::OffCause;
use serde::{Deserialize, Serialize};

/// The newest power generation taken up here, and how far it got.
///
/// It is written before each step. What a crash leaves is therefore a step that may or may not have been taken:
/// every step is idempotent and is taken again, but a generation that reached [`PowerStep::Started`] is never
/// started again under the same boot of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerRecord {
    /// Incarnation of the cluster that asked.
    pub incarnation: u64,
    /// The power generation.
    pub generation: u64,
    /// Boot of the host under which the step was written.
    pub boot_id: String,
    /// How far it got.
    pub step: PowerStep,
    /// Newest generation that reached [`PowerStep::Settled`]; what is reported as executed.
    pub settled_generation: u64,
    /// How a guest that should be on ended by itself, once that was seen. It ends with the boot of the host.
    pub ended: Option<Ended>,
}

/// How far a power generation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerStep {
    /// The guest is being turned off, to stay so or to be started again.
    Stopping,
    /// The guest is about to get a QEMU, in which it does not execute yet.
    Starting,
    /// The guest is about to execute, or does. From here on it is not started again for this generation: one that is
    /// off has had its time, however short.
    Started,
    /// The generation was executed; whatever the guest does from here on is its own doing.
    Settled,
}

/// How a guest ended by itself. Only what the hypervisor vouches for is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It shut itself down.
    ByGuest,
    /// It, or QEMU, failed.
    Crashed,
}

impl Ended {
    /// Reads the hypervisor's word. A domain turned off from outside, or off for a reason nobody remembers, did not
    /// end by itself: calling that the guest's will would turn it into the tenant's intent.
    pub fn from_cause(cause: Option<OffCause>) -> Option<Self> {
        match cause? {
            OffCause::Shutdown => Some(Self::ByGuest),
            OffCause::Crashed => Some(Self::Crashed),
            OffCause::Destroyed => None,
        }
    }
}
