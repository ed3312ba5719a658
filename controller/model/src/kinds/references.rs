//! What references have to be like when they are sent, beyond that they name something.
//!
//! For who admits a PUT, and no part of its meaning: what is in the log was accepted without it, and is read and applied
//! as it was then. What a resource says already it may go on saying.

use std::collections::BTreeSet;

use rempart_api::{Kind, Reference, ReferenceError, Urn, check_name, check_short_name};

use super::Link;
use crate::apply::identity;
use crate::command::PutCommand;
use crate::refusal::{Fault, Refusal};
use crate::state::{SHARED_TENANT, State, canonical_tenant, is_shared, resolve_in_any_network};

/// Refuses references beyond SECA's bounds, that contradict themselves, or that name what cannot be: another region,
/// another tenant than one's own but for SKUs and images of the shared one, a name that nothing can have.
///
/// # Errors
/// Names every field at fault.
pub fn check_references(state: &State, put: &PutCommand) -> Result<(), Refusal> {
    let old = state.get(&put.urn).map(|old| &old.spec);
    let links_before: BTreeSet<_> = old.iter().flat_map(|old| old.links()).map(identity).collect();
    let literals_before: Vec<_> =
        old.iter().flat_map(|old| old.literals()).map(|(_, literal)| literal).collect();
    let region = &state.core().region;
    let mut faults = Vec::new();
    for link in put.spec.links() {
        if links_before.contains(&identity(link.clone())) {
            continue;
        }
        if let Err(why) = check_bounds(link.reference).and_then(|()| check_link(&link, &put.urn, region)) {
            faults.push(Fault::new(link.pointer, why));
        }
    }
    for (pointer, literal) in put.spec.literals() {
        if literals_before.contains(&literal) {
            continue;
        }
        if let Err(why) = check_bounds(literal).and_then(|()| check_literal(literal, region)) {
            faults.push(Fault::new(pointer, why));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(faults)) }
}

fn check_bounds(reference: &Reference) -> Result<(), String> {
    let Reference { resource, provider, region, tenant, workspace } = reference;
    let parts = [("provider", provider), ("region", region), ("tenant", tenant), ("workspace", workspace)];
    let parts =
        parts.into_iter().filter_map(|(name, part)| Some((name, part.as_ref()?, Reference::MAX_PART)));
    for (name, text, max) in std::iter::once(("resource", resource, Reference::MAX_RESOURCE)).chain(parts) {
        let length = text.chars().count();
        if !(1..=max).contains(&length) {
            return Err(format!("its {name} must have 1 to {max} characters, has {length}"));
        }
    }
    Ok(())
}

fn check_link(link: &Link<'_>, from: &Urn, region: &str) -> Result<(), String> {
    let target = match link.reference.resolve(link.kind, from, region) {
        // Whose it is is judged first.
        Err(ReferenceError::NetworkMissing(..)) => {
            resolve_in_any_network(link.reference, link.kind, from, region)
        }
        target => target,
    };
    // What names nothing at all is refused with everything else that is wrong.
    let Ok(target) = target else { return Ok(()) };
    let info = link.kind.info();
    // It would be passed over: nothing of this kind is in a workspace.
    if let Some(said) = &link.reference.workspace
        && target.workspace.is_empty()
        && *said != from.workspace
    {
        return Err(format!(
            "its workspace {said:?} has no meaning: a {} is in no workspace; leave it out",
            info.name
        ));
    }
    let tenant = canonical_tenant(&target.tenant);
    let shared = tenant == SHARED_TENANT && is_shared(link.kind);
    if tenant != from.tenant && !shared {
        return Err(format!(
            "it names something of tenant {:?}; what another tenant has cannot be referred to",
            target.tenant
        ));
    }
    for (what, name) in [("workspace", &target.workspace), ("network", &target.network)] {
        if !name.is_empty() && check_short_name(name).is_err() {
            return Err(format!("no {what} can be called {name:?}"));
        }
    }
    // SKUs are found in any case.
    if !info.catalogue && check_name(&target.name).is_err() {
        return Err(format!("no {} can be called {:?}", info.name, target.name));
    }
    Ok(())
}

/// An address is nowhere but here.
fn check_literal(literal: &Reference, region: &str) -> Result<(), String> {
    let Reference { resource, provider, region: asked, tenant, workspace } = literal;
    if let Some(asked) = asked.as_ref().filter(|asked| *asked != region) {
        return Err(format!("region {asked:?} cannot be reached from here: this endpoint serves {region:?}"));
    }
    let places = [("provider", provider), ("tenant", tenant), ("workspace", workspace)];
    match places.into_iter().find(|(_, place)| place.is_some()) {
        Some((place, _)) => Err(format!("{resource} is an address and has no {place}; leave it out")),
        None => Ok(()),
    }
}

/// Fields whose kind is open and that hold no resource.
pub(super) fn literals_among<'a>(
    references: impl Iterator<Item = (String, &'a Reference)>,
    kinds: &[Kind],
) -> Vec<(String, &'a Reference)> {
    let is_literal =
        |reference| super::Target::of(reference, kinds).is_ok_and(|target| target.kind().is_none());
    references.filter(|(_, reference)| is_literal(*reference)).collect()
}

#[cfg(test)]
mod tests;
