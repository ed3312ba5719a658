//! Networks, subnets, internet gateways. What they say by themselves; where they stand to each other is judged where
//! blocks are given (`apply/blocks.rs`).

use std::net::{Ipv4Addr, Ipv6Addr};

use rempart_api::Kind;
use rempart_api::network::{Cidr, InternetGatewaySpec, IpVersion, NetworkSpec, SubnetSpec};

use super::{IMMUTABLE, Link, Rules, Strength, check_zone};
use crate::block::Block;
use crate::object::{BlocksDetail, Detail};
use crate::refusal::Fault;
use crate::state::State;

/// Both families, in the order in which we speak of them.
pub(crate) const VERSIONS: [IpVersion; 2] = [IpVersion::V4, IpVersion::V6];

const fn v4(octets: [u8; 4], length: u32) -> Block {
    let [a, b, c, d] = octets;
    Block::new(IpVersion::V4, Ipv4Addr::new(a, b, c, d).to_bits() as u128, length)
}

/// RFC 1918.
pub(crate) const PRIVATE: [Block; 3] =
    [v4([10, 0, 0, 0], 8), v4([172, 16, 0, 0], 12), v4([192, 168, 0, 0], 16)];
/// RFC 4193.
pub(crate) const UNIQUE_LOCAL: Block =
    Block::new(IpVersion::V6, Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0).to_bits(), 7);
/// Of its own /48, what an automatic IPv6 block of a network may have.
const AUTOMATIC_V6: std::ops::RangeInclusive<u32> = 48..=126;
/// What an automatic IPv4 block may have.
const AUTOMATIC_V4: std::ops::RangeInclusive<u32> = 8..=30;

/// The text of one family.
pub(crate) fn text_of(cidr: &Cidr, version: IpVersion) -> Option<&str> {
    match version {
        IpVersion::V4 => cidr.ipv4.as_deref(),
        IpVersion::V6 => cidr.ipv6.as_deref(),
    }
}

/// The block of one family; none if there is none, or it is no block.
pub(crate) fn block_of(cidr: &Cidr, version: IpVersion) -> Option<Block> {
    Block::parse(version, text_of(cidr, version)?).ok()
}

fn field(version: IpVersion) -> &'static str {
    match version {
        IpVersion::V4 => "ipv4",
        IpVersion::V6 => "ipv6",
    }
}

/// JSON Pointer of one family's block.
pub(crate) fn pointer_of(cidr: &str, version: IpVersion) -> String {
    format!("{cidr}/{}", field(version))
}

impl Rules for NetworkSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        let additional = self.additional_cidrs.as_deref().unwrap_or_default();
        if additional.len() > 32 {
            let why = format!("at most 32 blocks, has {}", additional.len());
            faults.push(Fault::new("/spec/additionalCidrs", why));
        }
        let pointers = (0..additional.len()).map(|at| format!("/spec/additionalCidrs/{at}"));
        let all = std::iter::once("/spec/cidr".to_owned()).chain(pointers);
        let mut before: Vec<Block> = Vec::new();
        for (pointer, cidr) in all.zip(std::iter::once(&self.cidr).chain(additional)) {
            check_cidr(faults, &pointer, cidr);
            for version in VERSIONS {
                let Some(block) = block_of(cidr, version) else { continue };
                check_private(faults, &pointer_of(&pointer, version), block);
                if block.is_automatic() {
                    continue;
                }
                if let Some(other) = before.iter().find(|other| other.overlaps(&block)) {
                    let why = format!("{block} overlaps with {other} of the same network");
                    faults.push(Fault::new(pointer_of(&pointer, version), why));
                }
                before.push(block);
            }
        }
    }

    fn check_change(&self, old: &Self, detail: &Detail, faults: &mut Vec<Fault>) {
        check_same_cidr(faults, &old.cidr, &self.cidr, detail);
    }

    fn links(&self) -> Vec<Link<'_>> {
        vec![Link::new("/spec/skuRef", &self.sku_ref, Kind::NetworkSku, Strength::AtPut).fixed()]
    }
}

impl Rules for SubnetSpec {
    fn check(&self, state: &State, faults: &mut Vec<Fault>) {
        check_cidr(faults, "/spec/cidr", &self.cidr);
        check_zone(state, faults, "/spec/zone", &self.zone);
    }

    fn check_change(&self, old: &Self, detail: &Detail, faults: &mut Vec<Fault>) {
        check_same_cidr(faults, &old.cidr, &self.cidr, detail);
        super::check_same(faults, "/spec/zone", &old.zone, &self.zone);
    }

    fn links(&self) -> Vec<Link<'_>> {
        let mut links =
            vec![Link::new("/spec/routeTableRef", &self.route_table_ref, Kind::RouteTable, Strength::AtPut)];
        links.extend(
            self.sku_ref
                .as_ref()
                .map(|sku| Link::new("/spec/skuRef", sku, Kind::NetworkSku, Strength::AtPut)),
        );
        links
    }
}

impl Rules for InternetGatewaySpec {
    fn check(&self, _state: &State, _faults: &mut Vec<Fault>) {}
}

pub(super) fn check_cidr(faults: &mut Vec<Fault>, pointer: &str, cidr: &Cidr) {
    if cidr.ipv4.is_none() && cidr.ipv6.is_none() {
        faults.push(Fault::new(pointer, "an IPv4 block, an IPv6 block or both must be given"));
    }
    for version in VERSIONS {
        if let Some(Err(why)) = text_of(cidr, version).map(|text| Block::parse(version, text)) {
            faults.push(Fault::new(pointer_of(pointer, version), why));
        }
    }
}

/// Blocks of networks are private ones; where the server is to choose, of a size that it can choose.
fn check_private(faults: &mut Vec<Fault>, pointer: &str, block: Block) {
    let (lengths, ranges, named) = match block.version {
        IpVersion::V4 => {
            (AUTOMATIC_V4, PRIVATE.as_slice(), "10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16 (RFC 1918)")
        }
        IpVersion::V6 => (AUTOMATIC_V6, std::slice::from_ref(&UNIQUE_LOCAL), "fc00::/7 (RFC 4193)"),
    };
    if block.is_automatic() {
        if !lengths.contains(&block.length) {
            let (low, high) = lengths.into_inner();
            let why = format!("a block that is chosen for you has /{low} to /{high}, not /{}", block.length);
            faults.push(Fault::new(pointer, why));
        }
    } else if !ranges.iter().any(|range| range.contains(&block)) {
        faults.push(Fault::new(
            pointer,
            format!("{block} is not private: networks have blocks inside {named}"),
        ));
    }
}

/// The main block is for life. Another spelling of it is no change, nor is what was chosen, nor that it was left to us.
fn check_same_cidr(faults: &mut Vec<Fault>, old: &Cidr, new: &Cidr, detail: &Detail) {
    let given = match detail {
        Detail::Blocks(blocks) => &blocks.cidr,
        _ => old,
    };
    for version in VERSIONS {
        let (new, given) = (block_of(new, version), block_of(given, version));
        let left_to_us =
            |new: Block| new.is_automatic() && given.is_some_and(|given| given.length == new.length);
        if new != given && !new.is_some_and(left_to_us) {
            faults.push(Fault::new(pointer_of("/spec/cidr", version), IMMUTABLE));
        }
    }
}

/// What the spec says where nothing was left to the server.
pub(crate) fn blocks_of_spec(cidr: &Cidr, additional: Option<&[Cidr]>) -> BlocksDetail {
    BlocksDetail { cidr: cidr.clone(), additional: additional.unwrap_or_default().to_vec() }
}

#[cfg(test)]
mod tests;
