//! Provider `seca.region`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A region: its zones and the providers it offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionSpec {
    /// The only legal values of `zone`; 1..32, each 1..32 characters.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 32)))]
    pub available_zones: Vec<String>,
    /// What is offered, with base URLs (without version segment); up to 64.
    #[schemars(length(max = 64))]
    pub providers: Vec<RegionProvider>,
}

/// A provider offered in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegionProvider {
    /// `seca.compute`
    pub name: String,
    /// `v1`
    pub version: String,
    /// `https://HOST/providers/seca.compute`
    pub url: String,
}

/// Where the global providers are: what a client begins with. Read without a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discovery {
    /// Of this document: `v1`.
    pub version: String,
    /// One for each global provider.
    pub endpoints: Vec<Endpoint>,
}

/// Where a global provider is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// With its version: `seca.region/v1`.
    pub provider: String,
    /// Base URL, without version segment.
    pub url: String,
}
