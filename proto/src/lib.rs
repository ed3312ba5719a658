//! Wire types between Rempart's machines, generated from the `.proto` files beside this crate.
//!
//! Only messages that cross a machine boundary live here. The tenant API is in `rempart-api`.

/// The session between a hypervisor agent and the controllers (`agent/v1/agent.proto`).
#[allow(missing_docs, unreachable_pub, clippy::all, rust_2018_idioms)]
pub mod agent {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("rempart.agent.v1");
    }
}

/// Bytes of images (`blob/v1/blob.proto`).
#[allow(missing_docs, unreachable_pub, clippy::all, rust_2018_idioms)]
pub mod blob {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("rempart.blob.v1");
    }
}

pub mod console;

/// How machines come to certificates (`enrol/v1/enrol.proto`).
#[allow(missing_docs, unreachable_pub, clippy::all, rust_2018_idioms)]
pub mod enrol {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("rempart.enrol.v1");
    }
}

/// Consensus and leader calls between controller replicas (`raft/v1/raft.proto`).
#[allow(missing_docs, unreachable_pub, clippy::all, rust_2018_idioms)]
pub mod raft {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("rempart.raft.v1");
    }
}
