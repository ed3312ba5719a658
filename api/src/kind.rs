//! The table of all resource kinds. Routing, metadata, lists, authorisation and storage read it; nothing else
//! enumerates kinds. Source: SECA v1.7, sections 1, 6, 8; own kinds follow the same style.

use serde::{Deserialize, Serialize};

/// A kind of resource. The order is the order of storage and never changes: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // each is described by its row in TABLE
pub enum Kind {
    Region,
    Role,
    RoleAssignment,
    Workspace,
    InstanceSku,
    Instance,
    StorageSku,
    BlockStorage,
    Image,
    NetworkSku,
    Network,
    Subnet,
    // SECA's metadata.kind differs from its collection name (`route-tables`).
    #[serde(rename = "routing-table")]
    RouteTable,
    InternetGateway,
    Nic,
    PublicIp,
    SecurityGroup,
    SecurityGroupRule,
    Tenant,
    Host,
    ServiceAccount,
    TokenRevocation,
    AddressPool,
    WorkspaceQuota,
}

/// A provider: a group of kinds under one base path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Provider {
    Region,
    Authorization,
    Workspace,
    Compute,
    Storage,
    Network,
    /// Rempart's own: tenants, their owners and quotas.
    Tenancy,
    /// Rempart's own: hypervisor hosts.
    Fleet,
    /// Rempart's own: service accounts, and tokens called back.
    Identity,
    /// Rempart's own: what operators offer that SECA has no kind for.
    Catalogue,
}

impl Provider {
    /// Every provider, SECA's first.
    pub const ALL: [Provider; 10] = [
        Provider::Region,
        Provider::Authorization,
        Provider::Workspace,
        Provider::Compute,
        Provider::Storage,
        Provider::Network,
        Provider::Tenancy,
        Provider::Fleet,
        Provider::Identity,
        Provider::Catalogue,
    ];

    /// Name without version, as in paths and `Region.spec.providers[].name`: `seca.compute`.
    pub const fn name(self) -> &'static str {
        match self {
            Provider::Region => "seca.region",
            Provider::Authorization => "seca.authorization",
            Provider::Workspace => "seca.workspace",
            Provider::Compute => "seca.compute",
            Provider::Storage => "seca.storage",
            Provider::Network => "seca.network",
            Provider::Tenancy => "rempart.tenancy",
            Provider::Fleet => "rempart.fleet",
            Provider::Identity => "rempart.identity",
            Provider::Catalogue => "rempart.catalogue",
        }
    }

    /// Name with version, as in `metadata.provider` and URNs: `seca.compute/v1`.
    pub const fn id(self) -> &'static str {
        match self {
            Provider::Region => "seca.region/v1",
            Provider::Authorization => "seca.authorization/v1",
            Provider::Workspace => "seca.workspace/v1",
            Provider::Compute => "seca.compute/v1",
            Provider::Storage => "seca.storage/v1",
            Provider::Network => "seca.network/v1",
            Provider::Tenancy => "rempart.tenancy/v1",
            Provider::Fleet => "rempart.fleet/v1",
            Provider::Identity => "rempart.identity/v1",
            Provider::Catalogue => "rempart.catalogue/v1",
        }
    }

    /// The provider with this name (without version).
    pub fn from_name(name: &str) -> Option<Provider> {
        Provider::ALL.into_iter().find(|provider| provider.name() == name)
    }
}

/// Which path segments stand before the collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// `/v1/{collection}`
    Global,
    /// `/v1/tenants/{tenant}/{collection}`
    Tenant,
    /// `/v1/tenants/{tenant}/workspaces/{workspace}/{collection}`
    Workspace,
    /// `.../workspaces/{workspace}/networks/{network}/{collection}`
    Network,
}

/// Which fields `metadata` has (SECA has one variant of it for each depth of a path).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MetadataVariant {
    Global,
    GlobalTenant,
    Regional,
    RegionalWorkspace,
    RegionalNetwork,
    /// Tenant and region, and no times and no version.
    Sku,
}

/// Who may do what on a kind through its public route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbs {
    /// list, get, put, delete.
    All,
    /// list and get; written by the operator or by the control plane itself.
    ReadOnly,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// Which kind.
    pub kind: Kind,
    /// `metadata.kind`.
    pub name: &'static str,
    /// Provider that serves it.
    pub provider: Provider,
    /// Last path segment of its collection.
    pub collection: &'static str,
    /// Path segments before it.
    pub scope: Scope,
    /// Metadata fields.
    pub metadata: MetadataVariant,
    /// Verbs of the public route.
    pub verbs: Verbs,
    /// POST actions on an item.
    pub actions: &'static [&'static str],
    /// Whether it has a status with conditions.
    pub has_status: bool,
    /// Whether objects of the shared catalogue tenant are also visible under every tenant's own path.
    pub catalogue: bool,
    /// Provider under whose path operators replace the objects that its own path only shows. They are neither made nor
    /// deleted there.
    pub kept_under: Option<Provider>,
}

const fn row(
    kind: Kind,
    name: &'static str,
    provider: Provider,
    collection: &'static str,
    scope: Scope,
    metadata: MetadataVariant,
) -> KindInfo {
    KindInfo {
        kind,
        name,
        provider,
        collection,
        scope,
        metadata,
        verbs: Verbs::All,
        actions: &[],
        has_status: true,
        catalogue: false,
        kept_under: None,
    }
}

impl KindInfo {
    const fn read_only(mut self) -> KindInfo {
        self.verbs = Verbs::ReadOnly;
        self
    }
    const fn kept_under(mut self, provider: Provider) -> KindInfo {
        self.kept_under = Some(provider);
        self
    }
    const fn without_status(mut self) -> KindInfo {
        self.has_status = false;
        self
    }
    const fn sku(mut self) -> KindInfo {
        self.catalogue = true;
        self.read_only().without_status()
    }
    const fn with_actions(mut self, actions: &'static [&'static str]) -> KindInfo {
        self.actions = actions;
        self
    }
}

use MetadataVariant as M;
use Provider as P;
use Scope as S;

/// One row per kind, in the order of [`Kind`].
static TABLE: [KindInfo; 24] = [
    row(Kind::Region, "region", P::Region, "regions", S::Global, M::Global)
        .read_only()
        .without_status()
        .kept_under(P::Catalogue),
    row(Kind::Role, "role", P::Authorization, "roles", S::Tenant, M::GlobalTenant),
    row(
        Kind::RoleAssignment,
        "role-assignment",
        P::Authorization,
        "role-assignments",
        S::Tenant,
        M::GlobalTenant,
    ),
    row(Kind::Workspace, "workspace", P::Workspace, "workspaces", S::Tenant, M::Regional),
    row(Kind::InstanceSku, "instance-sku", P::Compute, "skus", S::Tenant, M::Sku).sku(),
    row(Kind::Instance, "instance", P::Compute, "instances", S::Workspace, M::RegionalWorkspace)
        .with_actions(&["start", "stop", "restart"]),
    row(Kind::StorageSku, "storage-sku", P::Storage, "skus", S::Tenant, M::Sku).sku(),
    row(
        Kind::BlockStorage,
        "block-storage",
        P::Storage,
        "block-storages",
        S::Workspace,
        M::RegionalWorkspace,
    ),
    row(Kind::Image, "image", P::Storage, "images", S::Tenant, M::Regional),
    row(Kind::NetworkSku, "network-sku", P::Network, "skus", S::Tenant, M::Sku).sku(),
    row(Kind::Network, "network", P::Network, "networks", S::Workspace, M::RegionalWorkspace),
    row(Kind::Subnet, "subnet", P::Network, "subnets", S::Network, M::RegionalNetwork),
    row(Kind::RouteTable, "routing-table", P::Network, "route-tables", S::Network, M::RegionalNetwork),
    row(
        Kind::InternetGateway,
        "internet-gateway",
        P::Network,
        "internet-gateways",
        S::Workspace,
        M::RegionalWorkspace,
    ),
    row(Kind::Nic, "nic", P::Network, "nics", S::Workspace, M::RegionalWorkspace),
    row(Kind::PublicIp, "public-ip", P::Network, "public-ips", S::Workspace, M::RegionalWorkspace),
    row(
        Kind::SecurityGroup,
        "security-group",
        P::Network,
        "security-groups",
        S::Workspace,
        M::RegionalWorkspace,
    ),
    row(
        Kind::SecurityGroupRule,
        "security-group-rule",
        P::Network,
        "security-group-rules",
        S::Workspace,
        M::RegionalWorkspace,
    ),
    row(Kind::Tenant, "tenant", P::Tenancy, "tenants", S::Global, M::Global),
    row(Kind::Host, "host", P::Fleet, "hosts", S::Global, M::Global)
        .with_actions(&["cordon", "uncordon", "revoke"]),
    row(Kind::ServiceAccount, "service-account", P::Identity, "service-accounts", S::Tenant, M::GlobalTenant),
    row(Kind::TokenRevocation, "token-revocation", P::Identity, "token-revocations", S::Global, M::Global),
    row(Kind::AddressPool, "address-pool", P::Catalogue, "address-pools", S::Global, M::Global),
    row(Kind::WorkspaceQuota, "workspace-quota", P::Tenancy, "workspace-quotas", S::Tenant, M::GlobalTenant),
];

impl Kind {
    /// Every kind's row.
    pub fn table() -> &'static [KindInfo] {
        &TABLE
    }

    /// This kind's row.
    pub fn info(self) -> &'static KindInfo {
        &TABLE[self as usize]
    }

    /// The kind that `provider` serves as `collection` at `scope`.
    pub fn of_collection(provider: Provider, collection: &str, scope: Scope) -> Option<Kind> {
        TABLE
            .iter()
            .find(|row| row.provider == provider && row.collection == collection && row.scope == scope)
            .map(|row| row.kind)
    }

    /// The kind of global objects that operators keep under `provider` as `collection`, and that another provider shows.
    pub fn kept_under(provider: Provider, collection: &str) -> Option<Kind> {
        let kept = |row: &&KindInfo| row.kept_under == Some(provider) && row.collection == collection;
        TABLE.iter().find(kept).map(|row| row.kind)
    }

    /// The kind that `provider` serves as `collection`, whatever its scope (collections are unique per provider).
    pub fn of_provider(provider: Provider, collection: &str) -> Option<Kind> {
        TABLE.iter().find(|row| row.provider == provider && row.collection == collection).map(|row| row.kind)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.info().name)
    }
}

#[cfg(test)]
mod tests;
