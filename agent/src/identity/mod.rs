//! Who this host is to the controllers, and its connections to them.
//!
//! ```text
//!   first start:  join token ── enrol ──> identity.json (key, certificate, CA; 0600)
//!   every start:  identity.json ── Credentials ──> Controllers (connections, mutual TLS)
//!   half of the certificate's time over, or all of it: renew, by possession of the key ──> identity.json, Credentials
//! ```
//!
//! What always holds: the private key is made here and leaves never; what is sent over a connection goes to a controller
//! of this host's cluster; an expired certificate stops no guest, and is renewed without a person unless the host was
//! revoked.

mod controllers;
mod keeper;
mod renewal;

#[cfg(test)]
pub(crate) mod tests;

pub use controllers::{Connection, Controllers, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
pub use keeper::{EstablishError, HostIdentity, Token, establish};
pub use renewal::run as keep_certificate;
