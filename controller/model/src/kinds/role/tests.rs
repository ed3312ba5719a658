use rempart_api::{Kind, Urn};
use serde_json::{Value, json};

use crate::fixture::World;
use crate::refusal::RefusalClass;

fn role(permission: Value) -> (Kind, Value) {
    (Kind::Role, json!({ "permissions": [permission] }))
}

fn assignment(roles: Value, subs: Value, scopes: Value) -> (Kind, Value) {
    (Kind::RoleAssignment, json!({"roles": roles, "subs": subs, "scopes": scopes}))
}

#[test]
fn bounds_are_those_of_the_contract() {
    let mut world = World::hostless();
    let permission = |provider: &str, resources: Value, verb: Value| {
        role(json!({"provider": provider, "resources": resources, "verb": verb}))
    };
    let (all, get) = (json!(["*"]), json!(["get"]));
    let many = |count: usize, text: &str| json!(vec![text; count]);
    let different = |count: usize| json!((0..count).map(|number| format!("i{number}/*")).collect::<Vec<_>>());
    let scope = |scope: Value| assignment(json!(["r"]), json!(["bob"]), json!([scope]));
    for ((kind, spec), pointer) in [
        (permission("seca.compute", all.clone(), get.clone()), ""),
        (permission("seca.compute/v1", all.clone(), json!(["GET", "post.Start", "*"])), ""),
        (permission("seca.compute/v2", all.clone(), get.clone()), "/spec/permissions/0/provider"),
        (permission("rempart.fleet", all.clone(), get.clone()), "/spec/permissions/0/provider"),
        (permission("", all.clone(), get.clone()), "/spec/permissions/0/provider"),
        (permission("seca.compute", json!([]), get.clone()), "/spec/permissions/0/resources"),
        (permission("seca.compute", many(256, "*"), get.clone()), ""),
        (permission("seca.compute", many(257, "*"), get.clone()), "/spec/permissions/0/resources"),
        (permission("seca.compute", different(256), get.clone()), ""),
        (permission("seca.compute", json!([""]), get.clone()), "/spec/permissions/0/resources/0"),
        (permission("seca.compute", json!(["x".repeat(257)]), get), "/spec/permissions/0/resources/0"),
        (permission("seca.compute", all.clone(), json!([])), "/spec/permissions/0/verb"),
        (permission("seca.compute", all.clone(), many(17, "get")), "/spec/permissions/0/verb"),
        (permission("seca.compute", all.clone(), json!(["patch"])), "/spec/permissions/0/verb/0"),
        (permission("seca.compute", all, json!(["post.explode"])), "/spec/permissions/0/verb/0"),
        ((Kind::Role, json!({"permissions": []})), "/spec/permissions"),
        (scope(json!({})), ""),
        (scope(json!({"tenants": [], "regions": [], "workspaces": []})), ""),
        (scope(json!({"tenants": ["t1"], "regions": ["eu-1"], "workspaces": ["later"]})), ""),
        (scope(json!({"regions": ["eu-2"]})), "/spec/scopes/0/regions/0"),
        (scope(json!({"workspaces": [""]})), "/spec/scopes/0/workspaces/0"),
        (scope(json!({"workspaces": vec!["w"; 257]})), "/spec/scopes/0/workspaces"),
        (assignment(json!([]), json!(["bob"]), json!([{}])), "/spec/roles"),
        (assignment(many(33, "r"), json!(["bob"]), json!([{}])), "/spec/roles"),
        (assignment(json!(["r".repeat(65)]), json!(["bob"]), json!([{}])), "/spec/roles/0"),
        (assignment(json!(["r"]), json!([]), json!([{}])), "/spec/subs"),
        (assignment(json!(["r"]), json!(["*"]), json!([{}])), ""),
        (assignment(json!(["r"]), json!(["bo*"]), json!([{}])), "/spec/subs/0"),
        (assignment(json!(["r"]), json!(["b".repeat(129)]), json!([{}])), "/spec/subs/0"),
        (assignment(json!(["r"]), many(257, "bob"), json!([{}])), "/spec/subs"),
        (assignment(json!(["r"]), json!(["bob"]), json!([])), "/spec/scopes"),
    ] {
        let outcome = world.put(&Urn::tenant(kind, "t1", "r"), spec.clone());
        match (&outcome, pointer) {
            (Ok(_), "") => {}
            (Err(refusal), _) if refusal.class == RefusalClass::Invalid => {
                assert!(
                    refusal.sources.iter().any(|source| source.pointer == pointer),
                    "{spec}: {refusal:?}"
                );
            }
            _ => panic!("{spec}: {outcome:?}"),
        }
    }
}

#[test]
fn a_role_has_a_bounded_number_of_patterns() {
    let mut world = World::hostless();
    let resources =
        |from: u32| json!((from..from + 200).map(|number| format!("i{number}/*")).collect::<Vec<_>>());
    let permission =
        |from| json!({"provider": "seca.compute", "resources": resources(from), "verb": ["get"]});
    let urn = Urn::tenant(Kind::Role, "t1", "r");
    world.created(&urn, json!({"permissions": [permission(0), permission(0)]}));
    let refusal = world.put(&urn, json!({"permissions": [permission(0), permission(100)]})).unwrap_err();
    assert!(refusal.detail.contains("at most 256"), "{refusal:?}");
}
