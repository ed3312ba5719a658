//! The cluster's certificate authority: signs what machines show each other. Only controllers hold its key.
//!
//! A certificate says whose it is (common name `controller:ID` or `host:NAME`), for how long, and what it may do: both
//! ends of a connection for controllers, the client's for hosts. Serial numbers are random.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;

use crate::certificate::sha256_hex;
use crate::{Certificate, Identity, IdentityError, Key};

/// How far machines' clocks may be behind the signer's.
pub const CLOCKS_DIFFER: Duration = Duration::from_secs(600);
/// The CA outlives any cluster; a machine's certificate does not outlive the next day.
const CA_LIFETIME: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A certificate authority with its key.
pub struct Ca {
    key: Key,
    certificate: CertificateDer<'static>,
}

/// A public key whose owner has proved to have the private one.
#[derive(Debug)]
pub struct Requested {
    key: rcgen::SubjectPublicKeyInfo,
    /// SHA-256 of the key (SPKI, DER), lower-case hexadecimal.
    pub key_sha256: String,
}

impl Requested {
    /// Verifies a request (PKCS#10).
    ///
    /// # Errors
    /// When it is none, or not signed with the key it shows.
    pub fn read(request: &[u8]) -> Result<Requested, IdentityError> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request));
        let request = request.map_err(|error| IdentityError::Request(error.to_string()))?;
        Requested::of(&request.public_key.subject_public_key_info())
    }

    /// The key of a certificate, which its owner has shown by using it for the connection.
    ///
    /// # Errors
    /// When its kind of key is not known.
    pub fn from_certificate(certificate: &Certificate) -> Result<Requested, IdentityError> {
        Requested::of(&certificate.public_key()?)
    }

    fn of(spki: &[u8]) -> Result<Requested, IdentityError> {
        let key = rcgen::SubjectPublicKeyInfo::from_der(spki)
            .map_err(|error| IdentityError::Request(error.to_string()))?;
        Ok(Requested { key, key_sha256: sha256_hex(spki) })
    }
}

impl Ca {
    /// A new one, for the cluster that `name` identifies.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn create(name: &str) -> Result<Ca, IdentityError> {
        let key = Key::generate()?;
        let mut params = params(&format!("Rempart cluster {name}"), CA_LIFETIME)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(key.pair())?.der().clone();
        Ok(Ca { key, certificate })
    }

    /// From its parts.
    ///
    /// # Errors
    /// When the key is not that of the certificate.
    pub fn open(certificate: CertificateDer<'static>, key: Key) -> Result<Ca, IdentityError> {
        let parsed = x509_parser::parse_x509_certificate(&certificate);
        let (_, parsed) = parsed.map_err(|error| IdentityError::Certificate(error.to_string()))?;
        if sha256_hex(parsed.public_key().raw) != key.sha256() {
            return Err(IdentityError::Certificate("the CA's key is not that of its certificate".to_owned()));
        }
        Ok(Ca { key, certificate })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What join tokens pin: SHA-256 of the certificate, lower-case hexadecimal.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.certificate)
    }

    /// Signs a certificate for `identity`, whose key is `requested`.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(
        &self,
        identity: &Identity,
        requested: &Requested,
        lifetime: Duration,
    ) -> Result<Certificate, IdentityError> {
        self.sign_key(identity, &requested.key, lifetime)
    }

    /// Signs one for a key that is at hand.
    ///
    /// # Errors
    /// As [`sign`](Self::sign).
    pub fn sign_own(
        &self,
        identity: &Identity,
        key: &Key,
        lifetime: Duration,
    ) -> Result<Certificate, IdentityError> {
        self.sign_key(identity, key.pair(), lifetime)
    }

    fn sign_key(
        &self,
        identity: &Identity,
        key: &impl PublicKeyData,
        lifetime: Duration,
    ) -> Result<Certificate, IdentityError> {
        let mut params = params(&identity.to_string(), lifetime)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let Identity::Controller(_) = identity {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let issuer = Issuer::from_ca_cert_der(&self.certificate, self.key.pair())?;
        Certificate::read(params.signed_by(key, &issuer)?.der())
    }
}

fn params(common_name: &str, lifetime: Duration) -> Result<CertificateParams, IdentityError> {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.not_before = now - CLOCKS_DIFFER;
    params.not_after = now + lifetime;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| IdentityError::NoRandomness)?;
    // Positive, and of one length.
    serial[0] = serial[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
