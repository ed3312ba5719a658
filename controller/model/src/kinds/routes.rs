//! Route tables.

use std::collections::BTreeSet;

use rempart_api::network::{Route, RouteTableSpec};
use rempart_api::{Kind, Reference};

use super::references::literals_among;
use super::target::Target;
use super::{Link, Rules, Strength, check_range};
use crate::block::{Block, number_of};
use crate::refusal::Fault;
use crate::state::State;

/// What a route may lead to besides an address.
const TARGETS: [Kind; 2] = [Kind::InternetGateway, Kind::Instance];

/// What a route leads to.
pub(crate) fn target_of(route: &Route) -> Result<Target, String> {
    match Target::of(&route.target_ref, &TARGETS)? {
        Target::Block(block) => Err(format!("{block} is a block; a route leads to one address")),
        target => Ok(target),
    }
}

impl Rules for RouteTableSpec {
    fn check(&self, _state: &State, faults: &mut Vec<Fault>) {
        check_range(faults, "/spec/routes", self.routes.len() as u64, 1, 1000);
        let mut seen = BTreeSet::new();
        for (position, route) in self.routes.iter().enumerate() {
            let pointer = format!("/spec/routes/{position}/destinationCidrBlock");
            let destination = match Block::parse_any(&route.destination_cidr_block) {
                Ok(destination) => destination,
                Err(why) => {
                    faults.push(Fault::new(pointer, why));
                    continue;
                }
            };
            if !seen.insert(destination) {
                faults.push(Fault::new(pointer, format!("another route leads to {destination} already")));
            }
            let target = target_of(route);
            let why = match target {
                Err(why) => Some(why),
                Ok(Target::Address(address)) if number_of(address).0 != destination.version => {
                    Some(format!("{address} is of another family than {destination}"))
                }
                Ok(_) => None,
            };
            if let Some(why) = why {
                faults.push(Fault::new(format!("/spec/routes/{position}/targetRef"), why));
            }
        }
    }

    fn links(&self) -> Vec<Link<'_>> {
        let link = |(position, route)| {
            let route: &Route = route;
            let kind = target_of(route).ok()?.kind()?;
            // A network does not depend on what computes in it.
            let strength = if kind == Kind::Instance { Strength::Weak } else { Strength::AtPut };
            let pointer = format!("/spec/routes/{position}/targetRef");
            Some(Link::new(pointer, &route.target_ref, kind, strength))
        };
        self.routes.iter().enumerate().filter_map(link).collect()
    }

    fn literals(&self) -> Vec<(String, &Reference)> {
        let targets = self.routes.iter().enumerate();
        let targets = targets
            .map(|(position, route)| (format!("/spec/routes/{position}/targetRef"), &route.target_ref));
        literals_among(targets, &TARGETS)
    }
}

#[cfg(test)]
mod tests;
