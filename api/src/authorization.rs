//! Provider `seca.authorization`: what roles allow, and to whom they are given.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A set of permissions: what none of them allows is denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleSpec {
    /// 1..256.
    #[schemars(length(min = 1, max = 256))]
    pub permissions: Vec<Permission>,
}

/// Verbs on resources of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Permission {
    /// `seca.compute/v1` or `seca.compute`; 1..64 characters.
    #[schemars(length(min = 1, max = 64))]
    pub provider: String,
    /// Patterns such as `*`, `instances/*`, `images/debian`; 1..256, each 1..256 characters. `*` stands for any run of
    /// characters.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 256)))]
    pub resources: Vec<String>,
    /// `get`, `list`, `put`, `delete`, `post`, `post.start`, `post.stop`, `post.restart` in any case, or `*`; 1..16.
    #[schemars(
        length(min = 1, max = 16),
        inner(regex(pattern = r"^(?i:get|list|put|delete|post|post\.start|post\.stop|post\.restart|\*)$"))
    )]
    pub verb: Vec<String>,
}

/// Gives roles to subjects, in some scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleAssignmentSpec {
    /// Names of roles of the same tenant, or of system roles; 1..32, each 1..64 characters. One that does not exist gives
    /// nothing until it does.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 64)))]
    pub roles: Vec<String>,
    /// Subjects (the token's `sub`); 1..256, each 1..128 characters. `*`: everybody the tenant knows.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 128)))]
    pub subs: Vec<String>,
    /// Where, 1..256: in any of them.
    #[schemars(length(min = 1, max = 256))]
    pub scopes: Vec<RoleScope>,
}

/// A part of a tenant. A list that is absent or empty means all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
pub struct RoleScope {
    /// The tenant the assignment lives in, and no other; up to 64, each 1..64 characters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub tenants: Option<Vec<String>>,
    /// Regions; up to 64, each 1..64 characters. Means nothing for roles and role assignments, which have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub regions: Option<Vec<String>>,
    /// Workspaces, which may come later; up to 256, each 1..64 characters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(length(max = 256), inner(length(min = 1, max = 64)))]
    pub workspaces: Option<Vec<String>>,
}
