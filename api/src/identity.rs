//! Provider `rempart.identity`: programs that call the API in their own name, and tokens that are called back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A service account: a subject of its own (`sa:TENANT/NAME`), which proves itself with tokens that it signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountSpec {
    /// Public keys that its tokens may be signed with; up to 8. A key that is not among them any more is worth nothing.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub keys: Vec<AccountKey>,
}

/// An Ed25519 public key, as a JWK (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountKey {
    /// What tokens call it; 1..64 characters, unique in its account.
    #[schemars(length(min = 1, max = 64))]
    pub kid: String,
    /// `OKP`
    #[schemars(regex(pattern = r"^OKP$"))]
    pub kty: String,
    /// `Ed25519`
    #[schemars(regex(pattern = r"^Ed25519$"))]
    pub crv: String,
    /// The key: 32 bytes, base64url without padding.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{43}$"))]
    pub x: String,
}

/// Calls back every token of our own issuer that was given to a subject until now: until this was last put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenRevocationSpec {
    /// Whose tokens; 1..128 characters.
    #[schemars(length(min = 1, max = 128))]
    pub subject: String,
}
