//! A machine's private key (ECDSA on P-256): made where it is used, and never sent.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::IdentityError;
use crate::certificate::sha256_hex;

/// A private key. Its Debug shows nothing of it.
pub struct Key(KeyPair);

impl std::fmt::Debug for Key {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Key({})", self.sha256())
    }
}

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Key, IdentityError> {
        Ok(Key(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?))
    }

    /// From PKCS#8.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pkcs8(der: &[u8]) -> Result<Key, IdentityError> {
        let der = PrivatePkcs8KeyDer::from(der);
        Ok(Key(KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)?))
    }

    /// As PKCS#8: the secret itself.
    pub fn to_pkcs8(&self) -> Vec<u8> {
        self.0.serialize_der()
    }

    /// SHA-256 of the public half (SPKI, DER), lower-case hexadecimal.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.0.subject_public_key_info())
    }

    /// Asks for a certificate (PKCS#10): the public half, signed with the private one. Whose it is, is not for the
    /// asker to say.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn certificate_request(&self) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.0)?.der().to_vec())
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }

    pub(crate) fn for_tls(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.to_pkcs8()).into()
    }
}
