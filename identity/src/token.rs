//! Join tokens as text that a person copies from a controller to a new machine.
//!
//! The text carries where the controllers are, which CA they must prove to be of, and a secret that only they can
//! verify. Whoever has the text can join once: it is handled like a password.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::IdentityError;

const PREFIX: &str = "rempart-join-1.";

/// See the module.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// `host:port` of controllers' internal listeners.
    pub controllers: Vec<String>,
    /// SHA-256 of the CA's certificate, lower-case hexadecimal.
    pub ca_sha256: String,
    /// Signed by the cluster's issuer; means something to controllers only.
    pub secret: String,
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "JoinToken({:?}, CA {})", self.controllers, self.ca_sha256)
    }
}

impl JoinToken {
    /// The text.
    pub fn to_text(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_else(|error| unreachable!("plain data: {error}"));
        PREFIX.to_owned() + &URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// When it is no join token. The words hold nothing of it.
    pub fn parse(text: &str) -> Result<JoinToken, IdentityError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(IdentityError::Token)?;
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| IdentityError::Token)?;
        let token: JoinToken = serde_json::from_slice(&json).map_err(|_| IdentityError::Token)?;
        if token.controllers.is_empty() { Err(IdentityError::Token) } else { Ok(token) }
    }
}
