//! Identity of the cluster's machines, on the controllers' side: connections to the other replicas ([`Peers`]), and who
//! calls (`rempart_identity::require_host` and kin).

mod peers;

pub use peers::{Connection, Peers};
