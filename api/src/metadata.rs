//! Response envelopes: what a client sees around spec and status.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{StringMap, Timestamp};

/// `metadata` of a resource in a response of SECA. Which optional fields are present is the kind's
/// [`crate::MetadataVariant`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // SECA's own names
pub struct Metadata {
    pub name: String,
    pub api_version: String,
    pub kind: String,
    pub provider: String,
    pub resource: String,
    #[serde(rename = "ref")]
    pub reference: String,
    pub verb: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// The generation: 1 when created, one more for every accepted PUT, power action and DELETE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<u64>,
}

/// A resource as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceView {
    /// Client's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<StringMap>,
    /// Client's annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<StringMap>,
    /// Settings the operator accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions: Option<StringMap>,
    /// Written by the server.
    pub metadata: Metadata,
    /// Desired state, as sent.
    pub spec: serde_json::Value,
    /// Observed state, for kinds that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
}

impl ResourceView {
    /// The spec, as the type of its kind ([`crate::compute::InstanceSpec`], ...).
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn spec_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.spec)
    }

    /// The status, as the type of its kind ([`crate::compute::InstanceStatus`], ...); [`crate::Status`] is part of each.
    ///
    /// # Errors
    /// When it is of another kind, or of one that has none.
    pub fn status_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(self.status.as_ref().unwrap_or(&serde_json::Value::Null))
    }
}

/// A page of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceList {
    /// The resources of this page, by name.
    pub items: Vec<ResourceView>,
    /// About the page.
    pub metadata: ListMetadata,
}

/// `metadata` of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListMetadata {
    /// `seca.compute/v1`
    pub provider: String,
    /// Collection path inside the workspace.
    pub resource: String,
    /// `GET`
    pub verb: String,
    /// Where the next page starts; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_token: Option<String>,
}
