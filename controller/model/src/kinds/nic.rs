//! NICs and public addresses. Which addresses they get: `apply/addresses.rs`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rempart_api::Kind;
use rempart_api::network::{NicSpec, PublicIpSpec};

use super::{IMMUTABLE, Link, Rules, Strength};
use crate::block::{number_of, parse_address};
use crate::object::Detail;
use crate::refusal::Fault;
use crate::state::State;

/// Most addresses of a NIC.
const MAX_ADDRESSES: usize = 32;
/// Most references of a list of a NIC.
const MAX_REFERENCES: usize = 16;

/// What a NIC asks for; nothing where nothing was asked for.
pub(crate) fn asked_addresses(spec: &NicSpec) -> Vec<IpAddr> {
    spec.addresses.iter().flatten().filter_map(|text| parse_address(text).ok()).collect()
}

impl Rules for NicSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        let addresses = self.addresses.as_deref().unwrap_or_default();
        if addresses.len() > MAX_ADDRESSES {
            let why = format!("at most {MAX_ADDRESSES} addresses, has {}", addresses.len());
            faults.push(Fault::new("/spec/addresses", why));
        }
        let mut seen = BTreeSet::new();
        for (position, text) in addresses.iter().enumerate() {
            let why = match parse_address(text) {
                Ok(address) if address.is_unspecified() || seen.insert(address) => continue,
                Ok(address) => format!("{address} is named twice"),
                Err(why) => why,
            };
            faults.push(Fault::new(format!("/spec/addresses/{position}"), why));
        }
        for (field, list) in
            [("publicIpRefs", &self.public_ip_refs), ("securityGroupRefs", &self.security_group_refs)]
        {
            let count = list.as_ref().map_or(0, Vec::len);
            if count > MAX_REFERENCES {
                let why = format!("at most {MAX_REFERENCES} references, has {count}");
                faults.push(Fault::new(format!("/spec/{field}"), why));
            }
        }
    }

    fn links(&self) -> Vec<Link<'_>> {
        let mut links =
            vec![Link::new("/spec/subnetRef", &self.subnet_ref, Kind::Subnet, Strength::Strong).fixed()];
        let public = self.public_ip_refs.iter().flatten().enumerate();
        links.extend(public.map(|(position, address)| {
            let pointer = format!("/spec/publicIpRefs/{position}");
            Link::new(pointer, address, Kind::PublicIp, Strength::Strong).alone()
        }));
        let groups = self.security_group_refs.iter().flatten().enumerate();
        links.extend(groups.map(|(position, group)| {
            let pointer = format!("/spec/securityGroupRefs/{position}");
            Link::new(pointer, group, Kind::SecurityGroup, Strength::Strong)
        }));
        links.extend(
            self.sku_ref.as_ref().map(|sku| {
                Link::new("/spec/skuRef", sku, Kind::NetworkSku, Strength::AtPut).fixed_once_set()
            }),
        );
        links
    }
}

impl Rules for PublicIpSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        let Some(text) = &self.address else { return };
        match parse_address(text) {
            Ok(address) if number_of(address).0 != self.version => {
                let why = format!("{address} is no {} address", self.version);
                faults.push(Fault::new("/spec/address", why));
            }
            Ok(_) => {}
            Err(why) => faults.push(Fault::new("/spec/address", why)),
        }
    }

    fn check_change(&self, old: &Self, _detail: &Detail, faults: &mut Vec<Fault>) {
        if old.version != self.version {
            faults.push(Fault::new("/spec/version", IMMUTABLE));
        }
    }
}

#[cfg(test)]
mod tests;
