//! Who may what: written anew, and by paths.

use crate::stage::{Operation, Stage};

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Without a token.
    Nobody,
    /// With a good one, and no right anywhere.
    Stranger,
    /// Owns another tenant.
    Neighbour,
    Viewer,
    Editor,
    /// Has the tenant's system role.
    Admin,
    Owner,
    Operator,
}

impl Caller {
    pub(crate) const ALL: [Caller; 8] = [
        Caller::Nobody,
        Caller::Stranger,
        Caller::Neighbour,
        Caller::Viewer,
        Caller::Editor,
        Caller::Admin,
        Caller::Owner,
        Caller::Operator,
    ];

    pub(crate) fn subject(self) -> &'static str {
        match self {
            Caller::Nobody => "",
            Caller::Stranger => "mallory",
            Caller::Neighbour => "bob",
            Caller::Viewer => "vic",
            Caller::Editor => "ed",
            Caller::Admin => "dora",
            Caller::Owner => "alice",
            Caller::Operator => "operator",
        }
    }

    pub(crate) fn token(self, stage: &Stage) -> Option<&str> {
        stage.tokens.iter().find(|(caller, _)| *caller == self).map(|(_, token)| token.trim())
    }
}

/// Whose a path is.
enum Class {
    /// Everybody's who can reach it.
    Public,
    /// A console's, which takes a token of its own.
    ConsoleToken,
    /// Every subject's, to read.
    Subjects,
    Operators,
    /// A tenant itself: its operators', and its administrators' to read.
    Tenants,
    /// The tenant's administrators'.
    Administration,
    /// Read by whom the tenant knows.
    Catalogue,
    /// A workspace itself.
    Workspace,
    /// In one.
    Inside,
    /// Turning an instance off and on, or seeing what it shows.
    Power,
}

/// By what follows the version; none if nobody said.
fn class(operation: &Operation) -> Option<Class> {
    let explained = operation.explains();
    let path = explained.as_deref().unwrap_or(&operation.path);
    if !path.starts_with("/providers/") {
        let known =
            ["/.wellknown/secapi", "/.well-known/secapi", "/healthz", "/readyz", "/openapi.json", "/docs"];
        return known.contains(&path).then_some(Class::Public);
    }
    let (provider, rest) = path.strip_prefix("/providers/")?.split_once("/v1/")?;
    let rest = rest.strip_prefix("tenants/{tenant}/").unwrap_or(rest);
    let inside = rest.strip_prefix("workspaces/{workspace}/");
    let rest = inside.unwrap_or(rest);
    let rest = rest.strip_prefix("networks/{network}/").unwrap_or(rest);
    let (collection, beneath) = rest.split_once('/').unwrap_or((rest, ""));
    let beneath = beneath.strip_prefix("{name}").unwrap_or(beneath);
    Some(match (provider, inside.is_some(), collection, beneath) {
        ("rempart.console", true, "instances", "{instance}/{kind}") if operation.method == "get" => {
            Class::ConsoleToken
        }
        ("rempart.console", true, "instances", "{instance}/{kind}" | "{instance}/serial/log") => Class::Power,
        ("seca.region", false, "regions", "") => Class::Subjects,
        ("rempart.fleet", false, "hosts", "" | "/cordon" | "/uncordon" | "/revoke") => Class::Operators,
        ("rempart.fleet", false, "orphans", "" | "{id}/{repair}") => Class::Operators,
        ("rempart.cluster", false, "replicas", "" | "{id}" | "{id}/lead") => Class::Operators,
        ("rempart.cluster", false, "backup" | "resume", "") => Class::Operators,
        ("rempart.identity", false, "token-revocations", "") => Class::Operators,
        ("rempart.catalogue", false, "address-pools" | "regions", "") => Class::Operators,
        (_, false, "tenants", "public/skus/{name}") => Class::Operators,
        ("rempart.tenancy", false, "tenants", "") => Class::Tenants,
        ("rempart.tenancy", false, "workspace-quotas", "") => Class::Administration,
        ("rempart.identity", false, "service-accounts", "") => Class::Administration,
        ("seca.authorization", false, "roles" | "role-assignments", "") => Class::Administration,
        ("seca.storage", false, "images", "") => Class::Administration,
        ("seca.compute" | "seca.storage" | "seca.network", false, "skus", "") => Class::Catalogue,
        ("seca.workspace", false, "workspaces", "") => Class::Workspace,
        ("seca.compute", true, "instances", "/start" | "/stop" | "/restart") => Class::Power,
        ("seca.compute", true, "instances", "") => Class::Inside,
        ("seca.storage", true, "block-storages", "" | "/content") => Class::Inside,
        (
            "seca.network",
            true,
            "networks"
            | "subnets"
            | "route-tables"
            | "internet-gateways"
            | "nics"
            | "public-ips"
            | "security-groups"
            | "security-group-rules",
            "",
        ) => Class::Inside,
        _ => return None,
    })
}

/// Whether the caller is known, and whether they may.
pub(crate) fn rights(operation: &Operation, caller: Caller) -> (bool, bool) {
    use Caller as C;
    let class = class(operation).unwrap_or_else(|| panic!("nobody classified {operation:?}"));
    let open = matches!(class, Class::Public | Class::ConsoleToken);
    assert_eq!(open, operation.open, "{operation:?}: the document says otherwise");
    let reads = operation.method == "get";
    let lists = reads && !operation.path.ends_with('}');
    let administers = [C::Admin, C::Owner].contains(&caller);
    let may = match class {
        Class::Public => return (true, true),
        // A token of the API opens none.
        Class::ConsoleToken => return (false, false),
        Class::Subjects => true,
        Class::Operators => caller == C::Operator,
        Class::Tenants => caller == C::Operator || (administers && reads && !lists),
        Class::Administration => administers,
        Class::Catalogue | Class::Workspace if reads => {
            administers || [C::Editor, C::Viewer].contains(&caller)
        }
        Class::Catalogue | Class::Workspace => administers,
        Class::Inside if reads => administers || [C::Editor, C::Viewer].contains(&caller),
        Class::Inside if operation.method == "put" => administers || caller == C::Editor,
        Class::Inside => administers,
        Class::Power => administers || caller == C::Editor,
    };
    // Who has to mend what does not go on has to see where it stands.
    let may = may || (caller == C::Operator && operation.explains().is_some());
    (caller != C::Nobody, caller != C::Nobody && may)
}
