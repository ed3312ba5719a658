//! The public contract of Rempart: the resource types of the Sovereign European Cloud API (SECA v1.7) and of
//! Rempart's own providers, their names and references, problems, and (feature `client`) a typed HTTP client.
//!
//! What is deliberately absent: a server, storage, clocks, randomness, any I/O but the client's. The types here are
//! the one vocabulary from the HTTP edge to the replicated state; stored data is made of them, so they change
//! compatibly only (a new optional field: yes; a renamed or re-typed one: never).

pub mod authorization;
pub mod catalogue;
#[cfg(feature = "client")]
pub mod client;
pub mod cluster;
pub mod compute;
pub mod console;
pub mod fleet;
pub mod identity;
pub mod json;
mod kind;
mod metadata;
mod name;
pub mod network;
mod problem;
mod reference;
pub mod region;
pub mod standing;
mod status;
pub mod storage;
pub mod tenancy;
mod timestamp;
mod urn;
pub mod workspace;

pub use kind::{Kind, KindInfo, MetadataVariant, Provider, Scope, Verbs};
pub use metadata::{ListMetadata, Metadata, ResourceList, ResourceView};
pub use name::{NameError, check_name, check_short_name, check_zone};
pub use problem::{Problem, ProblemSource, ProblemType};
pub use reference::{Reference, ReferenceError};
pub use status::{Condition, MAX_CONDITIONS, Phase, Status};
pub use timestamp::Timestamp;
pub use urn::Urn;

/// Labels, annotations and extensions of a resource: ordered, so that the same content has the same bytes.
pub type StringMap = std::collections::BTreeMap<String, String>;

/// Clients without optional strings send "" for one that is absent.
fn empty_as_absent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = serde::Deserialize::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}
