//! Who calls: from the token of a request to a subject.
//!
//! ```text
//!   authorization header -> digest -> cache ──────────────────────────────> subject
//!                                       └─ iss ─┬─ rempart: our own issuer ──> subject
//!                                               ├─ sa:TENANT/NAME: a service account's key in State ──> the same
//!                                               └─ an OpenID Connect issuer of the settings: its keys ──> prefix:subject
//! ```
//!
//! What always holds: a token chooses neither its issuer's keys nor its algorithm; subjects of two issuers never meet (each
//! has a prefix, and our own issuer's subjects do not begin with one); what was verified is remembered by digest, until it
//! expires, and forgotten at once when keys change. A token is never logged, and no error holds any of it.
//!
//! Deliberately absent: rights. What a token says of roles or scopes is not read.

mod account;
mod authority;
mod cache;
mod fetch;
mod issuer;
mod keys;
mod settings;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use jsonwebtoken::errors::ErrorKind;
use serde::{Deserialize, Serialize};

pub use account::Accounts;
pub use authority::{Audience, Authority, AuthorityError, OneTime, Special};
pub use issuer::OidcError;
pub use settings::{IssuerSettings, Issuers};

use authority::ISSUER;
use cache::{Cache, Digest, Known};
use issuer::Issuer;

/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Longest subject, in characters: role assignments name none that is longer.
const MAX_SUBJECT: usize = 128;

/// Whose a request is, and what that rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Who calls.
    pub subject: Arc<str>,
    /// What State has a say in.
    pub proof: Proof,
}

/// What State may hold against a token that is genuine and in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Proof {
    /// Nothing: its issuer answers for it.
    #[default]
    Foreign,
    /// That it was called back: it is of our own issuer.
    Own {
        /// When it was issued, in seconds of Unix time.
        issued_unix_s: u64,
    },
    /// That the key it is signed with is not its account's any more.
    Account {
        /// The account's tenant.
        tenant: String,
        /// The account.
        name: String,
        /// What it calls the key.
        kid: String,
        /// The key, in base64url.
        x: String,
    },
}

/// A request that does not prove whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Why, in words for the caller.
    pub why: String,
    /// It had a token; otherwise it had none, or something else in its place.
    pub had_token: bool,
}

impl Denied {
    /// There is no token.
    pub fn missing(why: &str) -> Denied {
        Denied { why: why.to_owned(), had_token: false }
    }

    /// There is one, and it is worth nothing.
    pub fn invalid(why: String) -> Denied {
        Denied { why, had_token: true }
    }
}

/// Tells subjects by tokens.
pub struct Authenticator {
    own: Arc<Authority>,
    issuers: Vec<Issuer>,
    accounts: Option<Arc<dyn Accounts>>,
    cache: Cache,
}

#[derive(Deserialize)]
struct Issued {
    iss: String,
}

impl Authenticator {
    /// With our own issuer, and those of the settings.
    ///
    /// # Errors
    /// When an issuer cannot be asked as its settings say.
    pub fn new(own: Arc<Authority>, issuers: Issuers) -> Result<Authenticator, OidcError> {
        let issuers = issuers.into_iter().map(Issuer::new).collect::<Result<_, _>>()?;
        Ok(Authenticator { own, issuers, accounts: None, cache: Cache::default() })
    }

    /// And these service accounts.
    #[must_use]
    pub fn with_accounts(self, accounts: Arc<dyn Accounts>) -> Authenticator {
        Authenticator { accounts: Some(accounts), ..self }
    }

    /// Fetches issuers' keys, at once and again and again. Does not end.
    pub async fn keep_keys(&self) {
        join_all(self.issuers.iter().map(|issuer| issuer.keep_keys(&self.cache))).await;
    }

    /// What an `authorization` header proves.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn proven(&self, header: Option<&str>) -> Result<Proven, Denied> {
        let header = header.ok_or_else(|| {
            Denied::missing("there is not one authorization header; send 'authorization: Bearer TOKEN'")
        })?;
        let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return Err(Denied::missing("the authorization header is not of the form 'Bearer TOKEN'"));
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Denied::invalid(format!("the token is longer than {MAX_TOKEN_BYTES} bytes")));
        }
        let digest = cache::digest(token);
        if let Some(proven) = self.cache.get(&digest, unix_s()) {
            return Ok(proven);
        }
        self.verify(token, digest).await.map_err(Denied::invalid)
    }

    async fn verify(&self, token: &str, digest: Digest) -> Result<Proven, String> {
        check_readable(token)?;
        // Before the keys are looked at: what is verified with keys that change meanwhile is not remembered.
        let generation = self.cache.generation();
        let issued = jsonwebtoken::dangerous::insecure_decode_claims::<Issued>(token);
        let issued = issued.map_err(|_| NO_JWT.to_owned())?.iss;
        let known = if issued == ISSUER {
            self.of_our_own(token)?
        } else if let Some(accounts) = self.accounts.as_deref().filter(|_| account::is_account(&issued)) {
            account::verify(accounts, &issued, token).await?
        } else {
            let issuer = self.issuers.iter().find(|issuer| issuer.is(&issued));
            issuer.ok_or("the token is of an issuer that is not known here")?.verify(token).await?
        };
        if known.subject.chars().count() > MAX_SUBJECT || known.subject.contains(char::is_control) {
            return Err(format!("the token's subject is longer than {MAX_SUBJECT} characters, or not text"));
        }
        let proven = known.proven();
        self.cache.remember(generation, digest, known);
        Ok(proven)
    }

    fn of_our_own(&self, token: &str) -> Result<Known, String> {
        let known = self.own.verify_api(token)?;
        let subject = &known.subject;
        if account::is_account(subject) || self.issuers.iter().any(|issuer| issuer.owns(subject)) {
            return Err("the token's subject begins with the prefix of another issuer".to_owned());
        }
        Ok(known)
    }
}

/// Looks at head and claims before others parse them, who know of no [reserved keys](rempart_api::json).
fn check_readable(token: &str) -> Result<(), String> {
    let is_readable =
        |part: &str| URL_SAFE_NO_PAD.decode(part).is_ok_and(|bytes| rempart_api::json::read(&bytes).is_ok());
    if token.split('.').take(2).all(is_readable) { Ok(()) } else { Err(NO_JWT.to_owned()) }
}

const NO_JWT: &str = "the token is not a valid JWT of this installation";

/// Why a token was refused, in words that hold nothing of it.
fn words(error: &jsonwebtoken::errors::Error) -> String {
    let words = match error.kind() {
        ErrorKind::ExpiredSignature => "the token has expired; get a new one",
        ErrorKind::ImmatureSignature => "the token is not valid yet; is the clock of its issuer right?",
        ErrorKind::InvalidAudience => "the token is meant for another audience",
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        ErrorKind::InvalidSignature => "the token's signature is not its issuer's",
        ErrorKind::InvalidAlgorithm => "the token is signed in a way that its issuer may not use here",
        ErrorKind::MissingRequiredClaim(claim) => {
            return format!("the token does not have the claim {claim:?}, or not as it should be");
        }
        _ => NO_JWT,
    };
    words.to_owned()
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
