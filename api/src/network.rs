//! Provider `seca.network`. In this version networks and what is in them are records without a data plane.

use serde::{Deserialize, Deserializer, Serialize};

use crate::Reference;

/// A class of network performance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSkuSpec {
    /// Mbit/s, 1..800000.
    pub bandwidth: u32,
    /// Packets per second, 1..200000000000.
    pub packets: u64,
}

/// An IPv4 block, an IPv6 block or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Cidr {
    /// IPv4 CIDR; all-zero address = the server chooses.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "empty_as_absent")]
    pub ipv4: Option<String>,
    /// IPv6 CIDR; all-zero address = the server chooses.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "empty_as_absent")]
    pub ipv6: Option<String>,
}

/// Clients without optional strings send "".
fn empty_as_absent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

/// Desired state of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSpec {
    /// Main block; immutable.
    pub cidr: Cidr,
    /// Further blocks, at most 32.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub additional_cidrs: Option<Vec<Cidr>>,
    /// Default class of its NICs; immutable.
    pub sku_ref: Reference,
}

/// Desired state of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubnetSpec {
    /// Inside a block of the network; immutable.
    pub cidr: Cidr,
    /// Route table of the same network.
    pub route_table_ref: Reference,
    /// Zone; immutable.
    pub zone: String,
    /// Default class of its NICs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sku_ref: Option<Reference>,
}

/// Desired state of a route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTableSpec {
    /// 1..1000.
    pub routes: Vec<Route>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// IPv4 or IPv6 CIDR.
    pub destination_cidr_block: String,
    /// Internet gateway, instance, or an address within the network.
    pub target_ref: Reference,
}

/// Desired state of an internet gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct InternetGatewaySpec {
    /// Outgoing connections only; false when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub egress_only: Option<bool>,
}
