//! The built-in issuer: Ed25519-signed tokens (RFC 8037, RFC 7519) for tenants and operators, and until mutual TLS
//! comes with enrolment also for agents and peers. One audience each, so that none passes for another.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// Who a token is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The REST API.
    Api,
    /// A hypervisor agent's session; the subject is the host's name.
    Fleet,
    /// Another controller replica; the subject is its id.
    Peer,
}

impl Audience {
    fn name(self) -> &'static str {
        match self {
            Audience::Api => "rempart-api",
            Audience::Fleet => "rempart-fleet",
            Audience::Peer => "rempart-peer",
        }
    }
}

const ISSUER: &str = "rempart";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: u64,
    exp: u64,
}

/// Why the issuer's key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The file.
    #[error("signing key {path}: {error}; make one with `rempart-controller init`", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Its content or its protection.
    #[error("signing key {path}: {why}", path = path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Signs and verifies tokens.
pub struct Authority {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Authority {
    /// Makes a new signing key in `path` (mode 0600), which must not exist.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path) -> Result<(), AuthorityError> {
        let file_error = |error| AuthorityError::File { path: path.to_owned(), error };
        let key = Ed25519KeyPair::generate()
            .and_then(|pair| pair.to_pkcs8v1())
            .map_err(|error| AuthorityError::Key { path: path.to_owned(), why: error.to_string() })?;
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(file_error)?;
        file.write_all(key.as_ref()).and_then(|()| file.sync_all()).map_err(file_error)
    }

    /// Reads a signing key.
    ///
    /// # Errors
    /// When it is missing, readable by others, or no Ed25519 key.
    pub fn open(path: &Path) -> Result<Authority, AuthorityError> {
        use std::os::unix::fs::PermissionsExt as _;
        let file_error = |error| AuthorityError::File { path: path.to_owned(), error };
        let bytes = fs::read(path).map_err(file_error)?;
        let mode = fs::metadata(path).map_err(file_error)?.permissions().mode();
        if mode & 0o077 != 0 {
            let why = format!(
                "others may read it (mode {:04o}); chmod 0600 it and replace it if they did",
                mode & 0o7777
            );
            return Err(AuthorityError::Key { path: path.to_owned(), why });
        }
        let pair = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|error| AuthorityError::Key {
            path: path.to_owned(),
            why: format!("no Ed25519 key: {error}"),
        })?;
        Ok(Authority {
            encoding: EncodingKey::from_ed_der(&bytes),
            decoding: DecodingKey::from_ed_der(pair.public_key().as_ref()),
        })
    }

    /// A token for `subject`, valid from now for `lifetime`.
    pub fn issue(
        &self,
        audience: Audience,
        subject: &str,
        lifetime: Duration,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: subject.to_owned(),
            aud: audience.name().to_owned(),
            iat: now,
            exp: now + lifetime.as_secs(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.encoding)
    }

    /// The subject of a token, if it is ours, meant for `audience`, and in force. The error says why not, and holds
    /// nothing of the token.
    pub fn verify(&self, audience: Audience, token: &str) -> Result<String, String> {
        // The algorithm is pinned: a token cannot choose how it is checked.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[audience.name()]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "sub", "aud", "iss"]);
        validation.leeway = 5;
        let data = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            match error.kind() {
                ErrorKind::ExpiredSignature => "the token has expired; get a new one".to_owned(),
                ErrorKind::InvalidAudience => "the token is meant for another audience".to_owned(),
                ErrorKind::InvalidIssuer => "the token is of another issuer".to_owned(),
                ErrorKind::InvalidSignature => "the token's signature is not ours".to_owned(),
                _ => "the token is not a valid JWT of this installation".to_owned(),
            }
        })?;
        Ok(data.claims.sub)
    }

    /// The subject of an `authorization` header's value.
    pub fn verify_header(&self, audience: Audience, header: Option<&str>) -> Result<String, String> {
        let header = header.ok_or("no authorization header; send 'authorization: Bearer TOKEN'")?;
        let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
        if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
            return Err("the authorization header is not of the form 'Bearer TOKEN'".to_owned());
        }
        self.verify(audience, token.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> (tempfile::TempDir, Authority) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issuer.key");
        Authority::create(&path).unwrap();
        let authority = Authority::open(&path).unwrap();
        (dir, authority)
    }

    #[test]
    fn a_token_holds_for_its_audience_key_and_time_only() {
        let (_dir, authority) = authority();
        let (_other_dir, other) = self::authority();
        let hour = Duration::from_secs(3600);
        let token = authority.issue(Audience::Api, "alice", hour).unwrap();
        assert_eq!(authority.verify(Audience::Api, &token).as_deref(), Ok("alice"));
        assert!(authority.verify(Audience::Fleet, &token).unwrap_err().contains("another audience"));
        assert!(other.verify(Audience::Api, &token).unwrap_err().contains("signature"));
        let mut parts: Vec<&str> = token.split('.').collect();
        // {"typ":"JWT","alg":"none"}
        parts[0] = "eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0";
        for forged in
            [parts.join("."), format!("{}.{}.", parts[0], parts[1]), String::new(), "a.b.c".to_owned()]
        {
            assert!(authority.verify(Audience::Api, &forged).is_err(), "{forged}");
        }
    }

    #[test]
    fn expired_tokens_and_exposed_keys_are_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, authority) = authority();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: "alice".to_owned(),
            aud: Audience::Api.name().to_owned(),
            iat: now - 100,
            exp: now - 50,
        };
        let token =
            jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &authority.encoding).unwrap();
        assert!(authority.verify(Audience::Api, &token).unwrap_err().contains("expired"));

        let path = dir.path().join("issuer.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Authority::open(&path).err().unwrap().to_string().contains("0600"));
    }
}
