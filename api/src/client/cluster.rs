//! The controllers themselves, for operators.

use reqwest::Method;
use serde_json::json;

use super::{Client, ClientError, decode};
use crate::cluster::{BASE, ReplicaList};

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

    fn replicas_url(&self) -> String {
        format!("{}{BASE}/replicas", self.base_url)
    }
}
