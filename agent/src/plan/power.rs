//! Which power step comes next.
//!
//! ```text
//!            new generation, on, off now        QEMU is there, paused            let go
//!          +------------------------> STARTING ---------------------> STARTED ---------+
//!          |                             ^                                             v
//!  (none or older)                       | off, should be on                        SETTLED   the guest's own doing
//!          |                             |                                             ^
//!          +------------------------> STOPPING ----------------------------------------+
//!            new generation, runs and    |   off, should be off
//!            should be off or restart    +-- button, again and again, then after the grace power off
//!
//!  STARTED, SETTLED --- another boot of the host, should be on ---> STARTING
//! ```
//!
//! Each state is written to the ledger before it is acted upon; a guest executes nothing before STARTED is written, so
//! that one which shut itself down while the agent was away is told from one that never ran. What never happens: a settled generation is taken
//! up again under the same boot; a guest that ended by itself is started again by anything but a new generation or
//! a new boot of the host; a start overtakes a stop that is under way (the guest would go down after it, and that
//! would look like its own will).

use super::Pressed;
use crate::desired::Power;
use crate::ledger::power::{Ended, PowerRecord, PowerStep};
use crate::vm::OffCause;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How long a guest has between the power button and being turned off.
pub const STOP_GRACE: Duration = Duration::from_secs(30);
/// How long until the button is pressed again: a guest that still boots does not hear it the first time.
const PRESS_AGAIN: Duration = Duration::from_secs(3);

/// What the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What should be.
    pub desired: Power,
    /// Incarnation of the cluster that asked.
    pub incarnation: u64,
    /// What was done so far.
    pub record: Option<&'a PowerRecord>,
    /// Whether the guest runs.
    pub running: bool,
    /// Whether there is a QEMU in which nothing executes.
    pub paused: bool,
    /// Why it does not.
    pub off_cause: Option<OffCause>,
    /// The present boot of the host.
    pub boot_id: &'a str,
    /// The power button, if this process pressed it.
    pub pressed: Option<Pressed>,
}

/// The next moves of a guest's power.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PowerPlan {
    /// Moves, in this order.
    pub moves: Vec<PowerMove>,
    /// When the grace ends.
    pub wake_after: Option<Duration>,
}

/// One move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PowerMove {
    /// Writes to the ledger.
    Record(PowerRecord),
    /// Gives the guest a QEMU, paused.
    Start,
    /// Lets the guest execute.
    Resume,
    /// Presses the power button for this generation.
    PressButton(u64),
    /// Turns the guest off.
    PowerOff,
}

/// Decides.
pub fn plan(input: Input<'_>) -> PowerPlan {
    let offered = (input.incarnation, input.desired.generation);
    match input.record {
        Some(record) if (record.incarnation, record.generation) == offered => resume(input, record),
        // The ledger refuses older states, so this one is not to be executed whatever brought it here.
        Some(record) if (record.incarnation, record.generation) > offered => PowerPlan::default(),
        older => take_up(input, older),
    }
}

/// A generation nothing was done for yet.
fn take_up(input: Input<'_>, older: Option<&PowerRecord>) -> PowerPlan {
    if !input.running {
        return if input.desired.on { start(input) } else { settle(input, None) };
    }
    let stop_is_under_way =
        older.is_some_and(|record| record.step == PowerStep::Stopping && record.boot_id == input.boot_id);
    // A restart is new only if it is newer than what was done: a restore from backup repeats old generations, and
    // without a record nobody knows. In doubt a running guest is left running.
    let restart_is_new = older.is_some_and(|record| input.desired.generation > record.generation);
    if !input.desired.on || stop_is_under_way || input.desired.restart && restart_is_new {
        stop(input)
    } else if older.is_some_and(|record| record.step != PowerStep::Settled) {
        let_go(input)
    } else {
        settle(input, None)
    }
}

/// A generation that was begun, perhaps before a crash.
fn resume(input: Input<'_>, record: &PowerRecord) -> PowerPlan {
    let same_boot = record.boot_id == input.boot_id;
    match (record.step, input.running) {
        (PowerStep::Stopping, true) if same_boot || !input.desired.on => keep_stopping(input),
        // The host went down in between: the guest runs afresh, as asked.
        (PowerStep::Stopping, true) => settle(input, None),
        (PowerStep::Starting | PowerStep::Started, true) => let_go(input),
        (PowerStep::Stopping | PowerStep::Starting, false) if input.desired.on => start(input),
        (PowerStep::Stopping | PowerStep::Starting, _) => settle(input, None),
        (PowerStep::Started, false) if input.desired.on && !same_boot => start(input),
        (PowerStep::Started, false) => settle(input, Ended::from_cause(input.off_cause)),
        // What ended by itself before the host went down stays off: the controllers may not have heard of it yet.
        (PowerStep::Settled, false) if input.desired.on && !same_boot && record.ended.is_none() => {
            start(input)
        }
        (PowerStep::Settled, true) if input.desired.on && !same_boot => settle(input, None),
        (PowerStep::Settled, false) if input.desired.on && record.ended.is_none() => {
            match Ended::from_cause(input.off_cause) {
                // Hypervisors forget; the ledger does not.
                Some(ended) => settle(input, Some(ended)),
                None => PowerPlan::default(),
            }
        }
        (PowerStep::Settled, _) => PowerPlan::default(),
    }
}

fn start(input: Input<'_>) -> PowerPlan {
    let starting = record(input, PowerStep::Starting, None);
    let known = input.record == Some(&starting);
    let mut moves = if known { Vec::new() } else { vec![PowerMove::Record(starting)] };
    moves.push(PowerMove::Start);
    moves.extend(let_go(input).moves);
    PowerPlan { moves, wake_after: None }
}

/// The guest has a QEMU and may be paused.
fn let_go(input: Input<'_>) -> PowerPlan {
    let started = record(input, PowerStep::Started, None);
    let settled = record(input, PowerStep::Settled, None);
    let known = input.record == Some(&started);
    let mut moves = if known { Vec::new() } else { vec![PowerMove::Record(started)] };
    if input.paused || !input.running {
        moves.push(PowerMove::Resume);
    }
    moves.push(PowerMove::Record(settled));
    PowerPlan { moves, wake_after: None }
}

fn stop(input: Input<'_>) -> PowerPlan {
    let stopping = record(input, PowerStep::Stopping, None);
    let moves = vec![PowerMove::Record(stopping), PowerMove::PressButton(input.desired.generation)];
    PowerPlan { moves, wake_after: None }
}

fn keep_stopping(input: Input<'_>) -> PowerPlan {
    let pressed = input.pressed.filter(|pressed| pressed.generation == input.desired.generation);
    match pressed {
        None => PowerPlan { moves: vec![PowerMove::PressButton(input.desired.generation)], wake_after: None },
        Some(Pressed { ago, last_ago, .. }) => {
            let left = STOP_GRACE.saturating_sub(ago);
            let pause = PRESS_AGAIN.saturating_sub(last_ago);
            if left.is_zero() {
                PowerPlan { moves: vec![PowerMove::PowerOff], wake_after: None }
            } else if pause.is_zero() {
                let again = PowerMove::PressButton(input.desired.generation);
                PowerPlan { moves: vec![again], wake_after: None }
            } else {
                PowerPlan { moves: Vec::new(), wake_after: Some(left.min(pause)) }
            }
        }
    }
}

fn settle(input: Input<'_>, ended: Option<Ended>) -> PowerPlan {
    let settled = record(input, PowerStep::Settled, ended);
    PowerPlan { moves: vec![PowerMove::Record(settled)], wake_after: None }
}

fn record(input: Input<'_>, step: PowerStep, ended: Option<Ended>) -> PowerRecord {
    let generation = input.desired.generation;
    let settled_generation = match step {
        PowerStep::Settled => generation,
        _ => input.record.map_or(0, |record| record.settled_generation),
    };
    PowerRecord {
        incarnation: input.incarnation,
        generation,
        boot_id: input.boot_id.to_owned(),
        step,
        settled_generation,
        ended,
    }
}
