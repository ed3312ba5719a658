use std::collections::BTreeSet;

use super::super::{Interface, routes};
use super::*;

/// The paths of a router, as it lists them itself.
fn paths(router: &axum::Router<Arc<Settings>>) -> BTreeSet<String> {
    let text = format!("{router:?}");
    let own = text.split("fallback_router:").next().unwrap();
    own.split('"').filter(|part| part.starts_with('/')).map(str::to_owned).collect()
}

/// The methods that a path's handler takes, as it lists them itself.
fn methods(handler: &MethodRouter<Arc<Settings>>) -> BTreeSet<String> {
    let text = format!("{handler:?}");
    let all = ["get", "head", "delete", "options", "patch", "post", "put", "trace", "connect"];
    let missing = |method: &&str| text.contains(&format!(" {method}: None,"));
    assert!(all.iter().any(missing), "it is listed otherwise by now: {text}");
    all.into_iter().filter(|method| !missing(method)).map(str::to_owned).collect()
}

#[test]
fn the_router_has_what_the_table_has_and_nothing_else() {
    let table: BTreeSet<_> = TABLE.iter().map(|row| row.path.to_owned()).collect();
    assert_eq!(paths(&routes(Interface::All)), table);
    for row in TABLE {
        let said: BTreeSet<_> = row.methods.iter().map(|(method, _)| (*method).to_owned()).collect();
        assert_eq!(methods(&(row.handler)()), said, "{}", row.path);
    }
    // It would be seen.
    let more = routes(Interface::All).route("/more", get(readiness));
    assert!(paths(&more).contains("/more"));
    assert_eq!(methods(&get(readiness).put(readiness)), ["get".to_owned(), "put".to_owned()].into());
}
