//! What a reference names whose field does not fix the kind: a route's target, a rule's peer.
//!
//! A literal is an address or a block; everything else says its collection. A bare name is refused: it could be of
//! any kind.

use std::net::IpAddr;

use rempart_api::{Kind, Reference};

use crate::block::{Block, parse_address};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A resource of this kind.
    Resource(Kind),
    /// An address.
    Address(IpAddr),
    /// A block.
    Block(Block),
}

impl Target {
    /// What `reference` names, if it is one of `kinds` or a literal; else what is wrong with it.
    pub(crate) fn of(reference: &Reference, kinds: &[Kind]) -> Result<Target, String> {
        let text = &reference.resource;
        if let Ok(address) = parse_address(text) {
            return Ok(Target::Address(address));
        }
        let mut segments = text.rsplit('/');
        let collection = segments.nth(1).unwrap_or_default();
        if let Some(kind) = kinds.iter().find(|kind| kind.info().collection == collection) {
            return Ok(Target::Resource(*kind));
        }
        if text.split_once('/').is_some_and(|(address, _)| parse_address(address).is_ok()) {
            return Block::parse_any(text).map(Target::Block);
        }
        let shown: String = text.chars().take(80).collect();
        let forms = kinds.iter().map(|kind| format!("'{}/NAME'", kind.info().collection));
        let forms = forms.collect::<Vec<_>>().join(", ");
        Err(format!("{shown:?} is not of a form that can stand here: use {forms} or an address"))
    }

    /// The resource's kind.
    pub(crate) fn kind(self) -> Option<Kind> {
        match self {
            Target::Resource(kind) => Some(kind),
            Target::Address(_) | Target::Block(_) => None,
        }
    }
}
