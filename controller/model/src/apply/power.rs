//! Start, stop, restart.

use rempart_api::Phase;
use rempart_api::compute::PowerState;

use super::{Tx, check_version, resumed};
use crate::answer::{Answer, Outcome};
use crate::command::{PowerAction, PowerCommand};
use crate::object::{Detail, Object};
use crate::planted;
use crate::refusal::Refusal;

impl Tx {
    pub(super) fn power(&mut self, command: &PowerCommand) -> Outcome {
        let object = (*self.expect(&command.urn)?).clone();
        check_version(&object, command.if_unmodified_since)?;
        let state = object.status.state;
        let name = &command.urn;
        let Detail::Instance(instance) = &object.detail else {
            return Err(Refusal::conflict(format!("{name} has no power to switch")));
        };
        let stopping = command.action == PowerAction::Stop;
        if state != Phase::Active && !(state == Phase::Error && stopping) {
            let shown = format!("{state:?}").to_lowercase();
            return Err(Refusal::conflict(format!(
                "{name} is {shown}; power actions are accepted when it is active"
            )));
        }
        match (command.action, instance.power_state) {
            (PowerAction::Start, PowerState::On) => {
                return Err(Refusal::conflict(format!("{name} is on already")));
            }
            (PowerAction::Stop | PowerAction::Restart, PowerState::Off) if state == Phase::Active => {
                return Err(Refusal::conflict(format!(
                    "{name} is off; only a running instance can be stopped or restarted"
                )));
            }
            _ => {}
        }
        self.switch(object, !stopping, command.action == PowerAction::Restart);
        Ok(Answer::Accepted)
    }

    /// Asks an instance's host to turn it on or off, whatever it is doing.
    pub(super) fn switch(&mut self, mut object: Object, on: bool, restart: bool) {
        object.count_request(self.now);
        let Detail::Instance(instance) = &mut object.detail else { return };
        instance.power.on = on;
        instance.power.restart = restart;
        instance.power.generation += 1;
        if planted("epoch-runs-back")
            && let Some(placement) = &mut instance.placement
        {
            placement.epoch = placement.epoch.saturating_sub(1);
        }
        instance.off_cause = None;
        instance.host_generation = object.resource_version;
        if matches!(object.status.state, Phase::Active | Phase::Error) {
            object.status.enter(resumed(&object.status), self.now);
        }
        self.write(object);
    }
}
