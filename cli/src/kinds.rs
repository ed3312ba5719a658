//! What people call the kinds of resources.
//!
//! The kinds are those of the API's table. This adds short names and plurals; a kind that is not mentioned here goes by
//! the names the table gives it.

use std::sync::OnceLock;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use rempart_api::Kind;

/// A kind as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KindName(pub(crate) Kind);

/// How it is called, and how else: no name is of two kinds.
fn names(kind: Kind) -> (&'static str, &'static [&'static str]) {
    match kind {
        Kind::Instance => ("instance", &["instances", "vm", "vms"]),
        Kind::BlockStorage => ("volume", &["volumes", "vol", "block-storage", "block-storages"]),
        Kind::Image => ("image", &["images", "img"]),
        Kind::InstanceSku => ("sku", &["skus", "instance-sku", "instance-skus"]),
        Kind::StorageSku => ("storage-sku", &["storage-skus"]),
        Kind::NetworkSku => ("network-sku", &["network-skus"]),
        Kind::Network => ("network", &["networks", "net"]),
        Kind::Subnet => ("subnet", &["subnets"]),
        Kind::RouteTable => ("route-table", &["route-tables", "routing-table", "routing-tables", "rt"]),
        Kind::InternetGateway => ("internet-gateway", &["internet-gateways", "gateway", "gateways", "igw"]),
        Kind::Workspace => ("workspace", &["workspaces", "ws"]),
        Kind::Tenant => ("tenant", &["tenants"]),
        Kind::Host => ("host", &["hosts"]),
        Kind::ServiceAccount => ("service-account", &["service-accounts", "sa"]),
        Kind::TokenRevocation => ("token-revocation", &["token-revocations"]),
        Kind::AddressPool => ("address-pool", &["address-pools", "pool", "pools"]),
        Kind::Region => ("region", &["regions"]),
        Kind::Nic => ("nic", &["nics"]),
        Kind::PublicIp => ("public-ip", &["public-ips", "ip"]),
        Kind::SecurityGroup => ("security-group", &["security-groups", "sg"]),
        Kind::SecurityGroupRule => ("security-group-rule", &["security-group-rules"]),
        Kind::Role => ("role", &["roles"]),
        Kind::WorkspaceQuota => ("workspace-quota", &["workspace-quotas", "quota", "quotas"]),
        Kind::RoleAssignment => ("role-assignment", &["role-assignments"]),
        // A kind that is newer than this list.
        #[allow(unreachable_patterns)]
        other => (other.info().name, &[]),
    }
}

impl ValueEnum for KindName {
    fn value_variants<'a>() -> &'a [KindName] {
        static ALL: OnceLock<Vec<KindName>> = OnceLock::new();
        ALL.get_or_init(|| Kind::table().iter().map(|row| KindName(row.kind)).collect())
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, others) = names(self.0);
        Some(PossibleValue::new(name).aliases(others.iter().copied()))
    }
}

/// What one of them is called in a sentence: `volume`, `internet gateway`.
pub(crate) fn noun(kind: Kind) -> String {
    match kind {
        Kind::InstanceSku => "instance SKU".to_owned(),
        Kind::StorageSku => "storage SKU".to_owned(),
        Kind::NetworkSku => "network SKU".to_owned(),
        Kind::Nic => "NIC".to_owned(),
        Kind::PublicIp => "public IP".to_owned(),
        other => names(other).0.replace('-', " "),
    }
}

/// What one types for it.
pub(crate) fn word(kind: Kind) -> &'static str {
    names(kind).0
}

/// What one types for several of them.
pub(crate) fn plural(kind: Kind) -> &'static str {
    names(kind).1.first().copied().unwrap_or(kind.info().collection)
}

/// The kind that `text` names, also as `metadata.kind` does.
pub(crate) fn parse(text: &str) -> Option<Kind> {
    KindName::from_str(text, true).ok().map(|name| name.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_of_the_table_has_its_names_and_no_two_share_one() {
        let mut seen = BTreeSet::new();
        for row in Kind::table() {
            let (name, others) = names(row.kind);
            for one in others.iter().chain([&name]) {
                assert!(seen.insert(*one), "{one} names two kinds");
                assert_eq!(parse(&one.to_uppercase()), Some(row.kind), "{one}");
            }
            assert_eq!(parse(row.name), Some(row.kind), "{} is not understood", row.name);
            if row.collection != "skus" {
                assert_eq!(parse(row.collection), Some(row.kind), "{} is not understood", row.collection);
            }
            assert_eq!(parse(plural(row.kind)), Some(row.kind));
        }
        assert_eq!(parse("instnace"), None);
    }
}
