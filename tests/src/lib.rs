//! The lab: real controllers with their Postgres, real agents with a private libvirt, on this machine.
//!
//! End-to-end tests and the demo run on the same fixtures, and those run the same binaries that production runs.
//! Nothing outlives its [`Daemon`] unless asked to (the demo does), and nothing is simulated but the hypervisors of a
//! [`SimulatedFleet`], for there are more of them than this machine can be.

mod cluster;
mod daemon;
pub mod database;
mod dice;
pub mod history;
mod hypervisor;
pub mod identity;
mod image;
mod lab;
mod simulated_fleet;
mod wait;

pub use cluster::{Cluster, Controller, Layout};
pub use daemon::{Daemon, binary, family};
pub use dice::Dice;
pub use hypervisor::{Agent, Hypervisor, console, write_secret};
pub use image::{TinyImage, built_image, offer_image, sha256_of, tiny_image};
pub use lab::{Lab, PATIENCE, instance, lab_host, volume};
pub use simulated_fleet::{Seen, SimulatedFleet, fleet_directory};
pub use wait::{awaited, until, until_some};
