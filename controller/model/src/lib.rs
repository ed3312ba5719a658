//! The replicated core: what the log means.
//!
//! [`State`] is everything the control plane has decided and been told; [`State::apply`] is the only way it changes:
//! a pure function of the state and one log entry, answering the caller ([`Outcome`]) and listing what changed
//! ([`Change`]). Postgres, reconcilers, watches and history all live on those changes.
//!
//! What is deliberately absent: clocks, randomness, I/O, async, floats, hash maps (their order differs between
//! replicas). Time, identifiers and proposed placements enter with the entry. A panic here means a broken invariant
//! and stops the replica.

mod answer;
mod apply;
mod block;
mod claims;
mod command;
mod desired;
mod envelope;
mod explain;
#[cfg(test)]
mod fixture;
mod invariants;
mod kinds;
mod object;
mod occupancy;
mod orphans;
pub mod placement;
mod planted;
mod refusal;
mod restored;
mod rights;
mod standing;
mod state;
mod transition;
mod usage;
mod version;
mod view;

pub use answer::{Answer, Outcome, Recorded};
pub use apply::{Applied, Change};
pub use command::{
    Agreed, CaptureCommand, Command, CompareCommand, DeleteCommand, DigestCommand, EnrolCommand,
    ExpireCommand, Expired, FillCommand, Founding, HostAction, HostCommand, HostName, HostSeen,
    InstanceReport, LeftoverAction, LeftoverCommand, ObjectReport, PlaceCommand, PowerAction, PowerCommand,
    PutCommand, RedeemCommand, ReleaseCommand, ReplicaCommand, ReplicaIntent, ReportCommand, ResumeCommand,
    Thing, ThingSort, TokenUse, UpgradeCommand, VolumeReport, WindDownCommand,
};
pub use desired::{DesiredInstance, DesiredObject, DesiredVolume};
pub use envelope::{DecodeError, ENVELOPE_FORMAT, Envelope};
pub use explain::{Explanation, explain};
pub use kinds::{Fixed, Link, SEALED_PREFIX, Spec, SpecError, Strength, Wrong, check_references, read_shape};
pub use object::{
    BlocksDetail, Capture, Detail, Failure, Hardware, HardwareDisk, HostDetail, Identity, ImageDetail,
    InstanceDetail, Mac, NicDetail, Object, OffCause, Placement, Power, PublicIpDetail, ReadError, Realised,
    VolumeDetail,
};
pub use occupancy::Allocation;
pub use orphans::orphans;
#[cfg(feature = "planted")]
pub use planted::plant;
pub use planted::planted;
pub use refusal::{Fault, Refusal, RefusalClass};
pub use restored::{Awaited, Compared, Conflict, Restored, Stranger};
pub use rights::{Seen, VerbSet, system_roles};
pub use standing::{Audience, scaled, standing};
pub use state::{Core, Redeemed, Replicas, SHARED_TENANT, State, canonical_tenant, is_shared};
pub use transition::{Overdue, Owner, STEPS, Stand, Step, StepInfo, Then, limit_seconds, overdue, stand};
pub use version::ClusterVersion;
pub use view::{Circumstances, Presentation, circumstances, view, view_in};
