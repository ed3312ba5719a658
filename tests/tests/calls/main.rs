//! Random calls by several callers against a live controller, each answer compared with what the model says: status, class, fields
//! at fault, versions, states, pages. And many callers at once, after whom nothing is lost, doubled or dangling.
//!
//! A failure prints its seed; `CALLS_SEEDS=1,2,3` runs these and no others, `CALLS_LENGTH=10000` makes each run longer.

mod crowd;
mod model;
mod people;
mod plan;
mod spec;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use rempart_api::client::Client;
use rempart_api::{Kind, StringMap, Urn, Verbs};
use rempart_model::{PutCommand, Spec};
use rempart_tests::Cluster;
use serde_json::json;
use uuid::Uuid;

use crate::model::{Expected, Model};
use crate::people::{OPERATOR, OWNER, Robot, STRANGER};
use crate::plan::{Call, Deed};
use crate::wire::Wire;
use rempart_tests::Dice;

/// Seeds of an ordinary run, which ends with one nobody knows.
const SEEDS: [u64; 2] = [1, 2];
/// Calls of a run.
const LENGTH: usize = 1500;
/// Calls before a failure that are told with it.
const TOLD: usize = 12;

/// How often each thing was answered.
type Exercised = BTreeMap<String, usize>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_the_models() {
    let numbers = |name: &str| -> Option<Vec<u64>> {
        let text = std::env::var(name).ok()?;
        Some(text.split(',').map(|number| number.trim().parse().expect("numbers")).collect())
    };
    let asked = numbers("CALLS_SEEDS");
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_nanos();
    let ordinary = || SEEDS.into_iter().chain([u64::from(fresh) + 1000]).collect();
    let seeds = asked.clone().unwrap_or_else(ordinary);
    let length = numbers("CALLS_LENGTH").map_or(LENGTH, |asked| usize::try_from(asked[0]).expect("a number"));
    let mut exercised = Exercised::new();
    for (position, seed) in seeds.into_iter().enumerate() {
        let mut met = Exercised::new();
        if let Err(difference) = live(seed, length, position % 2 == 0, &mut met).await {
            panic!("CALLS_SEEDS={seed} (of {length} calls): {difference}");
        }
        // What is asked for is asked of the seeds that are always the same.
        if SEEDS.contains(&seed) {
            for (what, count) in met {
                *exercised.entry(what).or_default() += count;
            }
        }
    }
    if asked.is_none() {
        check_exercised(&exercised);
    }
}

/// One life of a controller; statuses by one table or the other.
async fn live(seed: u64, length: usize, by_spec: bool, exercised: &mut Exercised) -> Result<(), String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let table = if by_spec { "spec" } else { "client" };
    let settings = [("REMPART_STATUS_TABLE", table)];
    let cluster = Cluster::start_with(&dir.path().join("c"), 1, &settings).await.expect("a cluster");
    let robot = Robot::new();
    let tokens = people::tokens(&cluster.layout, &robot);
    let wire = Wire::new(&cluster, &tokens, by_spec);
    let founded = catalogue(&cluster.client(1, OPERATOR).expect("a client")).await;
    let mut model = Model::founded(founded, &tokens, &robot.x, &wire.url);
    let mut dice = Dice::new(seed);
    let mut last = VecDeque::new();
    let mut calls = VecDeque::from(beginning(&robot.x));
    for number in 0.. {
        if number == length {
            calls.extend(plan::ending(&model.state));
        }
        let call = match calls.pop_front() {
            Some(call) => call,
            None if number < length => plan::next(&mut dice, &model.state, &robot.x),
            None => break,
        };
        let expected = model.answer(&call);
        note(exercised, &call, &expected);
        if let Err(difference) = wire.differs(&call, &expected).await {
            let before: Vec<String> = last.iter().map(|before| format!("  {before:?}")).collect();
            return Err(format!("call {number}: {call:?}\n{difference}\nbefore:\n{}", before.join("\n")));
        }
        if last.len() == TOLD {
            last.pop_front();
        }
        last.push_back(call);
    }
    Ok(())
}

/// What the controller offers since it was founded.
async fn catalogue(operator: &Client) -> Vec<PutCommand> {
    let mut all = vec![Urn::global(Kind::Tenant, "public")];
    for row in Kind::table().iter().filter(|row| row.catalogue) {
        let here = operator.list(&Urn::tenant(row.kind, "public", "")).await.expect("a list");
        all.extend(here.items.iter().map(|item| Urn::tenant(row.kind, "public", &item.metadata.name)));
    }
    let mut puts = Vec::new();
    for urn in all {
        let view = operator.get(&urn).await.expect("it is there");
        puts.push(PutCommand {
            if_unmodified_since: None,
            labels: view.labels.unwrap_or_default(),
            annotations: StringMap::new(),
            extensions: StringMap::new(),
            spec: Spec::parse(urn.kind, &view.spec).expect("a spec"),
            uid: Uuid::now_v7(),
            host: None,
            urn,
        });
    }
    puts
}

/// What is there before chance has its turn: two tenants, a workspace in each, and somebody for every role.
fn beginning(key: &str) -> Vec<Call> {
    let put = |who, urn, spec| Call {
        who,
        urn,
        deed: Deed::Put(json!({ "spec": spec }).to_string()),
        version: None,
    };
    let list = |who| Call {
        who,
        urn: Urn::tenant(Kind::Workspace, "acme", "w"),
        deed: Deed::List { limit: 1, labels: "" },
        version: None,
    };
    let assigned = |name: &str, role: &str, subject: &str, scope: serde_json::Value| {
        let spec = json!({ "roles": [role], "subs": [subject], "scopes": [scope] });
        put(OWNER, Urn::tenant(Kind::RoleAssignment, "acme", name), spec)
    };
    let here = |kind, name: &str| Urn::workspace(kind, "acme", "w", name);
    let inside = |kind, name: &str| Urn::network(kind, "acme", "w", "n", name);
    let route = json!({ "destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/gw" });
    let subnet = json!({ "cidr": { "ipv4": "10.0.1.0/29" }, "routeTableRef": "rt", "zone": "a" });
    let instance = json!({ "skuRef": "skus/DXS", "zone": "a", "bootVolume": { "deviceRef": "v0" } });
    let account = json!({ "keys": [{ "kid": people::KEY, "kty": "OKP", "crv": "Ed25519", "x": key }] });
    vec![
        put(OPERATOR, Urn::global(Kind::Tenant, "acme"), json!({ "owners": [OWNER] })),
        put(OPERATOR, Urn::global(Kind::Tenant, "globex"), json!({ "owners": [people::NEIGHBOUR] })),
        put(OPERATOR, Urn::global(Kind::AddressPool, "a1"), json!({ "blocks": ["203.0.113.0/31"] })),
        put(OWNER, Urn::tenant(Kind::Workspace, "acme", "w"), json!({})),
        put(OWNER, Urn::tenant(Kind::Workspace, "acme", "v"), json!({})),
        put(people::NEIGHBOUR, Urn::tenant(Kind::Workspace, "globex", "w"), json!({})),
        put(
            OWNER,
            here(Kind::Network, "n"),
            json!({ "cidr": { "ipv4": "10.0.0.0/16" }, "skuRef": "skus/n1k" }),
        ),
        put(OWNER, here(Kind::InternetGateway, "gw"), json!({})),
        put(OWNER, inside(Kind::RouteTable, "rt"), json!({ "routes": [route] })),
        put(OWNER, inside(Kind::Subnet, "s"), subnet),
        put(OWNER, here(Kind::BlockStorage, "v0"), json!({ "sizeGB": 1, "skuRef": "skus/LE500" })),
        put(OWNER, here(Kind::Instance, "i0"), instance.clone()),
        put(OWNER, here(Kind::Instance, "i0"), instance),
        Call { deed: Deed::Act("start"), ..put(OWNER, here(Kind::Instance, "i0"), json!({})) },
        put(OWNER, Urn::tenant(Kind::ServiceAccount, "acme", "robot"), account),
        assigned("ed", "seca.workspace-editor", people::EDITOR, json!({ "workspaces": ["w"] })),
        assigned("vic", "seca.workspace-viewer", people::VIEWER, json!({ "workspaces": ["w"] })),
        assigned("robot", "seca.region-admin", people::ROBOT, json!({})),
        assigned("rita", "seca.admin", people::REVOKED, json!({})),
        // Of two workspaces they see the one that is theirs.
        list(people::EDITOR),
        list(people::VIEWER),
        list(OWNER),
    ]
}

fn note(exercised: &mut Exercised, call: &Call, expected: &Expected) {
    let mut count = |what: String| *exercised.entry(what).or_default() += 1;
    let kind = call.urn.kind;
    let deed = match &call.deed {
        Deed::Get => "get",
        Deed::List { .. } => "list",
        Deed::Put(_) => "put",
        Deed::Delete => "delete",
        Deed::Act(action) => action,
        Deed::Odd { .. } => "odd",
    };
    let outcome = match expected {
        Expected::Shown { created: true, .. } => "created".to_owned(),
        Expected::Shown { .. } if deed == "put" => "replaced".to_owned(),
        Expected::Refused(no) => no.status.to_string(),
        Expected::Pages(pages) if pages.len() > 1 => "pages".to_owned(),
        _ => "done".to_owned(),
    };
    count(format!("{deed} {kind} {outcome}"));
    count(format!("{deed} {outcome}"));
    count(format!("{deed} {kind}"));
    let refused = matches!(expected, Expected::Refused(_));
    count(format!("{} {}", call.who, if refused { "refused" } else { "served" }));
    if let (true, Some(_)) = (refused, call.version) {
        count(format!("version {outcome}"));
    }
}

/// A run that tried nothing proves nothing.
fn check_exercised(exercised: &Exercised) {
    let mut expected = BTreeSet::new();
    let mut expect = |what: String| _ = expected.insert(what);
    for row in Kind::table() {
        let kind = row.kind;
        expect(format!("get {kind} done"));
        expect(format!("get {kind} 404"));
        expect(format!("list {kind} done"));
        if row.verbs == Verbs::All || row.catalogue {
            for outcome in ["created", "replaced", "403"] {
                expect(format!("put {kind} {outcome}"));
            }
            expect(format!("delete {kind} done"));
            expect(format!("delete {kind} 404"));
        }
        for action in row.actions {
            expect(format!("{action} {kind}"));
        }
    }
    for who in people::ALL {
        expect(format!("{who} refused"));
        expect(format!("{who} served"));
    }
    for what in [
        "get 401",
        "get 403",
        "put 401",
        "put 403",
        "put 404",
        "put 405",
        "put 409",
        "put 412",
        "delete 409",
        "delete 412",
        "list pages",
        "list 403",
        "list 404",
        "odd 404",
        "odd 405",
        "put 400",
        "put 422",
        "version 412",
        "start 409",
        "start 404",
        "start 403",
        "cordon done",
    ] {
        expect(what.to_owned());
    }
    let missing: Vec<_> = expected.iter().filter(|what| !exercised.contains_key(*what)).collect();
    assert!(missing.is_empty(), "never exercised: {missing:?}\n{exercised:#?}");
    assert!(exercised[&format!("{STRANGER} served")] < exercised[&format!("{STRANGER} refused")]);
}
