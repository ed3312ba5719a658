//! The form of every log entry.
//!
//! The bytes are JSON: tagged, self-describing and readable in ten years. They are frozen from the first release:
//! `testdata/golden` holds one entry of every command, and a test reads them all.

use rempart_api::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::command::Command;

/// Newest envelope format this code writes, and the newest it reads.
pub const ENVELOPE_FORMAT: u32 = 1;

/// One log entry: a command and everything about it that is not deterministic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// [`ENVELOPE_FORMAT`].
    pub format: u32,
    /// Identifies the request among retries.
    pub request_id: Uuid,
    /// Subject that asked; `system` for the control plane itself.
    pub actor: String,
    /// W3C `traceparent` of the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace: Option<String>,
    /// The proposer's clock.
    pub time: Timestamp,
    /// What to do.
    pub command: Command,
}

/// An entry this version cannot read. The replica must halt: skipping it would make replicas differ.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or an unknown command or field.
    #[error("log entry cannot be decoded: {0}; is this replica older than the one that wrote it? upgrade it")]
    Malformed(#[from] serde_json::Error),
    /// A newer format.
    #[error("log entry has format {0}, this version reads up to {ENVELOPE_FORMAT}; upgrade this replica")]
    Format(u32),
}

impl Envelope {
    /// The entry's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match serde_json::to_vec(self) {
            Ok(bytes) => bytes,
            Err(error) => unreachable!("envelopes hold only strings, numbers and string-keyed maps: {error}"),
        }
    }

    /// Reads an entry.
    pub fn decode(bytes: &[u8]) -> Result<Envelope, DecodeError> {
        /// What every format has; the rest of a newer one need not be readable.
        #[derive(Deserialize)]
        struct AnyFormat {
            format: u32,
        }
        match serde_json::from_slice::<Envelope>(bytes) {
            Ok(envelope) if envelope.format <= ENVELOPE_FORMAT => Ok(envelope),
            Ok(envelope) => Err(DecodeError::Format(envelope.format)),
            Err(error) => match serde_json::from_slice::<AnyFormat>(bytes) {
                Ok(newer) if newer.format > ENVELOPE_FORMAT => Err(DecodeError::Format(newer.format)),
                _ => Err(error.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
