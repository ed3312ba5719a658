//! Who this host is to the controllers, and its connections to them ([`Controllers`]).

mod controllers;

pub use controllers::{Connection, Controllers, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
