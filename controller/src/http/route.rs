//! Paths and methods, from the table of kinds.

use axum::http::Method;
use rempart_api::fleet::Repair;
use rempart_api::{Kind, Provider, Urn, Verbs};
use rempart_model::{HostAction, PowerAction, SHARED_TENANT, canonical_tenant};
use uuid::Uuid;

use super::problem::Failure;
use super::query;

/// What a request is about.
pub(super) struct Route {
    pub(super) target: Target,
    /// Name of the shared tenant, if it is the one that it is not stored by.
    pub(super) alias: Option<String>,
}

#[derive(Clone)]
pub(super) enum Target {
    List(Urn),
    Get(Urn),
    Explain(Urn),
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

impl Route {
    pub(super) fn parse(method: &Method, path: &str) -> Result<Route, Failure> {
        let no_route = || Failure::NoRoute(NO_ROUTE.to_owned());
        let rest = path.strip_prefix("/providers/").ok_or_else(no_route)?;
        let mut segments = Vec::new();
        for segment in rest.trim_end_matches('/').split('/') {
            segments.push(decode(segment)?);
        }
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if let ["rempart.explain", "v1", of, ref rest @ ..] = segments[..] {
            // The path of any resource, behind the provider that has it.
            let urn =
                Provider::from_name(of).and_then(|of| Urn::from_segments(of, rest)).ok_or_else(no_route)?;
            allow(method, &Method::GET)?;
            return Ok(Route { target: Target::Explain(canonical(urn)), alias: None });
        }
        if let ["rempart.fleet", "v1", "orphans", ref rest @ ..] = segments[..] {
            return orphans(method, rest);
        }
        let (provider, rest) = match segments[..] {
            [provider, "v1", ref rest @ ..] => (Provider::from_name(provider).ok_or_else(no_route)?, rest),
            _ => return Err(no_route()),
        };
        let alias = match rest {
            ["tenants", tenant, _, ..] if canonical_tenant(tenant) != *tenant => Some((*tenant).to_owned()),
            _ => None,
        };
        if let ([of @ .., word], 1) = (rest, rest.len() % 2) {
            let beneath = Urn::from_segments(provider, of).and_then(|urn| beneath(canonical(urn), word));
            let Some((takes, target)) = beneath else { return collection(method, provider, rest, alias) };
            allow(method, &takes)?;
            return Ok(Route { target, alias });
        }
        let urn = canonical(Urn::from_segments(provider, rest).ok_or_else(no_route)?);
        let info = urn.kind.info();
        // Shared SKUs are written by operators under the shared tenant; for everyone else they are read-only.
        let writable = info.verbs == Verbs::All || (info.catalogue && urn.tenant == SHARED_TENANT);
        let target = match (method, writable) {
            (&Method::GET, _) => Target::Get(urn),
            (&Method::PUT, true) => Target::Put(urn),
            (&Method::DELETE, true) => Target::Delete(urn),
            (_, true) => return Err(Failure::Method("GET, PUT, DELETE")),
            (_, false) => return Err(Failure::Method("GET")),
        };
        Ok(Route { target, alias })
    }
}

/// What exists without a row: all of it, or a repair of one, named `HOST:UID`.
fn orphans(method: &Method, rest: &[&str]) -> Result<Route, Failure> {
    let no_route = || Failure::NoRoute(NO_ROUTE.to_owned());
    let target = match rest {
        [] => {
            allow(method, &Method::GET)?;
            Target::Orphans(Urn::global(Kind::Host, ""))
        }
        [id, repair] => {
            let repair = Repair::from_name(repair).ok_or_else(no_route)?;
            let (host, uid) = id.split_once(':').ok_or_else(no_route)?;
            let uid = Uuid::try_parse(uid).map_err(|_| no_route())?;
            allow(method, &Method::POST)?;
            Target::Repair(Urn::global(Kind::Host, host), uid, repair)
        }
        _ => return Err(no_route()),
    };
    Ok(Route { target, alias: None })
}

fn collection(
    method: &Method,
    provider: Provider,
    segments: &[&str],
    alias: Option<String>,
) -> Result<Route, Failure> {
    let no_route = || Failure::NoRoute(NO_ROUTE.to_owned());
    // A collection is an item's path without the name: any name will do to parse it.
    let with_name: Vec<&str> = segments.iter().copied().chain(["x"]).collect();
    let mut from = canonical(Urn::from_segments(provider, &with_name).ok_or_else(no_route)?);
    from.name.clear();
    allow(method, &Method::GET)?;
    Ok(Route { target: Target::List(from), alias })
}

/// What stands beneath a resource by a word of its own: its actions in the table, and a volume's content.
fn beneath(urn: Urn, word: &str) -> Option<(Method, Target)> {
    let target = match (urn.kind, word) {
        (Kind::Instance, "start") => Target::Power(urn, PowerAction::Start),
        (Kind::Instance, "stop") => Target::Power(urn, PowerAction::Stop),
        (Kind::Instance, "restart") => Target::Power(urn, PowerAction::Restart),
        (Kind::Host, "cordon") => Target::Host(urn, HostAction::Cordon),
        (Kind::Host, "uncordon") => Target::Host(urn, HostAction::Uncordon),
        (Kind::Host, "revoke") => Target::Host(urn, HostAction::Revoke),
        (Kind::BlockStorage, "content") => return Some((Method::PUT, Target::Fill(urn))),
        _ => return None,
    };
    Some((Method::POST, target))
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
    *name = canonical_tenant(name).to_owned();
    urn
}

/// Percent-decoding of one segment. What decodes to a slash is part of no name here.
fn decode(segment: &str) -> Result<String, Failure> {
    let bad = || Failure::NoRoute(NO_ROUTE.to_owned());
    let text = query::decode(segment, false).ok_or_else(bad)?;
    if text.is_empty() || text.contains('/') { Err(bad()) } else { Ok(text) }
}

/// A path with its names left out: `workspaces/-/instances/-`. `other` for what is no path of ours.
pub(super) fn template(path: &str) -> String {
    let known = [Method::GET, Method::PUT, Method::POST]
        .iter()
        .any(|method| !matches!(Route::parse(method, path), Err(Failure::NoRoute(_) | Failure::Method(_))));
    let Some((_, rest)) = path.strip_prefix("/providers/").and_then(|rest| rest.split_once("/v1/")) else {
        return "other".to_owned();
    };
    if !known {
        return "other".to_owned();
    }
    let segments = rest.trim_end_matches('/').split('/').enumerate();
    // The table has no collection that is written in two ways, but a percent sign would make one.
    let named = segments.map(|(position, segment)| match decode(segment) {
        Ok(collection) if position % 2 == 0 => collection,
        _ => "-".to_owned(),
    });
    named.collect::<Vec<_>>().join("/")
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
        assert_eq!(template(&path), expected, "{path}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, path: &str) -> String {
        match Route::parse(&method, path) {
            Ok(Route { target, .. }) => match target {
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
                let route = Route::parse(&Method::GET, &path);
                assert_eq!(route.ok().expect("a route").alias.as_deref(), alias, "{path}");
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
