//! The Rempart controller: a Raft replica that serves the tenant API and drives hypervisor agents.
//!
//! Who may call whom: `http` -> `service` -> `raft`; `reconcile` -> `raft`, `fleet`; `replica` -> `raft`, `store`;
//! all -> `rempart_model`. ARCHITECTURE.md has the picture.

pub mod auth;
pub mod backup;
pub mod blob;
pub mod config;
pub mod console;
pub mod fleet;
pub mod history;
pub mod http;
pub mod pki;
pub mod raft;
pub mod reconcile;
pub mod replica;
pub mod service;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod telemetry;

mod run;

pub use run::run;
