//! Provider `seca.network`. In this version networks and what is in them are records without a data plane.
//!
//! Texts are as the client wrote them; what they mean (blocks, addresses, bounds) is the model's to judge.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Reference, Status, StringMap, empty_as_absent};

/// A class of network performance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkSkuSpec {
    /// Mbit/s, 1..800000.
    #[schemars(range(min = 1, max = 800_000))]
    pub bandwidth: u32,
    /// Packets per second, 1..200000000000.
    #[schemars(range(min = 1, max = 200_000_000_000_u64))]
    pub packets: u64,
}

/// An IPv4 block, an IPv6 block or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
pub struct Cidr {
    /// IPv4 CIDR; all-zero address = the server chooses.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "empty_as_absent")]
    #[schemars(length(max = 18))]
    pub ipv4: Option<String>,
    /// IPv6 CIDR; all-zero address = the server chooses.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "empty_as_absent")]
    #[schemars(length(max = 43))]
    pub ipv6: Option<String>,
}

/// Desired state of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSpec {
    /// Main block; immutable.
    pub cidr: Cidr,
    /// Further blocks, at most 32.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 32))]
    pub additional_cidrs: Option<Vec<Cidr>>,
    /// Default class of its NICs; immutable.
    pub sku_ref: Reference,
}

/// A network as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// Main block: that of the spec, or what was chosen.
    pub cidr: Cidr,
    /// Further blocks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub additional_cidrs: Option<Vec<Cidr>>,
}

/// Desired state of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubnetSpec {
    /// Inside a block of the network; immutable.
    pub cidr: Cidr,
    /// Route table of the same network.
    pub route_table_ref: Reference,
    /// Zone; immutable.
    #[schemars(length(min = 1, max = 32))]
    pub zone: String,
    /// Default class of its NICs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sku_ref: Option<Reference>,
}

/// A subnet as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubnetStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// Its block: that of the spec, or what was chosen.
    pub cidr: Cidr,
    /// The route table in force; absent if it has gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub route_table_ref: Option<Reference>,
}

/// Desired state of a route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteTableSpec {
    /// 1..1000.
    #[schemars(length(min = 1, max = 1000))]
    pub routes: Vec<Route>,
}

/// A route table as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteTableStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// Its routes, in the spec's order.
    pub routes: Vec<Status>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// IPv4 or IPv6 CIDR, 1..43 characters.
    #[schemars(length(min = 1, max = 43))]
    pub destination_cidr_block: String,
    /// Internet gateway, instance, or an address within the network.
    pub target_ref: Reference,
}

/// Desired state of an internet gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InternetGatewaySpec {
    /// Outgoing connections only; false when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub egress_only: Option<bool>,
}

/// Desired state of a NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NicSpec {
    /// Up to 32 addresses of the subnet; `0.0.0.0` or `::` = the server chooses one of that family. Nothing: one of each
    /// family the subnet has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 39)))]
    pub addresses: Option<Vec<String>>,
    /// Subnet it is in; immutable.
    pub subnet_ref: Reference,
    /// Public addresses that lead to it, up to 16. Each leads to one NIC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 16))]
    pub public_ip_refs: Option<Vec<Reference>>,
    /// What filters it, up to 16. None: nothing comes in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 16))]
    pub security_group_refs: Option<Vec<Reference>>,
    /// Its class; the subnet's or the network's when absent. Set once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sku_ref: Option<Reference>,
}

/// A NIC as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NicStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// Its addresses, for as long as they are asked for.
    pub addresses: Vec<String>,
    /// Its MAC address, for life.
    pub mac_address: String,
    /// Public addresses that lead to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_ip_refs: Option<Vec<Reference>>,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum IpVersion {
    /// 32 bits.
    #[serde(rename = "IPv4")]
    V4,
    /// 128 bits.
    #[serde(rename = "IPv6")]
    V6,
}

impl std::fmt::Display for IpVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            IpVersion::V4 => "IPv4",
            IpVersion::V6 => "IPv6",
        })
    }
}

/// Desired state of a public address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicIpSpec {
    /// Family; immutable.
    pub version: IpVersion,
    /// This address and no other. Nothing: any that is free, for the life of the resource. Changes only while no NIC
    /// uses it.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "empty_as_absent")]
    #[schemars(length(max = 39))]
    pub address: Option<String>,
}

/// A public address as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicIpStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// The address, for life.
    pub ip_address: String,
    /// The instance whose NIC it leads to; the NIC, if that is in none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attached_to: Option<Reference>,
}

/// Desired state of a security group: what it does not allow is denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupSpec {
    /// Its own rules, up to 500.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 500))]
    pub rules: Option<Vec<SecurityGroupRuleSpec>>,
    /// Rules that stand by themselves, up to 500.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 500))]
    pub rule_refs: Option<Vec<Reference>>,
}

/// A security group as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupStatus {
    /// State and history.
    #[serde(flatten)]
    pub status: Status,
    /// Its own rules, then those it names; 500 at most.
    pub rules: Vec<Status>,
}

/// What is allowed: a rule by itself, or one inside a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupRuleSpec {
    /// Seen from the guest.
    pub direction: Direction,
    /// Both families when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<IpVersion>,
    /// Any when absent; with `ports`, `tcp+udp`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub protocol: Option<Protocol>,
    /// All when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ports: Option<Ports>,
    /// All types when absent; with protocol `icmp` only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub icmp: Option<Icmp>,
    /// Peers, up to 32: blocks, addresses, gateways, instances, security groups. Anybody when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 32))]
    pub source_ref: Option<Vec<Reference>>,
    /// Notes; keys of 1..256 characters, values up to 1024.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(schema_with = "notes_schema")]
    pub annotations: Option<StringMap>,
}

fn notes_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": ["object", "null"],
        "propertyNames": { "minLength": 1, "maxLength": 256 },
        "additionalProperties": { "type": "string", "maxLength": 1024 },
    })
}

/// Which way a connection is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the guest.
    Ingress,
    /// From the guest.
    Egress,
}

/// What a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Protocol {
    Tcp,
    Udp,
    /// Either.
    #[serde(rename = "tcp+udp")]
    TcpAndUdp,
    Icmp,
}

/// Ports: at least one has to be named. Wide numbers, so that what is out of bounds is told as that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
pub struct Ports {
    /// 1..65535; alone, this port only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 65535))]
    pub from: Option<i64>,
    /// 1..65535, inclusive; alone, this port only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 65535))]
    pub to: Option<i64>,
    /// Up to 100 single ones.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 100), inner(range(min = 1, max = 65535)))]
    pub list: Option<Vec<i64>>,
}

/// Messages of ICMP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Icmp {
    /// 0..8.
    #[serde(rename = "type")]
    #[schemars(range(min = 0, max = 8))]
    pub kind: i64,
    /// 0..5.
    #[schemars(range(min = 0, max = 5))]
    pub code: i64,
}
