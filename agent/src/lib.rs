//! The agent of one hypervisor: makes the host be what the controllers desire, and tells them what it is.
//!
//! ```text
//! controllers <-> session --> ledger --> reconcile: world -> plan -> execute --> vm, disk
//!                    ^                        |
//!                    +------- report <--------+
//! ```
//!
//! The agent is a guest's caretaker, not its parent: guests run on when it stops, and are found again when it
//! starts. It knows the wire (`rempart-proto`) and nothing else of Rempart.

pub mod config;
pub mod console;
pub mod desired;
pub mod disk;
pub mod durable;
pub mod execute;
pub mod identity;
pub mod layout;
pub mod ledger;
pub mod leftovers;
pub mod plan;
pub mod reconcile;
pub mod report;
pub mod session;
pub mod stop;
pub mod telemetry;
pub mod vm;
pub mod world;
