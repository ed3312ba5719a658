//! Steps of one instance, but for its power, which `power` decides.

use super::power::{self, PowerMove};
use super::{Action, Claim, Input, ObjectPlan, Obstacle, Progress, SharedSeed, volume};
use crate::desired::Presence;
use crate::ledger::InstanceRecord;
use crate::vm::Domain;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

pub(super) fn plan(input: Input<'_>, record: &Arc<InstanceRecord>) -> ObjectPlan {
    let Some(domains) = &input.world.domains else { return ObjectPlan::idle(Progress::Unknown) };
    let domain = domains.get(&record.instance.uid);
    match record.instance.presence {
        Presence::Present => present(input, record, domain),
        Presence::Absent => absent(input, record, domain),
    }
}

fn absent(input: Input<'_>, record: &InstanceRecord, domain: Option<&Domain>) -> ObjectPlan {
    let uid = record.instance.uid;
    let mut actions = Vec::new();
    if let Some(domain) = domain {
        if domain.running {
            actions.push(Action::PowerOff(uid));
        }
        actions.push(Action::Undefine(uid));
    }
    if input.world.seeds.contains_key(&uid) {
        actions.push(Action::RemoveSeed(uid));
    }
    if input.world.run_dirs.contains(&uid) {
        actions.push(Action::RemoveRunDir(uid));
    }
    ObjectPlan::new(actions, claims(record))
}

fn present(input: Input<'_>, record: &Arc<InstanceRecord>, domain: Option<&Domain>) -> ObjectPlan {
    let uid = record.instance.uid;
    let running = domain.is_some_and(|domain| domain.running);
    let good = if running { volume::is_usable } else { volume::is_ready };
    let waiting: Vec<Uuid> = record.instance.volumes().filter(|volume| !good(input, *volume)).collect();
    let power = power::plan(power::Input {
        desired: record.instance.power,
        incarnation: record.stamp.incarnation,
        record: input.ledger.power.get(&uid),
        running,
        paused: domain.is_some_and(|domain| domain.paused),
        off_cause: domain.and_then(|domain| domain.off_cause),
        boot_id: &input.world.boot_id,
        pressed: input.pressed.get(&uid).copied(),
    });
    if running {
        // The definition and the seed of a running guest stay; what changed takes effect at its next start.
        let mut plan = ObjectPlan::new(power_actions(uid, power.moves), claims(record));
        plan.wake_after = power.wake_after;
        plan.progress = if waiting.is_empty() {
            Progress::Reached
        } else {
            Progress::Blocked(Obstacle::Volumes(waiting))
        };
        return plan;
    }
    if !waiting.is_empty() {
        // It cannot start; that it went off is written down all the same.
        let starts = power.moves.contains(&PowerMove::Start);
        let moves = if starts { Vec::new() } else { power.moves };
        let mut plan = ObjectPlan::new(power_actions(uid, moves), claims(record));
        plan.progress = Progress::Blocked(Obstacle::Volumes(waiting));
        return plan;
    }
    // The steps of power do not count: an instance is here once it is defined, on or off.
    let mut plan = ObjectPlan::new(preparation(input, record, domain), claims(record));
    plan.wake_after = power.wake_after;
    plan.actions.extend(power_actions(uid, power.moves));
    plan
}

/// What makes a guest that is off ready to start.
fn preparation(input: Input<'_>, record: &Arc<InstanceRecord>, domain: Option<&Domain>) -> Vec<Action> {
    let uid = record.instance.uid;
    let mut actions = Vec::new();
    if !input.world.run_dirs.contains(&uid) {
        actions.push(Action::CreateRunDir(uid));
    }
    if input.world.seeds.get(&uid) != Some(&record.seed_fingerprint) {
        actions.push(Action::WriteSeed(uid, SharedSeed(record.clone())));
    }
    if let Some(guest) = super::guest(&input.host.data, record)
        && domain.and_then(|domain| domain.definition.as_deref()) != Some(guest.digest().as_str())
    {
        actions.push(Action::Define(guest));
    }
    actions
}

fn power_actions(uid: Uuid, moves: Vec<PowerMove>) -> Vec<Action> {
    let action = |power_move| match power_move {
        PowerMove::Record(record) => Action::RecordPower(uid, record),
        PowerMove::Start => Action::Start(uid),
        PowerMove::Resume => Action::Resume(uid),
        PowerMove::PressButton(generation) => Action::PressPowerButton(uid, generation),
        PowerMove::PowerOff => Action::PowerOff(uid),
    };
    moves.into_iter().map(action).collect()
}

fn claims(record: &InstanceRecord) -> BTreeSet<Claim> {
    record.all_volumes().map(Claim::Volume).chain([Claim::Instance(record.instance.uid)]).collect()
}
