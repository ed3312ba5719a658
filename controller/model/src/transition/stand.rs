//! Which step an object is in.

use rempart_api::fleet::HostState;
use rempart_api::{Kind, Phase, Timestamp};

use super::{Overdue, Step};
use crate::apply::{is_settled, resumed};
use crate::explain::{host_state, is_on};
use crate::kinds::Spec;
use crate::object::{Detail, HostDetail, ImageDetail, InstanceDetail, Object, VolumeDetail};
use crate::state::State;

/// An object on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Where.
    pub step: Step,
    /// Since when, as far as State tells: it keeps the times of states, not of every step within one.
    pub since: Timestamp,
}

/// Where `object` stands; none when nothing has to happen to it, or what has to happen is another object's step (what is
/// bound to a lost host waits for that host).
pub fn stand(state: &State, object: &Object) -> Option<Stand> {
    match &object.detail {
        Detail::Instance(instance) => of_instance(state, object, instance),
        Detail::Volume(volume) => of_volume(object, volume, || state.referrers(&object.urn).next().is_some()),
        Detail::Image(image) if !object.is_deleting() => of_image(state, object, image),
        Detail::Host(host) if !object.is_deleting() => of_host(state, object, host),
        _ if object.urn.kind == Kind::Tenant => of_tenant(state, object),
        _ => object.is_deleting().then(|| held(object)),
    }
}

/// Whether [`stand`] may find a step: what can be told from the object alone. An index of State goes by it.
pub(crate) fn may_be_under_way(object: &Object) -> bool {
    if object.is_deleting() {
        return true;
    }
    match (&object.spec, &object.detail) {
        (_, Detail::Instance(instance)) => instance.realised.failure.is_some() || !is_settled(instance),
        (_, Detail::Volume(volume)) => of_volume(object, volume, || false).is_some(),
        (_, Detail::Image(image)) => image.source.is_some(),
        (_, Detail::Host(host)) => {
            !matches!(host_state(object, host), HostState::Ready | HostState::Cordoned)
        }
        (Spec::Tenant(tenant), _) => tenant.suspended,
        _ => false,
    }
}

/// What was said of `object` being late, as long as it is where it was then.
pub fn overdue<'a>(state: &State, object: &'a Object) -> Option<&'a Overdue> {
    object.overdue.as_deref().filter(|overdue| is_current(state, object, overdue))
}

/// Whether that still holds. What failed by its deadline stays so until a request, or until it has succeeded.
pub(crate) fn is_current(state: &State, object: &Object, overdue: &Overdue) -> bool {
    if overdue.resource_version != object.resource_version {
        return false;
    }
    let Some(now) = stand(state, object) else { return false };
    let failed = object.status.state == Phase::Error && overdue.step.fails();
    // What a host has to do changes without a request, too: a volume is to be copied as well.
    let same = overdue.host_generation == object.host_generation()
        && overdue.step == now.step
        && overdue.since == now.since;
    failed || same
}

/// How long `object` may be in `step`, in seconds.
pub fn limit_seconds(state: &State, object: &Object, step: Step) -> u64 {
    let info = step.info();
    let bytes: u64 = match (step, &object.detail) {
        (Step::MaterialisingVolume, Detail::Volume(volume)) => content_bytes(volume),
        (Step::PreparingVolumes, _) => volumes_of(state, object)
            .filter(|(_, volume)| is_unmade(volume))
            .map(|(_, volume)| content_bytes(volume))
            .sum(),
        (Step::CopyingVolume, Detail::Image(image)) => u64::from(image.size_gb) << 30,
        _ => 0,
    };
    info.limit_s + bytes.div_ceil(1 << 30) * info.per_gib_s
}

fn content_bytes(volume: &VolumeDetail) -> u64 {
    volume.content.as_ref().map_or(0, |content| content.size_bytes)
}

fn entered(object: &Object) -> Timestamp {
    object.status.conditions.first().map_or(object.modified_at, |newest| newest.last_transition_at)
}

fn held(object: &Object) -> Stand {
    Stand { step: Step::Held, since: object.deleted_at.unwrap_or(object.modified_at) }
}

fn of_instance(state: &State, object: &Object, instance: &InstanceDetail) -> Option<Stand> {
    let at = |step| Some(Stand { step, since: entered(object) });
    if instance.placement.is_none() {
        return if object.is_deleting() { Some(held(object)) } else { at(Step::AwaitingHost) };
    }
    if instance.realised.failure.is_some() {
        return at(Step::Failing);
    }
    if object.is_deleting() {
        return at(Step::RemovingGuest);
    }
    if is_settled(instance) {
        return None;
    }
    if instance.executed_power_generation < instance.power.generation {
        return at(match (instance.power.on, instance.power.restart) {
            (true, true) => Step::RestartingGuest,
            (true, false) => Step::StartingGuest,
            (false, _) => Step::StoppingGuest,
        });
    }
    if instance.realised.generation < instance.host_generation {
        return at(match object.status.state {
            _ if volumes_of(state, object).any(|(_, volume)| is_unmade(volume)) => Step::PreparingVolumes,
            Phase::Creating => Step::DefiningGuest,
            Phase::Error if resumed(&object.status) == Phase::Creating => Step::DefiningGuest,
            _ => Step::ChangingGuest,
        });
    }
    // It was on, and nobody asked it to be off.
    let since = instance.power_state_since.unwrap_or_else(|| entered(object));
    Some(Stand { step: Step::ReturningGuest, since })
}

fn is_unmade(volume: &VolumeDetail) -> bool {
    volume.realised.generation == 0
}

fn volumes_of<'a>(
    state: &'a State,
    object: &'a Object,
) -> impl Iterator<Item = (&'a Object, &'a VolumeDetail)> {
    let hardware = match &object.detail {
        Detail::Instance(instance) => instance.hardware.as_ref(),
        _ => None,
    };
    let disks = hardware.into_iter().flat_map(|hardware| &hardware.disks);
    disks.filter_map(|disk| {
        let object = state.by_uid(disk.volume)?;
        match &object.detail {
            Detail::Volume(volume) => Some((&**object, &**volume)),
            _ => None,
        }
    })
}

fn of_volume(object: &Object, volume: &VolumeDetail, is_used: impl Fn() -> bool) -> Option<Stand> {
    let at = |step| Some(Stand { step, since: entered(object) });
    if object.is_deleting() && (volume.placement.is_none() || is_used()) {
        return Some(held(object));
    }
    volume.placement.as_ref()?;
    if volume.realised.failure.is_some() {
        return at(Step::Failing);
    }
    if object.is_deleting() {
        return at(Step::RemovingVolume);
    }
    if volume.realised_size_gb.is_some() {
        return at(Step::GrowingVolume);
    }
    if volume.realised.generation < volume.host_generation || is_unmade(volume) {
        return at(Step::MaterialisingVolume);
    }
    None
}

fn of_image(state: &State, object: &Object, image: &ImageDetail) -> Option<Stand> {
    let at = |step| Some(Stand { step, since: entered(object) });
    image.source?;
    let Some((volume, capture)) = state.copied_to(object.uid, image) else { return at(Step::Lost) };
    let in_use = state.referrers(&volume.urn).any(|user| is_on(user));
    match (capture.failure.is_some(), in_use) {
        (true, _) => at(Step::Failing),
        (false, true) => at(Step::AwaitingPowerOff),
        (false, false) => at(Step::CopyingVolume),
    }
}

fn of_host(state: &State, object: &Object, host: &HostDetail) -> Option<Stand> {
    let at =
        |step, since: Option<Timestamp>| Some(Stand { step, since: since.unwrap_or(object.modified_at) });
    let identity = host.identity.as_ref();
    match host_state(object, host) {
        HostState::Revoked => {
            state.on_host(&object.urn.name).next()?;
            at(Step::HostRevoked, identity.and_then(|identity| identity.revoked_at))
        }
        HostState::Joining if identity.is_none() => at(Step::JoiningHost, Some(object.created_at)),
        HostState::Joining => at(Step::IntroducingHost, identity.map(|identity| identity.enrolled_at)),
        HostState::Unreachable => at(Step::HostUnreachable, host.since),
        HostState::NoHypervisor => at(Step::HypervisorAway, host.report.hypervisor.since),
        HostState::Cordoned | HostState::Ready => None,
    }
}

fn of_tenant(state: &State, object: &Object) -> Option<Stand> {
    if object.is_deleting() {
        return Some(Stand { step: Step::WindingDownTenant, ..held(object) });
    }
    let on = state.is_suspended(&object.urn.name) && state.sums(&object.urn.name, "").on > 0;
    on.then_some(Stand { step: Step::SuspendingTenant, since: object.modified_at })
}
