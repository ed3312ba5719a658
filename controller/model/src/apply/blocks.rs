//! Which blocks networks, subnets and pools have, and how they stand to each other.

use std::cell::LazyCell;
use std::sync::Arc;

use rempart_api::network::{Cidr, IpVersion, NetworkSpec, Route, SubnetSpec};
use rempart_api::{Kind, Urn};

use super::Tx;
use crate::block::{Block, address_of};
use crate::claims::Space;
use crate::kinds::{
    PRIVATE, Spec, Target, UNIQUE_LOCAL, VERSIONS, block_of, blocks_of_spec, pointer_of, pool_blocks,
    target_of,
};
use crate::object::{BlocksDetail, Detail, Object};
use crate::refusal::{Fault, Refusal};

impl Tx {
    /// Gives a network its blocks. One that was chosen stays while the spec asks for it.
    pub(super) fn settle_network(
        &self,
        object: &mut Object,
        new: &NetworkSpec,
        old: Option<&Spec>,
    ) -> Result<(), Refusal> {
        let before = old.map(|old| given(old, &object.detail));
        let asked: Vec<&Cidr> =
            std::iter::once(&new.cidr).chain(new.additional_cidrs.iter().flatten()).collect();
        let mut taken: Vec<Block> = asked.iter().flat_map(|cidr| explicit(cidr)).collect();
        let mut kept = chosen_before(before.as_ref(), old, &taken);
        let routed = LazyCell::new(|| self.destinations(&object.urn));
        let mut given = Vec::new();
        for (position, cidr) in asked.iter().enumerate() {
            let mut one = Cidr::default();
            for version in VERSIONS {
                let Some(asked) = block_of(cidr, version) else { continue };
                // The main block is for life: where it was chosen, both spellings mean what was chosen.
                let main = before.as_ref().filter(|_| position == 0);
                let block = match main.and_then(|main| block_of(&main.cidr, version)) {
                    Some(main) => main,
                    None if !asked.is_automatic() => asked,
                    None => {
                        let same = |old: &Block| old.version == version && old.length == asked.length;
                        match kept.iter().position(same) {
                            Some(at) => kept.swap_remove(at),
                            None => choose_private(object, asked, &taken, &kept, &routed)?,
                        }
                    }
                };
                taken.push(block);
                set(&mut one, block);
            }
            given.push(one);
        }
        let cidr = given.remove(0);
        let blocks = BlocksDetail { cidr, additional: given };
        let all: Vec<Block> = all_blocks(&blocks).collect();
        let overlap = all.iter().enumerate().find_map(|(position, block)| {
            all[position + 1..].iter().find(|other| other.overlaps(block)).map(|other| (block, other))
        });
        if let Some((block, other)) = overlap {
            // One of them was chosen: the others were compared before.
            let why = format!("{other} overlaps with {block}, which the network has already");
            return Err(Refusal::invalid(vec![Fault::new("/spec/additionalCidrs", why)]));
        }
        let before: Vec<Block> = before.iter().flat_map(all_blocks).collect();
        let left: Vec<Block> = before.iter().filter(|before| !all.contains(before)).copied().collect();
        let added: Vec<Block> = all.iter().filter(|new| !before.contains(new)).copied().collect();
        self.check_left_blocks(&object.urn, &left, &all)?;
        self.check_routed(&object.urn, &added, &left, &all)?;
        let plain = blocks_of_spec(&new.cidr, new.additional_cidrs.as_deref());
        object.detail = keep(blocks, &plain);
        Ok(())
    }

    /// A block may go only when no subnet is in it, or another block has it all.
    fn check_left_blocks(&self, network: &Arc<Urn>, left: &[Block], stays: &[Block]) -> Result<(), Refusal> {
        for block in left {
            let space = Space::Network(network.clone(), block.version);
            let lost =
                self.state.claims.within(&space, block.first, block.last()).find(|(first, last, _)| {
                    !stays.iter().any(|stays| {
                        stays.version == block.version && stays.first <= *first && *last <= stays.last()
                    })
                });
            if let Some((_, _, user)) = lost {
                let why =
                    format!("{block} cannot be taken from the network: {user} is in it; delete that first");
                return Err(Refusal::conflict_at("/spec/additionalCidrs", why));
            }
        }
        Ok(())
    }

    /// Where routes of a network's tables lead.
    fn destinations(&self, network: &Urn) -> Vec<Block> {
        self.routes(network)
            .filter_map(|(_, route)| Block::parse_any(&route.destination_cidr_block).ok())
            .collect()
    }

    /// All routes of a network, each with its table's name.
    fn routes<'a>(&'a self, network: &Urn) -> impl Iterator<Item = (&'a Urn, &'a Route)> + use<'a> {
        let Urn { tenant, workspace, name, .. } = network;
        let tables = self.state.collection(&Urn::network(Kind::RouteTable, tenant, workspace, name, ""));
        tables.flat_map(|table| {
            let routes = match &table.spec {
                Spec::RouteTable(spec) => spec.routes.as_slice(),
                _ => &[],
            };
            routes.iter().map(|route| (&*table.urn, route))
        })
    }

    /// No route table is left with what a PUT of it could not say: a route to a block of the network, or to an address that none
    /// of its blocks has.
    fn check_routed(
        &self,
        network: &Urn,
        added: &[Block],
        left: &[Block],
        stays: &[Block],
    ) -> Result<(), Refusal> {
        if added.is_empty() && left.is_empty() {
            return Ok(());
        }
        for (table, route) in self.routes(network) {
            if !added.is_empty()
                && let Ok(destination) = Block::parse_any(&route.destination_cidr_block)
                && added.contains(&destination)
            {
                let why = format!(
                    "{destination} is where a route of {table} leads, and would be a block of the network; take the route out first"
                );
                return Err(Refusal::conflict_at("/spec/additionalCidrs", why));
            }
            if !left.is_empty()
                && let Ok(Target::Address(address)) = target_of(route)
                && let Some(block) = left.iter().find(|block| block.holds(address))
                && !stays.iter().any(|block| block.holds(address))
            {
                let why = format!(
                    "{block} cannot be taken from the network: a route of {table} leads to {address}; change that first"
                );
                return Err(Refusal::conflict_at("/spec/additionalCidrs", why));
            }
        }
        Ok(())
    }

    /// Gives a new subnet its blocks, inside its network's and apart from its other subnets.
    pub(super) fn settle_subnet(
        &self,
        object: &mut Object,
        new: &SubnetSpec,
        old: Option<&Spec>,
    ) -> Result<(), Refusal> {
        let network = self.parent_network(object)?;
        let table = self.state.resolve(&new.route_table_ref, Kind::RouteTable, &object.urn);
        if let Ok(table) = table
            && table.parent().as_ref() != Some(&*network.urn)
        {
            let why = format!("{table} is of another network; a subnet has a route table of its own network");
            return Err(Refusal::invalid(vec![Fault::new("/spec/routeTableRef", why)]));
        }
        if let Some(old) = old {
            // For life, however the spec says it by now.
            object.detail = keep(given(old, &object.detail), &blocks_of_spec(&new.cidr, None));
            return Ok(());
        }
        let have: Vec<Block> = network.blocks();
        let mut given = Cidr::default();
        for version in VERSIONS {
            let Some(asked) = block_of(&new.cidr, version) else { continue };
            let pointer = pointer_of("/spec/cidr", version);
            let invalid = |why: String| Refusal::invalid(vec![Fault::new(pointer.clone(), why)]);
            let here: Vec<Block> = have.iter().filter(|block| block.version == version).copied().collect();
            let space = Space::Network(network.urn.clone(), version);
            let larger = || here.iter().filter(|block| block.length < asked.length);
            let block = if asked.is_automatic() {
                if larger().next().is_none() {
                    return Err(invalid(format!(
                        "a /{} is not smaller than {}",
                        asked.length,
                        shown(&here, &network.urn)
                    )));
                }
                larger().find_map(|block| self.free_block(&space, *block, asked.length)).ok_or_else(|| {
                    let why = format!(
                        "no /{} is free in {}: its subnets have taken {}; delete a subnet, ask for a smaller block, or give \
                         the network another one",
                        asked.length,
                        network.urn,
                        shown(&here, &network.urn)
                    );
                    Refusal::conflict_at(pointer.clone(), why)
                })?
            } else {
                if !larger().any(|block| block.contains(&asked)) {
                    let why =
                        format!("{asked} is not inside, and smaller than, {}", shown(&here, &network.urn));
                    return Err(invalid(why));
                }
                if let Some(other) = self.state.claims.holder(&space, asked.first, asked.last()) {
                    return Err(Refusal::conflict_at(pointer, format!("{asked} overlaps with {other}")));
                }
                asked
            };
            set(&mut given, block);
        }
        let blocks = BlocksDetail { cidr: given, additional: Vec::new() };
        object.detail = keep(blocks, &blocks_of_spec(&new.cidr, None));
        Ok(())
    }

    /// The network a nested object is in.
    pub(super) fn parent_network(&self, object: &Object) -> Result<std::sync::Arc<Object>, Refusal> {
        let network = object.urn.parent().and_then(|network| self.state.get(&network).cloned());
        network.ok_or_else(|| Refusal::conflict(format!("the network of {} has gone", object.urn)))
    }

    /// The first free place for a block inside another: a step for each run of taken addresses.
    fn free_block(&self, space: &Space, inside: Block, length: u32) -> Option<Block> {
        let mut from = inside.first;
        loop {
            let block =
                Block::aligned(inside.version, from, length).filter(|block| inside.contains(block))?;
            match self.state.claims.last_run(space, block.first, block.last()) {
                None => return Some(block),
                Some((_, last)) => from = last.checked_add(1)?,
            }
        }
    }

    /// A pool has what no other pool has, and loses nothing that was given out.
    pub(super) fn check_pool(&self, object: &Object, old: Option<&Spec>) -> Result<(), Refusal> {
        let new: Vec<Block> = blocks_of_pool(&object.spec);
        for (position, block) in new.iter().enumerate() {
            let space = Space::Pools(block.version);
            let mut others = self.state.claims.within(&space, block.first, block.last());
            if let Some((_, _, other)) = others.find(|(_, _, owner)| **owner != object.urn) {
                let why = format!("{block} overlaps with {other}");
                return Err(Refusal::conflict_at(format!("/spec/blocks/{position}"), why));
            }
        }
        let old = old.map(blocks_of_pool).unwrap_or_default();
        self.check_not_given(object, old.into_iter().filter(|old| !new.contains(old)), &new)
    }

    /// A pool goes only when nothing was given out of it.
    pub(super) fn check_pool_unused(&self, object: &Object) -> Result<(), Refusal> {
        self.check_not_given(object, blocks_of_pool(&object.spec).into_iter(), &[])
    }

    fn check_not_given(
        &self,
        pool: &Object,
        left: impl Iterator<Item = Block>,
        stays: &[Block],
    ) -> Result<(), Refusal> {
        for block in left {
            let space = Space::Public(block.version);
            let mut given = self.state.claims.within(&space, block.first, block.last());
            let lost = given.find(|(address, _, _)| {
                !stays.iter().any(|stays| stays.holds(address_of(block.version, *address)))
            });
            if let Some((address, _, owner)) = lost {
                let address = address_of(block.version, address);
                return Err(Refusal::conflict(format!(
                    "{block} cannot be taken from {}: {owner} has {address} of it; it goes when its addresses are free",
                    pool.urn
                )));
            }
        }
        Ok(())
    }
}

fn blocks_of_pool(spec: &Spec) -> Vec<Block> {
    match spec {
        Spec::AddressPool(pool) => pool_blocks(pool).collect(),
        _ => Vec::new(),
    }
}

/// The blocks that a network or a subnet has: those that were given, else those of the spec.
pub(crate) fn given(spec: &Spec, detail: &Detail) -> BlocksDetail {
    match (spec, detail) {
        (_, Detail::Blocks(blocks)) => (**blocks).clone(),
        (Spec::Network(network), _) => blocks_of_spec(&network.cidr, network.additional_cidrs.as_deref()),
        (Spec::Subnet(subnet), _) => blocks_of_spec(&subnet.cidr, None),
        _ => BlocksDetail::default(),
    }
}

/// All blocks, of both families.
pub(crate) fn all_blocks(blocks: &BlocksDetail) -> impl Iterator<Item = Block> + '_ {
    let cidrs = std::iter::once(&blocks.cidr).chain(&blocks.additional);
    cidrs.flat_map(|cidr| VERSIONS.into_iter().filter_map(|version| block_of(cidr, version)))
}

fn explicit(cidr: &Cidr) -> impl Iterator<Item = Block> + '_ {
    let blocks = VERSIONS.into_iter().filter_map(|version| block_of(cidr, version));
    blocks.filter(|block| !block.is_automatic())
}

/// Additional blocks that were chosen for it and are in nobody's way.
fn chosen_before(before: Option<&BlocksDetail>, old: Option<&Spec>, taken: &[Block]) -> Vec<Block> {
    let (Some(before), Some(Spec::Network(spec))) = (before, old) else { return Vec::new() };
    let asked = spec.additional_cidrs.iter().flatten().zip(&before.additional);
    let chosen = asked.flat_map(|(asked, given)| {
        let automatic = VERSIONS
            .into_iter()
            .filter(|version| block_of(asked, *version).is_some_and(|asked| asked.is_automatic()));
        automatic.filter_map(|version| block_of(given, version)).collect::<Vec<_>>()
    });
    chosen.filter(|block| !taken.iter().any(|taken| taken.overlaps(block))).collect()
}

/// The first private block of this length that the network does not have yet, and no route of it leads to.
fn choose_private(
    object: &Object,
    asked: Block,
    taken: &[Block],
    kept: &[Block],
    routed: &[Block],
) -> Result<Block, Refusal> {
    let own = own_ipv6(object);
    let ranges = if asked.version == IpVersion::V4 { PRIVATE.as_slice() } else { std::slice::from_ref(&own) };
    for range in ranges {
        let mut from = range.first;
        while let Some(block) = Block::aligned(range.version, from, asked.length)
            && range.contains(&block)
        {
            match taken.iter().chain(kept).find(|taken| taken.overlaps(&block)) {
                None if routed.contains(&block) => from = block.last() + 1,
                None => return Ok(block),
                Some(taken) => from = taken.last() + 1,
            }
        }
    }
    let length = asked.length;
    Err(Refusal::conflict(format!("no private /{length} is free beside the other blocks of {}", object.urn)))
}

/// A /48 with 40 bits that nobody else is likely to have (RFC 4193).
fn own_ipv6(object: &Object) -> Block {
    let random = object.uid.as_u128() & ((1 << 40) - 1);
    Block::new(IpVersion::V6, UNIQUE_LOCAL.first | 1 << 120 | random << 80, 48)
}

fn set(cidr: &mut Cidr, block: Block) {
    match block.version {
        IpVersion::V4 => cidr.ipv4 = Some(block.to_string()),
        IpVersion::V6 => cidr.ipv6 = Some(block.to_string()),
    }
}

/// What the spec says is not kept twice.
fn keep(blocks: BlocksDetail, plain: &BlocksDetail) -> Detail {
    let same = all_blocks(&blocks).eq(all_blocks(plain));
    if same { Detail::None } else { Detail::Blocks(Box::new(blocks)) }
}

fn shown(blocks: &[Block], network: &Urn) -> String {
    let texts: Vec<_> = blocks.iter().take(5).map(Block::to_string).collect();
    match texts.len() {
        0 => format!("any block of {network}, which has none of this family"),
        _ => format!("{} of {network}", texts.join(", ")),
    }
}
