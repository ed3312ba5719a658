//! The roles that every tenant has. SECA names them and describes their content in words.
//!
//! They are part of what `apply` means: a change of one is a change of the cluster's version.

use std::sync::{Arc, LazyLock};

use rempart_api::authorization::{Permission, RoleSpec};
use rempart_api::{Kind, Phase, Status, StringMap, Timestamp, Urn};
use uuid::Uuid;

use super::Rights;
use crate::object::{Detail, OBJECT_SCHEMA, Object};
use crate::state::SHARED_TENANT;

/// What the names of system roles begin with. No tenant makes or deletes such a role.
pub(crate) const SYSTEM_PREFIX: &str = "seca.";

/// What the creator of a workspace is given on it.
pub(crate) const WORKSPACE_ADMIN: &str = "seca.workspace-admin";

/// When they were written, as their metadata says: 2026-11-24.
const WRITTEN_UNIX_MS: i64 = 1_795_478_400_000;

/// One of them: as clients see it, and as it is asked.
struct SystemRole {
    object: Arc<Object>,
    rights: Rights,
}

static ROLES: LazyLock<Vec<SystemRole>> = LazyLock::new(|| {
    const ALL: &[&str] = &["get", "list", "put", "delete", "post"];
    const READ: &[&str] = &["get", "list"];
    let planes = |verbs| ["seca.compute", "seca.storage", "seca.network"].map(|provider| (provider, verbs));
    let role = |name: &str, others: &[(&str, &[&str])], verbs: &'static [&'static str]| {
        let all = others.iter().copied().chain(planes(verbs));
        system_role(
            name,
            RoleSpec { permissions: all.map(|(provider, verbs)| on(provider, verbs)).collect() },
        )
    };
    let tenant = [
        ("rempart.identity", ALL),
        ("rempart.tenancy", ALL),
        ("seca.authorization", ALL),
        ("seca.region", READ),
        ("seca.workspace", ALL),
    ];
    // By name: lists are merged with them.
    vec![
        role("seca.admin", &tenant, ALL),
        role("seca.region-admin", &[("seca.region", READ), ("seca.workspace", ALL)], ALL),
        role(WORKSPACE_ADMIN, &[("seca.workspace", &["get", "list", "put"])], ALL),
        role("seca.workspace-editor", &[("seca.workspace", READ)], &["get", "list", "put", "post"]),
        role("seca.workspace-viewer", &[("seca.workspace", READ)], READ),
    ]
});

fn on(provider: &str, verbs: &[&str]) -> Permission {
    Permission {
        provider: format!("{provider}/v1"),
        resources: vec!["*".to_owned()],
        verb: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
    }
}

fn system_role(name: &str, spec: RoleSpec) -> SystemRole {
    let rights = Rights::of(&spec);
    let written = Timestamp::from_unix_ms(WRITTEN_UNIX_MS);
    let mut status = Status::default();
    for phase in [Phase::Pending, Phase::Creating, Phase::Active] {
        status.enter(phase, written);
    }
    let object = Object {
        schema: OBJECT_SCHEMA,
        urn: Arc::new(Urn::tenant(Kind::Role, SHARED_TENANT, name)),
        uid: Uuid::nil(),
        labels: StringMap::new(),
        annotations: StringMap::new(),
        extensions: StringMap::new(),
        created_at: written,
        modified_at: written,
        deleted_at: None,
        resource_version: 1,
        changed_index: 0,
        spec: spec.into(),
        status,
        detail: Detail::None,
        overdue: None,
    };
    SystemRole { object: Arc::new(object), rights }
}

/// System roles that a collection shows from `from` on, by name: none, but for roles. They are shown under every tenant.
pub fn system_roles(from: &Urn) -> impl Iterator<Item = &'static Arc<Object>> + use<> {
    let (is_role, first) = (from.kind == Kind::Role, from.name.clone());
    let all = ROLES.iter().map(|role| &role.object);
    all.filter(move |object| is_role && object.urn.name >= first)
}

/// The system role of this name.
pub(super) fn named(name: &str) -> Option<&'static Arc<Object>> {
    ROLES.iter().map(|role| &role.object).find(|object| object.urn.name == name)
}

/// What one gives.
pub(super) fn rights(name: &str) -> Option<&'static Rights> {
    ROLES.iter().find(|role| role.object.urn.name == name).map(|role| &role.rights)
}
