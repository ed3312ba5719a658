//! Which addresses NICs and public addresses get. Claims follow from what is written here (`State::insert`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use rempart_api::network::{NicSpec, PublicIpSpec};
use rempart_api::{Kind, Urn};

use super::Tx;
use crate::block::{Block, address_of, number_of, parse_address};
use crate::claims::{Claim, Space};
use crate::kinds::{IMMUTABLE_WHILE_ATTACHED, Spec, Target, asked_addresses, pool_blocks, target_of};
use crate::object::{Detail, Mac, NicDetail, Object, PublicIpDetail};
use crate::planted;
use crate::refusal::{Fault, Refusal};

/// First of the MAC addresses that we give: locally administered, of one machine.
const MAC_FIRST: u64 = 0x02 << 40;
/// Last of them.
const MAC_LAST: u64 = MAC_FIRST | 0xff_ffff_ffff;
/// Addresses at a subnet's beginning and end that no NIC has.
const RESERVED: u128 = 2;

impl Tx {
    /// Gives a NIC its addresses and its MAC. What it has it keeps while the spec asks for as much.
    pub(super) fn settle_nic(&self, object: &mut Object, new: &NicSpec) -> Result<(), Refusal> {
        let before = match &object.detail {
            Detail::Nic(nic) => Some((**nic).clone()),
            _ => None,
        };
        let subnet = match &before {
            Some(nic) => Ok((*nic.subnet).clone()),
            None => self.state.resolve(&new.subnet_ref, Kind::Subnet, &object.urn),
        };
        let subnet = subnet.ok().and_then(|subnet| self.state.get(&subnet).cloned());
        let subnet = subnet.ok_or_else(|| Refusal::conflict("the subnet has gone"))?;
        let blocks = subnet.blocks();
        let mut asked = asked_addresses(new);
        if asked.is_empty() {
            // One of each family there is.
            asked = blocks.iter().map(|block| address_of(block.version, 0)).collect();
        }
        let explicit: BTreeSet<IpAddr> =
            asked.iter().filter(|asked| !asked.is_unspecified()).copied().collect();
        let mut spare: Vec<IpAddr> = before.iter().flat_map(|nic| nic.addresses.clone()).collect();
        spare.retain(|address| !explicit.contains(address));
        let mut given = Vec::new();
        for (position, asked) in asked.iter().enumerate() {
            let (version, number) = number_of(*asked);
            let pointer = format!("/spec/addresses/{position}");
            let Some(block) = blocks.iter().find(|block| block.version == version) else {
                let why = format!("{} has no {version} addresses", subnet.urn);
                return Err(Refusal::invalid(vec![Fault::new(pointer, why)]));
            };
            let space = Space::Subnet(subnet.urn.clone(), version);
            if asked.is_unspecified() {
                let kept = spare.iter().position(|spare| number_of(*spare).0 == version);
                let address = match kept {
                    Some(at) => spare.remove(at),
                    None => self.free_address(&space, *block, &explicit, &given).ok_or_else(|| {
                        exhausted(
                            &format!("{} ({block})", subnet.urn),
                            &block.count_without(RESERVED),
                            &version.to_string(),
                        )
                    })?,
                };
                given.push(address);
                continue;
            }
            if !block.holds(*asked) || number == block.first || number == block.last() {
                let why = format!(
                    "{asked} is not one of {block} without its first and last address, which are reserved: {}",
                    subnet.urn
                );
                return Err(Refusal::invalid(vec![Fault::new(pointer, why)]));
            }
            match self.state.claims.holder(&space, number, number) {
                Some(holder) if **holder != *object.urn => {
                    return Err(Refusal::conflict_at(pointer, format!("{asked} is in use by {holder}")));
                }
                _ => given.push(*asked),
            }
        }
        let mac = match &before {
            Some(nic) => nic.mac,
            None => self.free_mac(object.uid.as_u128())?,
        };
        let subnet = subnet.urn.clone();
        object.detail = Detail::Nic(Box::new(NicDetail { subnet, addresses: given, mac }));
        Ok(())
    }

    /// The lowest address that nobody has, and that this NIC is not given otherwise.
    fn free_address(
        &self,
        space: &Space,
        block: Block,
        explicit: &BTreeSet<IpAddr>,
        given: &[IpAddr],
    ) -> Option<IpAddr> {
        let mut from = block.first.checked_add(1)?;
        loop {
            let next = if planted("address-given-twice") {
                Some(from)
            } else {
                self.state.claims.next_free(space, from)
            };
            let free = next.filter(|free| *free < block.last())?;
            let address = address_of(block.version, free);
            if !explicit.contains(&address) && !given.contains(&address) {
                return Some(address);
            }
            from = free + 1;
        }
    }

    fn free_mac(&self, random: u128) -> Result<Mac, Refusal> {
        let first = u128::from(MAC_FIRST);
        let start = first | random & 0xff_ffff_ffff;
        let found = [start, first].into_iter().find_map(|from| {
            let free = self.state.claims.next_free(&Space::Mac, from)?;
            u64::try_from(free).ok().filter(|free| *free <= MAC_LAST)
        });
        found.map(Mac).ok_or_else(|| exhausted("this installation", "2^40", "MAC"))
    }

    /// Gives a public address its address, out of one of the operator's pools.
    pub(super) fn settle_public_ip(&self, object: &mut Object, new: &PublicIpSpec) -> Result<(), Refusal> {
        let held = match &object.detail {
            Detail::PublicIp(detail) => Some(detail.address),
            _ => None,
        };
        let asked = new.address.as_deref().and_then(|text| parse_address(text).ok());
        let asked = asked.filter(|asked| !asked.is_unspecified());
        let address = match (asked, held) {
            (None, Some(held)) => held,
            (Some(asked), Some(held)) if asked == held => held,
            (Some(_), Some(_)) if self.state.referrers(&object.urn).next().is_some() => {
                return Err(Refusal::conflict_at("/spec/address", IMMUTABLE_WHILE_ATTACHED));
            }
            (Some(asked), _) => self.check_public(asked)?,
            (None, None) => self.free_public(new)?,
        };
        object.detail = Detail::PublicIp(PublicIpDetail { address });
        Ok(())
    }

    fn check_public(&self, asked: IpAddr) -> Result<IpAddr, Refusal> {
        let (version, number) = number_of(asked);
        if self.state.claims.holder(&Space::Pools(version), number, number).is_none() {
            let why = format!(
                "{asked} is not in any address pool of this installation; leave it out to get one that is"
            );
            return Err(Refusal::invalid(vec![Fault::new("/spec/address", why)]));
        }
        match self.state.claims.holder(&Space::Public(version), number, number) {
            // Whose it is may be another tenant's business.
            Some(_) => Err(Refusal::conflict_at("/spec/address", format!("{asked} is in use"))),
            None => Ok(asked),
        }
    }

    fn free_public(&self, new: &PublicIpSpec) -> Result<IpAddr, Refusal> {
        let space = Space::Public(new.version);
        let mut full = Vec::new();
        for pool in self.state.of_kind(Kind::AddressPool) {
            let Spec::AddressPool(spec) = &pool.spec else { continue };
            for block in pool_blocks(spec).filter(|block| block.version == new.version) {
                let free = self.state.claims.next_free(&space, block.first);
                if let Some(free) = free.filter(|free| *free <= block.last()) {
                    return Ok(address_of(new.version, free));
                }
                full.push(format!("{} ({block}, {} addresses)", pool.urn.name, block.count_without(0)));
            }
        }
        if full.is_empty() {
            let why = format!(
                "this installation has no pool of public {} addresses; its operator has to add one",
                new.version
            );
            return Err(Refusal::conflict_at("/spec/version", why));
        }
        full.truncate(5);
        let why = format!(
            "no public {} address is free: all are in use of {}; release one, or have the operator add a pool",
            new.version,
            full.join(", ")
        );
        Err(Refusal::conflict_at("/spec/version", why))
    }

    /// What a route table says about its network: no route is to a block that the network has anyway, and an address that
    /// a route leads to is in the network.
    pub(super) fn check_routes(&self, object: &Object) -> Result<(), Refusal> {
        let Spec::RouteTable(table) = &object.spec else { return Ok(()) };
        let blocks = self.parent_network(object)?.blocks();
        let mut faults = Vec::new();
        for (position, route) in table.routes.iter().enumerate() {
            if let Ok(destination) = Block::parse_any(&route.destination_cidr_block)
                && blocks.contains(&destination)
            {
                let why = format!("{destination} is a block of the network, whose route is there by itself");
                faults.push(Fault::new(format!("/spec/routes/{position}/destinationCidrBlock"), why));
            }
            if let Ok(Target::Address(address)) = target_of(route)
                && !blocks.iter().any(|block| block.holds(address))
            {
                let why = format!("{address} is not an address of the network");
                faults.push(Fault::new(format!("/spec/routes/{position}/targetRef"), why));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(faults)) }
    }

    /// An instance and its NICs are in one zone.
    pub(super) fn check_nics(&self, object: &Object) -> Result<(), Refusal> {
        let Spec::Instance(instance) = &object.spec else { return Ok(()) };
        let nics = object.spec.links().into_iter().filter(|link| link.kind == Kind::Nic);
        let mut faults = Vec::new();
        for link in nics {
            let nic = self.state.target(object, &link).ok().and_then(|nic| self.state.get(&nic));
            let Some(zone) = nic.and_then(|nic| self.state.zone_of(nic)) else { continue };
            if zone != instance.zone {
                let why = format!("its subnet is in zone {zone:?}, the instance in {:?}", instance.zone);
                faults.push(Fault::new(link.pointer, why));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(faults)) }
    }
}

fn exhausted(pool: &str, size: &str, sort: &str) -> Refusal {
    Refusal::conflict(format!(
        "no {sort} address is free in {pool}: all {size} are in use; release one first"
    ))
}

impl crate::state::State {
    /// The zone of a NIC: that of its subnet.
    pub(crate) fn zone_of(&self, nic: &Object) -> Option<&str> {
        let Detail::Nic(detail) = &nic.detail else { return None };
        match &self.get(&detail.subnet)?.spec {
            Spec::Subnet(subnet) => Some(&subnet.zone),
            _ => None,
        }
    }
}

impl Object {
    /// Blocks of a network or a subnet.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        super::blocks::all_blocks(&super::blocks::given(&self.spec, &self.detail)).collect()
    }

    /// What it holds, of any space.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let whole = |space: Space, block: Block| Claim { space, first: block.first, last: block.last() };
        let one = |space: Space, number: u128| Claim { space, first: number, last: number };
        match (&self.spec, &self.detail) {
            (Spec::Subnet(_), _) => {
                let Some(network) = self.urn.parent().map(std::sync::Arc::<Urn>::new) else {
                    return Vec::new();
                };
                let space = |block: &Block| Space::Network(network.clone(), block.version);
                self.blocks().into_iter().map(|block| whole(space(&block), block)).collect()
            }
            (Spec::AddressPool(pool), _) => {
                pool_blocks(pool).map(|block| whole(Space::Pools(block.version), block)).collect()
            }
            (_, Detail::PublicIp(public)) => {
                let (version, number) = number_of(public.address);
                vec![one(Space::Public(version), number)]
            }
            (_, Detail::Nic(nic)) => {
                let addresses = nic.addresses.iter().map(|address| {
                    let (version, number) = number_of(*address);
                    one(Space::Subnet(nic.subnet.clone(), version), number)
                });
                addresses.chain([one(Space::Mac, nic.mac.0.into())]).collect()
            }
            _ => Vec::new(),
        }
    }
}
