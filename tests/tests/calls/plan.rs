//! What is called next. Few names, so that calls meet; most of them sound, so that they get far.

use rempart_api::{Kind, Urn, Verbs};
use rempart_model::State;
use serde_json::{Map, Value, json};

use crate::people::{EDITOR, NEIGHBOUR, OPERATOR, OWNER, REVOKED, ROBOT, STRANGER, VIEWER};
use crate::spec;
use rempart_tests::Dice;

/// A call by somebody.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) who: &'static str,
    pub(crate) urn: Urn,
    pub(crate) deed: Deed,
    /// `if-unmodified-since`
    pub(crate) version: Option<u64>,
}

/// What is called for.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Get,
    /// All pages, of so many at most.
    List {
        limit: usize,
        labels: &'static str,
    },
    /// With this body, as text.
    Put(String),
    Delete,
    Act(&'static str),
    /// A method that the item's path does not take, or a path that is none.
    Odd {
        method: &'static str,
        beneath: &'static str,
    },
}

/// Selectors over the labels that bodies have.
pub(crate) const SELECTORS: [&str; 7] = ["", "", "tier=gold", "tier!=gold", "!tier", "n>4", "tier,n<=7"];

/// The next call, on what is there by now.
pub(crate) fn next(dice: &mut Dice, state: &State, key: &str) -> Call {
    let who = dice.weighed(&[
        (9, OWNER),
        (5, OPERATOR),
        (3, EDITOR),
        (1, VIEWER),
        (3, NEIGHBOUR),
        (1, STRANGER),
        (3, ROBOT),
        (1, REVOKED),
    ]);
    let kind = kind(dice, who);
    let mut urn = urn(dice, who, kind);
    let kinds = kind.info();
    let acts = !kinds.actions.is_empty() && state.get(&urn).is_some() && dice.once_in(5);
    let deed = match dice.roll(20) {
        _ if acts => Deed::Act(dice.pick(kinds.actions)),
        0..=2 => Deed::Get,
        3..=5 => Deed::List { limit: dice.pick(&[1, 2, 3, 1000]), labels: dice.pick(&SELECTORS) },
        6..=7 if may_go(state, &urn) => Deed::Delete,
        8..=9 if !kinds.actions.is_empty() => Deed::Act(dice.pick(kinds.actions)),
        10 if dice.once_in(3) => odd(dice),
        _ => Deed::Put(body(dice, state, &mut urn, key)),
    };
    let now = state.get(&urn).map_or(1, |object| object.resource_version);
    let version = match dice.roll(14) {
        0 | 1 => Some(now),
        2 => Some(dice.pick(&[0, now + 1, now.saturating_sub(1)])),
        _ => None,
    };
    let version = version.filter(|_| matches!(deed, Deed::Put(_) | Deed::Delete | Deed::Act(_)));
    Call { who, urn, deed, version }
}

/// In the end all is written once more as it is, and goes, users before what they use; a name of each kind is asked for
/// afterwards.
pub(crate) fn ending(state: &State) -> Vec<Call> {
    const ORDER: [Kind; 23] = [
        Kind::Instance,
        Kind::Image,
        Kind::Nic,
        Kind::PublicIp,
        Kind::SecurityGroup,
        Kind::SecurityGroupRule,
        Kind::Subnet,
        Kind::RouteTable,
        Kind::InternetGateway,
        Kind::Network,
        Kind::BlockStorage,
        Kind::WorkspaceQuota,
        Kind::Workspace,
        Kind::RoleAssignment,
        Kind::Role,
        Kind::ServiceAccount,
        Kind::TokenRevocation,
        Kind::AddressPool,
        Kind::Host,
        Kind::InstanceSku,
        Kind::StorageSku,
        Kind::NetworkSku,
        Kind::Tenant,
    ];
    let owner = |urn: &Urn| match urn.tenant.as_str() {
        "acme" => Some(OWNER),
        "globex" => Some(NEIGHBOUR),
        "" | "public" => Some(OPERATOR),
        _ => None,
    };
    let call = |urn: &Urn, deed| Some(Call { who: owner(urn)?, urn: urn.clone(), deed, version: None });
    let mut calls = Vec::new();
    for kind in ORDER {
        for object in
            state.of_kind(kind).filter(|object| object.urn.name != "public" && may_go(state, &object.urn))
        {
            let again = Deed::Put(json!({ "spec": object.spec.to_json() }).to_string());
            let deeds = [Deed::Get, again, Deed::Delete];
            calls.extend(deeds.into_iter().filter_map(|deed| call(&object.urn, deed)));
        }
        let (tenant, name) = (if kind.info().catalogue { "public" } else { "acme" }, names(kind)[0]);
        let gone = Urn::network(kind, tenant, "w", "n", name).sibling(kind, name);
        calls.extend([Deed::Delete, Deed::Get].into_iter().filter_map(|deed| call(&gone, deed)));
    }
    calls
}

/// A suspended tenant goes part by part, in its own time: then what is to be seen depends on when one looks.
fn may_go(state: &State, urn: &Urn) -> bool {
    urn.kind != Kind::Tenant || !state.is_suspended(&urn.name)
}

fn odd(dice: &mut Dice) -> Deed {
    let (method, beneath) =
        dice.pick(&[("PATCH", ""), ("POST", ""), ("POST", "/explode"), ("GET", "/start"), ("GET", "/a/b")]);
    Deed::Odd { method, beneath }
}

/// Of all kinds, those that need many others more often; most callers mostly try what is theirs.
fn kind(dice: &mut Dice, who: &str) -> Kind {
    const OPERATORS: [(usize, Kind); 9] = [
        (3, Kind::Host),
        (3, Kind::Tenant),
        (2, Kind::AddressPool),
        (2, Kind::TokenRevocation),
        (1, Kind::Region),
        (2, Kind::InstanceSku),
        (2, Kind::StorageSku),
        (2, Kind::NetworkSku),
        (1, Kind::Image),
    ];
    const TENANTS: [(usize, Kind); 18] = [
        (2, Kind::Role),
        (4, Kind::RoleAssignment),
        (3, Kind::Workspace),
        (2, Kind::WorkspaceQuota),
        (2, Kind::ServiceAccount),
        (9, Kind::Instance),
        (6, Kind::BlockStorage),
        (2, Kind::Image),
        (2, Kind::Network),
        (4, Kind::Subnet),
        (3, Kind::RouteTable),
        (3, Kind::InternetGateway),
        (9, Kind::Nic),
        (3, Kind::PublicIp),
        (3, Kind::SecurityGroup),
        (2, Kind::SecurityGroupRule),
        (1, Kind::InstanceSku),
        (1, Kind::StorageSku),
    ];
    if (who == OPERATOR) == dice.once_in(8) { dice.weighed(&TENANTS) } else { dice.weighed(&OPERATORS) }
}

/// Names of a kind's resources.
pub(crate) fn names(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Region => &["local", "other"],
        Kind::Role => &["custom", "other", "seca.workspace-viewer"],
        Kind::RoleAssignment => &["ed", "vic", "robot", "rita", "extra"],
        Kind::Workspace | Kind::WorkspaceQuota => &["w", "v", "u"],
        Kind::InstanceSku => &["seca.dxs", "DS", "own"],
        Kind::StorageSku => &["seca.le500", "LE5K", "own"],
        Kind::NetworkSku => &["seca.n1k", "N5K", "own"],
        Kind::Instance => &["i0", "i1", "i2"],
        Kind::BlockStorage => &["v0", "v1", "v2", "v3", "v4"],
        Kind::Image => &["m0", "m1"],
        Kind::Network => &["n", "m"],
        Kind::Subnet => &["s", "t"],
        Kind::RouteTable => &["rt"],
        Kind::InternetGateway => &["gw", "gx"],
        Kind::Nic => &["c0", "c1", "c2", "c3", "c4", "c5"],
        Kind::PublicIp => &["p0", "p1", "p2"],
        Kind::SecurityGroup => &["g0", "g1"],
        Kind::SecurityGroupRule => &["r0", "r1"],
        Kind::Tenant => &["acme", "globex", "initech", "hooli"],
        Kind::Host => &["h1", "h2"],
        Kind::ServiceAccount => &["robot", "spare"],
        Kind::TokenRevocation => &["one", "two"],
        Kind::AddressPool => &["a1", "a2"],
    }
}

fn urn(dice: &mut Dice, who: &str, kind: Kind) -> Urn {
    let home = if who == NEIGHBOUR { "globex" } else { "acme" };
    let is_catalogue = kind.info().verbs == Verbs::ReadOnly;
    let tenant = if is_catalogue && dice.once_in(3) != (who == OPERATOR) {
        "public"
    } else {
        dice.weighed(&[(30, home), (2, "globex"), (2, "acme"), (1, "initech"), (1, "public"), (1, "nowhere")])
    };
    let workspace = dice.weighed(&[(14, "w"), (2, "v"), (1, "none")]);
    let network = dice.weighed(&[(12, "n"), (2, "m"), (1, "none")]);
    let name = dice.pick(names(kind));
    Urn::network(kind, tenant, workspace, network, name).sibling(kind, name)
}

/// A body for the item, and now and then something wrong: with it, or with the item's name.
fn body(dice: &mut Dice, state: &State, urn: &mut Urn, key: &str) -> String {
    let mut spec = match state.get(urn) {
        // Much cannot change, so that another spec is mostly refused.
        Some(object) if dice.once_in(3) => object.spec.to_json(),
        _ => spec::of(dice, urn, key),
    };
    let mut body = Map::new();
    if dice.once_in(2) {
        let mut labels = Map::new();
        if dice.once_in(2) {
            labels.insert("tier".to_owned(), json!(dice.pick(&["gold", "iron"])));
        }
        labels.insert("n".to_owned(), json!(dice.roll(10).to_string()));
        body.insert("labels".to_owned(), labels.into());
    }
    if dice.once_in(3) {
        body.insert(
            "annotations".to_owned(),
            json!({ "note": format!("{} 'quoted' \u{202e}", dice.roll(100)) }),
        );
    }
    if dice.once_in(4) {
        body.insert(
            "metadata".to_owned(),
            json!({ "name": urn.name, "tenant": urn.tenant, "region": "local" }),
        );
    }
    match dice.roll(28) {
        0 => {
            let field = dice.pick(&["name", "tenant", "workspace", "network", "region"]);
            body.insert("metadata".to_owned(), json!({ field: "elsewhere" }));
        }
        1 => _ = body.insert("labels".to_owned(), json!({ "tier": "x".repeat(63 + dice.roll(2)) })),
        2 => {
            let wrong =
                [json!({ "a": 1 }), json!([]), json!({ "": "x" }), json!({ "k": null }), json!({ "k": "v" })];
            let field = dice.pick(&["labels", "annotations", "extensions"]);
            body.insert(field.to_owned(), dice.pick(&wrong));
        }
        3..=5 => twist(dice, &mut spec),
        6 => spec = Value::Null,
        7 => {
            let wrong = ["Upper", "under_score", "-dash", "two..dots", &"x".repeat(65), &"x".repeat(129)];
            urn.name = dice.pick(&wrong).to_owned();
        }
        8 if dice.once_in(2) => {
            return dice.pick(&["", "{", "[]", "null", "5", "{\"spec\": 1e999}", "{}{}"]).to_owned();
        }
        _ => {}
    }
    if !spec.is_null() || dice.once_in(2) {
        body.insert("spec".to_owned(), spec);
    }
    Value::Object(body).to_string()
}

/// Another value somewhere, a field less, or one that nobody knows.
fn twist(dice: &mut Dice, spec: &mut Value) {
    let Value::Object(members) = spec else { return };
    let keys: Vec<String> = members.keys().cloned().collect();
    let odd = [
        json!(null),
        json!(-1),
        json!(1.5),
        json!("text"),
        json!([]),
        json!({}),
        json!(u64::MAX),
        json!(true),
    ];
    match dice.roll(4) {
        0 => _ = members.insert("hostName".to_owned(), json!("h1")),
        1 if !keys.is_empty() => _ = members.remove(&dice.pick(&keys)),
        _ if !keys.is_empty() => {
            let value = dice.pick(&odd);
            members.insert(dice.pick(&keys), value);
        }
        _ => {}
    }
}
