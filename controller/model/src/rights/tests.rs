mod giving;

use rempart_api::{Kind, Urn};
use serde_json::{Value, json};

use super::*;
use crate::RefusalClass;
use crate::fixture::{World, in_net, instance, volume, workspace};

/// Gives role `name`, made of one permission, to `subject` in `scope`.
fn give(world: &mut World, name: &str, permission: Value, subject: &str, scope: Value) {
    let role = Urn::tenant(Kind::Role, "t1", name);
    world.put(&role, json!({ "permissions": [permission] })).unwrap();
    assign(world, name, &[name], subject, scope);
}

fn assign(world: &mut World, name: &str, roles: &[&str], subject: &str, scope: Value) {
    let assignment = Urn::tenant(Kind::RoleAssignment, "t1", name);
    world.put(&assignment, json!({"roles": roles, "subs": [subject], "scopes": [scope]})).unwrap();
}

fn on(provider: &str, resources: &[&str], verb: &[&str]) -> Value {
    json!({"provider": provider, "resources": resources, "verb": verb})
}

fn all_of(urn: &Urn) -> Urn {
    Urn { name: String::new(), ..urn.clone() }
}

#[test]
fn a_star_stands_for_any_run() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("*", "instances/a/b", true),
        ("instances/*", "instances/a", true),
        ("instances/*", "instances/", true),
        ("instances/*", "instances", false),
        ("*/a", "networks/n/subnets/a", true),
        ("networks/*/subnets/*", "networks/n/subnets/s", true),
        ("a*b*c", "axxbyyc", true),
        ("a*b*c", "axxbyy", false),
        ("a*bc", "abcbc", true),
        ("**", "x", true),
        ("", "", true),
        ("", "x", false),
        ("a", "a*", false),
        ("a*", "a*", true),
        ("é*", "éa", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
    // Many stars do not multiply.
    let (pattern, text) = ("a*".repeat(128), "a".repeat(300) + "b");
    assert!(matches(&pattern, &text) && !matches(&format!("{pattern}c"), &text));
}

#[test]
fn a_resource_goes_by_each_of_its_names() {
    let subnet = in_net(Kind::Subnet, "s");
    for resource in
        ["*", "subnets/*", "subnets/s", "networks/subnets/s", "networks/net/subnets/s", "networks/*"]
    {
        let mut world = World::hostless();
        give(&mut world, "r", on("seca.network", &[resource], &["get"]), "bob", json!({}));
        assert!(world.state.may("bob", &subnet, VerbSet::GET), "{resource}");
        assert!(!world.state.may("bob", &subnet, VerbSet::PUT), "{resource}");
        assert!(!world.state.may("carol", &subnet, VerbSet::GET), "{resource}");
    }
    for resource in ["subnets", "subnets/", "subnet/*", "subnets/t", "networks/other/subnets/s", "SUBNETS/*"]
    {
        let mut world = World::hostless();
        give(&mut world, "r", on("seca.network", &[resource], &["get"]), "bob", json!({}));
        assert!(!world.state.may("bob", &subnet, VerbSet::GET), "{resource}");
    }
}

#[test]
fn a_collection_is_given_by_its_name_or_with_all_that_is_in_it() {
    let images = Urn::tenant(Kind::Image, "t1", "");
    for (resource, expected) in [("images", true), ("images/*", true), ("*", true), ("images/debian", false)]
    {
        let mut world = World::hostless();
        give(&mut world, "r", on("seca.storage/v1", &[resource], &["list"]), "bob", json!({}));
        assert_eq!(world.state.may("bob", &images, VerbSet::LIST), expected, "{resource}");
    }
}

#[test]
fn post_means_every_action_and_an_action_only_itself() {
    for (verb, start, stop) in [("post", true, true), ("POST.START", true, false), ("*", true, true)] {
        let mut world = World::hostless();
        give(&mut world, "r", on("seca.compute", &["instances/*"], &[verb]), "bob", json!({}));
        let may = |verbs| world.state.may("bob", &instance("vm"), verbs);
        assert_eq!((may(VerbSet::START), may(VerbSet::STOP)), (start, stop), "{verb}");
    }
}

#[test]
fn scopes_are_alternatives_and_each_covers_what_all_its_parts_cover() {
    let everything = on("seca.compute", &["*"], &["*"]);
    for (scope, w1, w2) in [
        (json!({}), true, true),
        (json!({"workspaces": []}), true, true),
        (json!({"workspaces": ["w1"]}), true, false),
        (json!({"workspaces": ["w2", "w1"], "regions": ["eu-1"], "tenants": ["t1"]}), true, true),
        (json!({"workspaces": ["later"]}), false, false),
    ] {
        let mut world = World::hostless();
        give(&mut world, "r", everything.clone(), "bob", scope.clone());
        let may = |workspace: &str| {
            world.state.may("bob", &Urn::workspace(Kind::Instance, "t1", workspace, "x"), VerbSet::PUT)
        };
        assert_eq!((may("w1"), may("w2")), (w1, w2), "{scope}");
        assert!(!world.state.may("bob", &Urn::workspace(Kind::Instance, "t2", "w1", "x"), VerbSet::PUT));
    }
}

#[test]
fn a_scope_of_workspaces_holds_inside_them_and_for_them() {
    let mut world = World::hostless();
    world.created(&workspace("w2"), json!({}));
    assign(&mut world, "a", &["seca.workspace-admin"], "bob", json!({"workspaces": ["w1"]}));
    let state = &world.state;
    assert!(
        state.may("bob", &workspace("w1"), VerbSet::GET) && state.may("bob", &workspace("w1"), VerbSet::LIST)
    );
    for verb in [VerbSet::PUT, VerbSet::DELETE, VerbSet::ALL, VerbSet::ACT] {
        assert!(!state.may("bob", &workspace("w1"), verb), "{verb:?} is asked for in the tenant");
    }
    assert!(!state.may("bob", &workspace("w2"), VerbSet::GET));
    assert!(!state.may("bob", &all_of(&workspace("")), VerbSet::LIST), "not all of them");
    assert_eq!(state.workspaces_seen("bob", "t1"), Seen::Only(["w1".to_owned()].into()));
    assert_eq!(state.workspaces_seen("alice", "t1"), Seen::All);
    assert_eq!(state.workspaces_seen("mallory", "t1"), Seen::Only(BTreeSet::new()));
    assert_eq!(state.workspaces_seen("bob", "t2"), Seen::Only(BTreeSet::new()));
    assert!(
        !state.may("bob", &Urn::tenant(Kind::Image, "t1", "i"), VerbSet::GET),
        "outside of any workspace"
    );
}

/// SECA: outside of any workspace a scope of workspaces matches nothing but reading the named ones.
#[test]
fn a_scope_of_workspaces_neither_makes_nor_deletes_them() {
    for (scope, here, there) in [
        (json!({"workspaces": ["w1", "later"]}), false, false),
        (json!({}), true, true),
        (json!({"workspaces": []}), true, true),
    ] {
        let mut world = World::hostless();
        give(&mut world, "r", on("seca.workspace", &["*"], &["*"]), "bob", scope.clone());
        let may = |name: &str, verbs| world.state.may("bob", &workspace(name), verbs);
        for verbs in [VerbSet::PUT, VerbSet::DELETE, VerbSet::ALL] {
            assert_eq!((may("w1", verbs), may("later", verbs)), (here, there), "{scope} {verbs:?}");
        }
        assert!(may("w1", VerbSet::GET) && may("later", VerbSet::READ), "{scope}");
    }
}

#[test]
fn rights_end_with_their_role_and_with_their_assignment() {
    let mut world = World::hostless();
    let vm = instance("vm");
    give(&mut world, "r", on("seca.compute", &["*"], &["get"]), "bob", json!({}));
    assert!(world.state.may("bob", &vm, VerbSet::GET));
    world.deleted(&Urn::tenant(Kind::Role, "t1", "r"));
    assert!(!world.state.may("bob", &vm, VerbSet::GET), "the assignment gives nothing through it");
    give(&mut world, "r", on("seca.compute", &["*"], &["get"]), "bob", json!({}));
    assert!(world.state.may("bob", &vm, VerbSet::GET));
    world
        .put(
            &Urn::tenant(Kind::Role, "t1", "r"),
            json!({"permissions": [on("seca.compute", &["x"], &["get"])]}),
        )
        .unwrap();
    assert!(!world.state.may("bob", &vm, VerbSet::GET), "the role says something else now");
    assign(&mut world, "r", &["seca.workspace-viewer"], "bob", json!({}));
    assert!(world.state.may("bob", &vm, VerbSet::GET));
    assign(&mut world, "r", &["seca.workspace-viewer"], "carol", json!({}));
    assert!(!world.state.may("bob", &vm, VerbSet::GET) && world.state.may("carol", &vm, VerbSet::GET));
    world.deleted(&Urn::tenant(Kind::RoleAssignment, "t1", "r"));
    assert!(!world.state.may("carol", &vm, VerbSet::GET));
}

/// Everybody is everybody the tenant knows: who is named somewhere, and its service accounts.
#[test]
fn a_star_among_subjects_is_not_for_strangers() {
    let mut world = World::hostless();
    let vm = instance("vm");
    assign(&mut world, "all", &["seca.workspace-viewer"], "*", json!({}));
    assign(&mut world, "some", &["nothing"], "bob", json!({}));
    for (subject, expected) in [
        ("bob", true),
        ("sa:t1/robot", true),
        ("sa:t10/robot", false),
        ("sa:t1", false),
        ("mallory", false),
        ("*", false),
    ] {
        assert_eq!(world.state.may(subject, &vm, VerbSet::GET), expected, "{subject}");
        assert_eq!(world.state.knows("t1", subject), expected, "{subject}");
    }
}

#[test]
fn owners_may_everything_and_only_in_their_tenant() {
    let world = World::hostless();
    for row in Kind::table().iter().filter(|row| row.scope != Scope::Global) {
        let here = Urn::network(row.kind, "t1", "w1", "n", "x").sibling(row.kind, "x");
        let there = Urn { tenant: "t2".to_owned(), ..here.clone() };
        assert!(world.state.may("alice", &here, VerbSet::ALL), "{here}");
        assert!(!world.state.may("alice", &there, VerbSet::GET), "{there}");
    }
}

/// SECA's table of system roles, once more.
#[test]
fn system_roles_hold_what_seca_says() {
    let assignments = Urn::tenant(Kind::RoleAssignment, "t1", "x");
    let bits = |verbs: &[VerbSet]| verbs.iter().copied().fold(VerbSet::default(), VerbSet::with);
    let (none, read) = (VerbSet::default(), bits(&[VerbSet::GET, VerbSet::LIST]));
    let edit = bits(&[read, VerbSet::PUT]);
    for (role, roles, workspaces, planes) in [
        ("seca.admin", VerbSet::ALL, VerbSet::ALL, VerbSet::ALL),
        ("seca.region-admin", none, VerbSet::ALL, VerbSet::ALL),
        ("seca.workspace-admin", none, edit, VerbSet::ALL),
        ("seca.workspace-editor", none, read, bits(&[edit, VerbSet::POST])),
        ("seca.workspace-viewer", none, read, read),
    ] {
        let mut world = World::hostless();
        assign(&mut world, "a", &[role], "bob", json!({}));
        for (urn, expected) in [
            (&assignments, roles),
            (&Urn::tenant(Kind::Role, "t1", "x"), roles),
            (&Urn::tenant(Kind::ServiceAccount, "t1", "x"), roles),
            (&workspace("x"), workspaces),
            (&instance("x"), planes),
            (&volume("x"), planes),
            (&Urn::tenant(Kind::Image, "t1", "x"), planes),
            (&in_net(Kind::Subnet, "x"), planes),
            (&Urn::workspace(Kind::SecurityGroupRule, "t1", "w1", "x"), planes),
        ] {
            for bit in
                [VerbSet::GET, VerbSet::LIST, VerbSet::PUT, VerbSet::DELETE, VerbSet::START, VerbSet::ACT]
            {
                assert_eq!(world.state.may("bob", urn, bit), expected.hold(bit), "{role} {urn} {bit:?}");
            }
        }
    }
}

#[test]
fn system_roles_are_seen_by_every_tenant_and_written_by_none() {
    let mut world = World::hostless();
    let urn = Urn::tenant(Kind::Role, "t1", "seca.admin");
    assert_eq!(world.state.get_visible(&urn).unwrap().urn.name, "seca.admin");
    let all: Vec<_> =
        system_roles(&Urn::tenant(Kind::Role, "t1", "")).map(|role| role.urn.name.clone()).collect();
    assert!(all.is_sorted() && all.len() == 5, "{all:?}");
    assert_eq!(system_roles(&Urn::tenant(Kind::Role, "t1", "seca.workspace-e")).count(), 2);
    assert_eq!(system_roles(&workspace("")).count(), 0);
    let spec = json!({"permissions": [on("seca.compute", &["*"], &["*"])]});
    for name in ["seca.admin", "seca.mine"] {
        let urn = Urn::tenant(Kind::Role, "t1", name);
        assert_eq!(world.put(&urn, spec.clone()).unwrap_err().class, RefusalClass::Forbidden);
        assert_eq!(world.delete(&urn).unwrap_err().class, RefusalClass::Forbidden);
    }
    for kind in [Kind::Role, Kind::RoleAssignment] {
        let urn = Urn::tenant(kind, "public", "r");
        let spec = if kind == Kind::Role {
            spec.clone()
        } else {
            json!({"roles": ["r"], "subs": ["x"], "scopes": [{}]})
        };
        assert_eq!(world.put(&urn, spec).unwrap_err().class, RefusalClass::Forbidden);
    }
}

/// Puts a workspace as a request of the API does.
fn make_workspace(world: &mut World, subject: &str, name: &str) -> crate::Outcome {
    let put = world.put_command(&workspace(name), json!({}));
    let mut envelope = world.envelope(crate::Command::Put(Box::new(put)));
    envelope.actor = subject.to_owned();
    envelope.trace = Some("00-1-1-01".to_owned());
    world.apply_envelope(&envelope).outcome
}

#[test]
fn who_creates_a_workspace_may_run_it_as_long_as_it_is_there() {
    let mut world = World::hostless();
    let inside = |name: &str| Urn::workspace(Kind::Instance, "t1", name, "x");
    let assignments = |world: &World| world.state.of_tenant(Kind::RoleAssignment, "t1").count();
    give(&mut world, "r", on("seca.workspace", &["*"], &["put", "delete"]), "bob", json!({}));
    for name in ["a", "b"] {
        make_workspace(&mut world, "bob", name).unwrap();
        assert!(world.state.may("bob", &inside(name), VerbSet::ALL), "{name}");
    }
    assert!(!world.state.may("bob", &inside("w1"), VerbSet::GET), "what others made is not his");
    assert_eq!(assignments(&world), 3);
    make_workspace(&mut world, "bob", "a").unwrap();
    assert_eq!(assignments(&world), 3, "once");
    make_workspace(&mut world, "alice", "c").unwrap();
    assert_eq!(assignments(&world), 3, "an owner needs none");
    world.deleted(&workspace("a"));
    assert!(!world.state.may("bob", &inside("a"), VerbSet::GET));
    assert_eq!(assignments(&world), 2);
    // Another's, by the same name.
    make_workspace(&mut world, "alice", "a").unwrap();
    assert!(!world.state.may("bob", &inside("a"), VerbSet::GET));
    // It can be taken away.
    let his = world
        .state
        .of_tenant(Kind::RoleAssignment, "t1")
        .find(|found| found.urn.name.starts_with("b-creator-"));
    let his = (*his.unwrap().urn).clone();
    world.deleted(&his);
    assert!(!world.state.may("bob", &inside("b"), VerbSet::GET));
    world.deleted(&workspace("b"));
}
