//! Who may do what in a tenant: SECA's roles and assignments, as decided by State alone.
//!
//! What always holds: nothing is allowed that no assignment, and no ownership of the tenant, allows; there is no rule
//! that denies. Roles are compiled once ([`Rights`]); a question looks at the assignments of two subjects (the caller and
//! `*`) and never at a role as it was written. `docs/design/0006-roles.md` says why.

mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rempart_api::authorization::{RoleAssignmentSpec, RoleScope, RoleSpec};
use rempart_api::{Kind, Provider, Scope, Urn};

use crate::kinds::{Spec, provider_of};
use crate::object::Object;
use crate::state::State;

pub use system::system_roles;
pub(crate) use system::{SYSTEM_PREFIX, WORKSPACE_ADMIN};

/// Most different resources with a `*` in one role: so many are tried, one after the other, per question.
pub(crate) const MAX_PATTERNS: usize = 256;

/// In an assignment: every subject the tenant knows.
pub(crate) const EVERYBODY: &str = "*";

static NOTHING: Rights = Rights { exact: BTreeMap::new(), patterns: BTreeMap::new() };

/// A set of verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerbSet(u8);

impl VerbSet {
    /// GET of an item.
    pub const GET: VerbSet = VerbSet(1);
    /// GET of a collection.
    pub const LIST: VerbSet = VerbSet(2);
    /// Both.
    pub const READ: VerbSet = VerbSet(1 + 2);
    /// PUT.
    pub const PUT: VerbSet = VerbSet(4);
    /// DELETE.
    pub const DELETE: VerbSet = VerbSet(8);
    /// POST `start`.
    pub const START: VerbSet = VerbSet(16);
    /// POST `stop`.
    pub const STOP: VerbSet = VerbSet(32);
    /// POST `restart`.
    pub const RESTART: VerbSet = VerbSet(64);
    /// Every other POST.
    pub const ACT: VerbSet = VerbSet(128);
    /// Every POST.
    pub const POST: VerbSet = VerbSet(16 + 32 + 64 + 128);
    /// All of them.
    pub const ALL: VerbSet = VerbSet(255);

    /// As a permission names one; in any case, since SECA's texts and its SDK differ.
    pub fn read(text: &str) -> Option<VerbSet> {
        Some(match text.to_ascii_lowercase().as_str() {
            "get" => VerbSet::GET,
            "list" => VerbSet::LIST,
            "put" => VerbSet::PUT,
            "delete" => VerbSet::DELETE,
            "post" => VerbSet::POST,
            "post.start" => VerbSet::START,
            "post.stop" => VerbSet::STOP,
            "post.restart" => VerbSet::RESTART,
            "*" => VerbSet::ALL,
            _ => return None,
        })
    }

    /// All of `asked` are among these.
    pub fn hold(self, asked: VerbSet) -> bool {
        self.0 & asked.0 == asked.0
    }

    /// Of `asked`, those that are not among these.
    fn lack(self, asked: VerbSet) -> VerbSet {
        VerbSet(asked.0 & !self.0)
    }

    /// Of these, those that are among `others`.
    fn among(self, others: VerbSet) -> VerbSet {
        VerbSet(self.0 & others.0)
    }

    fn with(self, other: VerbSet) -> VerbSet {
        VerbSet(self.0 | other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A role as it is asked: per provider, verbs by resource. Those without `*` are looked up, the others are tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rights {
    exact: BTreeMap<(Provider, String), VerbSet>,
    patterns: BTreeMap<(Provider, String), VerbSet>,
}

impl Rights {
    /// Of a role. What it says of providers and verbs that do not exist is nothing.
    pub(crate) fn of(role: &RoleSpec) -> Rights {
        let mut rights = Rights::default();
        for permission in &role.permissions {
            let Some(provider) = provider_of(&permission.provider) else { continue };
            let verbs = permission.verb.iter().filter_map(|verb| VerbSet::read(verb));
            let verbs = verbs.fold(VerbSet::default(), VerbSet::with);
            for resource in &permission.resources {
                rights.add(provider, resource, verbs);
            }
        }
        rights
    }

    fn add(&mut self, provider: Provider, resource: &str, verbs: VerbSet) {
        let map = if is_pattern(resource) { &mut self.patterns } else { &mut self.exact };
        let held = map.entry((provider, resource.to_owned())).or_default();
        *held = held.with(verbs);
    }

    /// How many different resources with a `*` it has.
    pub(crate) fn patterns(&self) -> usize {
        self.patterns.len()
    }

    /// Which verbs it gives on a resource that has these names.
    fn on(&self, provider: Provider, names: &[String]) -> VerbSet {
        let exact = names.iter().filter_map(|name| self.exact.get(&(provider, name.clone()))).copied();
        let mut verbs = exact.fold(VerbSet::default(), VerbSet::with);
        for ((_, pattern), more) in
            self.patterns.range((provider, String::new())..).take_while(|((of, _), _)| *of == provider)
        {
            if !verbs.hold(*more) && names.iter().any(|name| matches(pattern, name)) {
                verbs = verbs.with(*more);
            }
        }
        verbs
    }

    /// Everything it gives, as resources and verbs.
    fn all(&self) -> impl Iterator<Item = (Provider, &str, VerbSet)> {
        let all = self.exact.iter().chain(&self.patterns);
        all.map(|((provider, resource), verbs)| (*provider, resource.as_str(), *verbs))
    }
}

/// Whether a resource stands for more than itself.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains('*')
}

/// Whether `pattern` matches `text`; `*` stands for any run of characters, slashes included. Linear in both but for
/// backing up to the last `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                last = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match last {
                Some((star, from)) => {
                    last = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The names a resource goes by in permissions: SECA's system roles, its reference implementation and its metadata
/// each write another. A collection, whose name is empty, is also meant by what means all that is in it.
fn names_of(urn: &Urn) -> Vec<String> {
    let info = urn.kind.info();
    let mut names = vec![info.collection.to_owned()];
    if info.scope == Scope::Network {
        names.push(format!("networks/{}", info.collection));
        names.push(format!("networks/{}/{}", urn.network, info.collection));
    }
    if !urn.name.is_empty() {
        return names.into_iter().map(|name| format!("{name}/{}", urn.name)).collect();
    }
    let items: Vec<_> = names.iter().map(|name| format!("{name}/*")).collect();
    names.into_iter().chain(items).collect()
}

impl State {
    /// Whether `subject` may do all of `verbs` to `urn` (a collection, if its name is empty) of a tenant.
    pub fn may(&self, subject: &str, urn: &Urn, verbs: VerbSet) -> bool {
        let tenant = if urn.kind == Kind::Tenant { &urn.name } else { &urn.tenant };
        // Most callers own what they ask about: no names are made for them.
        if self.owns(tenant, subject) {
            return true;
        }
        let asked = |workspace| Asked { tenant, workspace, global: is_global(urn.kind) };
        let (provider, names) = (urn.kind.info().provider, names_of(urn));
        if urn.kind == Kind::Workspace && !urn.name.is_empty() {
            // SECA: reading a workspace is asked for inside it, everything else of it in the tenant.
            let (read, rest) = (verbs.among(VerbSet::READ), VerbSet::READ.lack(verbs));
            return self.holds(subject, asked(Some(&urn.name)), provider, &names, read)
                && self.holds(subject, asked(None), provider, &names, rest);
        }
        let workspace = (!urn.workspace.is_empty()).then_some(urn.workspace.as_str());
        self.holds(subject, asked(workspace), provider, &names, verbs)
    }

    /// Whether `subject` holds `verbs` there. The look-ups are the same whatever exists.
    fn holds(
        &self,
        subject: &str,
        asked: Asked<'_>,
        provider: Provider,
        names: &[String],
        verbs: VerbSet,
    ) -> bool {
        let mut lacking = verbs;
        if self.owns(asked.tenant, subject) {
            return true;
        }
        for assignment in self.assignments_of(asked.tenant, subject) {
            if lacking.is_empty() {
                break;
            }
            if assignment.scopes.iter().any(|scope| covers(scope, asked, &self.core.region)) {
                for role in &assignment.roles {
                    lacking = self.role_rights(asked.tenant, role).on(provider, names).lack(lacking);
                }
            }
        }
        lacking.is_empty()
    }

    /// The first thing that an assignment would give in `tenant` and that `giver` does not hold. What a role that is not
    /// there will give once it is, owners alone hold.
    pub(crate) fn more_than_held(
        &self,
        giver: &str,
        tenant: &str,
        assignment: &RoleAssignmentSpec,
    ) -> Option<String> {
        if self.owns(tenant, giver) {
            return None;
        }
        if let Some(missing) = assignment.roles.iter().find(|role| !self.has_role(tenant, role)) {
            let shown: String = missing.chars().take(64).collect();
            return Some(format!("role {shown} is not there, and may come to give anything"));
        }
        let everywhere = [None];
        for scope in &assignment.scopes {
            let workspaces: Vec<Option<&str>> = match scope.workspaces.as_deref() {
                Some(names) if !names.is_empty() => names.iter().map(|name| Some(name.as_str())).collect(),
                _ => everywhere.to_vec(),
            };
            for role in &assignment.roles {
                if let Some(missing) =
                    self.not_held(giver, tenant, &workspaces, self.role_rights(tenant, role))
                {
                    return Some(format!("role {role}: {missing}"));
                }
            }
        }
        None
    }

    /// The first of `rights` that `giver` does not hold in each of `workspaces` (none: in the whole tenant).
    pub(crate) fn not_held(
        &self,
        giver: &str,
        tenant: &str,
        workspaces: &[Option<&str>],
        rights: &Rights,
    ) -> Option<String> {
        for (provider, resource, verbs) in rights.all() {
            for workspace in workspaces {
                let global = provider == Provider::Authorization;
                let asked = Asked { tenant, workspace: *workspace, global };
                // A pattern of one's own that matches another as text matches all that the other matches. A collection
                // is given with all that is in it.
                let mut names = vec![resource.to_owned()];
                if !resource.contains('/') {
                    names.push(format!("{resource}/*"));
                }
                if !self.holds(giver, asked, provider, &names, verbs) {
                    return Some(format!("{} on {resource}", provider.name()));
                }
            }
        }
        None
    }

    /// Whether `subject` holds in a workspace all that `role` gives.
    pub(crate) fn holds_role(&self, subject: &str, workspace: &Urn, role: &str) -> bool {
        let tenant = workspace.tenant.as_str();
        if self.owns(tenant, subject) {
            return true;
        }
        let rights = self.role_rights(tenant, role);
        self.not_held(subject, tenant, &[Some(&workspace.name)], rights).is_none()
    }

    /// The first thing that the tenant's service account of this name holds and `giver` does not: who says what its keys
    /// are speaks with its voice.
    pub(crate) fn more_than_account_holds(&self, giver: &str, tenant: &str, name: &str) -> Option<String> {
        let account = account_subject(tenant, name);
        if self.owns(tenant, &account) && !self.owns(tenant, giver) {
            return Some(format!("{account} owns tenant {tenant}"));
        }
        self.named(tenant, &account).find_map(|assignment| self.more_than_held(giver, tenant, assignment))
    }

    /// The workspaces of a tenant that `subject` may see, if not all: none of them for a stranger.
    pub fn workspaces_seen(&self, subject: &str, tenant: &str) -> Seen {
        let all = Urn::tenant(Kind::Workspace, tenant, "");
        if self.may(subject, &all, VerbSet::LIST) {
            return Seen::All;
        }
        let assignments = self.assignments_of(tenant, subject);
        let scopes = assignments.flat_map(|assignment| &assignment.scopes);
        let named = scopes.filter_map(|scope| scope.workspaces.as_ref()).flatten();
        let seen = named.filter(|name| {
            let inside = Asked { tenant, workspace: Some(name), global: false };
            self.holds(subject, inside, Provider::Workspace, &names_of(&all), VerbSet::LIST)
        });
        Seen::Only(seen.cloned().collect())
    }

    /// The assignments in force that name `subject`, or everybody the tenant knows if it is one of them.
    fn assignments_of(&self, tenant: &str, subject: &str) -> impl Iterator<Item = &RoleAssignmentSpec> {
        let everybody = self.named(tenant, EVERYBODY);
        // Whom the tenant does not know is not everybody.
        let everybody = self.knows(tenant, subject).then_some(everybody).into_iter().flatten();
        // Nor is a star somebody.
        let own = (subject != EVERYBODY).then(|| self.named(tenant, subject)).into_iter().flatten();
        own.chain(everybody)
    }

    fn named(&self, tenant: &str, subject: &str) -> impl Iterator<Item = &RoleAssignmentSpec> {
        let key = (tenant.to_owned(), subject.to_owned());
        let first = (key.0.clone(), key.1.clone(), Arc::new(Urn::global(Kind::Region, "")));
        let all = self.assigned.range(first..).take_while(move |(of, who, _)| *of == key.0 && *who == key.1);
        all.filter_map(|(.., urn)| match &self.objects.get(urn)?.spec {
            Spec::RoleAssignment(assignment) => Some(&**assignment),
            _ => None,
        })
    }

    /// Owners, the tenant's service accounts, and whom an assignment names.
    pub fn knows(&self, tenant: &str, subject: &str) -> bool {
        self.owns(tenant, subject)
            || subject.starts_with(&account_subject(tenant, ""))
            || (subject != EVERYBODY && self.named(tenant, subject).next().is_some())
    }

    /// Whether `subject` is one of the tenant's service accounts.
    pub(crate) fn is_account(&self, tenant: &str, subject: &str) -> bool {
        let name = subject.strip_prefix(&account_subject(tenant, ""));
        name.is_some_and(|name| self.get(&Urn::tenant(Kind::ServiceAccount, tenant, name)).is_some())
    }

    /// A role as the tenant sees it: its own, or the system's.
    pub(crate) fn find_role(&self, urn: &Urn) -> Option<&Arc<Object>> {
        system::named(&urn.name).or_else(|| self.get(urn))
    }

    fn role_rights(&self, tenant: &str, name: &str) -> &Rights {
        if let Some(rights) = system::rights(name) {
            return rights;
        }
        self.rights.get(&Urn::tenant(Kind::Role, tenant, name)).map_or(&NOTHING, |rights| rights)
    }

    fn has_role(&self, tenant: &str, name: &str) -> bool {
        system::rights(name).is_some() || self.rights.contains_key(&Urn::tenant(Kind::Role, tenant, name))
    }

    /// Keeps the indexes: `object` is in State from now on.
    pub(crate) fn give(&mut self, object: &Object) {
        match &object.spec {
            Spec::Role(role) if !object.is_deleting() => {
                self.rights.insert(object.urn.clone(), Arc::new(Rights::of(role)));
            }
            Spec::RoleAssignment(assignment) if !object.is_deleting() => {
                for subject in &assignment.subs {
                    self.assigned.insert((object.urn.tenant.clone(), subject.clone(), object.urn.clone()));
                }
            }
            _ => {}
        }
    }

    /// Keeps the indexes: `old` is in State no more.
    pub(crate) fn take_back(&mut self, old: &Object) {
        match &old.spec {
            Spec::Role(_) => {
                self.rights.remove(&old.urn);
            }
            Spec::RoleAssignment(assignment) => {
                for subject in &assignment.subs {
                    self.assigned.remove(&(old.urn.tenant.clone(), subject.clone(), old.urn.clone()));
                }
            }
            _ => {}
        }
    }

    /// Whether `subject` is one of the tenant's owners.
    pub fn owns(&self, tenant: &str, subject: &str) -> bool {
        match self.get(&Urn::global(Kind::Tenant, tenant)).map(|tenant| &tenant.spec) {
            Some(Spec::Tenant(tenant)) => tenant.owners.iter().any(|owner| owner == subject),
            _ => false,
        }
    }
}

/// The subject of a service account's tokens.
fn account_subject(tenant: &str, name: &str) -> String {
    format!("sa:{tenant}/{name}")
}

/// What somebody sees of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// All that is in it.
    All,
    /// What has one of these names.
    Only(BTreeSet<String>),
}

/// Where something is asked for.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    tenant: &'a str,
    /// None: outside of any.
    workspace: Option<&'a str>,
    /// In no region.
    global: bool,
}

fn is_global(kind: Kind) -> bool {
    kind.info().provider == Provider::Authorization
}

fn covers(scope: &RoleScope, asked: Asked<'_>, region: &str) -> bool {
    // Clients without optional lists send empty ones.
    let among = |names: &Option<Vec<String>>, name: Option<&str>| match names.as_deref() {
        None | Some([]) => true,
        Some(names) => name.is_some_and(|name| names.iter().any(|known| known == name)),
    };
    among(&scope.tenants, Some(asked.tenant))
        && (asked.global || among(&scope.regions, Some(region)))
        && among(&scope.workspaces, asked.workspace)
}

#[cfg(test)]
mod tests;
