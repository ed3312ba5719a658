//! No number has two owners, and each lies where its owner may have it. Looked at object by object, without the index of
//! claims: what is checked here does not rest on what is checked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rempart_api::{Kind, Urn};

use crate::block::{Block, number_of};
use crate::kinds::{Spec, VERSIONS, pool_blocks};
use crate::object::{Detail, Object};
use crate::state::State;

/// What was seen so far.
#[derive(Default)]
pub(super) struct Seen<'a> {
    addresses: BTreeMap<(&'a Urn, IpAddr), &'a Urn>,
    macs: BTreeMap<String, &'a Urn>,
    public: BTreeMap<IpAddr, &'a Urn>,
    blocks: BTreeMap<Urn, Vec<Block>>,
    pools: Vec<Block>,
}

impl State {
    pub(super) fn check_addresses<'a>(&'a self, object: &'a Object, seen: &mut Seen<'a>) {
        let urn = &*object.urn;
        match (&object.spec, &object.detail) {
            (Spec::Network(_), _) => {
                let blocks = object.blocks();
                for (position, block) in blocks.iter().enumerate() {
                    assert!(!block.is_automatic(), "{urn}: nothing was chosen");
                    let others = &blocks[position + 1..];
                    assert!(!others.iter().any(|other| other.overlaps(block)), "{urn}: {block} overlaps");
                }
            }
            (Spec::Subnet(spec), _) => {
                let network = urn.parent().unwrap_or_else(|| panic!("{urn} is in no network"));
                let have = self.objects.get(&network).map(|network| network.blocks()).unwrap_or_default();
                let others = seen.blocks.entry(network).or_default();
                let asked =
                    VERSIONS.iter().filter(|version| crate::kinds::block_of(&spec.cidr, **version).is_some());
                assert_eq!(asked.count(), object.blocks().len(), "{urn}: a family without a block");
                for block in object.blocks() {
                    assert!(have.iter().any(|large| large.contains(&block)), "{urn}: {block} is outside");
                    assert!(!others.iter().any(|other| other.overlaps(&block)), "{urn}: {block} overlaps");
                    others.push(block);
                }
            }
            (Spec::AddressPool(pool), _) => {
                for block in pool_blocks(pool) {
                    assert!(
                        !seen.pools.iter().any(|other| other.overlaps(&block)),
                        "{urn}: {block} overlaps"
                    );
                    seen.pools.push(block);
                }
            }
            (Spec::PublicIp(spec), Detail::PublicIp(public)) => {
                let address = public.address;
                let pools = self.of_kind(Kind::AddressPool).flat_map(|pool| match &pool.spec {
                    Spec::AddressPool(pool) => pool_blocks(pool).collect::<Vec<_>>(),
                    _ => Vec::new(),
                });
                assert!(
                    pools.into_iter().any(|block| block.holds(address)),
                    "{urn}: {address} is of no pool"
                );
                assert_eq!(number_of(address).0, spec.version, "{urn}");
                assert_eq!(seen.public.insert(address, urn), None, "{urn}: {address} has two owners");
            }
            (Spec::Nic(_), Detail::Nic(nic)) => {
                let blocks = self.objects.get(&*nic.subnet).map(|subnet| subnet.blocks()).unwrap_or_default();
                for address in &nic.addresses {
                    let block = blocks.iter().find(|block| block.holds(*address));
                    let block = block.unwrap_or_else(|| panic!("{urn}: {address} is outside its subnet"));
                    let number = number_of(*address).1;
                    assert!(number != block.first && number != block.last(), "{urn}: {address} is reserved");
                    let other = seen.addresses.insert((&*nic.subnet, *address), urn);
                    assert_eq!(other, None, "{urn}: {address} has two owners");
                }
                let mac = nic.mac.to_string();
                assert!(mac.starts_with("02:"), "{urn}: {mac} is not locally administered");
                assert_eq!(seen.macs.insert(mac, urn), None, "{urn}: its MAC has two owners");
            }
            (Spec::Nic(_) | Spec::PublicIp(_), _) => panic!("{urn} has no address"),
            (Spec::Instance(instance), _) => {
                let nics = object.spec.links().into_iter().filter(|link| link.kind == Kind::Nic);
                for nic in nics.filter_map(|link| self.target(object, &link).ok()) {
                    let zone = self.get(&nic).and_then(|nic| self.zone_of(nic));
                    assert_eq!(zone, Some(instance.zone.as_str()), "{urn}: a NIC of another zone");
                }
            }
            _ => {}
        }
    }
}
