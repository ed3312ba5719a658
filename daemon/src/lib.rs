//! What every Rempart daemon does alike, and does once: where its settings come from, how it logs, what it counts, how
//! it listens for HTTP, and how it ends.
//!
//! Knows nothing of clusters, guests or messages: those are the daemons' own.

pub mod files;
pub mod http;
pub mod log;
pub mod metrics;
pub mod settings;
pub mod signals;
pub mod systemd;
