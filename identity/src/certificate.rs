//! What a certificate says, read once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{Identity, IdentityError};

/// A machine's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub identity: Identity,
    /// SHA-256 of its public key (SPKI, DER), lower-case hexadecimal: what stands in State for a host.
    pub key_sha256: String,
    /// Not good before.
    pub not_before: SystemTime,
    /// Not good after.
    pub not_after: SystemTime,
    /// The bytes.
    pub der: CertificateDer<'static>,
}

impl Certificate {
    /// Reads one. Nothing is verified.
    ///
    /// # Errors
    /// When it is no certificate of a machine.
    pub fn read(der: &CertificateDer<'_>) -> Result<Certificate, IdentityError> {
        let bad = |why: String| IdentityError::Certificate(why);
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| bad(error.to_string()))?;
        let mut names = parsed.subject().iter_common_name();
        let name = match (names.next(), names.next()) {
            (Some(name), None) => name.as_str().map_err(|error| bad(error.to_string()))?,
            _ => return Err(bad("it has not exactly one common name".to_owned())),
        };
        Ok(Certificate {
            identity: name.parse().map_err(bad)?,
            key_sha256: sha256_hex(parsed.public_key().raw),
            not_before: time_of(parsed.validity().not_before.timestamp()),
            not_after: time_of(parsed.validity().not_after.timestamp()),
            der: der.clone().into_owned(),
        })
    }

    /// Whether its time is over.
    pub fn is_expired(&self) -> bool {
        SystemTime::now() > self.not_after
    }

    /// How long it holds from now on; nothing when it is over.
    pub fn remaining(&self) -> Duration {
        self.not_after.duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// How long to wait before getting the next: until half of its time is over.
    pub fn until_renewal(&self) -> Duration {
        let whole = self.not_after.duration_since(self.issued()).unwrap_or_default();
        (self.issued() + whole / 2).duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// When it was signed: its beginning lies before that, for clocks that are late.
    fn issued(&self) -> SystemTime {
        self.not_before + crate::ca::CLOCKS_DIFFER
    }

    /// The public key (SPKI, DER).
    ///
    /// # Errors
    /// Never for one that was [`read`](Self::read).
    pub fn public_key(&self) -> Result<Vec<u8>, IdentityError> {
        let parsed = X509Certificate::from_der(&self.der);
        let (_, parsed) = parsed.map_err(|error| IdentityError::Certificate(error.to_string()))?;
        Ok(parsed.public_key().raw.to_vec())
    }

    /// The moment between its begin and its end that is nearest to now: to judge all but its time.
    pub(crate) fn nearest_valid_time(der: &CertificateDer<'_>) -> Option<UnixTime> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let (begin, end) =
            (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).ok()?;
        // A certificate whose end lies before its begin is judged at its end, and refused.
        let at = u64::try_from(now.max(begin).min(end)).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(at)))
    }
}

fn time_of(unix_seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or_default())
}

/// SHA-256 as lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// As text that openssl and people read.
pub fn to_pem(der: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("{BEGIN}\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + END + "\n"
}

/// The first certificate in such a text.
///
/// # Errors
/// When there is none.
pub fn from_pem(text: &str) -> Result<CertificateDer<'static>, IdentityError> {
    let body = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(body, _)| body);
    let body = body.ok_or_else(|| IdentityError::Certificate("no PEM block CERTIFICATE".to_owned()))?;
    let body: String = body.chars().filter(|character| !character.is_whitespace()).collect();
    let der = STANDARD.decode(body).map_err(|error| IdentityError::Certificate(error.to_string()))?;
    Ok(der.into())
}
