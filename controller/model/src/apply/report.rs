//! What hosts observe.
//!
//! A report counts only for the incarnation, host, placement epoch and generation that are desired now. Whatever else
//! it speaks of is past, or was never asked for, and so is the absence of what should be there; the host reports again
//! once it has caught up.

use rempart_api::Phase;
use rempart_api::compute::PowerState;
use uuid::Uuid;

use super::place::is_settled;
use super::{Tx, resumed};
use crate::answer::{Answer, Outcome};
use crate::command::{InstanceReport, ObjectReport, ReportCommand, VolumeReport};
use crate::object::{Detail, InstanceDetail, Object, OffCause, Realised};
use crate::planted;
use crate::refusal::Refusal;

impl Tx {
    pub(super) fn report(&mut self, report: &ReportCommand) -> Outcome {
        if self.state.host_identity(&report.host).is_some_and(|identity| identity.revoked_at.is_some()) {
            return Err(Refusal::conflict(format!(
                "host {:?} was revoked; what it says counts no more",
                report.host
            )));
        }
        for observed in &report.objects {
            match observed {
                ObjectReport::Volume(volume) => self.volume_report(&report.host, volume),
                ObjectReport::Instance(instance) => self.instance_report(&report.host, instance),
            }
        }
        Ok(Answer::Done)
    }

    pub(super) fn bound(&self, uid: Uuid, host: &str, epoch: u64) -> Option<Object> {
        let object = self.state.by_uid(uid)?;
        let placement = object.placement()?;
        (placement.host == host && placement.epoch == epoch).then(|| (**object).clone())
    }

    fn volume_report(&mut self, host: &str, report: &VolumeReport) {
        let Some(mut object) = self.bound(report.uid, host, report.epoch) else { return };
        // While it is needed, a deleted volume is desired present: its absence is then a failure, not the end.
        let may_go = object.is_deleting() && !self.state.is_needed(&object);
        let Detail::Volume(volume) = &mut object.detail else { return };
        let current = report.generation == volume.host_generation || planted("generation-ignored");
        if !current {
            return;
        }
        let realised =
            Realised { generation: volume.host_generation, failure: report.failure.clone().map(Box::new) };
        let absent = !report.present && report.failure.is_none();
        if absent && !may_go {
            return;
        }
        let noted = volume.capture.as_mut().is_some_and(|capture| {
            let news = capture.failure != report.capture_failure;
            capture.failure.clone_from(&report.capture_failure);
            news
        });
        if absent {
            volume.placement = None;
            let urn = object.urn.clone();
            self.write(object);
            self.finish_deletion(&urn);
        } else if noted || volume.realised != realised {
            volume.realised = realised;
            if report.present && report.failure.is_none() {
                self.end_growth(&mut object);
            }
            self.write(object);
        }
    }

    /// If `object` is a volume that was growing: it has its size, or nothing is left of it that could grow.
    pub(super) fn end_growth(&self, object: &mut Object) {
        let Detail::Volume(volume) = &mut object.detail else { return };
        if volume.realised_size_gb.take().is_some() && !object.is_deleting() {
            self.resume(object);
            object.status.enter(Phase::Active, self.now);
        }
    }

    fn instance_report(&mut self, host: &str, report: &InstanceReport) {
        let Some(mut object) = self.bound(report.uid, host, report.epoch) else { return };
        let deleting = object.is_deleting();
        let before = object.clone();
        let Detail::Instance(instance) = &mut object.detail else { return };
        if (report.generation != instance.host_generation && !planted("generation-ignored"))
            || report.power_generation > instance.power.generation
        {
            return;
        }
        let absent = !report.present && report.failure.is_none();
        if absent && !deleting {
            return;
        }
        if absent {
            instance.placement = None;
            let urn = object.urn.clone();
            self.write(object);
            self.finish_deletion(&urn);
            return;
        }
        instance.realised =
            Realised { generation: instance.host_generation, failure: report.failure.clone().map(Box::new) };
        self.observe_power(instance, report);
        if !deleting {
            self.transition(&mut object);
        }
        if object != before {
            self.write(object);
        }
    }

    /// Off by the guest's own will, under the newest power generation, becomes what is desired. Off for a reason that
    /// nobody vouches for does not: the host may have been down, and starts the guest again by itself.
    fn observe_power(&self, instance: &mut InstanceDetail, report: &InstanceReport) {
        let seen = if report.running { PowerState::On } else { PowerState::Off };
        let executed_anew = report.power_generation > instance.executed_power_generation;
        if executed_anew || seen != instance.power_state {
            instance.power_state_since = Some(self.now);
        }
        if executed_anew || seen == PowerState::Off {
            // Its definition is that of the newest generation, or will be when it starts.
            instance.changed_while_on = false;
        }
        instance.executed_power_generation = instance.executed_power_generation.max(report.power_generation);
        instance.power_state = seen;
        if report.power_generation < instance.power.generation {
            return;
        }
        instance.power.restart = false;
        let own_will = matches!(report.off_cause, Some(OffCause::Guest | OffCause::Crashed));
        if own_will && !report.running && instance.power.on {
            instance.power.on = false;
            instance.off_cause = report.off_cause;
        }
    }

    /// What failed and comes true all the same was at work again before.
    pub(super) fn resume(&self, object: &mut Object) {
        let status = &mut object.status;
        if status.state == Phase::Error {
            status.enter(resumed(status), self.now);
        }
    }

    pub(super) fn transition(&self, object: &mut Object) {
        let Detail::Instance(instance) = &object.detail else { return };
        let settled = is_settled(instance);
        let failed = instance.realised.failure.is_some();
        let status = &mut object.status;
        // What failed by its deadline has failed until it is done after all; what its host said to fail, until it says no more.
        let expired = object.overdue.as_ref().is_some_and(|overdue| overdue.step.has_failed());
        if status.state == Phase::Error && !failed && (settled || !expired) {
            status.enter(resumed(status), self.now);
        }
        match status.state {
            Phase::Creating | Phase::Updating if settled => status.enter(Phase::Active, self.now),
            Phase::Creating | Phase::Updating if failed => status.enter(Phase::Error, self.now),
            _ => {}
        }
    }
}
