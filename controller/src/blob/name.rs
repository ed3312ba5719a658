//! A blob's name: digest and format. It is bytes, not text, so that nothing a client wrote is ever part of a path.

use std::fmt;
use std::str::FromStr;

use rempart_api::storage::{BlobFormat, BlobSpec};

/// Which blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobName {
    sha256: [u8; 32],
    qcow2: bool,
}

impl BlobName {
    /// From 64 lower-case hexadecimal digits.
    pub fn new(sha256: &str, format: BlobFormat) -> Option<BlobName> {
        let digits = sha256.as_bytes();
        if digits.len() != 64 || digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(BlobName { sha256: bytes, qcow2: format == BlobFormat::Qcow2 })
    }

    /// A blob's.
    pub fn of(blob: &BlobSpec) -> Option<BlobName> {
        BlobName::new(&blob.sha256, blob.format)
    }

    /// The digest in hexadecimal digits.
    pub fn sha256(self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `digest` is this one.
    pub fn is_digest(self, digest: &[u8]) -> bool {
        self.sha256 == digest
    }

    /// The format.
    pub fn format(self) -> BlobFormat {
        if self.qcow2 { BlobFormat::Qcow2 } else { BlobFormat::Raw }
    }
}

/// The file's name: `<sha256>.<format>`.
impl fmt::Display for BlobName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{}", self.sha256(), if self.qcow2 { "qcow2" } else { "raw" })
    }
}

impl FromStr for BlobName {
    type Err = ();

    fn from_str(text: &str) -> Result<BlobName, ()> {
        let (digest, format) = text.split_once('.').ok_or(())?;
        let format = match format {
            "raw" => BlobFormat::Raw,
            "qcow2" => BlobFormat::Qcow2,
            _ => return Err(()),
        };
        BlobName::new(digest, format).ok_or(())
    }
}
