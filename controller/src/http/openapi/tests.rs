use std::collections::BTreeSet;
use std::path::Path;

use axum::http::Method;
use rempart_api::Urn;

use super::super::route::Route;
use super::*;

/// Of the document, what the router of resources does not see.
fn is_fixed(method: &str, path: &str) -> bool {
    let here = fixed::TABLE.iter().find(|row| row.path == path);
    here.is_some_and(|row| row.methods.iter().any(|(takes, _)| *takes == method))
}

fn operations() -> BTreeSet<(String, String)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let methods = |item: &Value| item.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let all =
        paths.iter().flat_map(|(path, item)| methods(item).into_iter().map(|method| (method, path.clone())));
    all.filter(|(method, _)| method != "parameters").collect()
}

/// With a name for every parameter.
fn filled(path: &str) -> String {
    let name = |part| match part {
        // What a name has to be one of, or of a form.
        "{provider}" => "seca.compute",
        "{id}" => "h1:00000000-0000-0000-0000-000000000007",
        "{repair}" => "remove",
        part if part.starts_with('{') => "x",
        part => part,
    };
    path.split('/').map(name).collect::<Vec<_>>().join("/")
}

fn takes(method: &str, path: &str) -> bool {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    Route::parse(&filled(path)).is_some_and(|route| route.place.target(&method).is_ok())
}

#[test]
fn every_operation_has_its_route() {
    for (method, path) in operations() {
        // Its collections depend on its provider: `route` tries it with every kind.
        let explain = path.starts_with("/providers/rempart.explain/");
        assert!(explain || is_fixed(&method, &path) || takes(&method, &path), "{method} {path}");
    }
}

#[test]
fn every_route_is_in_the_document() {
    let all = operations();
    let known = |method: &str, path: &str| all.iter().any(|(of, at)| of == method && filled(at) == path);
    for row in Kind::table() {
        let urn = Urn::network(row.kind, "x", "x", "x", "x").sibling(row.kind, "x");
        let item = format!("/providers/{}/v1/{}", row.provider.name(), urn.path());
        let collection = item.strip_suffix("/x").unwrap();
        assert!(known("get", collection), "{collection}");
        for method in ["get", "put", "delete"] {
            assert_eq!(known(method, &item), takes(method, &item), "{method} {item}");
        }
        if let Some(under) = row.kept_under {
            let item = format!("/providers/{}/v1/{}", under.name(), urn.path());
            assert!(known("get", item.strip_suffix("/x").unwrap()), "{item}");
            for method in ["get", "put", "delete"] {
                assert_eq!(known(method, &item), takes(method, &item), "{method} {item}");
            }
        }
        for beneath in row.actions.iter().copied().chain(["content"]) {
            let path = format!("{item}/{beneath}");
            for method in ["post", "put"] {
                assert_eq!(known(method, &path), takes(method, &path), "{method} {path}");
            }
        }
    }
    for row in fixed::TABLE {
        for (method, access) in row.methods {
            assert!(all.contains(&((*method).to_owned(), row.path.to_owned())), "{method} {}", row.path);
            // What takes no token of the API says so.
            let open = document()["paths"][row.path][*method]["security"] == json!([]);
            assert_eq!(open, !matches!(access, Access::Power | Access::Operators), "{method} {}", row.path);
        }
    }
}

#[test]
fn every_reference_inside_leads_somewhere_and_names_are_unique() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    found.push(to.clone());
                }
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for to in found {
        assert!(document.pointer(to.strip_prefix('#').unwrap()).is_some(), "{to}");
    }
    let mut ids = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in
            item.as_object().unwrap().values().filter_map(|operation| operation["operationId"].as_str())
        {
            assert!(ids.insert(operation.to_owned()), "{operation}");
        }
    }
}

/// `OPENAPI_WRITE=1 cargo test -p rempart-controller --lib openapi` writes it anew.
#[test]
fn the_document_in_the_repository_is_this_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    if std::env::var_os("OPENAPI_WRITE").is_some() {
        std::fs::write(&file, TEXT.as_str()).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == *TEXT, "docs/openapi.json is not what the code makes; write it anew (see this test)");
}
