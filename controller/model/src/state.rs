//! Everything the control plane has decided and been told, in persistent maps: a snapshot is O(1) and never blocks.
//!
//! `objects` is the data; every other map is an index derived from it, rebuilt when a State is loaded and checked by
//! [`State::check`].

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use rempart_api::{Kind, Reference, ReferenceError, Timestamp, Urn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::answer::Recorded;
use crate::claims::Claims;
use crate::command::ReplicaIntent;
use crate::kinds::{Link, Strength};
use crate::object::{Detail, Identity, Object};
use crate::occupancy::{Allocation, Group, Room, makes_room};
use crate::restored::Restored;
use crate::rights::Rights;
use crate::usage::Sums;
use crate::version::ClusterVersion;

mod index;

/// Tenant whose SKUs and images everyone may use. SECA's prose also calls it `seca`.
pub const SHARED_TENANT: &str = "public";

/// Whether what the shared tenant has of this kind is everybody's: its SKUs and images. All else is as closed as that of any
/// other tenant.
pub fn is_shared(kind: Kind) -> bool {
    kind.info().catalogue || kind == Kind::Image
}

/// The one spelling of a tenant's name: the shared tenant has two.
pub fn canonical_tenant(tenant: &str) -> &str {
    if tenant == "seca" { SHARED_TENANT } else { tenant }
}

/// Answers kept for retries. At 10,000 writes a second this is still several times the longest client time-out of a
/// call that is in flight when a leader dies.
pub(crate) const WINDOW: usize = 16_384;

/// What is not an object: identity and clock of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Core {
    /// Identity of the cluster; none until it is founded.
    pub cluster_id: Option<Uuid>,
    /// Raised by a restore from backup; orders desired states across it.
    pub incarnation: u64,
    /// Name of the region.
    pub region: String,
    /// Its zones.
    pub zones: Vec<String>,
    /// Never runs back: the latest entry time applied.
    pub clock: Timestamp,
    /// One-time tokens that were used, until they expire.
    #[serde(skip_serializing_if = "Redeemed::is_empty", default)]
    pub redeemed: Arc<Redeemed>,
    /// What operators want of controllers. Those of the founding are not in it until somebody wants something of them.
    #[serde(skip_serializing_if = "Replicas::is_empty", default)]
    pub replicas: Arc<Replicas>,
    /// Which meanings may be written.
    #[serde(skip_serializing_if = "ClusterVersion::is_first", default)]
    pub version: ClusterVersion,
    /// From which backup this cluster was restored; none for one that was not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restored: Option<Arc<Restored>>,
}

/// What is wanted of each controller.
pub type Replicas = BTreeMap<u64, ReplicaIntent>;

/// Used tokens and when each expires: afterwards its own expiry refuses it, and it is forgotten.
pub type Redeemed = BTreeMap<Uuid, Timestamp>;

/// Resources under a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Children {
    /// All that exist.
    pub(crate) total: u64,
    /// Those not being deleted.
    pub(crate) live: u64,
}

/// The replicated state.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(crate) core: Core,
    pub(crate) applied_index: u64,
    pub(crate) objects: OrdMap<Arc<Urn>, Arc<Object>>,
    pub(crate) by_uid: OrdMap<Uuid, Arc<Urn>>,
    /// (target, referrer) of every strong reference.
    pub(crate) referrers: OrdSet<(Arc<Urn>, Arc<Urn>)>,
    /// (host, object) of every placement.
    pub(crate) placed: OrdSet<(String, Arc<Urn>)>,
    /// Instances without a placement that are not being deleted.
    pub(crate) waiting: OrdSet<Arc<Urn>>,
    /// Objects that may be in a step on their way (`transition`).
    pub(crate) under_way: OrdSet<Arc<Urn>>,
    pub(crate) allocated: OrdMap<String, Allocation>,
    /// Hosts that may take something, the emptiest of each zone first.
    pub(crate) rooms: OrdSet<Room>,
    /// (group, host, instance) of every placed instance of an anti-affinity group.
    pub(crate) groups: OrdSet<(Group, String, Arc<Urn>)>,
    /// (subject, revocation) of every subject whose tokens were called back.
    pub(crate) revoked: OrdSet<(String, Arc<Urn>)>,
    /// (tenant, subject, assignment) of every subject that a role assignment names, `*` among them.
    pub(crate) assigned: OrdSet<(String, String, Arc<Urn>)>,
    /// What each role gives.
    pub(crate) rights: OrdMap<Arc<Urn>, Arc<Rights>>,
    /// What each (tenant, workspace or empty for all) has.
    pub(crate) sums: OrdMap<(String, String), Sums>,
    /// See [`State::room_changed`].
    pub(crate) room_changed: u64,
    pub(crate) children: OrdMap<Arc<Urn>, Children>,
    /// Who has which addresses.
    pub(crate) claims: Claims,
    /// (subnet without its network, network) of every subnet: what a reference that names no network could mean.
    pub(crate) subnets: OrdSet<(Urn, String)>,
    pub(crate) answers: OrdMap<Uuid, (u64, Recorded)>,
    pub(crate) answer_order: OrdMap<u64, Uuid>,
}

/// What a reference outside a network means, but for the network, which it does not name.
pub(crate) fn resolve_in_any_network(
    reference: &Reference,
    kind: Kind,
    from: &Urn,
    region: &str,
) -> Result<Urn, ReferenceError> {
    let inside = Urn { kind, network: "any".to_owned(), ..from.clone() };
    reference.resolve(kind, &inside, region)
}

impl State {
    /// A State from what was stored.
    pub fn load(
        core: Core,
        applied_index: u64,
        objects: impl IntoIterator<Item = Object>,
        answers: impl IntoIterator<Item = (Uuid, u64, Recorded)>,
    ) -> State {
        let mut state = State { core, applied_index, ..State::default() };
        for object in objects {
            state.insert(Arc::new(object));
        }
        for (request_id, index, recorded) in answers {
            state.answers.insert(request_id, (index, recorded));
            state.answer_order.insert(index, request_id);
        }
        state
    }

    /// Every remembered answer, with the request and the log index of the entry that was answered: what
    /// [`State::load`] takes.
    pub fn answers(&self) -> impl Iterator<Item = (Uuid, u64, &Recorded)> {
        self.answers.iter().map(|(request_id, (index, recorded))| (*request_id, *index, recorded))
    }

    /// How many objects there are.
    pub fn object_count(&self) -> usize {
        self.objects.len()
    }

    /// Identity, region, clock.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Log index of the newest entry in this State.
    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// Zones of the region.
    pub fn zones(&self) -> &[String] {
        &self.core.zones
    }

    /// The resource of this name.
    pub fn get(&self, urn: &Urn) -> Option<&Arc<Object>> {
        self.objects.get(urn)
    }

    /// The resource a path names, looking in the shared catalogue for kinds that alias it.
    pub fn get_visible(&self, urn: &Urn) -> Option<&Arc<Object>> {
        match urn.kind {
            kind if kind.info().catalogue => self.find_sku(urn),
            Kind::Role => self.find_role(urn),
            _ => self.get(urn),
        }
    }

    /// A SKU by any of its spellings: case counts no more than the prefix `seca.`, and the tenant's own catalogue comes
    /// before the shared one. Official clients ask for `DXS`, while a name has only lower case.
    fn find_sku(&self, urn: &Urn) -> Option<&Arc<Object>> {
        let lower = urn.name.to_lowercase();
        let bare = lower.strip_prefix("seca.").unwrap_or(&lower);
        let prefixed = format!("seca.{bare}");
        let names = [lower.as_str(), bare, &prefixed];
        let tenants = [urn.tenant.as_str(), SHARED_TENANT];
        let spellings =
            tenants.iter().flat_map(|tenant| names.map(|name| Urn::tenant(urn.kind, tenant, name)));
        spellings.into_iter().find_map(|spelling| self.objects.get(&spelling))
    }

    /// The incarnation with this uid.
    pub fn by_uid(&self, uid: Uuid) -> Option<&Arc<Object>> {
        self.by_uid.get(&uid).and_then(|urn| self.objects.get(urn))
    }

    /// A collection from `from` on (`from.name` may be empty), by name. `from` fixes kind and scope.
    pub fn collection<'a>(&'a self, from: &Urn) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let from = Arc::new(from.clone());
        let first = from.clone();
        let same = move |urn: &Urn| {
            urn.kind == from.kind
                && urn.tenant == from.tenant
                && urn.workspace == from.workspace
                && urn.network == from.network
        };
        self.objects.range(first..).take_while(move |(urn, _)| same(urn)).map(|(_, object)| object)
    }

    /// All resources of a kind in a tenant.
    pub fn of_tenant<'a>(
        &'a self,
        kind: Kind,
        tenant: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + 'a {
        let first = Urn::tenant(kind, tenant, "");
        self.objects
            .range(Arc::new(first)..)
            .take_while(move |(urn, _)| urn.kind == kind && urn.tenant == tenant)
            .map(|(_, object)| object)
    }

    /// All resources of a kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects
            .range(Arc::new(Urn::global(kind, ""))..)
            .take_while(move |(urn, _)| urn.kind == kind)
            .map(|(_, object)| object)
    }

    /// Every object, in the order of storage.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// Everything bound to a host.
    pub fn on_host<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Arc<Object>> + 'a {
        let first = (host.to_owned(), Arc::new(Urn::global(Kind::Region, "")));
        self.placed
            .range(first..)
            .take_while(move |(at, _)| at == host)
            .filter_map(move |(_, urn)| self.objects.get(urn))
    }

    /// Instances that wait for a host.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.waiting.iter().filter_map(|urn| self.objects.get(urn))
    }

    /// Objects that may be in a step on their way: all for which [`crate::stand`] finds one, and few others.
    pub fn under_way(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.under_way.iter().filter_map(|urn| self.objects.get(urn))
    }

    /// How many instances wait for a host.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Instances that wait for a host: those behind `last` first, then the others.
    pub fn waiting_after<'a>(&'a self, last: &'a Arc<Urn>) -> impl Iterator<Item = &'a Arc<Object>> + 'a {
        let behind = self.waiting.range(last.clone()..).filter(move |urn| *urn != last);
        let before = self.waiting.range(..=last.clone());
        behind.chain(before).filter_map(|urn| self.objects.get(urn))
    }

    /// What the host of this name proves itself with; none if there is no such host, or it never enrolled. A revoked
    /// one is still here, and says so.
    pub fn host_identity(&self, host: &str) -> Option<&Identity> {
        match &self.get(&Urn::global(Kind::Host, host))?.detail {
            Detail::Host(host) => host.identity.as_ref(),
            _ => None,
        }
    }

    /// Resources directly under `parent`: in a tenant, workspace or network.
    pub fn child_count(&self, parent: &Urn) -> u64 {
        self.children.get(parent).map_or(0, |children| children.total)
    }

    /// Resources that hold a strong reference to `target`.
    pub fn referrers<'a>(&'a self, target: &'a Urn) -> impl Iterator<Item = &'a Arc<Object>> + 'a {
        let first = (Arc::new(target.clone()), Arc::new(Urn::global(Kind::Region, "")));
        self.referrers
            .range(first..)
            .take_while(move |(to, _)| **to == *target)
            .filter_map(move |(_, from)| self.objects.get(from))
    }

    /// What a reference in a resource named `from` names. SKUs are found by any of their spellings, in the tenant's own
    /// catalogue and in the shared one.
    pub fn resolve(&self, reference: &Reference, kind: Kind, from: &Urn) -> Result<Urn, ReferenceError> {
        let mut urn = match reference.resolve(kind, from, &self.core.region) {
            Err(ReferenceError::NetworkMissing(..)) if kind == Kind::Subnet => {
                self.only_subnet(reference, from)?
            }
            other => other?,
        };
        urn.tenant = canonical_tenant(&urn.tenant).to_owned();
        if kind.info().catalogue
            && let Some(sku) = self.find_sku(&urn)
        {
            return Ok((*sku.urn).clone());
        }
        Ok(urn)
    }

    /// `subnets/s` outside a network means the subnet of this name in the referrer's workspace, if there is one and no more.
    fn only_subnet(&self, reference: &Reference, from: &Urn) -> Result<Urn, ReferenceError> {
        let urn = resolve_in_any_network(reference, Kind::Subnet, from, &self.core.region)?;
        // Looking elsewhere would tell what is there.
        let here = (&urn.tenant, &urn.workspace) == (&from.tenant, &from.workspace);
        let anywhere = Urn { network: String::new(), ..urn };
        let first = (anywhere.clone(), String::new());
        let mut networks = self.subnets.range(first..).take_while(|(subnet, _)| *subnet == anywhere);
        match (networks.next(), networks.next()) {
            (Some((_, network)), None) if here => Ok(Urn { network: network.clone(), ..anywhere }),
            _ => Err(ReferenceError::NetworkMissing(reference.resource.clone(), "subnets")),
        }
    }

    /// What a reference of an object there is names: a NIC stays in the subnet it was made in, whatever its reference
    /// could mean by now.
    pub(crate) fn target(&self, object: &Object, link: &Link<'_>) -> Result<Urn, ReferenceError> {
        match &object.detail {
            Detail::Nic(nic) if link.kind == Kind::Subnet => Ok((*nic.subnet).clone()),
            _ => self.resolve(link.reference, link.kind, &object.urn),
        }
    }

    pub(crate) fn strong_targets(&self, object: &Object) -> Vec<Urn> {
        let links = object.spec.links();
        links
            .iter()
            .filter(|link| link.strength == Strength::Strong)
            .filter_map(|link| self.target(object, link).ok())
            .collect()
    }

    /// Adds or replaces an object, keeping every index.
    pub(crate) fn insert(&mut self, object: Arc<Object>) {
        if object.urn.kind == Kind::InstanceSku && !self.waiting.is_empty() {
            self.recount_waiting(|state| state.put_in(object));
        } else {
            self.put_in(object);
        }
    }

    fn put_in(&mut self, object: Arc<Object>) {
        let old = self.objects.insert(object.urn.clone(), object.clone());
        if makes_room(old.as_deref(), Some(&object)) {
            self.room_changed = self.applied_index;
        }
        self.index(old.as_deref(), Some(&object));
    }

    /// Removes an object, keeping every index.
    pub(crate) fn remove(&mut self, urn: &Urn) {
        if urn.kind == Kind::InstanceSku && !self.waiting.is_empty() {
            self.recount_waiting(|state| state.take_out(urn));
        } else {
            self.take_out(urn);
        }
    }

    fn take_out(&mut self, urn: &Urn) {
        let Some(old) = self.objects.remove(urn) else { return };
        if makes_room(Some(&old), None) {
            self.room_changed = self.applied_index;
        }
        self.index(Some(&old), None);
    }
}
