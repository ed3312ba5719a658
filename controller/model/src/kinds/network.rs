//! Networks, subnets, route tables, internet gateways: records without a data plane in this version.

use std::net::{Ipv4Addr, Ipv6Addr};

use rempart_api::Kind;
use rempart_api::network::{Cidr, InternetGatewaySpec, NetworkSpec, RouteTableSpec, SubnetSpec};

use super::{Link, Rules, Strength, check_range, check_same, check_zone};
use crate::refusal::Fault;
use crate::state::State;

impl Rules for NetworkSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_cidr(faults, "/spec/cidr", &self.cidr);
        let additional = self.additional_cidrs.as_deref().unwrap_or_default();
        if additional.len() > 32 {
            faults.push(Fault::new(
                "/spec/additionalCidrs",
                format!("at most 32 blocks, has {}", additional.len()),
            ));
        }
        for (position, cidr) in additional.iter().enumerate() {
            check_cidr(faults, &format!("/spec/additionalCidrs/{position}"), cidr);
        }
    }

    fn check_change(&self, old: &Self, _detail: &crate::object::Detail, faults: &mut Vec<Fault>) {
        check_same(faults, "/spec/cidr", &old.cidr, &self.cidr);
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

    fn check_change(&self, old: &Self, _detail: &crate::object::Detail, faults: &mut Vec<Fault>) {
        check_same(faults, "/spec/cidr", &old.cidr, &self.cidr);
        check_same(faults, "/spec/zone", &old.zone, &self.zone);
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

impl Rules for RouteTableSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_range(faults, "/spec/routes", self.routes.len() as u64, 1, 1000);
        for (position, route) in self.routes.iter().enumerate() {
            let pointer = format!("/spec/routes/{position}/destinationCidrBlock");
            let block = &route.destination_cidr_block;
            if parse_v4(block).or_else(|_| parse_v6(block).map(|_| ())).is_err() {
                let shown: String = block.chars().take(43).collect();
                faults.push(Fault::new(pointer, format!("{shown:?} is not an IPv4 or IPv6 CIDR block")));
            }
        }
    }

    fn links(&self) -> Vec<Link<'_>> {
        let gateway = |target: &str| target.contains("internet-gateways/");
        self.routes
            .iter()
            .enumerate()
            .filter(|(_, route)| gateway(&route.target_ref.resource))
            .map(|(position, route)| {
                let pointer = format!("/spec/routes/{position}/targetRef");
                Link::new(pointer, &route.target_ref, Kind::InternetGateway, Strength::AtPut)
            })
            .collect()
    }
}

impl Rules for InternetGatewaySpec {
    fn check(&self, _state: &State, _faults: &mut Vec<Fault>) {}
}

fn check_cidr(faults: &mut Vec<Fault>, pointer: &str, cidr: &Cidr) {
    if cidr.ipv4.is_none() && cidr.ipv6.is_none() {
        faults.push(Fault::new(pointer, "an IPv4 block, an IPv6 block or both must be given"));
    }
    if let Some(Err(why)) = cidr.ipv4.as_deref().map(parse_v4) {
        faults.push(Fault::new(format!("{pointer}/ipv4"), why));
    }
    if let Some(Err(why)) = cidr.ipv6.as_deref().map(parse_v6) {
        faults.push(Fault::new(format!("{pointer}/ipv6"), why));
    }
}

fn split(text: &str, bits: u32) -> Result<(&str, u32), String> {
    let shown: String = text.chars().take(43).collect();
    let bad = || format!("{shown:?} is not a CIDR block such as 10.0.0.0/16 or fd00:1::/56");
    if text.len() > 43 {
        return Err(bad());
    }
    let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
    let length = prefix.parse::<u32>().map_err(|_| bad())?;
    if length > bits || prefix != length.to_string() { Err(bad()) } else { Ok((address, length)) }
}

fn parse_v4(text: &str) -> Result<(), String> {
    let (address, length) = split(text, 32)?;
    let address: Ipv4Addr = address.parse().map_err(|_| format!("{text:?} has no valid IPv4 address"))?;
    let host_bits = u32::MAX.checked_shr(length).unwrap_or(0);
    if address.to_bits() & host_bits != 0 {
        return Err(format!("{text:?} has host bits set: the address must be the first of the block"));
    }
    Ok(())
}

fn parse_v6(text: &str) -> Result<(), String> {
    let (address, length) = split(text, 128)?;
    let address: Ipv6Addr = address.parse().map_err(|_| format!("{text:?} has no valid IPv6 address"))?;
    let host_bits = u128::MAX.checked_shr(length).unwrap_or(0);
    if address.to_bits() & host_bits != 0 {
        return Err(format!("{text:?} has host bits set: the address must be the first of the block"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
