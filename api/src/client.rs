//! A typed client for the REST API.

use std::time::Duration;

use serde_json::Value;

use crate::{Problem, ResourceList, ResourceView, Urn};

/// A client of one installation, as one subject. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    token: String,
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
            ClientError::Transport { .. } => None,
        }
    }
}

/// A status and a body, if there is one.
type Answer = (u16, Option<Value>);

impl Client {
    /// For the installation at `base_url`, with a bearer token.
    pub fn new(base_url: &str, token: &str) -> Result<Client, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build()?;
        Ok(Client { http, base_url: base_url.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    /// Where a resource is.
    pub fn url(&self, urn: &Urn) -> String {
        format!("{}/providers/{}/v1/{}", self.base_url, urn.kind.info().provider.name(), urn.path())
    }

    /// Reads a resource.
    pub async fn get(&self, urn: &Urn) -> Result<ResourceView, ClientError> {
        let url = self.url(urn);
        let (status, body) = self.send(reqwest::Method::GET, &url, None, None).await?;
        decode(status, &url, body)
    }

    /// Creates (`true`) or replaces a resource.
    pub async fn put(&self, urn: &Urn, body: &Value) -> Result<(bool, ResourceView), ClientError> {
        let url = self.url(urn);
        let (status, body) = self.send(reqwest::Method::PUT, &url, Some(body), None).await?;
        Ok((status == 201, decode(status, &url, body)?))
    }

    /// Asks a resource to go.
    pub async fn delete(&self, urn: &Urn) -> Result<(), ClientError> {
        self.send(reqwest::Method::DELETE, &self.url(urn), None, None).await.map(|_| ())
    }

    /// `start`, `stop` or `restart` of an instance.
    pub async fn act(&self, urn: &Urn, action: &str) -> Result<(), ClientError> {
        let url = format!("{}/{action}", self.url(urn));
        self.send(reqwest::Method::POST, &url, None, None).await.map(|_| ())
    }

    /// The first page of the collection `urn` is in.
    pub async fn list(&self, urn: &Urn) -> Result<ResourceList, ClientError> {
        let url = self.url(urn);
        let collection = url.rsplit_once('/').map_or(url.as_str(), |(collection, _)| collection);
        let (status, body) = self.send(reqwest::Method::GET, collection, None, None).await?;
        decode(status, collection, body)
    }

    /// Any call: status and JSON body of a success.
    pub async fn send(
        &self,
        method: reqwest::Method,
        url: &str,
        body: Option<&Value>,
        if_unmodified_since: Option<u64>,
    ) -> Result<Answer, ClientError> {
        let transport = |error| ClientError::Transport { url: url.to_owned(), error };
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(version) = if_unmodified_since {
            request = request.header("if-unmodified-since", version);
        }
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(transport)?;
        if status.is_success() {
            return Ok((status.as_u16(), serde_json::from_slice(&bytes).ok()));
        }
        Err(match serde_json::from_slice(&bytes) {
            Ok(problem) => ClientError::Problem(Box::new(problem)),
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
