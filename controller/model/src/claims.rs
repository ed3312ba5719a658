//! Who holds which addresses: an index of State, derived from objects.
//!
//! What always holds: claims of one space never overlap; `runs` are the claims of a space merged where they touch. Every
//! question is O(log n): the lowest free address at or behind a place is the one behind the run that covers it.
//! Deliberately absent: what an address may be used for, and when it is let go: objects say that.

use std::sync::Arc;

use imbl::OrdMap;
use rempart_api::Urn;
use rempart_api::network::IpVersion;

/// Numbers among which each has one owner at most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Space {
    /// Addresses of a subnet, held by NICs.
    Subnet(Arc<Urn>, IpVersion),
    /// Addresses of a network, held by subnets in blocks.
    Network(Arc<Urn>, IpVersion),
    /// Public addresses, held by public IPs.
    Public(IpVersion),
    /// Public addresses, held by the operator's pools in blocks.
    Pools(IpVersion),
    /// MAC addresses of the cluster, held by NICs.
    Mac,
}

/// A range of a space, both ends in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) space: Space,
    pub(crate) first: u128,
    pub(crate) last: u128,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Claims {
    /// First of each claim -> its last, and whose it is.
    owners: OrdMap<(Space, u128), (u128, Arc<Urn>)>,
    /// First of each run -> its last.
    runs: OrdMap<(Space, u128), u128>,
}

impl Claims {
    /// The owner of anything in the range, and none if it is free.
    pub(crate) fn holder(&self, space: &Space, first: u128, last: u128) -> Option<&Arc<Urn>> {
        let ((found, _), (end, owner)) = self.owners.get_prev(&(space.clone(), last))?;
        (found == space && *end >= first).then_some(owner)
    }

    /// Every claim that touches the range, by its first address.
    pub(crate) fn within<'a>(
        &'a self,
        space: &'a Space,
        first: u128,
        last: u128,
    ) -> impl Iterator<Item = (u128, u128, &'a Arc<Urn>)> + 'a {
        // The one that begins before the range may reach into it.
        let from = match self.owners.get_prev(&(space.clone(), first)) {
            Some(((found, start), (end, _))) if found == space && *end >= first => *start,
            _ => first,
        };
        self.owners
            .range((space.clone(), from)..=(space.clone(), last))
            .map(|((_, start), (end, owner))| (*start, *end, owner))
    }

    /// The lowest free number at `from` or behind it; none behind the last number there is.
    pub(crate) fn next_free(&self, space: &Space, from: u128) -> Option<u128> {
        match self.run_at(space, from) {
            Some((_, last)) => last.checked_add(1),
            None => Some(from),
        }
    }

    /// The run that covers `at`.
    pub(crate) fn run_at(&self, space: &Space, at: u128) -> Option<(u128, u128)> {
        let ((found, first), last) = self.runs.get_prev(&(space.clone(), at))?;
        (found == space && *last >= at).then_some((*first, *last))
    }

    /// The last run that touches the range.
    pub(crate) fn last_run(&self, space: &Space, first: u128, last: u128) -> Option<(u128, u128)> {
        let ((found, start), end) = self.runs.get_prev(&(space.clone(), last))?;
        (found == space && *end >= first).then_some((*start, *end))
    }

    /// Takes a range for `owner`. What is taken already stays with whom it is: `apply` has refused before, so this is
    /// the case only for rows of before there were claims.
    pub(crate) fn take(&mut self, claim: Claim, owner: &Arc<Urn>) {
        let Claim { space, mut first, mut last } = claim;
        if self.holder(&space, first, last).is_some() {
            return;
        }
        self.owners.insert((space.clone(), first), (last, owner.clone()));
        if let Some(before) = first.checked_sub(1)
            && let Some((start, _)) = self.run_at(&space, before)
        {
            first = start;
        }
        if let Some(behind) = last.checked_add(1)
            && let Some((start, end)) = self.run_at(&space, behind)
        {
            self.runs.remove(&(space.clone(), start));
            last = end;
        }
        self.runs.insert((space, first), last);
    }

    /// Lets a range go, if it is `owner`'s.
    pub(crate) fn release(&mut self, claim: Claim, owner: &Urn) {
        let Claim { space, first, last } = claim;
        let key = (space, first);
        if !self.owners.get(&key).is_some_and(|(end, holder)| *end == last && **holder == *owner) {
            return;
        }
        self.owners.remove(&key);
        let space = key.0;
        let Some((start, end)) = self.run_at(&space, first) else { return };
        self.runs.remove(&(space.clone(), start));
        if start < first {
            self.runs.insert((space.clone(), start), first - 1);
        }
        if end > last {
            self.runs.insert((space, last + 1), end);
        }
    }
}

#[cfg(test)]
mod tests;
