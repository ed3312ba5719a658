//! What can be asked of the core. Changing anything here: CONTRIBUTING.md, "Changing a log entry".

use rempart_api::fleet::HostReport;
use rempart_api::storage::BlobSpec;
use rempart_api::{StringMap, Timestamp, Urn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kinds::Spec;
use crate::object::{Failure, OffCause};
use crate::transition::Step;

mod replicas;

pub use replicas::{Agreed, DigestCommand, UpgradeCommand};

/// A change of desired or observed state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Command {
    /// First entry of a cluster: its identity, region and zones.
    Found(Founding),
    /// Create or replace a resource.
    Put(Box<PutCommand>),
    /// Ask for a resource to go.
    Delete(DeleteCommand),
    /// Start, stop or restart an instance.
    Power(PowerCommand),
    /// Say what a blank volume contains.
    Fill(FillCommand),
    /// Bind an instance that waits for a host.
    Place(PlaceCommand),
    /// A host introduced itself or changed.
    HostSeen(Box<HostSeen>),
    /// The leader has not heard from a host for too long.
    HostUnreachable(HostName),
    /// What a host observed of the objects bound to it.
    Report(ReportCommand),
    /// A machine joined with a token: from now on it is this host.
    Enrol(EnrolCommand),
    /// A one-time token was used for anything else.
    Redeem(RedeemCommand),
    /// Cordon, uncordon or revoke a host.
    Host(HostCommand),
    /// A host's copy of a volume is held by a majority: it is the image's content.
    Capture(CaptureCommand),
    /// Go on with a tenant's suspension or deletion.
    WindDown(WindDownCommand),
    /// Who is to take part in consensus.
    Replica(ReplicaCommand),
    /// Objects stood in a step for longer than it may take.
    Expire(ExpireCommand),
    /// An operator wants a host to move something aside that nothing is desired of, or to delete what was moved aside.
    Leftover(LeftoverCommand),
    /// An operator says that what is being deleted is gone, though its host, which was revoked, has not said so.
    Release(ReleaseCommand),
    /// From now on what the next cluster version brings may be written: every controller knows it.
    Upgrade(UpgradeCommand),
    /// Every replica notes a digest of its state here.
    Digest(DigestCommand),
    /// All that a host has, for a cluster that was restored from a backup.
    Compare(Box<CompareCommand>),
    /// A restored cluster takes changes again.
    Resume(ResumeCommand),
}

/// See [`Command::Found`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Founding {
    /// Identity of the cluster.
    pub cluster_id: Uuid,
    /// Name of its region.
    pub region: String,
    /// Zones of the region.
    pub zones: Vec<String>,
    /// The shared tenant and its first SKUs.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub catalogue: Vec<PutCommand>,
}

/// See [`Command::Put`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutCommand {
    /// Which resource.
    pub urn: Urn,
    /// `if-unmodified-since`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub if_unmodified_since: Option<u64>,
    /// Replaces all labels.
    #[serde(skip_serializing_if = "StringMap::is_empty", default)]
    pub labels: StringMap,
    /// Replaces all annotations.
    #[serde(skip_serializing_if = "StringMap::is_empty", default)]
    pub annotations: StringMap,
    /// Replaces all extensions.
    #[serde(skip_serializing_if = "StringMap::is_empty", default)]
    pub extensions: StringMap,
    /// Desired state.
    pub spec: Spec,
    /// Identity of the incarnation, if this creates one; minted by the leader (UUIDv7).
    pub uid: Uuid,
    /// Host proposed for an instance; verified when applied.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
}

/// See [`Command::Delete`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteCommand {
    /// Which resource.
    pub urn: Urn,
    /// `if-unmodified-since`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub if_unmodified_since: Option<u64>,
}

/// See [`Command::Power`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PowerCommand {
    /// Which instance.
    pub urn: Urn,
    /// `if-unmodified-since`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub if_unmodified_since: Option<u64>,
    /// What to do.
    pub action: PowerAction,
}

/// SECA's instance actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum PowerAction {
    Start,
    Stop,
    Restart,
}

/// See [`Command::Fill`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FillCommand {
    /// Which block storage.
    pub urn: Urn,
    /// Its content.
    pub content: BlobSpec,
}

/// See [`Command::Place`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlaceCommand {
    /// Which incarnation of an instance.
    pub uid: Uuid,
    /// On which host; verified when applied.
    pub host: String,
}

/// See [`Command::WindDown`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WindDownCommand {
    /// Which tenant.
    pub tenant: String,
}

/// See [`Command::Replica`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicaCommand {
    /// Which controller.
    pub replica_id: u64,
    /// What an operator wants of it.
    pub intent: ReplicaIntent,
}

/// What an operator wants of a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ReplicaIntent {
    /// It is to vote.
    Join {
        /// Where it listens for its peers: `host:port`.
        address: String,
    },
    /// It is to leave, for good: its id is not used again, for what it had promised as a voter would be lost with it.
    Leave,
}

/// See [`Command::Leftover`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeftoverCommand {
    /// Name of the host.
    pub host: String,
    /// Which incarnation; there must be no row of it.
    pub uid: Uuid,
    /// What to do.
    pub action: LeftoverAction,
}

/// What a host does with a leftover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LeftoverAction {
    /// Moves its files aside and forgets its domain, which has to be off.
    Quarantine,
    /// Deletes what was moved aside.
    Remove,
}

impl LeftoverAction {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            LeftoverAction::Quarantine => "quarantine",
            LeftoverAction::Remove => "remove",
        }
    }
}

/// See [`Command::Release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseCommand {
    /// Name of the host it is bound to.
    pub host: String,
    /// Which incarnation.
    pub uid: Uuid,
}

/// See [`Command::Compare`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompareCommand {
    /// Name of the host, from its credential.
    pub host: String,
    /// Everything it has, or was told to have.
    pub things: Vec<Thing>,
}

/// Something on a host, whatever is desired of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Thing {
    /// Incarnation.
    pub uid: Uuid,
    /// What it is.
    pub sort: ThingSort,
    /// It is there: a volume's file, an instance's domain.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub here: bool,
    /// Its host was told to remove it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub going: bool,
    /// Its guest runs.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub running: bool,
    /// Why its guest is off, if its host vouches for that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub off_cause: Option<OffCause>,
}

/// See [`Thing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ThingSort {
    /// A volume.
    Volume,
    /// An instance.
    Instance,
}

/// See [`Command::Resume`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResumeCommand {
    /// Hosts that are not waited for, and whose contradictions do not count.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub without: Vec<String>,
}

/// See [`Command::Expire`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpireCommand {
    /// Which. One that has moved on since it was judged is passed over.
    pub objects: Vec<Expired>,
}

/// An object as it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expired {
    /// Which incarnation.
    pub uid: Uuid,
    /// Its version.
    pub resource_version: u64,
    /// Version of what its host has to do; 0 where no host has to do with it.
    #[serde(skip_serializing_if = "crate::transition::is_zero", default)]
    pub host_generation: u64,
    /// In which step it stood.
    pub step: Step,
    /// Since when, as State knows it.
    pub since: Timestamp,
    /// How long it was let, in seconds, by the leader's clock.
    pub after_s: u64,
}

/// See [`Command::HostUnreachable`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostName {
    /// Name of the host.
    pub host: String,
    /// The host as it was judged: if it has changed since (it has introduced itself anew), nothing is done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changed_index: Option<u64>,
}

/// See [`Command::HostSeen`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostSeen {
    /// Name of the host.
    pub host: String,
    /// Identity, if it is new.
    pub uid: Uuid,
    /// Its zone.
    pub zone: String,
    /// What it says of itself.
    pub report: HostReport,
    /// When it said so, by the leader's clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<Timestamp>,
    /// SHA-256 of the public key its session runs under (see [`EnrolCommand`]). It must be the one enrolled, and not
    /// revoked; none, where nothing was enrolled yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_sha256: Option<String>,
}

/// See [`Command::Enrol`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrolCommand {
    /// Name of the host, from the token.
    pub host: String,
    /// Identity of the resource, if the host is new.
    pub uid: Uuid,
    /// Zone it stands in, if the token says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zone: Option<String>,
    /// SHA-256 of its certificate's public key (SPKI, DER), 64 lower-case hexadecimal digits.
    pub key_sha256: String,
    /// The token, used up by this.
    pub token: TokenUse,
}

/// See [`Command::Redeem`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedeemCommand {
    /// The token, used up by this.
    pub token: TokenUse,
    /// What for, for the audit: "console serial".
    pub purpose: String,
    /// What it was for; must still exist.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub urn: Option<Urn>,
}

/// A one-time token. That it is genuine was checked before; that it is used once is State's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenUse {
    /// Which.
    pub id: Uuid,
    /// Useless from then on, by State's clock.
    pub expires_at: Timestamp,
}

/// See [`Command::Host`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostCommand {
    /// Which host.
    pub urn: Urn,
    /// `if-unmodified-since`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub if_unmodified_since: Option<u64>,
    /// What to do.
    pub action: HostAction,
}

/// What an operator does with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostAction {
    /// Nothing new is placed on it.
    Cordon,
    /// It takes new instances again.
    Uncordon,
    /// Its identity counts no more: it has to enrol again.
    Revoke,
}

/// See [`Command::Capture`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaptureCommand {
    /// Name of the host that made the copy, from its credential.
    pub host: String,
    /// Incarnation of the volume.
    pub volume: Uuid,
    /// Placement of the volume it belongs to.
    pub epoch: u64,
    /// Incarnation of the image.
    pub image: Uuid,
    /// The bytes, as a controller counted, hashed and judged them.
    pub content: BlobSpec,
}

/// See [`Command::Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportCommand {
    /// Name of the host that reports, from its credential.
    pub host: String,
    /// What it observed.
    pub objects: Vec<ObjectReport>,
}

/// One object as a host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ObjectReport {
    /// A volume.
    Volume(VolumeReport),
    /// An instance.
    Instance(InstanceReport),
}

/// A volume as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeReport {
    /// Incarnation.
    pub uid: Uuid,
    /// Desired generation this realises.
    pub generation: u64,
    /// Placement it belongs to.
    pub epoch: u64,
    /// Whether it is on the host.
    pub present: bool,
    /// Why desired state is not reached.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
    /// Why the copy that an image is to be made of is not there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capture_failure: Option<Failure>,
}

/// An instance as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceReport {
    /// Incarnation.
    pub uid: Uuid,
    /// Desired generation this realises.
    pub generation: u64,
    /// Placement it belongs to.
    pub epoch: u64,
    /// Whether it is known to the host's hypervisor.
    pub present: bool,
    /// Why desired state is not reached.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
    /// Whether it executes.
    pub running: bool,
    /// Newest power generation executed.
    pub power_generation: u64,
    /// Why it is off.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub off_cause: Option<OffCause>,
}
