//! The controllers themselves, for operators.

use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use reqwest::{Method, Version};
use serde_json::json;
use tokio::time::timeout;

use super::{Client, ClientError, decode};
use crate::cluster::{BACKUP_HEADER, BASE, BackupRequest, BackupSummary, ReplicaList, ResumeRequest};

/// No download takes longer, however steadily its bytes come.
const TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A server that sends nothing for this long is given up: one that lost its power does not hang up. It waits half a minute for
/// its Postgres before it begins, and gives up a silent client after one.
const SILENCE: Duration = Duration::from_secs(120);

impl Client {
    /// How all controllers are doing.
    pub async fn replicas(&self) -> Result<ReplicaList, ClientError> {
        let url = self.replicas_url();
        let (status, body) = self.send(Method::GET, &url, None, None).await?;
        decode(status, &url, body)
    }

    /// A controller, which listens for its peers at `address`, is to vote.
    pub async fn join_replica(&self, id: u64, address: &str) -> Result<(), ClientError> {
        let body = json!({ "spec": { "address": address } });
        let url = format!("{}/{id}", self.replicas_url());
        self.send(Method::PUT, &url, Some(&body), None).await.map(|_| ())
    }

    /// A controller is to leave, for good.
    pub async fn remove_replica(&self, id: u64) -> Result<(), ClientError> {
        let url = format!("{}/{id}", self.replicas_url());
        self.send(Method::DELETE, &url, None, None).await.map(|_| ())
    }

    /// A controller is to lead.
    pub async fn lead_replica(&self, id: u64) -> Result<(), ClientError> {
        let url = format!("{}/{id}/lead", self.replicas_url());
        self.send(Method::POST, &url, None, None).await.map(|_| ())
    }

    /// A restored cluster is to take changes again, whatever hosts `without` do.
    pub async fn resume_cluster(&self, without: &[String]) -> Result<(), ClientError> {
        let body = json!(ResumeRequest { without: without.to_vec() });
        let url = format!("{}{BASE}/resume", self.base_url);
        self.send(Method::POST, &url, Some(&body), None).await.map(|_| ())
    }

    /// Begins a backup of the control plane, encrypted to `recipients`. Its bytes are read from what comes back.
    ///
    /// # Errors
    /// As any call; and [`ClientError::Cut`] if nothing comes for two minutes, or the answer would not show where it ends.
    pub async fn backup(&self, recipients: &[String]) -> Result<(BackupSummary, Download), ClientError> {
        let url = format!("{}{BASE}/backup", self.base_url);
        let body = BackupRequest { recipients: recipients.to_vec() };
        let request = self.request(Method::POST, &url).timeout(TIMEOUT).json(&body);
        let begun = timeout(SILENCE, self.answered(self.signed(request), &url)).await;
        let response = begun.map_err(|_| silent(&url, SILENCE))??;
        if !shows_its_end(&response) {
            let why = "the answer has no length and is not chunked, as our servers send it, so that nobody could tell all of it from a \
                       part; something between here and the controller changes it";
            return Err(ClientError::Cut { url, why: why.to_owned() });
        }
        let summary = response.headers().get(BACKUP_HEADER).and_then(|value| value.to_str().ok());
        match summary.and_then(|text| serde_json::from_str(text).ok()) {
            Some(summary) => Ok((summary, Download { response, url, silence: SILENCE })),
            None => Err(ClientError::Unexpected {
                status: response.status().as_u16(),
                url,
                body: format!("no header {BACKUP_HEADER}"),
            }),
        }
    }

    fn replicas_url(&self) -> String {
        format!("{}{BASE}/replicas", self.base_url)
    }
}

/// Whether the end of its bytes is told from the end of its connection.
fn shows_its_end(response: &reqwest::Response) -> bool {
    let headers = response.headers();
    let chunked =
        headers.get_all(TRANSFER_ENCODING).iter().any(|value| value.as_bytes().ends_with(b"chunked"));
    chunked || headers.contains_key(CONTENT_LENGTH) || response.version() > Version::HTTP_11
}

fn silent(url: &str, silence: Duration) -> ClientError {
    ClientError::Cut { url: url.to_owned(), why: format!("nothing came for {} s", silence.as_secs_f32()) }
}

/// Bytes of a backup that are under way.
pub struct Download {
    response: reqwest::Response,
    url: String,
    pub(super) silence: Duration,
}

impl Download {
    /// The next bytes; none when all of it was received.
    ///
    /// # Errors
    /// [`ClientError::Cut`]: the connection broke, the server broke off, or nothing came for two minutes.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let piece = timeout(self.silence, self.response.chunk()).await;
        match piece.map_err(|_| silent(&self.url, self.silence))? {
            Ok(piece) => Ok(piece.map(|bytes| bytes.to_vec())),
            Err(error) => Err(ClientError::Cut { url: self.url.clone(), why: innermost(&error) }),
        }
    }
}

/// What happened, without what was being done.
fn innermost(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error).to_string()
}
