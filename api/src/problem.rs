//! RFC 7807 problems with SECA's types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The true class of an error, whatever HTTP status an installation answers it with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ProblemType {
    #[serde(rename = "http://secapi.cloud/errors/invalid-request")]
    InvalidRequest,
    #[serde(rename = "http://secapi.cloud/errors/unauthorized")]
    Unauthorized,
    #[serde(rename = "http://secapi.cloud/errors/forbidden")]
    Forbidden,
    #[serde(rename = "http://secapi.cloud/errors/resource-not-found")]
    ResourceNotFound,
    #[serde(rename = "http://secapi.cloud/errors/resource-conflict")]
    ResourceConflict,
    #[serde(rename = "http://secapi.cloud/errors/precondition-failed")]
    PreconditionFailed,
    #[serde(rename = "http://secapi.cloud/errors/validation-error")]
    ValidationError,
    #[serde(rename = "http://secapi.cloud/errors/internal-server-error")]
    InternalServerError,
}

impl ProblemType {
    /// Fixed title of the class.
    pub fn title(self) -> &'static str {
        match self {
            ProblemType::InvalidRequest => "Bad Request",
            ProblemType::Unauthorized => "Unauthorized",
            ProblemType::Forbidden => "Forbidden",
            ProblemType::ResourceNotFound => "Not Found",
            ProblemType::ResourceConflict => "Conflict",
            ProblemType::PreconditionFailed => "Precondition Failed",
            ProblemType::ValidationError => "Unprocessable Entity",
            ProblemType::InternalServerError => "Internal Server Error",
        }
    }
}

/// An error body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Class.
    #[serde(rename = "type")]
    pub class: ProblemType,
    /// [`ProblemType::title`].
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What, where, why, and what to do next.
    pub detail: String,
    /// Path of the request.
    pub instance: String,
    /// The fields at fault; may be empty.
    pub sources: Vec<ProblemSource>,
}

/// A field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemSource {
    /// JSON Pointer (RFC 6901) into the request body; empty when the fault is not in the body.
    pub pointer: String,
    /// Query parameter or field name.
    pub parameter: String,
}
