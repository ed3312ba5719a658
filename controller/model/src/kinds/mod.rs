//! The rules that are a kind's own. One file per kind (or per handful of small ones); everything else is generic.
//!
//! Adding a kind: CONTRIBUTING.md, "Adding a resource kind".

mod catalogue;
mod identity;
mod image;
mod instance;
mod network;
mod nic;
mod references;
mod role;
mod routes;
mod secret;
mod security;
mod shape;
mod target;
mod tenant;
mod volume;
mod workspace;

pub(crate) use catalogue::pool_blocks;
pub(crate) use network::{PRIVATE, UNIQUE_LOCAL, VERSIONS, block_of, blocks_of_spec, pointer_of};
pub(crate) use nic::asked_addresses;
pub(crate) use role::provider_of;
pub(crate) use routes::target_of;
pub(crate) use security::MAX_RULES;
pub(crate) use target::Target;

pub use references::check_references;
pub use secret::SEALED_PREFIX;
pub use shape::{SpecError, Wrong, read_shape};

use std::sync::Arc;

use rempart_api::authorization::{RoleAssignmentSpec, RoleSpec};
use rempart_api::catalogue::AddressPoolSpec;
use rempart_api::compute::{InstanceSkuSpec, InstanceSpec};
use rempart_api::fleet::HostSpec;
use rempart_api::identity::{ServiceAccountSpec, TokenRevocationSpec};
use rempart_api::network::{
    InternetGatewaySpec, NetworkSkuSpec, NetworkSpec, NicSpec, PublicIpSpec, RouteTableSpec,
    SecurityGroupRuleSpec, SecurityGroupSpec, SubnetSpec,
};
use rempart_api::region::RegionSpec;
use rempart_api::storage::{BlockStorageSpec, ImageSpec, StorageSkuSpec};
use rempart_api::tenancy::{TenantSpec, WorkspaceQuotaSpec};
use rempart_api::workspace::WorkspaceSpec;
use rempart_api::{Kind, Reference};
use serde::{Deserialize, Serialize};

use crate::object::Detail;
use crate::refusal::Fault;
use crate::state::State;

/// What a kind's own rules can be asked. The defaults are those of a record without a data plane.
pub(crate) trait Rules {
    /// Bounds, patterns and enumerations of one spec by itself, and against the region (zones).
    fn check(&self, state: &State, faults: &mut Vec<Fault>);

    /// Immutable fields: `old` is the spec in force.
    fn check_change(&self, _old: &Self, _detail: &Detail, _faults: &mut Vec<Fault>) {}

    /// Every reference in the spec.
    fn links(&self) -> Vec<Link<'_>> {
        Vec::new()
    }

    /// References that hold an address or a block, where a resource may stand as well; by pointer.
    fn literals(&self) -> Vec<(String, &Reference)> {
        Vec::new()
    }

    /// Fields that nobody but its owner and its host may read, by name: they are in State sealed.
    fn secrets(&mut self) -> Vec<(&'static str, &mut String)> {
        Vec::new()
    }

    /// What the control plane keeps beside a new object of this kind.
    fn new_detail(&self) -> Detail {
        Detail::None
    }
}

/// A reference in a spec, and what it obliges to.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    /// JSON Pointer of the field.
    pub pointer: String,
    /// As sent.
    pub reference: &'a Reference,
    /// Kind it must name.
    pub kind: Kind,
    /// What it obliges to.
    pub strength: Strength,
    /// How long it names the same target.
    pub fixed: Fixed,
    /// A strong one only: the target has no other user.
    pub alone: bool,
}

/// How long a reference has to name the same target. Another spelling of it is no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixed {
    /// It may change at any time.
    No,
    /// Unless the instance is off.
    WhileOn,
    /// For the life of the resource.
    Always,
    /// Once there is one, for the life of the resource.
    OnceSet,
}

/// What is said of an immutable field that differs.
pub(crate) const IMMUTABLE: &str = "cannot be changed after creation; delete and create the resource instead";

/// What is said of a field that differs while the instance is on.
pub(crate) const IMMUTABLE_WHILE_ON: &str = "changes only while the instance is off; stop it first";

/// What is said of an address that differs while a NIC uses it.
pub(crate) const IMMUTABLE_WHILE_ATTACHED: &str =
    "changes only while no NIC uses it; take it from its NIC first";

impl<'a> Link<'a> {
    fn new(pointer: impl Into<String>, reference: &'a Reference, kind: Kind, strength: Strength) -> Link<'a> {
        Link { pointer: pointer.into(), reference, kind, strength, fixed: Fixed::No, alone: false }
    }

    fn alone(self) -> Link<'a> {
        Link { alone: true, ..self }
    }

    fn fixed_once_set(self) -> Link<'a> {
        Link { fixed: Fixed::OnceSet, ..self }
    }

    fn fixed(self) -> Link<'a> {
        Link { fixed: Fixed::Always, ..self }
    }

    fn fixed_while_on(self) -> Link<'a> {
        Link { fixed: Fixed::WhileOn, ..self }
    }
}

/// What a reference obliges to (the contract's reference tables).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// The target must exist when the reference is made, and cannot go while the referrer stays.
    Strong,
    /// The target must exist when the reference is made, and is free afterwards. If it goes, something is missing.
    AtPut,
    /// The target must exist when the reference is made, and what is needed of it is copied there and then.
    Copied,
    /// The target may not exist.
    Weak,
}

/// Declares the specs the core stores: one line per kind.
macro_rules! specs {
    ($($kind:ident($spec:ty)),+ $(,)?) => {
        /// Desired state of a resource of any kind. An object's next status has the same spec: it is shared, not copied.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "spec", rename_all = "kebab-case")]
        #[allow(missing_docs)] // each is its own type's
        pub enum Spec {
            $($kind(Arc<$spec>)),+
        }

        $(impl From<$spec> for Spec {
            fn from(spec: $spec) -> Spec {
                Spec::$kind(Arc::new(spec))
            }
        })+

        impl Spec {
            /// The kind it is a spec of.
            pub fn kind(&self) -> Kind {
                match self { $(Spec::$kind(_) => Kind::$kind),+ }
            }

            /// Reads a client's `spec` for `kind`. The error points at the field.
            pub fn parse(kind: Kind, json: &serde_json::Value) -> Result<Spec, SpecError> {
                match kind {
                    $(Kind::$kind => shape::read_spec::<$spec>(kind, json).map(Spec::from),)+
                }
            }

            /// JSON Schema of a kind's spec.
            pub fn schema(kind: Kind, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                match kind { $(Kind::$kind => generator.subschema_for::<$spec>()),+ }
            }

            /// The spec as a client sees it.
            pub fn to_json(&self) -> serde_json::Value {
                let json = match self { $(Spec::$kind(spec) => serde_json::to_value(&**spec)),+ };
                json.unwrap_or_else(|error| unreachable!("specs are plain data: {error}"))
            }

            /// Fields to be sealed before the spec is proposed, and unsealed before it is shown or sent to a host, by
            /// name below `/spec`. Only those that are set.
            pub fn secrets_mut(&mut self) -> Vec<(&'static str, &mut String)> {
                match self { $(Spec::$kind(spec) => Arc::make_mut(spec).secrets()),+ }
            }

            pub(crate) fn check(&self, state: &State, faults: &mut Vec<Fault>) {
                match self { $(Spec::$kind(spec) => spec.check(state, faults)),+ }
            }

            pub(crate) fn check_change(&self, old: &Spec, detail: &Detail, faults: &mut Vec<Fault>) {
                match (self, old) {
                    $((Spec::$kind(new), Spec::$kind(old)) => new.check_change(old, detail, faults),)+
                    _ => unreachable!("an object never changes its kind"),
                }
            }

            /// Every reference in the spec.
            pub fn links(&self) -> Vec<Link<'_>> {
                match self { $(Spec::$kind(spec) => spec.links()),+ }
            }

            pub(crate) fn literals(&self) -> Vec<(String, &Reference)> {
                match self { $(Spec::$kind(spec) => spec.literals()),+ }
            }

            pub(crate) fn new_detail(&self) -> Detail {
                match self { $(Spec::$kind(spec) => spec.new_detail()),+ }
            }
        }
    };
}

specs! {
    Region(RegionSpec),
    Workspace(WorkspaceSpec),
    InstanceSku(InstanceSkuSpec),
    Instance(InstanceSpec),
    StorageSku(StorageSkuSpec),
    BlockStorage(BlockStorageSpec),
    Image(ImageSpec),
    NetworkSku(NetworkSkuSpec),
    Network(NetworkSpec),
    Subnet(SubnetSpec),
    RouteTable(RouteTableSpec),
    InternetGateway(InternetGatewaySpec),
    Tenant(TenantSpec),
    Host(HostSpec),
    ServiceAccount(ServiceAccountSpec),
    TokenRevocation(TokenRevocationSpec),
    Nic(NicSpec),
    PublicIp(PublicIpSpec),
    SecurityGroup(SecurityGroupSpec),
    SecurityGroupRule(SecurityGroupRuleSpec),
    AddressPool(AddressPoolSpec),
    Role(RoleSpec),
    RoleAssignment(RoleAssignmentSpec),
    WorkspaceQuota(WorkspaceQuotaSpec),
}

/// Records a fault unless `value` is within `low..=high`.
fn check_range(faults: &mut Vec<Fault>, pointer: &str, value: u64, low: u64, high: u64) {
    if !(low..=high).contains(&value) {
        faults.push(Fault::new(pointer, format!("must be {low} to {high}, is {value}")));
    }
}

/// Records a fault unless `text` has 1..=max characters.
fn check_text(faults: &mut Vec<Fault>, pointer: impl Into<String>, text: &str, max: usize) {
    let length = text.chars().count();
    if length == 0 || length > max {
        faults.push(Fault::new(pointer, format!("must have 1 to {max} characters, has {length}")));
    }
}

/// Records a fault unless `zone` is one of the region's.
pub(crate) fn check_zone(state: &State, faults: &mut Vec<Fault>, pointer: &str, zone: &str) {
    if rempart_api::check_zone(zone).is_err() || !state.zones().iter().any(|known| known == zone) {
        let known = state.zones().join(", ");
        let shown: String = zone.chars().take(32).collect();
        faults.push(Fault::new(
            pointer,
            format!("zone {shown:?} does not exist in this region; it has: {known}"),
        ));
    }
}

/// Records a fault unless `digest` is a SHA-256 as we write it.
pub(crate) fn check_digest(faults: &mut Vec<Fault>, pointer: &str, digest: &str) {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digest.len() != 64 || !digest.bytes().all(hexadecimal) {
        faults.push(Fault::new(pointer, "must be 64 lower-case hexadecimal digits"));
    }
}

/// Records a fault when an immutable field differs.
fn check_same<T: PartialEq>(faults: &mut Vec<Fault>, pointer: &str, old: &T, new: &T) {
    if old != new {
        faults.push(Fault::new(pointer, IMMUTABLE));
    }
}
