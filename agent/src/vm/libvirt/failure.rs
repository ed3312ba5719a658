//! Why libvirt did not do it: about a guest, or about the connection.

use crate::vm::HypervisorError;
use uuid::Uuid;
use virt::error::{Error, ErrorDomain, ErrorNumber};

/// What became of a call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody answers; says why.
    Unavailable(String),
    /// Answered with no; in libvirt's words.
    Refused(String),
}

impl Failure {
    /// A refusal of our own.
    pub(super) fn refused(cause: impl ToString) -> Self {
        Self::Refused(cause.to_string())
    }

    /// The same words, once it is known that the connection is dead.
    pub(super) fn blame_connection(self) -> Self {
        match self {
            Self::Refused(words) | Self::Unavailable(words) => Self::Unavailable(words),
        }
    }

    /// Adds where libvirt should have been.
    pub(super) fn naming(self, uri: &str) -> Self {
        match self {
            Self::Unavailable(words) => Self::Unavailable(format!("libvirtd at {uri}: {words}")),
            refused @ Self::Refused(_) => refused,
        }
    }

    /// The failure of an action on one domain.
    pub(super) fn about(self, action: &'static str, uuid: Uuid) -> HypervisorError {
        match self {
            Self::Unavailable(words) => HypervisorError::Unavailable(words),
            Self::Refused(cause) => HypervisorError::Refused { action, uuid, cause },
        }
    }

    /// The failure of a question about the host: a libvirt that cannot answer it is of no use to guests either.
    pub(super) fn about_host(self) -> HypervisorError {
        match self {
            Self::Unavailable(words) | Self::Refused(words) => HypervisorError::Unavailable(words),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let words = error.message().to_owned();
        // "remote" and "rpc" are the client's own halves; libvirtd speaks as "qemu", "domain", "xml", ...
        let transport = matches!(error.domain(), ErrorDomain::Rpc | ErrorDomain::Remote)
            || matches!(error.code(), ErrorNumber::NoConnect | ErrorNumber::InvalidConn | ErrorNumber::Rpc);
        if transport { Self::Unavailable(words) } else { Self::Refused(words) }
    }
}
