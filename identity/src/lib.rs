//! Who a machine of the cluster is to another one. Controllers and agents share this crate, so that both ends of a
//! connection mean the same.
//!
//! ```text
//!   Ca::sign ──> certificate ──> Credentials ──> accept (server), Pool (client): mutual TLS 1.3
//!                                                   │
//!   require_host(&request) <── Identity <── Caller ─┘   (the owner of the listener decides who is admitted)
//! ```
//!
//! What always holds: an [`Identity`] comes from the connection's certificate alone, never from a message; a chain that
//! does not end at the cluster's CA does not pass the handshake; a connection does not outlive its certificate.
//! Absent on purpose: what an identity may do (each service's own rule), revocation (State's), files of a cluster
//! (the controllers' `pki`).

pub mod accept;
pub mod ca;
pub mod certificate;
pub mod credentials;
pub mod file;
pub mod join;
pub mod key;
mod name;
pub mod peer;
pub mod pool;
mod tcp;
pub mod token;
mod verify;
pub mod web;

pub use accept::{Accepted, Caller, accept};
pub use ca::Ca;
pub use certificate::Certificate;
pub use credentials::{Credentials, IdentityError};
pub use key::Key;
pub use name::Identity;
pub use peer::{identity, require_controller, require_host};
pub use pool::{Expect, Lane, Pool};
pub use tcp::VANISHED_WITHIN;
pub use token::JoinToken;
pub use web::WebTls;
