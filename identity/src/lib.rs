//! Who a machine of the cluster is to another one. Controllers and agents share this crate, so that both ends of a
//! connection mean the same.
//!
//! What always holds: an [`Identity`] comes from the connection's credential alone, never from a message. Absent on
//! purpose: signing certificates (the controllers' `pki`), and what an identity may do (each service's own rule).

mod name;
pub mod peer;

pub use name::Identity;
pub use peer::{identity, require_controller, require_host};
