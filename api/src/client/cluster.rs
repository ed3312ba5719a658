//! The controllers themselves, for operators.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::{Client, ClientError, decode};
use crate::cluster::{BACKUP_HEADER, BASE, BackupRequest, BackupSummary, ReplicaList, ResumeRequest};

/// No download takes longer; until then only a broken connection ends one.
const TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

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
    pub async fn backup(&self, recipients: &[String]) -> Result<(BackupSummary, Download), ClientError> {
        let url = format!("{}{BASE}/backup", self.base_url);
        let body = BackupRequest { recipients: recipients.to_vec() };
        let request = self.request(Method::POST, &url).timeout(TIMEOUT).json(&body);
        let response = self.answered(self.signed(request), &url).await?;
        let summary = response.headers().get(BACKUP_HEADER).and_then(|value| value.to_str().ok());
        match summary.and_then(|text| serde_json::from_str(text).ok()) {
            Some(summary) => Ok((summary, Download { response, url })),
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

/// Bytes of a backup that are under way.
pub struct Download {
    response: reqwest::Response,
    url: String,
}

impl Download {
    /// The next bytes; none when all of it was received.
    ///
    /// # Errors
    /// When the connection breaks, or the server broke off.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let piece = self.response.chunk().await;
        let piece = piece.map_err(|error| ClientError::Transport { url: self.url.clone(), error })?;
        Ok(piece.map(|bytes| bytes.to_vec()))
    }
}
