//! The closed list of what an object can be on its way through: who has to act, how long that may take, what follows.
//!
//! ```text
//!   stand(State, object) ── a step, since when ──> the leader counts from when it first saw that (its monotonic clock)
//!        limit over ──> Expire (log): "this object, this version, this step" ── still so? ──> Overdue, in its row
//!                                          told:  the state stays; explain, metrics and the condition's reason say so
//!                                          fails: state `error`, until the next request, or until it succeeds after all
//! ```
//!
//! What never happens: a deadline destroys anything, ends a deletion, or gives up a place; a step has no owner or no
//! limit; an object that has moved on is judged for where it was. Deliberately absent: clocks. State says what a step
//! is and how long it may last, the leader when it has lasted that long.

mod stand;
#[cfg(test)]
mod tests;

use rempart_api::{Kind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::object::Object;

pub use stand::{Stand, limit_seconds, overdue, stand};
pub(crate) use stand::{is_current, may_be_under_way};

/// A step. Stored (`Overdue`) and in log entries: names are frozen, and new ones only added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // each is described by its row in STEPS
pub enum Step {
    AwaitingHost,
    PreparingVolumes,
    DefiningGuest,
    ChangingGuest,
    StartingGuest,
    StoppingGuest,
    RestartingGuest,
    ReturningGuest,
    RemovingGuest,
    MaterialisingVolume,
    GrowingVolume,
    RemovingVolume,
    CopyingVolume,
    AwaitingPowerOff,
    Failing,
    Held,
    WindingDownTenant,
    SuspendingTenant,
    JoiningHost,
    IntroducingHost,
    HostUnreachable,
    HypervisorAway,
    HostRevoked,
    Lost,
}

/// Who has to act for a step to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The leader's placement loop.
    Placement,
    /// The agent of the host the object is bound to.
    Agent,
    /// The leader's other loops, and what `apply` does by itself.
    Controllers,
    /// Whoever may write the object.
    Tenant,
    /// An operator of the installation.
    Operator,
}

impl Owner {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Owner::Placement => "placement",
            Owner::Agent => "agent",
            Owner::Controllers => "controllers",
            Owner::Tenant => "tenant",
            Owner::Operator => "operator",
        }
    }
}

/// What follows when a step has lasted too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is said to be overdue, and goes on.
    Told,
    /// What was asked for is said to have failed (state `error`), and goes on all the same: it heals if it succeeds.
    Fails,
}

/// What there is to know of a step.
#[derive(Debug, Clone, Copy)]
pub struct StepInfo {
    /// Which.
    pub step: Step,
    /// As it is shown and stored.
    pub name: &'static str,
    /// Kinds whose objects can be in it; empty: every kind.
    pub kinds: &'static [Kind],
    /// Who has to act.
    pub owner: Owner,
    /// How long it may last, in seconds.
    pub limit_s: u64,
    /// And for each GiB of content that has to be moved, in seconds.
    pub per_gib_s: u64,
    /// What follows.
    pub then: Then,
    /// What it waits for, in a tenant's words.
    pub waits_for: &'static str,
    /// What happens next, in a tenant's words.
    pub next: &'static str,
    /// Why so long and no longer.
    pub why: &'static str,
}

const fn row(
    step: Step,
    name: &'static str,
    kinds: &'static [Kind],
    owner: Owner,
    limit_s: u64,
    then: Then,
) -> StepInfo {
    StepInfo { step, name, kinds, owner, limit_s, per_gib_s: 0, then, waits_for: "", next: "", why: "" }
}

impl StepInfo {
    const fn per_gib(mut self, seconds: u64) -> StepInfo {
        self.per_gib_s = seconds;
        self
    }

    const fn says(mut self, waits_for: &'static str, next: &'static str, why: &'static str) -> StepInfo {
        self.waits_for = waits_for;
        self.next = next;
        self.why = why;
        self
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const INSTANCE: &[Kind] = &[Kind::Instance];
const VOLUME: &[Kind] = &[Kind::BlockStorage];
const IMAGE: &[Kind] = &[Kind::Image];
const TENANT: &[Kind] = &[Kind::Tenant];
const HOST: &[Kind] = &[Kind::Host];

use Owner::{Agent, Controllers, Operator, Placement};
use Then::{Fails, Told};

/// One row per step, in the order of [`Step`]. `docs/operating/deadlines.md` shows it.
pub static STEPS: [StepInfo; 24] = [
    row(Step::AwaitingHost, "awaiting-host", INSTANCE, Placement, 10 * MINUTE, Told).says(
        "A machine that can take it.",
        "It is placed by itself as soon as a machine can take it, however late.",
        "Only room helps, and an operator or somebody else's deletion makes it: nothing is gained by giving up",
    ),
    row(Step::PreparingVolumes, "preparing-volumes", INSTANCE, Agent, 15 * MINUTE, Fails).per_gib(60).says(
        "Its volumes, which are being made.",
        "When they are there, its virtual machine is made.",
        "As for materialising-volume, which this waits for",
    ),
    row(Step::DefiningGuest, "defining-guest", INSTANCE, Agent, 5 * MINUTE, Fails).says(
        "Its virtual machine, which is being made.",
        "It is active when that is done.",
        "Takes a second; five minutes outlast a restart of libvirtd and of the agent",
    ),
    row(Step::ChangingGuest, "changing-guest", INSTANCE, Agent, 5 * MINUTE, Fails).says(
        "The change, which is being carried out.",
        "It is active again when that is done.",
        "As for defining-guest",
    ),
    row(Step::StartingGuest, "starting-guest", INSTANCE, Agent, 5 * MINUTE, Fails).says(
        "Its virtual machine, which is being started.",
        "It is active and on when that is done.",
        "Takes seconds; five minutes outlast a restart of libvirtd and of the agent",
    ),
    row(Step::StoppingGuest, "stopping-guest", INSTANCE, Agent, 3 * MINUTE, Fails).says(
        "The guest, which was asked to shut down by its power button.",
        "If it has not shut down after 30 seconds, it is turned off.",
        "30 s for the guest, two for QEMU, and the rest for a host that is busy",
    ),
    row(Step::RestartingGuest, "restarting-guest", INSTANCE, Agent, 5 * MINUTE, Fails).says(
        "The guest, which is shut down and started again.",
        "If it has not shut down after 30 seconds, it is turned off; then it is started.",
        "As for stopping-guest, and then starting-guest",
    ),
    row(Step::ReturningGuest, "returning-guest", INSTANCE, Agent, 10 * MINUTE, Fails).says(
        "Its virtual machine, which is started again after its machine was.",
        "It is on again when that is done.",
        "All guests of a host return at once after it was restarted",
    ),
    row(Step::RemovingGuest, "removing-guest", INSTANCE, Agent, 10 * MINUTE, Told).says(
        "Its virtual machine, which is being turned off and removed.",
        "It is gone when its machine has said so, and no earlier.",
        "Only its host knows that it is gone; without that, a guest might run on for ever unseen",
    ),
    row(Step::MaterialisingVolume, "materialising-volume", VOLUME, Agent, 15 * MINUTE, Told).per_gib(60).says(
        "Its data, which is being made: its image is brought to its machine, and its disk made from it.",
        "What uses it goes on when that is done.",
        "17 MiB/s for each image, and a quarter of an hour for images that are fetched at the same time",
    ),
    row(Step::GrowingVolume, "growing-volume", VOLUME, Agent, 5 * MINUTE, Fails).says(
        "Its disk, which is being made larger.",
        "It is active when that is done; a guest that runs sees it at once.",
        "Takes a second; five minutes outlast a restart of libvirtd and of the agent",
    ),
    row(Step::RemovingVolume, "removing-volume", VOLUME, Agent, 10 * MINUTE, Told).says(
        "Its data, which is being removed.",
        "It is gone when its machine has said so, and no earlier.",
        "Only its host knows that the data is gone",
    ),
    row(Step::CopyingVolume, "copying-volume", IMAGE, Agent, 15 * MINUTE, Fails).per_gib(120).says(
        "The copy of its volume, which is being made and handed to the controllers.",
        "It is active when most controllers hold the copy.",
        "Each byte is read, compressed, sent and stored by a majority: 8 MiB/s, of the whole size of the volume",
    ),
    row(Step::AwaitingPowerOff, "awaiting-power-off", IMAGE, Owner::Tenant, DAY, Told).says(
        "The instance that uses its volume, to be off.",
        "Its volume is copied as soon as that instance is off.",
        "Only its tenant can end this; a day is enough to have noticed",
    ),
    row(Step::Failing, "failing", &[Kind::Instance, Kind::BlockStorage, Kind::Image], Agent, HOUR, Fails).says(
        "Another try: something failed where it is, and is tried again by itself.",
        "It is tried again after a second, and then ever later, every minute at last.",
        "Some 60 tries. After an hour an operator has to look at the host's words",
    ),
    row(Step::Held, "held", &[], Controllers, HOUR, Told).says(
        "What is in it or uses it, and is being deleted as well.",
        "It goes with the last of them.",
        "Each of those has a deadline of its own; this one tells when the whole takes long",
    ),
    row(Step::WindingDownTenant, "winding-down-tenant", TENANT, Controllers, HOUR, Told).says(
        "What is in it, which is being deleted part by part.",
        "It goes with the last of it.",
        "256 objects in an entry: thousands in a minute, and then their hosts have to remove them",
    ),
    row(Step::SuspendingTenant, "suspending-tenant", TENANT, Controllers, 10 * MINUTE, Told).says(
        "Its instances, which are being turned off.",
        "Nothing, once all of them are to be off.",
        "256 instances in an entry: thousands in a minute",
    ),
    row(Step::JoiningHost, "joining-host", HOST, Operator, DAY, Told).says(
        "Its agent, which has to enrol with a join token.",
        "It takes instances once its agent has introduced itself.",
        "Machines are written down before they are built; a day later it may have been forgotten",
    ),
    row(Step::IntroducingHost, "introducing-host", HOST, Agent, 10 * MINUTE, Told).says(
        "Its agent, which has enrolled and not introduced itself.",
        "It takes instances once its agent has introduced itself.",
        "The agent does so at once; it has stopped, or cannot reach the leader",
    ),
    row(Step::HostUnreachable, "host-unreachable", HOST, Operator, 15 * MINUTE, Told).says(
        "The agent of the machine, to be in touch again.",
        "What was asked for is carried out when it is back. Guests that run keep running.",
        "Longer than a machine takes to restart",
    ),
    row(Step::HypervisorAway, "hypervisor-away", HOST, Operator, 15 * MINUTE, Told).says(
        "The virtualisation service of the machine, to answer again.",
        "What was asked for is carried out when it answers. Guests that run keep running.",
        "Longer than libvirtd takes to restart",
    ),
    row(Step::HostRevoked, "host-revoked", HOST, Operator, DAY, Told).says(
        "An operator: the machine was taken out of service, and something is still bound to it.",
        "Nothing by itself: it enrols again, or what is on it is deleted and released by an operator.",
        "A machine is repaired and enrolled again within a day, or it is not coming back",
    ),
    row(Step::Lost, "lost", IMAGE, Owner::Tenant, DAY, Told).says(
        "Its deletion: the volume that it was to be a copy of had no bytes any more.",
        "Nothing comes after this.",
        "Only its tenant can end this; a day is enough to have noticed",
    ),
];

impl Step {
    /// Its row.
    pub fn info(self) -> &'static StepInfo {
        &STEPS[self as usize]
    }

    /// Whether what was asked for is said to have failed when it takes too long.
    pub(crate) fn fails(self) -> bool {
        self.info().then == Then::Fails
    }

    /// Whether that it took too long is the failure: of what fails by itself, its host says when it does no more.
    pub(crate) fn has_failed(self) -> bool {
        self.fails() && self != Step::Failing
    }
}

/// Where an object stood for too long, and as of which version. A row keeps it; whether it still holds, [`overdue`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overdue {
    /// In which step.
    pub step: Step,
    /// Since when it stood there, as State knows it.
    pub since: Timestamp,
    /// When that was said.
    pub at: Timestamp,
    /// How long it was let, in seconds, by the leader's clock.
    pub after_s: u64,
    /// Version of the object then.
    pub resource_version: u64,
    /// Version of what its host had to do then; 0 where no host has to do with it.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub host_generation: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Object {
    /// Version of what its host has to do; 0 where no host has to do with it.
    pub fn host_generation(&self) -> u64 {
        match &self.detail {
            crate::object::Detail::Instance(instance) => instance.host_generation,
            crate::object::Detail::Volume(volume) => volume.host_generation,
            _ => 0,
        }
    }
}
