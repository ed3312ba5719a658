//! Paths and methods, from the table of kinds.
//!
//! A path is parsed once: it names a [`Place`], by which the request is counted, and which says with the method what is
//! asked for.

use std::borrow::Cow;

use axum::http::Method;
use rempart_api::fleet::Repair;
use rempart_api::{Kind, Provider, Scope, Urn, Verbs, standing};
use rempart_model::{HostAction, PowerAction, SHARED_TENANT, canonical_tenant};

use uuid::Uuid;

use super::problem::Failure;
use super::query;

/// A path.
pub(super) struct Route {
    pub(super) place: Place,
    /// Name of the shared tenant, if it is the one that it is not stored by.
    pub(super) alias: Option<String>,
}

/// What a path names.
pub(super) enum Place {
    Item(Urn),
    /// Kind and scope; its name is empty.
    Collection(Urn),
    /// An item, or with an empty name the collection, that operators keep here and another provider shows.
    Kept(Urn),
    /// What stands beneath a resource by a word of its own: its actions in the table, and a volume's content.
    Beneath(Urn, Word),
    /// Where a resource stands.
    Explain(Urn),
    /// What exists without a row.
    Orphans,
    /// A repair of one of those: the host, and the incarnation.
    Repair(Urn, Uuid, Repair),
}

/// A [`Place`] with its names left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Item(Kind),
    Collection(Kind),
    Beneath(Kind, Word),
    Explain,
    Orphans,
    Repair,
}

/// A word beneath a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    Start,
    Stop,
    Restart,
    Cordon,
    Uncordon,
    Revoke,
    Content,
}

impl Word {
    const ALL: [Word; 7] =
        [Word::Start, Word::Stop, Word::Restart, Word::Cordon, Word::Uncordon, Word::Revoke, Word::Content];

    fn as_str(self) -> &'static str {
        match self {
            Word::Start => "start",
            Word::Stop => "stop",
            Word::Restart => "restart",
            Word::Cordon => "cordon",
            Word::Uncordon => "uncordon",
            Word::Revoke => "revoke",
            Word::Content => "content",
        }
    }

    fn of(kind: Kind, text: &str) -> Option<Word> {
        Word::ALL.into_iter().find(|word| word.as_str() == text && word.kind() == kind)
    }

    /// The kind it stands beneath.
    fn kind(self) -> Kind {
        match self {
            Word::Start | Word::Stop | Word::Restart => Kind::Instance,
            Word::Cordon | Word::Uncordon | Word::Revoke => Kind::Host,
            Word::Content => Kind::BlockStorage,
        }
    }
}

/// What a request is about.
#[derive(Clone)]
pub(super) enum Target {
    List(Urn),
    Get(Urn),
    Explain(Urn),
    /// Of all hosts: a host without a name.
    Orphans(Urn),
    Repair(Urn, Uuid, Repair),
    Put(Urn),
    Delete(Urn),
    Power(Urn, PowerAction),
    Host(Urn, HostAction),
    Fill(Urn),
}

const NO_ROUTE: &str =
    "no such path; see the region document for the providers, and SECA for their collections";

/// The failure of a path that names no place.
pub(super) fn no_route() -> Failure {
    Failure::NoRoute(NO_ROUTE.to_owned())
}

impl Route {
    pub(super) fn parse(path: &str) -> Option<Route> {
        let rest = path.strip_prefix("/providers/")?;
        // One slash at the end is tolerated (SECA); an empty name is none.
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let segments: Vec<Cow<'_, str>> = rest.split('/').map(decode).collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
        let (provider, rest) = match segments[..] {
            // The path of any resource, behind the provider that has it.
            [standing::PROVIDER, "v1", of, ref rest @ ..] => {
                let urn = Urn::from_segments(Provider::from_name(of)?, rest)?;
                return Some(Route { place: Place::Explain(canonical(urn)), alias: None });
            }
            ["rempart.fleet", "v1", "orphans", ref rest @ ..] => {
                return Some(Route { place: orphans(rest)?, alias: None });
            }
            [provider, "v1", ref rest @ ..] => (Provider::from_name(provider)?, rest),
            _ => return None,
        };
        let alias = match rest {
            ["tenants", tenant, _, ..] if canonical_tenant(tenant) != *tenant => Some((*tenant).to_owned()),
            _ => None,
        };
        Some(Route { place: Place::of(provider, rest)?, alias })
    }

    /// Whether operators alone come here, whoever may read the same elsewhere.
    pub(super) fn is_operators(&self) -> bool {
        matches!(self.place, Place::Kept(_))
    }
}

/// What exists without a row: all of it, or a repair of one, named `HOST:UID`.
fn orphans(rest: &[&str]) -> Option<Place> {
    match rest {
        [] => Some(Place::Orphans),
        [id, repair] => {
            let (host, uid) = id.split_once(':')?;
            let uid = Uuid::try_parse(uid).ok()?;
            Some(Place::Repair(Urn::global(Kind::Host, host), uid, Repair::from_name(repair)?))
        }
        _ => None,
    }
}

impl Place {
    /// By the segments behind the provider's version.
    fn of(provider: Provider, rest: &[&str]) -> Option<Place> {
        let item = |segments: &[&str]| Urn::from_segments(provider, segments).map(canonical);
        if let [collection] | [collection, _] = *rest
            && let Some(kind) = Kind::kept_under(provider, collection)
        {
            return Some(Place::Kept(Urn::global(kind, rest.get(1).unwrap_or(&""))));
        }
        if rest.len().is_multiple_of(2) {
            return item(rest).map(Place::Item);
        }
        if let [of @ .., word] = rest
            && let Some(urn) = item(of)
            && let Some(word) = Word::of(urn.kind, word)
        {
            return Some(Place::Beneath(urn, word));
        }
        // A collection is an item's path without the name: any name will do to parse it.
        let with_name: Vec<&str> = rest.iter().copied().chain(["x"]).collect();
        let mut from = item(&with_name)?;
        from.name.clear();
        Some(Place::Collection(from))
    }

    pub(super) fn form(&self) -> Form {
        match self {
            Place::Kept(urn) if urn.name.is_empty() => Form::Collection(urn.kind),
            Place::Item(urn) | Place::Kept(urn) => Form::Item(urn.kind),
            Place::Collection(urn) => Form::Collection(urn.kind),
            Place::Beneath(urn, word) => Form::Beneath(urn.kind, *word),
            Place::Explain(_) => Form::Explain,
            Place::Orphans => Form::Orphans,
            Place::Repair(..) => Form::Repair,
        }
    }

    pub(super) fn target(self, method: &Method) -> Result<Target, Failure> {
        let (urn, word) = match self {
            Place::Item(urn) => return item(method, urn),
            Place::Collection(from) => {
                allow(method, &Method::GET)?;
                return Ok(Target::List(from));
            }
            Place::Kept(urn) if urn.name.is_empty() => {
                allow(method, &Method::GET)?;
                return Ok(Target::List(urn));
            }
            Place::Kept(urn) => {
                return match *method {
                    Method::GET => Ok(Target::Get(urn)),
                    Method::PUT => Ok(Target::Put(urn)),
                    _ => Err(Failure::Method("GET, PUT")),
                };
            }
            Place::Beneath(urn, word) => (urn, word),
            Place::Explain(urn) => {
                allow(method, &Method::GET)?;
                return Ok(Target::Explain(urn));
            }
            Place::Orphans => {
                allow(method, &Method::GET)?;
                return Ok(Target::Orphans(Urn::global(Kind::Host, "")));
            }
            Place::Repair(host, uid, repair) => {
                allow(method, &Method::POST)?;
                return Ok(Target::Repair(host, uid, repair));
            }
        };
        allow(method, if word == Word::Content { &Method::PUT } else { &Method::POST })?;
        Ok(match word {
            Word::Start => Target::Power(urn, PowerAction::Start),
            Word::Stop => Target::Power(urn, PowerAction::Stop),
            Word::Restart => Target::Power(urn, PowerAction::Restart),
            Word::Cordon => Target::Host(urn, HostAction::Cordon),
            Word::Uncordon => Target::Host(urn, HostAction::Uncordon),
            Word::Revoke => Target::Host(urn, HostAction::Revoke),
            Word::Content => Target::Fill(urn),
        })
    }
}

impl Form {
    /// All that the table of kinds makes.
    pub(super) fn all() -> impl Iterator<Item = Form> {
        let kinds = Kind::table().iter().flat_map(|row| [Form::Item(row.kind), Form::Collection(row.kind)]);
        let words = Word::ALL.into_iter().map(|word| Form::Beneath(word.kind(), word));
        kinds.chain(words).chain([Form::Explain, Form::Orphans, Form::Repair])
    }

    /// As metrics show it: `workspaces/-/instances/-`.
    pub(super) fn template(self) -> String {
        let kind = match self {
            Form::Item(kind) | Form::Collection(kind) | Form::Beneath(kind, _) => kind,
            Form::Explain => return "explain/-".to_owned(),
            Form::Orphans => return "orphans".to_owned(),
            Form::Repair => return "orphans/-/repair".to_owned(),
        };
        let mut template = match kind.info().scope {
            Scope::Global => String::new(),
            Scope::Tenant => "tenants/-/".to_owned(),
            Scope::Workspace => "tenants/-/workspaces/-/".to_owned(),
            Scope::Network => "tenants/-/workspaces/-/networks/-/".to_owned(),
        };
        template.push_str(kind.info().collection);
        match self {
            Form::Collection(_) | Form::Explain | Form::Orphans | Form::Repair => {}
            Form::Item(_) => template.push_str("/-"),
            Form::Beneath(_, word) => {
                template.push_str("/-/");
                template.push_str(word.as_str());
            }
        }
        template
    }
}

fn item(method: &Method, urn: Urn) -> Result<Target, Failure> {
    let info = urn.kind.info();
    // Shared SKUs are written by operators under the shared tenant; for everyone else they are read-only.
    let writable = info.verbs == Verbs::All || (info.catalogue && urn.tenant == SHARED_TENANT);
    match (method, writable) {
        (&Method::GET, _) => Ok(Target::Get(urn)),
        (&Method::PUT, true) => Ok(Target::Put(urn)),
        (&Method::DELETE, true) => Ok(Target::Delete(urn)),
        (_, true) => Err(Failure::Method("GET, PUT, DELETE")),
        (_, false) => Err(Failure::Method("GET")),
    }
}

fn allow(method: &Method, allowed: &Method) -> Result<(), Failure> {
    match *allowed {
        _ if method == allowed => Ok(()),
        Method::GET => Err(Failure::Method("GET")),
        Method::PUT => Err(Failure::Method("PUT")),
        _ => Err(Failure::Method("POST")),
    }
}

/// The shared tenant has two names.
fn canonical(mut urn: Urn) -> Urn {
    let name = if urn.kind == Kind::Tenant { &mut urn.name } else { &mut urn.tenant };
    let spelling = canonical_tenant(name);
    if spelling != name {
        *name = spelling.to_owned();
    }
    urn
}

/// Percent-decoding of one segment. What decodes to a slash is part of no name here.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    query::decode(segment, false).filter(|text| !text.is_empty() && !text.contains('/'))
}

#[test]
fn templates_are_those_of_the_table() {
    let tenant = "/providers/seca.compute/v1/tenants/acme";
    for (path, expected) in [
        (format!("{tenant}/workspaces/w/instances/web"), "tenants/-/workspaces/-/instances/-"),
        (format!("{tenant}/workspaces/w/%69nstances/web"), "tenants/-/workspaces/-/instances/-"),
        (format!("{tenant}/workspaces/w/instances"), "tenants/-/workspaces/-/instances"),
        (format!("{tenant}/workspaces/w/instances/x/start"), "tenants/-/workspaces/-/instances/-/start"),
        (format!("{tenant}/workspaces/w/instances/x/explode"), "other"),
        (format!("{tenant}/secrets/w"), "other"),
        ("/etc/passwd".to_owned(), "other"),
    ] {
        let route = Route::parse(&path);
        let template = route.map_or("other".to_owned(), |route| route.place.form().template());
        assert_eq!(template, expected, "{path}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, path: &str) -> String {
        match Route::parse(path).ok_or_else(no_route).and_then(|route| route.place.target(&method)) {
            Ok(target) => match target {
                Target::List(urn) => format!("list {} {}", urn.kind, urn.tenant),
                Target::Get(urn) => format!("get {urn}"),
                Target::Put(urn) => format!("put {urn}"),
                Target::Delete(urn) => format!("delete {urn}"),
                Target::Power(urn, action) => format!("{action:?} {urn}"),
                Target::Host(urn, action) => format!("{action:?} {urn}"),
                Target::Fill(urn) => format!("fill {urn}"),
                Target::Explain(urn) => format!("explain {urn}"),
                Target::Orphans(_) => "orphans".to_owned(),
                Target::Repair(host, uid, repair) => format!("{} {uid} {host}", repair.name()),
            },
            Err(Failure::Method(allowed)) => format!("405 {allowed}"),
            Err(_) => "404".to_owned(),
        }
    }

    #[test]
    fn every_kind_has_its_item_and_collection_and_no_other() {
        for row in Kind::table() {
            let urn = Urn::network(row.kind, "t", "w", "n", "x").sibling(row.kind, "x");
            let path = format!("/providers/{}/v1/{}", row.provider.name(), urn.path());
            let collection = path.strip_suffix("/x").unwrap();
            assert_eq!(check(Method::GET, &path), format!("get {urn}"));
            assert_eq!(check(Method::GET, collection), format!("list {} {}", row.kind, urn.tenant));
            assert_eq!(check(Method::POST, collection), "405 GET");
            let put = check(Method::PUT, &path);
            let writable = row.verbs == Verbs::All;
            assert_eq!(put, if writable { format!("put {urn}") } else { "405 GET".to_owned() });
            assert!(check(Method::PATCH, &path).starts_with("405"));
            let explain = format!("/providers/rempart.explain/v1/{}/{}", row.provider.name(), urn.path());
            assert_eq!(check(Method::GET, &explain), format!("explain {urn}"));
            assert_eq!(check(Method::PUT, &explain), "405 GET");
            assert_eq!(check(Method::GET, explain.strip_suffix("/x").unwrap()), "404");
        }
    }

    #[test]
    fn a_region_is_kept_where_operators_are_and_shown_elsewhere() {
        let regions = "/providers/rempart.catalogue/v1/regions";
        let region = format!("{regions}/eu-1");
        assert_eq!(check(Method::GET, regions), "list region ");
        assert_eq!(check(Method::PUT, regions), "405 GET");
        for (method, expected) in [
            (Method::GET, "get seca.region/v1/regions/eu-1"),
            (Method::PUT, "put seca.region/v1/regions/eu-1"),
            (Method::DELETE, "405 GET, PUT"),
            (Method::POST, "405 GET, PUT"),
        ] {
            assert_eq!(check(method, &region), expected);
        }
        assert_eq!(check(Method::PUT, &format!("{region}/zones")), "404");
        assert_eq!(check(Method::PUT, "/providers/rempart.catalogue/v1/tenants/t/regions/eu-1"), "404");
        for (path, operators) in
            [(region.as_str(), true), (regions, true), ("/providers/seca.region/v1/regions", false)]
        {
            let route = Route::parse(path).unwrap();
            assert_eq!(route.is_operators(), operators, "{path}");
            assert!(route.place.form().template().starts_with("regions"), "{path}");
        }
    }

    #[test]
    fn orphans_are_listed_and_repaired() {
        let all = "/providers/rempart.fleet/v1/orphans";
        let uid = Uuid::from_u128(7);
        assert_eq!(check(Method::GET, all), "orphans");
        assert_eq!(check(Method::PUT, all), "405 GET");
        for repair in [Repair::Quarantine, Repair::Remove, Repair::Release] {
            let path = format!("{all}/h1:{uid}/{}", repair.name());
            assert_eq!(
                check(Method::POST, &path),
                format!("{} {uid} rempart.fleet/v1/hosts/h1", repair.name())
            );
            assert_eq!(check(Method::GET, &path), "405 POST");
        }
        for odd in ["/h1", "/h1/remove", "/h1:x/remove", &format!("/h1:{uid}/adopt"), &format!("/h1:{uid}")] {
            assert_eq!(check(Method::POST, &format!("{all}{odd}")), "404", "{odd}");
        }
    }

    #[test]
    fn actions_aliases_and_odd_paths() {
        let instance = "/providers/seca.compute/v1/tenants/t/workspaces/w/instances/x";
        assert_eq!(
            check(Method::POST, &format!("{instance}/start")),
            "Start seca.compute/v1/tenants/t/workspaces/w/instances/x"
        );
        assert_eq!(check(Method::GET, &format!("{instance}/start")), "405 POST");
        assert_eq!(check(Method::POST, &format!("{instance}/cordon")), "404");
        for row in Kind::table() {
            let urn = Urn::network(row.kind, "t", "w", "n", "x").sibling(row.kind, "x");
            for action in row.actions {
                let path = format!("/providers/{}/v1/{}/{action}", row.provider.name(), urn.path());
                let answer = check(Method::POST, &path).to_lowercase();
                assert_eq!(answer, format!("{action} {urn}"), "an action of the table without a route");
            }
        }
        assert_eq!(check(Method::POST, &format!("{instance}/explode")), "404");
        assert_eq!(
            check(Method::PUT, "/providers/seca.compute/v1/tenants/seca/skus/x"),
            "put seca.compute/v1/tenants/public/skus/x"
        );
        for (tenant, alias) in [("t", None), ("public", None), ("seca", Some("seca"))] {
            for path in ["skus", "skus/x"] {
                let path = format!("/providers/seca.compute/v1/tenants/{tenant}/{path}");
                let route = Route::parse(&path);
                assert_eq!(route.expect("a route").alias.as_deref(), alias, "{path}");
            }
        }
        for odd in [
            "/",
            "/providers",
            "/providers/seca.compute",
            "/providers/seca.compute/v1",
            "/providers/seca.compute/v2/tenants/t/skus",
            "/providers/seca.compute/v1/tenants/t%2Fu/skus/x",
            "/providers/seca.compute/v1/tenants//skus/x",
            "/providers/seca.compute/v1/tenants/t/skus/%ff",
            "/providers/seca.compute/v1/tenants/t/skus/%0",
            "/providers/seca.storage/v1/tenants/t/workspaces/w/instances/x",
        ] {
            assert_eq!(check(Method::GET, odd), "404", "{odd}");
        }
    }
}
