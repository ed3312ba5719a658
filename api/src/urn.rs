//! The name of a resource for people and references: SECA's URN.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Kind, Provider, Scope};

/// Identity of a resource among all others: kind and scope and name. Written
/// `seca.compute/v1/tenants/t1/workspaces/w1/instances/x`. Segments the scope does not have are empty.
///
/// The order is the order of storage and of lists: a collection is one contiguous run, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Urn {
    /// Kind of the resource.
    pub kind: Kind,
    /// Tenant, or empty.
    pub tenant: String,
    /// Workspace, or empty.
    pub workspace: String,
    /// Network, or empty.
    pub network: String,
    /// Name within its collection.
    pub name: String,
}

impl Urn {
    /// A resource of a global collection.
    pub fn global(kind: Kind, name: &str) -> Urn {
        Urn {
            kind,
            tenant: String::new(),
            workspace: String::new(),
            network: String::new(),
            name: name.to_owned(),
        }
    }

    /// A resource of a tenant's collection.
    pub fn tenant(kind: Kind, tenant: &str, name: &str) -> Urn {
        Urn { tenant: tenant.to_owned(), ..Urn::global(kind, name) }
    }

    /// A resource of a workspace's collection.
    pub fn workspace(kind: Kind, tenant: &str, workspace: &str, name: &str) -> Urn {
        Urn { workspace: workspace.to_owned(), ..Urn::tenant(kind, tenant, name) }
    }

    /// A resource nested in a network.
    pub fn network(kind: Kind, tenant: &str, workspace: &str, network: &str, name: &str) -> Urn {
        Urn { network: network.to_owned(), ..Urn::workspace(kind, tenant, workspace, name) }
    }

    /// A sibling: same scope, other kind and name, as far as the other kind's scope reaches.
    pub fn sibling(&self, kind: Kind, name: &str) -> Urn {
        let scope = kind.info().scope;
        let upto =
            |least: Scope, segment: &str| if scope >= least { segment.to_owned() } else { String::new() };
        Urn {
            kind,
            tenant: upto(Scope::Tenant, &self.tenant),
            workspace: upto(Scope::Workspace, &self.workspace),
            network: upto(Scope::Network, &self.network),
            name: name.to_owned(),
        }
    }

    /// The resource this one lives in and cannot outlive: its network, workspace or tenant.
    pub fn parent(&self) -> Option<Urn> {
        match self.kind.info().scope {
            Scope::Global => None,
            Scope::Tenant => Some(Urn::global(Kind::Tenant, &self.tenant)),
            Scope::Workspace => Some(Urn::tenant(Kind::Workspace, &self.tenant, &self.workspace)),
            Scope::Network => {
                Some(Urn::workspace(Kind::Network, &self.tenant, &self.workspace, &self.network))
            }
        }
    }

    /// `metadata.resource`: the path inside the workspace, `instances/x` or `networks/n/subnets/x`.
    pub fn resource(&self) -> String {
        let collection = self.kind.info().collection;
        if self.kind.info().scope == Scope::Network {
            format!("networks/{}/{collection}/{}", self.network, self.name)
        } else {
            format!("{collection}/{}", self.name)
        }
    }

    /// Path under the provider's `/v1/`, which is also what stands behind the provider in the URN.
    pub fn path(&self) -> String {
        let mut path = String::with_capacity(128);
        // A String takes all that is written.
        let _ = self.write_path(&mut path);
        path
    }

    fn write_path(&self, to: &mut impl fmt::Write) -> fmt::Result {
        for (segment, value) in
            [("tenants/", &self.tenant), ("workspaces/", &self.workspace), ("networks/", &self.network)]
        {
            if !value.is_empty() {
                to.write_str(segment)?;
                to.write_str(value)?;
                to.write_char('/')?;
            }
        }
        to.write_str(self.kind.info().collection)?;
        to.write_char('/')?;
        to.write_str(&self.name)
    }
}

impl fmt::Display for Urn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.info().provider.id())?;
        f.write_str("/")?;
        self.write_path(f)
    }
}

impl FromStr for Urn {
    type Err = String;

    /// Parses a full URN. Names are not checked beyond being non-empty.
    fn from_str(text: &str) -> Result<Urn, String> {
        let bad = || format!("{text:?} is not a resource URN");
        let mut segments = text.split('/');
        let provider = segments.next().and_then(Provider::from_name).ok_or_else(bad)?;
        if segments.next() != Some("v1") {
            return Err(bad());
        }
        let rest: Vec<&str> = segments.collect();
        Urn::from_segments(provider, &rest).ok_or_else(bad)
    }
}

impl Urn {
    /// From the path segments behind the version: `["tenants", "t", "workspaces", "w", "instances", "x"]`.
    pub fn from_segments(provider: Provider, segments: &[&str]) -> Option<Urn> {
        if !segments.len().is_multiple_of(2) || segments.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        let (parents, last) = segments.split_at(segments.len().checked_sub(2)?);
        let mut urn = Urn::global(Kind::Region, last[1]);
        let mut scope = Scope::Global;
        for pair in parents.chunks(2) {
            match (pair[0], scope) {
                ("tenants", Scope::Global) => (scope, urn.tenant) = (Scope::Tenant, pair[1].to_owned()),
                ("workspaces", Scope::Tenant) => {
                    (scope, urn.workspace) = (Scope::Workspace, pair[1].to_owned())
                }
                ("networks", Scope::Workspace) => (scope, urn.network) = (Scope::Network, pair[1].to_owned()),
                _ => return None,
            }
        }
        urn.kind = Kind::of_collection(provider, last[0], scope)?;
        Some(urn)
    }
}

impl Serialize for Urn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Urn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'_, str>>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_round_trips() {
        for row in Kind::table() {
            let full = Urn::network(row.kind, "t1", "w1", "n1", "x");
            let urn = full.sibling(row.kind, "x");
            let text = urn.to_string();
            assert_eq!(text.parse::<Urn>().as_ref(), Ok(&urn), "{text}");
            assert!(text.starts_with(row.provider.id()) && text.ends_with(&format!("{}/x", row.collection)));
        }
    }

    #[test]
    fn spelling_is_that_of_the_contract() {
        let subnet = Urn::network(Kind::Subnet, "t1", "w1", "n1", "x");
        assert_eq!(subnet.to_string(), "seca.network/v1/tenants/t1/workspaces/w1/networks/n1/subnets/x");
        assert_eq!(subnet.resource(), "networks/n1/subnets/x");
        assert_eq!(
            subnet.parent().unwrap().to_string(),
            "seca.network/v1/tenants/t1/workspaces/w1/networks/n1"
        );
        for bad in [
            "",
            "x",
            "seca.compute/v1",
            "seca.compute/v2/tenants/t/skus/x",
            "seca.compute/v1/skus/x",
            "seca.compute/v1/tenants//skus/x",
            "seca.compute/v1/tenants/t/workspaces/w/nope/x",
        ] {
            assert!(bad.parse::<Urn>().is_err(), "{bad}");
        }
    }
}
