//! Rows of Postgres, and the objects they are. Reading them is most of what a start with many objects takes: it is done by part, on
//! all cores (`store/load.rs`).

use rempart_model::Object;

use super::Digest;
use crate::store::ResourceRow;

/// What was loaded does not make a State.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An object this version cannot read.
    #[error(
        "row {what} in Postgres cannot be read: {error}; was it written by a newer version? upgrade this replica"
    )]
    Object {
        /// Which row.
        what: String,
        /// Why not.
        error: rempart_model::ReadError,
    },
    /// A row this version cannot read.
    #[error(
        "row {what} in Postgres cannot be read: {error}; was it written by a newer version? upgrade this replica"
    )]
    Row {
        /// Which row.
        what: String,
        /// Why not.
        error: serde_json::Error,
    },
    /// They were changed by somebody else, or a disk did.
    #[error(
        "the rows in Postgres are not those that this controller wrote: their digest is {found}, and was {written} at entry \
         {index}; replace it by a controller of a new id, with its directories empty: `rempart cluster replace` \
         (docs/operating/cluster.md)"
    )]
    Damaged {
        /// Up to which entry they are.
        index: u64,
        /// Digest of what is there.
        found: Digest,
        /// Digest of what was written.
        written: String,
    },
    /// Another program is needed.
    #[error("{0}")]
    Version(String),
}

/// Some of the objects.
#[derive(Debug, Default)]
pub struct Part {
    /// Of these.
    pub(super) digest: Digest,
    /// As they were written.
    pub(super) objects: Vec<Object>,
}

/// Reads some of the rows.
///
/// # Errors
/// When one of them cannot be read.
pub fn read(rows: Vec<ResourceRow>) -> Result<Part, LoadError> {
    let digest = Digest::of(rows.iter().map(|row| row.body.as_str()));
    let read = |row: ResourceRow| {
        Object::read(&row.body).map_err(|error| LoadError::Object { what: format!("{:?}", row.key), error })
    };
    Ok(Part { digest, objects: rows.into_iter().map(read).collect::<Result<_, _>>()? })
}
