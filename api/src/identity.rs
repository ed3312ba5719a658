//! Provider `rempart.identity`: programs that call the API in their own name, and tokens that are called back.

use serde::{Deserialize, Serialize};

/// A service account: a subject of its own (`sa:TENANT/NAME`), which proves itself with tokens that it signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountSpec {
    /// Public keys that its tokens may be signed with; up to 8. A key that is not among them any more is worth nothing.
    #[serde(default)]
    pub keys: Vec<AccountKey>,
}

/// An Ed25519 public key, as a JWK (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountKey {
    /// What tokens call it; 1..64 characters, unique in its account.
    pub kid: String,
    /// `OKP`
    pub kty: String,
    /// `Ed25519`
    pub crv: String,
    /// The key: 32 bytes, base64url without padding.
    pub x: String,
}

/// Calls back every token of our own issuer that was given to a subject until now: until this was last put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenRevocationSpec {
    /// Whose tokens; 1..128 characters.
    pub subject: String,
}
