//! A typed client for the REST API.
//!
//! It never follows a redirect (the token is for the server that was named), goes through no proxy, and repeats a call
//! only if it was asked to be patient and doing it twice is the same as doing it once.
//!
//! Deliberately absent: where tokens and addresses come from, and waiting for a state. Both are the caller's.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fleet::{Orphans, Repair};
use crate::region::Discovery;
use crate::standing::{self, Standing};
use crate::{Problem, Provider, ResourceView, Urn};

mod cluster;
mod list;
mod upload;

pub use list::{Deleted, Page};

/// How long a call may take, an upload aside.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a server may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a patient client tries to reach a server that does not answer at all.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// A client of one installation, as one subject. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    token: String,
    patience: Duration,
}

impl std::fmt::Debug for Client {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said no.
    #[error("{}: {} (HTTP {})", .0.title, .0.detail, .0.status)]
    Problem(Box<Problem>),
    /// The server's answer is not one of this API.
    #[error("HTTP {status} from {url} is no answer of this API: {body}")]
    Unexpected {
        /// HTTP status.
        status: u16,
        /// Where.
        url: String,
        /// Beginning of the body.
        body: String,
    },
    /// What came is not all that should have come.
    #[error("what {url} sent is cut off: {why}")]
    Cut {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// No answer.
    #[error("no answer from {url}: {error}; is the address right, and the controller running?")]
    Transport {
        /// Where.
        url: String,
        /// Why.
        error: reqwest::Error,
    },
}

impl ClientError {
    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Problem(problem) => Some(problem.status),
            ClientError::Unexpected { status, .. } => Some(*status),
            ClientError::Cut { .. } | ClientError::Transport { .. } => None,
        }
    }
}

/// What doing a call twice does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twice {
    /// Something else, perhaps.
    Harmful,
    /// The same as doing it once.
    Same,
    /// The same; but the second one may find nothing there.
    Gone,
}

/// A status and a body, if there is one.
type Answer = (u16, Option<Value>);

impl Client {
    /// For the installation at `base_url`, with a bearer token. HTTPS is verified with the system's authorities.
    ///
    /// # Errors
    /// When there are no authorities to verify HTTPS with.
    pub fn new(base_url: &str, token: &str) -> Result<Client, reqwest::Error> {
        Client::with_authority(base_url, token, None)
    }

    /// For the installation at `base_url`. HTTPS is verified with the authorities in `ca_pem` alone, if there are any.
    ///
    /// # Errors
    /// When `ca_pem` is no certificate, or there are no authorities to verify HTTPS with.
    pub fn with_authority(
        base_url: &str,
        token: &str,
        ca_pem: Option<&[u8]>,
    ) -> Result<Client, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .timeout(CALL_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("rempart/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = ca_pem {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?);
        } else if !base_url.starts_with("https:") {
            // The system's authorities are not asked for: a machine without any may speak HTTP.
            builder = builder.tls_certs_only([]);
        }
        Ok(Client {
            http: builder.build()?,
            base_url: base_url.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            patience: Duration::ZERO,
        })
    }

    /// Repeats for so long what the server answers with 503, and for two seconds at most what it does not answer, if
    /// repeating is harmless: reads, deletions, and PUTs without a condition.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Client {
        Client { patience, ..self }
    }

    /// Address of the installation, without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where a resource is.
    pub fn url(&self, urn: &Urn) -> String {
        self.url_under(urn.kind.info().provider, urn)
    }

    /// Where a resource is written: operators keep some that their own provider only shows under another one.
    fn url_to_write(&self, urn: &Urn) -> String {
        let info = urn.kind.info();
        self.url_under(info.kept_under.unwrap_or(info.provider), urn)
    }

    fn url_under(&self, provider: Provider, urn: &Urn) -> String {
        format!("{}/providers/{}/v1/{}", self.base_url, provider.name(), urn.path())
    }

    /// Reads a resource.
    pub async fn get(&self, urn: &Urn) -> Result<ResourceView, ClientError> {
        let url = self.url(urn);
        let (status, body) = self.send(reqwest::Method::GET, &url, None, None).await?;
        decode(status, &url, body)
    }

    /// Creates (`true`) or replaces a resource.
    pub async fn put(&self, urn: &Urn, body: &Value) -> Result<(bool, ResourceView), ClientError> {
        self.put_if(urn, body, None).await
    }

    /// Creates (`true`) or replaces a resource; with `version` only if its resource version is that.
    pub async fn put_if(
        &self,
        urn: &Urn,
        body: &Value,
        version: Option<u64>,
    ) -> Result<(bool, ResourceView), ClientError> {
        let url = self.url_to_write(urn);
        let (status, body) = self.send(reqwest::Method::PUT, &url, Some(body), version).await?;
        Ok((status == 201, decode(status, &url, body)?))
    }

    /// Where a resource stands.
    pub async fn explain(&self, urn: &Urn) -> Result<Standing, ClientError> {
        let provider = urn.kind.info().provider.name();
        let url = format!("{}/providers/{}/v1/{provider}/{}", self.base_url, standing::PROVIDER, urn.path());
        let (status, body) = self.send(reqwest::Method::GET, &url, None, None).await?;
        decode(status, &url, body)
    }

    /// What exists on hosts without a row, and rows without their thing; for operators.
    pub async fn orphans(&self) -> Result<Orphans, ClientError> {
        let url = format!("{}/providers/rempart.fleet/v1/orphans", self.base_url);
        let (status, body) = self.send(reqwest::Method::GET, &url, None, None).await?;
        decode(status, &url, body)
    }

    /// Orders a repair of one of those, named by its id.
    pub async fn repair(&self, id: &str, repair: Repair) -> Result<(), ClientError> {
        let url = format!("{}/providers/rempart.fleet/v1/orphans/{id}/{}", self.base_url, repair.name());
        self.send(reqwest::Method::POST, &url, None, None).await.map(|_| ())
    }

    /// Asks a resource to go.
    pub async fn delete(&self, urn: &Urn) -> Result<(), ClientError> {
        self.delete_if(urn, None).await
    }

    /// Asks a resource to go; with `version` only if its resource version is that.
    pub async fn delete_if(&self, urn: &Urn, version: Option<u64>) -> Result<(), ClientError> {
        self.send(reqwest::Method::DELETE, &self.url(urn), None, version).await.map(|_| ())
    }

    /// One of its kind's actions ([`crate::KindInfo::actions`]): `start`, `stop` or `restart` of an instance.
    pub async fn act(&self, urn: &Urn, action: &str) -> Result<(), ClientError> {
        self.act_if(urn, action, None).await
    }

    /// One of its kind's actions; with `version` only if its resource version is that.
    pub async fn act_if(&self, urn: &Urn, action: &str, version: Option<u64>) -> Result<(), ClientError> {
        let url = format!("{}/{action}", self.url(urn));
        self.send(reqwest::Method::POST, &url, None, version).await.map(|_| ())
    }

    /// Where the installation's global providers are. The token is not sent.
    pub async fn discover(&self) -> Result<Discovery, ClientError> {
        let url = format!("{}/.wellknown/secapi", self.base_url);
        let response = self.answered(self.request(reqwest::Method::GET, &url), &url).await?;
        let status = response.status().as_u16();
        let bytes =
            response.bytes().await.map_err(|error| ClientError::Transport { url: url.clone(), error })?;
        decode(status, &url, serde_json::from_slice(&bytes).ok())
    }

    /// Any call: status and JSON body of a success.
    pub async fn send(
        &self,
        method: reqwest::Method,
        url: &str,
        body: Option<&Value>,
        if_unmodified_since: Option<u64>,
    ) -> Result<Answer, ClientError> {
        let twice = match method {
            reqwest::Method::POST => Twice::Harmful,
            _ if if_unmodified_since.is_some() => Twice::Harmful,
            reqwest::Method::DELETE => Twice::Gone,
            _ => Twice::Same,
        };
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(version) = if_unmodified_since {
            request = request.header("if-unmodified-since", version);
        }
        self.attempt(request, url, twice).await
    }

    /// Sends `request` once, or more often if that does no harm and the client is patient.
    async fn attempt(
        &self,
        request: reqwest::RequestBuilder,
        url: &str,
        twice: Twice,
    ) -> Result<Answer, ClientError> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(100);
        let mut request = self.signed(request);
        let mut repeated = false;
        let harmless = twice != Twice::Harmful;
        loop {
            let again = request.try_clone();
            let error = match self.once(request, url).await {
                // It is the first attempt, whose answer was lost, that made it go.
                Err(error) if repeated && twice == Twice::Gone && error.status() == Some(404) => {
                    return Ok((202, None));
                }
                Err(error) => error,
                answer => return answer,
            };
            let patience = match &error {
                ClientError::Transport { error, .. } if error.is_timeout() => Duration::ZERO,
                ClientError::Transport { error, .. } if error.is_connect() || harmless => {
                    self.patience.min(CONNECT_PATIENCE)
                }
                other if harmless && other.status() == Some(503) => self.patience,
                _ => Duration::ZERO,
            };
            request = match again {
                Some(again) if start.elapsed() + pause < patience => again,
                _ => return Err(error),
            };
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
            repeated = true;
        }
    }

    async fn once(&self, request: reqwest::RequestBuilder, url: &str) -> Result<Answer, ClientError> {
        let response = self.answered(request, url).await?;
        let status = response.status().as_u16();
        let bytes =
            response.bytes().await.map_err(|error| ClientError::Transport { url: url.to_owned(), error })?;
        Ok((status, serde_json::from_slice(&bytes).ok()))
    }

    /// A request as nobody in particular.
    pub(crate) fn request(&self, method: reqwest::Method, url: &str) -> reqwest::RequestBuilder {
        self.http.request(method, url)
    }

    /// `request` as this client's subject.
    pub(crate) fn signed(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.bearer_auth(&self.token)
    }

    /// Sends `request` once. A success (a switch of protocols is one) comes back with its body still to be read.
    pub(crate) async fn answered(
        &self,
        request: reqwest::RequestBuilder,
        url: &str,
    ) -> Result<reqwest::Response, ClientError> {
        let transport = |error: reqwest::Error| ClientError::Transport { url: url.to_owned(), error };
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        if status.is_success() || status == reqwest::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let bytes = response.bytes().await.map_err(transport)?;
        Err(match serde_json::from_slice::<Problem>(&bytes) {
            Ok(mut problem) => {
                // What went wrong on their side, an operator finds by it.
                if let Some(id) = id.filter(|_| status.is_server_error()) {
                    problem.detail.push_str(&format!(" (x-request-id {id})"));
                }
                ClientError::Problem(Box::new(problem))
            }
            Err(_) => unexpected(status.as_u16(), url, &String::from_utf8_lossy(&bytes)),
        })
    }
}

fn unexpected(status: u16, url: &str, body: &str) -> ClientError {
    ClientError::Unexpected { status, url: url.to_owned(), body: body.chars().take(200).collect() }
}

fn decode<T: serde::de::DeserializeOwned>(
    status: u16,
    url: &str,
    body: Option<Value>,
) -> Result<T, ClientError> {
    let body = body.unwrap_or_default();
    serde_json::from_value(body.clone()).map_err(|_| unexpected(status, url, &body.to_string()))
}

#[cfg(test)]
mod tests;
