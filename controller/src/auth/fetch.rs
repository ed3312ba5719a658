//! Asking an issuer for its keys: its discovery document says where they are (OpenID Connect Discovery 1.0), and they are a
//! JWKS (RFC 7517).
//!
//! What always holds: only the issuer's own origin is asked, and what `jwks-url` names; no redirect is followed and no proxy
//! used, so that nothing an issuer says makes this controller ask elsewhere; time and size are bounded; the document must
//! name the issuer it was asked for.

use std::fs;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Url};
use serde::Deserialize;

use super::settings::{IssuerSettings, is_loopback};

const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// For one answer, whole.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest document, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// Asks one issuer.
pub(super) struct Fetcher {
    http: Client,
    issuer: IssuerSettings,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    pub(super) fn new(issuer: IssuerSettings) -> Result<Fetcher, String> {
        let mut http = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE)
            // Asked once in minutes: what is kept open meanwhile is closed by the other side at the wrong moment.
            .pool_max_idle_per_host(0)
            .https_only(!is_loopback(&issuer.url.url))
            .user_agent(concat!("rempart-controller/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &issuer.ca_file {
            let wrong = |why: String| format!("ca-file {}: {why}", path.display());
            let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
            if authorities.is_empty() {
                return Err(wrong("there is no certificate in it".to_owned()));
            }
            http = http.tls_certs_only(authorities);
        }
        let http = http.build().map_err(|error| in_full(&error))?;
        Ok(Fetcher { http, issuer })
    }

    /// The JWKS as it is published now.
    pub(super) async fn keys(&self) -> Result<Vec<u8>, String> {
        let url = match &self.issuer.jwks_url {
            Some(address) => address.url.clone(),
            None => self.discover().await?,
        };
        self.get(url).await
    }

    /// Where the keys are.
    async fn discover(&self) -> Result<Url, String> {
        let identity = &self.issuer.url.text;
        let location = format!("{}/.well-known/openid-configuration", identity.trim_end_matches('/'));
        let location = Url::parse(&location).map_err(|error| format!("{location}: {error}"))?;
        let document = self.get(location.clone()).await?;
        let document: Discovery =
            serde_json::from_slice(&document).map_err(|error| format!("{location}: {error}"))?;
        if document.issuer != *identity {
            return Err(format!(
                "{location} is the document of the issuer {:?}, and url says {identity:?}; they must be the same to the \
                 letter",
                short(&document.issuer)
            ));
        }
        let keys = Url::parse(&document.jwks_uri)
            .map_err(|error| format!("{location}: jwks_uri {:?}: {error}", short(&document.jwks_uri)))?;
        if keys.origin() != self.issuer.url.url.origin() {
            return Err(format!(
                "{location} names keys at {:?}, which is not the issuer's own host; if that is right, say so with \
                 jwks-url",
                short(&document.jwks_uri)
            ));
        }
        Ok(keys)
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>, String> {
        let wrong = |why: String| format!("{url}: {why}");
        let request = self.http.get(url.clone()).header("accept", "application/json");
        let mut answer = request.send().await.map_err(|error| wrong(in_full(&error)))?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(wrong(format!("it answers {}, and redirects are not followed", answer.status())));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| wrong(in_full(&error)))? {
            if bytes.len() + chunk.len() > MAX_BYTES {
                return Err(wrong(format!("the answer is larger than {MAX_BYTES} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// What an issuer says, for a line of log.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

/// An error and what caused it: the first says only that sending failed.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
