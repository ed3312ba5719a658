//! Nobody gives more than they hold.

use proptest::prelude::*;
use rempart_api::{Kind, Urn};
use serde_json::{Value, json};

use super::*;
use crate::answer::Outcome;

fn as_subject<T>(world: &mut World, subject: &str, deed: impl FnOnce(&mut World) -> T) -> T {
    let before = std::mem::replace(&mut world.actor, subject.to_owned());
    let done = deed(world);
    world.actor = before;
    done
}

fn put_as(world: &mut World, subject: &str, kind: Kind, name: &str, spec: Value) -> Outcome {
    as_subject(world, subject, |world| world.put(&Urn::tenant(kind, "t1", name), spec))
}

fn role(permissions: &[Value]) -> Value {
    json!({ "permissions": permissions })
}

fn assignment(roles: &[&str], subject: &str, scope: Value) -> Value {
    json!({"roles": roles, "subs": [subject], "scopes": [scope]})
}

fn forbidden(outcome: Outcome, words: &str) {
    let refusal = outcome.expect_err(words);
    assert_eq!(refusal.class, RefusalClass::Forbidden, "{refusal:?}");
    assert!(refusal.detail.contains(words), "{words}: {}", refusal.detail);
}

/// bob may give, reads compute in all the tenant and may everything to instances in w1.
fn world() -> World {
    let mut world = World::hostless();
    world.created(&workspace("w2"), json!({}));
    give(&mut world, "gives", on("seca.authorization", &["*"], &["*"]), "bob", json!({}));
    give(&mut world, "reads", on("seca.compute", &["*"], &["get", "list"]), "bob", json!({}));
    give(
        &mut world,
        "runs",
        on("seca.compute", &["instances/*"], &["*"]),
        "bob",
        json!({"workspaces": ["w1"]}),
    );
    world
}

/// SECA's clients expect a subject that nobody knows to be refused: operators may say who is known.
#[test]
fn where_subjects_are_listed_nobody_else_is_given_a_role() {
    let mut world = World::hostless();
    let tenant = Urn::global(Kind::Tenant, "t1");
    let give = |world: &mut World, subject: &str| {
        put_as(world, "alice", Kind::RoleAssignment, "a", assignment(&["r"], subject, json!({}))).map(|_| ())
    };
    give(&mut world, "anybody").unwrap();
    world.updated(&tenant, json!({"owners": ["alice"], "subjects": ["bob"]}));
    world.created(&Urn::tenant(Kind::ServiceAccount, "t1", "ci"), json!({"keys": []}));
    give(&mut world, "anybody").expect("what it says already is not given anew");
    for known in ["bob", "alice", "*", "sa:t1/ci"] {
        give(&mut world, known).unwrap_or_else(|refusal| panic!("{known}: {refusal:?}"));
    }
    for unknown in ["anybody", "sa:t1/none", "sa:t2/ci"] {
        let refusal = give(&mut world, unknown).expect_err(unknown);
        assert_eq!(refusal.class, RefusalClass::Invalid, "{refusal:?}");
        assert_eq!(refusal.sources[0].pointer, "/spec/subs/0");
    }
    let many: Vec<String> = (0..1025).map(|number| format!("s{number}")).collect();
    let refusal = world.put(&tenant, json!({"owners": ["alice"], "subjects": many})).unwrap_err();
    assert_eq!(refusal.sources[0].pointer, "/spec/subjects");
    world.updated(&tenant, json!({"owners": ["alice"]}));
    give(&mut world, "anybody").unwrap();
}

#[test]
fn a_role_gives_what_its_writer_holds_in_all_the_tenant() {
    let mut world = world();
    let mut put = |spec: Value| put_as(&mut world, "bob", Kind::Role, "r", spec);
    put(role(&[on("seca.compute/v1", &["instances/web", "skus", "x*"], &["GET"])])).unwrap();
    forbidden(
        put(role(&[on("seca.compute", &["instances/web"], &["put"])])),
        "seca.compute on instances/web",
    );
    forbidden(put(role(&[on("seca.compute", &["*"], &["*"])])), "seca.compute on *");
    forbidden(put(role(&[on("seca.storage", &["x"], &["get"])])), "seca.storage on x");
    // What the owner put into it stays as long as nobody touches it, and can be taken out.
    world.put(&Urn::tenant(Kind::Role, "t1", "r"), role(&[on("seca.storage", &["*"], &["*"])])).unwrap();
    let same = role(&[on("seca.storage", &["*"], &["*"])]);
    put_as(&mut world, "bob", Kind::Role, "r", same).unwrap();
    put_as(&mut world, "bob", Kind::Role, "r", role(&[on("seca.compute", &["*"], &["get"])])).unwrap();
}

#[test]
fn an_assignment_gives_what_its_writer_holds_in_each_scope() {
    let mut world = world();
    let mut put = |roles: &[&str], scope: Value| {
        put_as(&mut world, "bob", Kind::RoleAssignment, "a", assignment(roles, "carol", scope))
    };
    put(&["reads"], json!({})).unwrap();
    put(&["runs"], json!({"workspaces": ["w1"]})).unwrap();
    forbidden(put(&["runs"], json!({"workspaces": ["w1", "w2"]})), "role runs: seca.compute on instances/*");
    forbidden(put(&["runs"], json!({"workspaces": []})), "role runs");
    forbidden(put(&["reads", "seca.admin"], json!({})), "role seca.admin");
    let refusal = put(&["reads"], json!({"tenants": ["t1", "t2"]})).unwrap_err();
    assert_eq!(refusal.class, RefusalClass::Invalid);
    assert_eq!(refusal.sources[0].pointer, "/spec/scopes/0/tenants/1");
    // To themselves no more than to others.
    forbidden(
        put_as(&mut world, "bob", Kind::RoleAssignment, "b", assignment(&["seca.admin"], "bob", json!({}))),
        "seca.admin",
    );
    forbidden(
        put_as(
            &mut world,
            "mallory",
            Kind::RoleAssignment,
            "m",
            assignment(&["reads"], "mallory", json!({})),
        ),
        "reads",
    );
}

/// It gives nothing yet, and will give whatever its writer likes: only owners hold that already.
#[test]
fn a_role_that_is_not_there_is_assigned_by_owners_alone() {
    let mut world = world();
    let team = assignment(&["reads", "team-admins"], "bob", json!({}));
    let bobs = |world: &mut World, name: &str, spec: &Value| {
        put_as(world, "bob", Kind::RoleAssignment, name, spec.clone())
    };
    forbidden(bobs(&mut world, "team", &team), "role team-admins is not there");
    forbidden(
        put_as(&mut world, "bob", Kind::Role, "team-admins", role(&[on("seca.storage", &["*"], &["*"])])),
        "seca.storage",
    );
    world.created(&Urn::tenant(Kind::RoleAssignment, "t1", "team"), team.clone());
    bobs(&mut world, "team", &team).expect("what it says already is not given anew");
    let wider = assignment(&["reads", "team-admins"], "carol", json!({}));
    forbidden(bobs(&mut world, "team", &wider), "role team-admins is not there");
    bobs(&mut world, "team", &assignment(&["reads"], "carol", json!({}))).unwrap();
    // Made by whoever holds what it gives, it is a role like others; once it went, it is none.
    put_as(&mut world, "bob", Kind::Role, "team-admins", role(&[on("seca.compute", &["x"], &["get"])]))
        .unwrap();
    bobs(&mut world, "team", &wider).unwrap();
    world.deleted(&Urn::tenant(Kind::Role, "t1", "team-admins"));
    forbidden(bobs(&mut world, "other", &wider), "role team-admins is not there");
    // Nor does anybody speak for an account that waits for one.
    assign(&mut world, "robot", &["team-admins"], "sa:t1/robot", json!({}));
    let robot = put_as(&mut world, "bob", Kind::ServiceAccount, "robot", json!({"keys": []}));
    forbidden(robot, "role team-admins is not there");
}

/// A role that widens is the act of who writes it: whoever it was assigned to meanwhile has it.
#[test]
fn who_widens_a_role_gives_it_to_all_who_have_it() {
    let mut world = world();
    let ops = Urn::tenant(Kind::Role, "t1", "ops");
    let all = role(&[on("seca.storage", &["*"], &["*"])]);
    world.created(&ops, all.clone());
    let to_bob = assignment(&["ops"], "bob", json!({}));
    forbidden(
        put_as(&mut world, "bob", Kind::RoleAssignment, "ops", to_bob.clone()),
        "role ops: seca.storage",
    );
    put_as(&mut world, "bob", Kind::Role, "ops", role(&[on("seca.compute", &["*"], &["get"])])).unwrap();
    put_as(&mut world, "bob", Kind::RoleAssignment, "ops", to_bob).unwrap();
    forbidden(put_as(&mut world, "bob", Kind::Role, "ops", all.clone()), "seca.storage");
    assert!(!world.state.may("bob", &volume("x"), VerbSet::PUT));
    world.updated(&ops, all);
    assert!(world.state.may("bob", &volume("x"), VerbSet::PUT), "the owner gave it");
}

#[test]
fn who_says_what_an_accounts_keys_are_holds_what_it_holds() {
    let mut world = world();
    let keys = |digit: char| json!({"keys": [{"kid": "1", "kty": "OKP", "crv": "Ed25519", "x": digit.to_string().repeat(43)}]});
    put_as(&mut world, "bob", Kind::ServiceAccount, "robot", keys('A')).unwrap();
    assign(&mut world, "robot", &["reads"], "sa:t1/robot", json!({}));
    put_as(&mut world, "bob", Kind::ServiceAccount, "robot", keys('B')).unwrap();
    assign(&mut world, "robot", &["seca.admin"], "sa:t1/robot", json!({}));
    put_as(&mut world, "bob", Kind::ServiceAccount, "robot", keys('B')).unwrap();
    forbidden(put_as(&mut world, "bob", Kind::ServiceAccount, "robot", keys('C')), "role seca.admin");
    // An assignment may name an account that is not there yet.
    assign(&mut world, "early", &["seca.admin"], "sa:t1/early", json!({}));
    forbidden(put_as(&mut world, "bob", Kind::ServiceAccount, "early", keys('A')), "role seca.admin");
    let owners = json!({"owners": ["alice", "sa:t1/owner"]});
    world.updated(&Urn::global(Kind::Tenant, "t1"), owners);
    forbidden(put_as(&mut world, "bob", Kind::ServiceAccount, "owner", keys('A')), "owns tenant t1");
    put_as(&mut world, "alice", Kind::ServiceAccount, "owner", keys('A')).unwrap();
}

/// To refer to something elsewhere is to use it.
#[test]
fn a_reference_out_of_the_workspace_needs_a_right_to_its_target() {
    let mut world = world();
    world.created(&workspace("w3"), json!({}));
    let there = |name| Urn::workspace(Kind::BlockStorage, "t1", "w2", name);
    world.created(&there("secret"), crate::fixture::volume_spec(1));
    world.created(&volume("own"), crate::fixture::volume_spec(1));
    assign(&mut world, "w1", &["seca.workspace-admin"], "carol", json!({"workspaces": ["w1"]}));
    let vm = |world: &mut World, boot: &str| {
        as_subject(world, "carol", |world| world.put(&instance("vm"), crate::fixture::instance_spec(boot)))
    };
    for name in ["secret", "missing"] {
        let boot = format!("workspaces/w2/block-storages/{name}");
        let words = format!(
            "/spec/bootVolume/deviceRef: you have no right to use seca.storage/v1/tenants/t1/{boot} (put)"
        );
        forbidden(vm(&mut world, &boot), &words);
    }
    vm(&mut world, "own").unwrap();
    // An image is outside of every workspace, and copies what it is made of.
    let image = |world: &mut World, subject: &str, workspace: &str, name: &str| {
        let source = format!("workspaces/{workspace}/block-storages/{name}");
        let spec = json!({"blockStorageRef": source, "cpuArchitecture": "amd64"});
        put_as(world, subject, Kind::Image, "i", spec)
    };
    forbidden(image(&mut world, "carol", "w2", "secret"), "(get)");
    image(&mut world, "alice", "w2", "secret").unwrap();
    // What was referred to by somebody who may stays.
    as_subject(&mut world, "alice", |world| {
        let spec = crate::fixture::instance_with(
            "own",
            json!({"dataVolumes": [{"deviceRef": "workspaces/w2/block-storages/secret"}]}),
        );
        world.put(&instance("vm"), spec.clone()).unwrap();
        as_subject(world, "carol", |world| world.put(&instance("vm"), spec).unwrap());
    });
}

const SUBJECTS: [&str; 4] = ["bob", "carol", "sa:t1/robot", "mallory"];
const ROLES: [&str; 3] = ["r0", "r1", "seca.workspace-editor"];

/// Something that a subject other than the owner does, or the owner.
#[derive(Debug, Clone)]
struct Deed {
    actor: usize,
    choice: u32,
}

fn permission(choice: u32) -> Value {
    let pick = |from: &[&'static str], shift: u32| from[(choice >> shift) as usize % from.len()];
    on(
        pick(&["seca.compute", "seca.storage", "seca.authorization"], 0),
        &[pick(&["*", "instances/*", "instances/x", "*/x", "images", "role-assignments/*"], 4)],
        &[pick(&["get", "put", "*", "post", "list"], 8)],
    )
}

/// What the subjects may, among some dozens of things.
fn held(state: &State) -> Vec<(String, VerbSet)> {
    let things = [
        instance("x"),
        instance("y"),
        Urn::workspace(Kind::Instance, "t1", "w2", "x"),
        volume("x"),
        Urn::tenant(Kind::Image, "t1", "x"),
        Urn::tenant(Kind::Image, "t1", ""),
        Urn::tenant(Kind::RoleAssignment, "t1", "x"),
        Urn::tenant(Kind::ServiceAccount, "t1", "x"),
        workspace("w1"),
    ];
    let verbs = [VerbSet::GET, VerbSet::LIST, VerbSet::PUT, VerbSet::DELETE, VerbSet::START];
    let all = things.iter().flat_map(|urn| verbs.map(|verb| (urn, verb)));
    let somebody = |urn: &Urn, verb| SUBJECTS.iter().any(|subject| state.may(subject, urn, verb));
    all.filter(|(urn, verb)| somebody(urn, *verb)).map(|(urn, verb)| (urn.to_string(), verb)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// What all but the owner hold together grows by the owner's deeds alone. Not: to whom the owner meant to give it. Who may
    /// write roles and assignments assigns to themselves a role that gives no more than they hold, and an owner who makes
    /// it wider gives that to them.
    #[test]
    fn what_others_hold_together_grows_by_owners_deeds_alone(
        deeds in prop::collection::vec((0..6usize, any::<u32>()).prop_map(|(actor, choice)| Deed { actor, choice }), 1..40)
    ) {
        let mut world = World::hostless();
        world.created(&workspace("w2"), json!({}));
        let mut given = Vec::new();
        for Deed { actor, choice } in deeds {
            // The owner, twice as often as another.
            let actor = SUBJECTS.get(actor).copied().unwrap_or("alice");
            let name = ROLES[(choice >> 12) as usize % 2];
            let scope = [json!({}), json!({"workspaces": ["w1"]}), json!({"workspaces": ["w1", "w2"]})];
            let _ = match choice >> 16 & 7 {
                0..=2 => put_as(&mut world, actor, Kind::Role, name, role(&[permission(choice), permission(choice >> 20)])),
                3..=5 => {
                    let roles = [ROLES[(choice >> 4) as usize % 3], ROLES[(choice >> 6) as usize % 3]];
                    let subject = SUBJECTS.get((choice >> 8) as usize % 5).copied().unwrap_or("*");
                    let spec = assignment(&roles, subject, scope[(choice >> 2) as usize % 3].clone());
                    put_as(&mut world, actor, Kind::RoleAssignment, name, spec)
                }
                6 => as_subject(&mut world, actor, |world| world.delete(&Urn::tenant(Kind::Role, "t1", name))),
                _ => as_subject(&mut world, actor, |world| world.delete(&Urn::tenant(Kind::RoleAssignment, "t1", name))),
            };
            let now = held(&world.state);
            if actor != "alice" {
                for right in &now {
                    prop_assert!(given.contains(right), "{actor} made {right:?} by {choice:x}");
                }
            }
            given = now;
        }
    }
}
