//! Provider `seca.authorization`: what roles allow, and to whom they are given.

use serde::{Deserialize, Serialize};

/// A set of permissions: what none of them allows is denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSpec {
    /// 1..256.
    pub permissions: Vec<Permission>,
}

/// Verbs on resources of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// `seca.compute/v1` or `seca.compute`; 1..64 characters.
    pub provider: String,
    /// Patterns such as `*`, `instances/*`, `images/debian`; 1..256, each 1..256 characters. `*` stands for any run of
    /// characters.
    pub resources: Vec<String>,
    /// `get`, `list`, `put`, `delete`, `post`, `post.start`, `post.stop`, `post.restart` in any case, or `*`; 1..16.
    pub verb: Vec<String>,
}

/// Gives roles to subjects, in some scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignmentSpec {
    /// Names of roles of the same tenant, or of system roles; 1..32, each 1..64 characters. One that does not exist gives
    /// nothing until it does.
    pub roles: Vec<String>,
    /// Subjects (the token's `sub`); 1..256, each 1..128 characters. `*`: everybody the tenant knows.
    pub subs: Vec<String>,
    /// Where, 1..256: in any of them.
    pub scopes: Vec<RoleScope>,
}

/// A part of a tenant. A list that is absent or empty means all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct RoleScope {
    /// The tenant the assignment lives in, and no other; up to 64, each 1..64 characters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tenants: Option<Vec<String>>,
    /// Regions; up to 64, each 1..64 characters. Means nothing for roles and role assignments, which have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub regions: Option<Vec<String>>,
    /// Workspaces, which may come later; up to 256, each 1..64 characters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub workspaces: Option<Vec<String>>,
}
