//! Many callers at once, at three controllers; nobody can say beforehand what each is answered, but what must hold afterwards.

use std::collections::{BTreeMap, BTreeSet};

use rempart_api::client::{Client, ClientError};
use rempart_api::{Kind, ResourceView, Urn};
use rempart_tests::Cluster;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::people::{EDITOR, OPERATOR, OWNER};
use rempart_tests::Dice;

const CONTROLLERS: usize = 3;
const CALLERS: usize = 6;
/// Calls of each.
const CALLS: usize = 80;
/// Those that change what all count on, each with the version it read.
const COUNTERS: usize = 2;

fn here(kind: Kind, name: &str) -> Urn {
    Urn::workspace(kind, "acme", "w", name)
}

fn inside(kind: Kind, name: &str) -> Urn {
    Urn::network(kind, "acme", "w", "n", name)
}

/// What was accepted.
#[derive(Default)]
struct Done {
    /// The version each PUT made.
    versions: BTreeMap<Urn, Vec<u64>>,
    created: BTreeMap<Urn, usize>,
    deleted: usize,
    counted: BTreeMap<Urn, u64>,
    /// By status.
    refused: BTreeMap<u16, usize>,
}

impl Done {
    fn add(&mut self, other: Done) {
        for (urn, versions) in other.versions {
            self.versions.entry(urn).or_default().extend(versions);
        }
        for (urn, count) in other.created {
            *self.created.entry(urn).or_default() += count;
        }
        for (urn, count) in other.counted {
            *self.counted.entry(urn).or_default() += count;
        }
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
        self.deleted += other.deleted;
    }

    fn put(&mut self, urn: &Urn, answer: Result<(bool, ResourceView), ClientError>) -> bool {
        match answer {
            Ok((created, view)) => {
                *self.created.entry(urn.clone()).or_default() += usize::from(created);
                let version = view.metadata.resource_version.expect("a version");
                assert_eq!(created, version == 1, "{urn} at version {version}");
                self.versions.entry(urn.clone()).or_default().push(version);
                true
            }
            Err(error) => {
                self.refuse(urn, &error);
                false
            }
        }
    }

    fn refuse(&mut self, urn: &Urn, error: &ClientError) {
        let status = error.status().unwrap_or_else(|| panic!("{urn}: {error}"));
        assert!([403, 404, 409, 412, 422].contains(&status), "{urn}: {error}");
        *self.refused.entry(status).or_default() += 1;
    }
}

/// Something that may be made or go.
fn something(dice: &mut Dice) -> (Urn, Value) {
    let volume = |dice: &mut Dice| dice.pick(&["v0", "v1", "v2"]);
    match dice.roll(8) {
        0..=2 => {
            let mut spec = json!({ "subnetRef": "networks/n/subnets/s" });
            if dice.once_in(2) {
                spec["publicIpRefs"] = json!([dice.pick(&["p0", "p1"])]);
            }
            (here(Kind::Nic, dice.pick(&["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"])), spec)
        }
        3 => (here(Kind::PublicIp, dice.pick(&["p0", "p1", "p2", "p3"])), json!({ "version": "IPv4" })),
        4 => (here(Kind::BlockStorage, volume(dice)), json!({ "sizeGB": 1, "skuRef": "skus/LE500" })),
        5 => {
            let spec = json!({
                "skuRef": "skus/DXS", "zone": "a", "bootVolume": { "deviceRef": volume(dice) },
                "primaryNicRef": dice.pick(&["c0", "c1"]),
            });
            (here(Kind::Instance, dice.pick(&["i0", "i1"])), spec)
        }
        6 => {
            let cidr = dice.pick(&["10.0.2.0/29", "10.0.2.0/30", "0.0.0.0/29"]);
            let spec = json!({ "cidr": { "ipv4": cidr }, "routeTableRef": "rt", "zone": "a" });
            (inside(Kind::Subnet, dice.pick(&["s", "t", "u"])), spec)
        }
        _ => {
            let route = json!({ "destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/gw" });
            (inside(Kind::RouteTable, "rt"), json!({ "routes": [route] }))
        }
    }
}

fn counter(number: usize) -> Urn {
    here(Kind::InternetGateway, &format!("counter{number}"))
}

fn counted(count: u64) -> Value {
    json!({ "annotations": { "count": count.to_string() }, "spec": {} })
}

fn count_of(view: &ResourceView) -> u64 {
    view.annotations.as_ref().expect("annotations")["count"].parse().expect("a number")
}

/// Reads, adds one, and writes if nobody else did meanwhile.
async fn count_up(client: &Client, urn: &Urn, done: &mut Done) {
    let view = client.get(urn).await.expect("it is there");
    let answer = client.put_if(urn, &counted(count_of(&view) + 1), view.metadata.resource_version).await;
    if done.put(urn, answer) {
        *done.counted.entry(urn.clone()).or_default() += 1;
    }
}

async fn caller(client: Client, mut dice: Dice) -> Done {
    let mut done = Done::default();
    for _ in 0..CALLS {
        if dice.once_in(4) {
            count_up(&client, &counter(dice.roll(COUNTERS)), &mut done).await;
            continue;
        }
        let (urn, spec) = something(&mut dice);
        if dice.once_in(3) {
            match client.delete(&urn).await {
                Ok(()) => done.deleted += 1,
                Err(error) => done.refuse(&urn, &error),
            }
        } else {
            let answer = client.put(&urn, &json!({ "spec": spec })).await;
            done.put(&urn, answer);
        }
    }
    done
}

/// Tenant `acme` with workspace `w`, network `n`, what all count on, and two public addresses.
async fn lay_out(operator: &Client, owner: &Client, all: &mut Done) {
    let tenant = json!({ "spec": { "owners": [OWNER] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    let pool = json!({ "spec": { "blocks": ["203.0.113.0/31"] } });
    operator.put(&Urn::global(Kind::AddressPool, "a"), &pool).await.expect("a pool");
    let network = json!({ "cidr": { "ipv4": "10.0.0.0/16" }, "skuRef": "skus/n1k" });
    let route = json!({ "destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/gw" });
    let subnet = json!({ "cidr": { "ipv4": "10.0.1.0/29" }, "routeTableRef": "rt", "zone": "a" });
    let editor =
        json!({ "roles": ["seca.workspace-admin"], "subs": [EDITOR], "scopes": [{ "workspaces": ["w"] }] });
    for (urn, spec) in [
        (Urn::tenant(Kind::Workspace, "acme", "w"), json!({})),
        (Urn::tenant(Kind::RoleAssignment, "acme", "ed"), editor),
        (here(Kind::Network, "n"), network),
        (here(Kind::InternetGateway, "gw"), json!({})),
        (inside(Kind::RouteTable, "rt"), json!({ "routes": [route] })),
        (inside(Kind::Subnet, "s"), subnet),
    ] {
        let answer = owner.put(&urn, &json!({ "spec": spec })).await;
        assert!(all.put(&urn, answer), "{urn}");
    }
    for number in 0..COUNTERS {
        let urn = counter(number);
        let answer = owner.put(&urn, &counted(0)).await;
        assert!(all.put(&urn, answer), "{urn}");
    }
}

/// However it went, somebody refers to something in the end.
async fn use_something(owner: &Client, all: &mut Done) {
    let route = json!({ "destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/gw" });
    let subnet = json!({ "cidr": { "ipv4": "10.0.1.0/29" }, "routeTableRef": "rt", "zone": "a" });
    let instance = json!({
        "skuRef": "skus/DXS", "zone": "a", "bootVolume": { "deviceRef": "v0" }, "primaryNicRef": "c0",
    });
    for (urn, spec) in [
        (inside(Kind::RouteTable, "rt"), json!({ "routes": [route] })),
        (inside(Kind::Subnet, "s"), subnet),
        (here(Kind::Nic, "c0"), json!({ "subnetRef": "networks/n/subnets/s" })),
        (here(Kind::BlockStorage, "v0"), json!({ "sizeGB": 1, "skuRef": "skus/LE500" })),
        (here(Kind::Instance, "i0"), instance),
    ] {
        let answer = owner.put(&urn, &json!({ "spec": spec })).await;
        all.put(&urn, answer);
    }
}

/// What may be referred to, each once, beginning somewhere: nobody makes it again.
async fn delete_what_is_used(client: Client, begin: usize) -> Done {
    let mut done = Done::default();
    let volumes = ["v0", "v1", "v2"].map(|name| here(Kind::BlockStorage, name));
    let subnets = ["s", "t", "u"].map(|name| inside(Kind::Subnet, name));
    let public = ["p0", "p1", "p2", "p3"].map(|name| here(Kind::PublicIp, name));
    let nics = ["c0", "c1", "c2"].map(|name| here(Kind::Nic, name));
    let mut all = [&volumes[..], &subnets, &public, &nics, &[inside(Kind::RouteTable, "rt")]].concat();
    all.rotate_left(begin * 5);
    for urn in all {
        match client.delete(&urn).await {
            Ok(()) => done.deleted += 1,
            Err(error) => done.refuse(&urn, &error),
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_leave_nothing_lost_doubled_or_dangling() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("c"), CONTROLLERS).await.expect("a cluster");
    let owners: Vec<_> = (1..=CONTROLLERS).map(|id| cluster.client(id, OWNER).expect("a client")).collect();
    let mut all = Done::default();
    lay_out(&cluster.client(1, OPERATOR).expect("a client"), &owners[0], &mut all).await;
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let who = [OWNER, EDITOR][number % 2];
        let client = cluster.client(1 + number % CONTROLLERS, who).expect("a client");
        callers.spawn(caller(client, Dice::new(number as u64)));
    }
    for done in callers.join_all().await {
        all.add(done);
    }
    use_something(&owners[0], &mut all).await;
    let mut deleters = JoinSet::new();
    for (number, owner) in owners.iter().cloned().enumerate() {
        deleters.spawn(delete_what_is_used(owner, number));
    }
    for done in deleters.join_all().await {
        all.add(done);
    }
    check_versions(&all);
    let mut there = BTreeMap::new();
    for kind in [
        Kind::Instance,
        Kind::BlockStorage,
        Kind::InternetGateway,
        Kind::Nic,
        Kind::PublicIp,
        Kind::Subnet,
        Kind::RouteTable,
    ] {
        let from = Urn::network(kind, "acme", "w", "n", "").sibling(kind, "");
        let one = owners[0].list_all(&from, None).await.expect("a list");
        for other in &owners[1..] {
            let other = other.list_all(&from, None).await.expect("a list");
            assert_eq!(json!(other), json!(one), "{kind}: controllers do not agree");
        }
        there.extend(one.into_iter().map(|view| (from.sibling(kind, &view.metadata.name), view)));
    }
    check_counters(&all, &there);
    check_references(&there);
    check_addresses(&there);
    // Two that never met prove nothing.
    let contended = all.refused.get(&412).copied().unwrap_or_default();
    let made: usize = all.created.values().sum();
    let of_kind = |kind| {
        all.created.iter().filter(move |(urn, _)| urn.kind == kind).map(|(_, count)| count).sum::<usize>()
    };
    assert!(of_kind(Kind::Nic) > 5 && of_kind(Kind::Instance) > 0, "{:?}", all.created);
    assert!(contended > 20 && all.deleted > 20 && made > 20, "{:?}, {made}, {}", all.refused, all.deleted);
}

/// Each PUT that was accepted raised a version by one: of every name, the versions are runs from one on, one for each time it
/// was created.
fn check_versions(all: &Done) {
    for (urn, versions) in &all.versions {
        let mut counts = BTreeMap::<u64, usize>::new();
        for version in versions {
            *counts.entry(*version).or_default() += 1;
        }
        assert_eq!(counts.get(&1).copied().unwrap_or_default(), all.created[urn], "{urn}");
        let mut before = (0, usize::MAX);
        for (version, count) in counts {
            assert!(version == before.0 + 1 && count <= before.1, "{urn}: {versions:?}");
            before = (version, count);
        }
    }
}

fn check_counters(all: &Done, there: &BTreeMap<Urn, ResourceView>) {
    for number in 0..COUNTERS {
        let urn = counter(number);
        let (view, accepted) = (&there[&urn], all.counted.get(&urn).copied().unwrap_or_default());
        assert!(accepted > 5, "{urn} was counted up {accepted} times");
        assert_eq!(count_of(view), accepted, "{urn}: a change was lost");
        assert_eq!(view.metadata.resource_version, Some(1 + accepted), "{urn}");
    }
}

/// Every strong reference, by the field that holds it. (That of a subnet to its route table is none: docs/seca.md.)
fn check_references(there: &BTreeMap<Urn, ResourceView>) {
    let mut followed = 0;
    for (urn, view) in there {
        let fields: &[(&str, Kind)] = match urn.kind {
            Kind::Instance => &[("/bootVolume/deviceRef", Kind::BlockStorage), ("/primaryNicRef", Kind::Nic)],
            Kind::Nic => &[("/subnetRef", Kind::Subnet), ("/publicIpRefs/0", Kind::PublicIp)],
            _ => &[],
        };
        for (field, kind) in fields {
            let Some(target) = view.spec.pointer(field) else { continue };
            let resource = target["resource"].as_str().or(target.as_str());
            let name = resource.and_then(|text| text.rsplit('/').next()).expect("a reference");
            let target = Urn::network(*kind, "acme", "w", "n", name).sibling(*kind, name);
            assert!(there.contains_key(&target), "{urn} refers to {target}, which is not there");
            followed += 1;
        }
    }
    assert!(followed > 0, "there were no references in the end");
}

fn check_addresses(there: &BTreeMap<Urn, ResourceView>) {
    let of_kind = |kind: Kind| there.iter().filter(move |(urn, _)| urn.kind == kind);
    let status = |view: &ResourceView, field: &str| view.status.as_ref().expect("a status")[field].clone();
    let mut owners = BTreeMap::new();
    for (urn, view) in of_kind(Kind::Nic) {
        let addresses = status(view, "addresses");
        let texts: Vec<_> = addresses.as_array().expect("addresses").iter().map(Value::to_string).collect();
        assert!(!texts.is_empty(), "{urn} has no address");
        for address in texts.into_iter().chain([status(view, "macAddress").to_string()]) {
            let other = owners.insert(address.clone(), urn);
            assert_eq!(other, None, "{address} is {urn}'s, too");
        }
    }
    let mut public = BTreeSet::new();
    for (urn, view) in of_kind(Kind::PublicIp) {
        let address = status(view, "ipAddress").to_string();
        assert!(address.contains("203.0.113.") && public.insert(address.clone()), "{urn}: {address} again");
    }
    assert!(public.len() <= 2, "there are two: {public:?}");
}
