//! Every kind, every verb and action of the table, in every sort of place, by every sort of caller, against a table
//! written anew; and the proof that the comparison would notice a hole.

use rempart_api::storage::{BlobFormat, BlobSpec};
use rempart_api::{Kind, Scope, StringMap};
use rempart_model::{
    Command, ENVELOPE_FORMAT, Envelope, Founding, HostAction, PowerAction, PutCommand, Spec, canonical_tenant,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::call::{Body, Page};
use super::*;

const OPERATOR: &str = "operator";
/// Owns tenant `acme`.
const OWNER: &str = "alice";
/// Owns tenant `globex`, and nothing in `acme`.
const NEIGHBOUR: &str = "bob";
const NOBODY: &str = "mallory";
/// Have a system role in all of `acme`.
const ADMIN: &str = "dora";
const REGION_ADMIN: &str = "emil";
/// Have one in workspace `w` of `acme`.
const WORKSPACE_ADMIN: &str = "fay";
const EDITOR: &str = "gil";
const VIEWER: &str = "hana";
/// Has a role of the tenant's own: to start instance `x` wherever it is.
const STARTER: &str = "ivo";
/// A service account of `acme` with no role: holds what everybody known there holds, which is to list workspaces.
const ROBOT: &str = "sa:acme/robot";
const CALLERS: [&str; 11] = [
    OPERATOR,
    OWNER,
    NEIGHBOUR,
    NOBODY,
    ADMIN,
    REGION_ADMIN,
    WORKSPACE_ADMIN,
    EDITOR,
    VIEWER,
    STARTER,
    ROBOT,
];
/// Places: the owner's tenant and its workspace `w`, its workspace `v`, a tenant that does not exist, and the shared one.
const PLACES: [&str; 4] = ["acme", "acme/v", "nowhere", SHARED_TENANT];

/// What somebody tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    List,
    Get,
    Explain,
    Put,
    Delete,
    Action(&'static str),
    /// Content of a volume: the bytes, or only their digest.
    Fill {
        uploaded: bool,
    },
}

fn deeds(kind: Kind) -> Vec<Deed> {
    let mut deeds = vec![Deed::List, Deed::Get, Deed::Explain, Deed::Put, Deed::Delete];
    deeds.extend(kind.info().actions.iter().copied().map(Deed::Action));
    if kind == Kind::BlockStorage {
        deeds.extend([Deed::Fill { uploaded: true }, Deed::Fill { uploaded: false }]);
    }
    deeds
}

/// Who may, said once more and in another way. A kind without a line here does not compile.
fn should(caller: &str, kind: Kind, place: &str, deed: Deed) -> bool {
    let operates = caller == OPERATOR;
    if deed == Deed::Explain {
        return operates || should(caller, kind, place, Deed::Get);
    }
    let read = matches!(deed, Deed::List | Deed::Get);
    let (acme, in_w) = (place.starts_with("acme"), place == "acme");
    let shared = place == SHARED_TENANT;
    // A digest in place of the bytes is nobody's.
    let write = !read && deed != Deed::Fill { uploaded: false };
    let everything = acme && [OWNER, ADMIN].contains(&caller) && (read || write);
    let planes = everything || (acme && caller == REGION_ADMIN && (read || write));
    match kind {
        Kind::Region => read || (operates && write),
        Kind::Host | Kind::TokenRevocation | Kind::AddressPool => operates,
        Kind::Tenant => {
            operates || ([OWNER, ADMIN].contains(&caller) && place == "acme" && deed == Deed::Get)
        }
        Kind::InstanceSku | Kind::StorageSku | Kind::NetworkSku => {
            if shared {
                operates || read
            } else {
                acme && read && ![OPERATOR, NEIGHBOUR, NOBODY].contains(&caller)
            }
        }
        Kind::Image if shared => operates || read,
        _ if shared => operates,
        Kind::Role | Kind::RoleAssignment | Kind::ServiceAccount | Kind::WorkspaceQuota => everything,
        Kind::Image => planes,
        // The item is called `x`, which is neither `w` nor `v`; a list shows what one may see.
        Kind::Workspace => {
            planes
                || (acme
                    && deed == Deed::List
                    && [WORKSPACE_ADMIN, EDITOR, VIEWER, STARTER, ROBOT].contains(&caller))
        }
        Kind::Instance
        | Kind::BlockStorage
        | Kind::Network
        | Kind::Subnet
        | Kind::RouteTable
        | Kind::InternetGateway
        | Kind::Nic
        | Kind::PublicIp
        | Kind::SecurityGroup
        | Kind::SecurityGroupRule => {
            let here = match caller {
                WORKSPACE_ADMIN => read || write,
                EDITOR => read || (write && deed != Deed::Delete),
                VIEWER => read,
                _ => false,
            };
            let starts = caller == STARTER && kind == Kind::Instance && deed == Deed::Action("start");
            planes || (in_w && here) || (acme && starts)
        }
    }
}

/// The item of `kind` that is `place`, or called `x` in it.
fn item(kind: Kind, place: &str) -> Urn {
    let (tenant, workspace) = place.split_once('/').unwrap_or((place, "w"));
    match kind.info().scope {
        Scope::Global => Urn::global(kind, place),
        Scope::Tenant => Urn::tenant(kind, tenant, "x"),
        Scope::Workspace => Urn::workspace(kind, tenant, workspace, "x"),
        Scope::Network => Urn::network(kind, tenant, workspace, "n", "x"),
    }
}

fn call(kind: Kind, place: &str, deed: Deed) -> Call {
    let (urn, if_unmodified_since) = (item(kind, place), None);
    let power = |action| Call::Power { urn: urn.clone(), if_unmodified_since, action };
    let host = |action| Call::Host { urn: urn.clone(), if_unmodified_since, action };
    match deed {
        Deed::List => {
            let from = Urn { name: String::new(), ..urn };
            Call::List { from, page: Page::default() }
        }
        Deed::Get => Call::Get { urn },
        Deed::Explain => Call::Explain { urn },
        Deed::Put => Call::Put { urn, if_unmodified_since, body: Box::new(Body::nothing()) },
        Deed::Delete => Call::Delete { urn, if_unmodified_since },
        Deed::Fill { uploaded } => {
            let content = BlobSpec {
                sha256: "0".repeat(64),
                format: BlobFormat::Raw,
                size_bytes: 1,
                virtual_size_bytes: 1,
            };
            Call::Fill { urn, content, uploaded }
        }
        Deed::Action("start") => power(PowerAction::Start),
        Deed::Action("stop") => power(PowerAction::Stop),
        Deed::Action("restart") => power(PowerAction::Restart),
        Deed::Action("cordon") => host(HostAction::Cordon),
        Deed::Action("uncordon") => host(HostAction::Uncordon),
        Deed::Action("revoke") => host(HostAction::Revoke),
        Deed::Action(other) => panic!("{kind} has an action {other:?} that this test does not try"),
    }
}

fn put(urn: Urn, spec: Value) -> PutCommand {
    PutCommand {
        spec: Spec::parse(urn.kind, &spec).unwrap(),
        urn,
        if_unmodified_since: None,
        labels: StringMap::new(),
        annotations: StringMap::new(),
        extensions: StringMap::new(),
        uid: Uuid::now_v7(),
        host: None,
    }
}

/// Tenants `acme` and `globex` beside the shared one, and what `acme` has of roles.
fn state() -> State {
    let tenant = |name: &str, owner: &str| put(Urn::global(Kind::Tenant, name), json!({ "owners": [owner] }));
    let founding = Founding {
        cluster_id: Uuid::now_v7(),
        region: "local".to_owned(),
        zones: vec!["a".to_owned()],
        catalogue: vec![tenant(SHARED_TENANT, "system"), tenant("acme", OWNER), tenant("globex", NEIGHBOUR)],
    };
    let mut commands = vec![Command::Found(founding)];
    let mut roles = |kind, name: &str, spec| {
        commands.push(Command::Put(Box::new(put(Urn::tenant(kind, "acme", name), spec))));
    };
    let permission = |provider, resources, verb| json!({ "permissions": [{"provider": provider, "resources": [resources], "verb": [verb]}] });
    roles(Kind::Role, "starter", permission("seca.compute", "instances/x", "post.start"));
    roles(Kind::Role, "walker", permission("seca.workspace", "workspaces", "list"));
    let (tenant, workspace) = (json!({}), json!({"workspaces": ["w"]}));
    for (role, subject, scope) in [
        ("seca.admin", ADMIN, &tenant),
        ("seca.region-admin", REGION_ADMIN, &tenant),
        ("seca.workspace-admin", WORKSPACE_ADMIN, &workspace),
        ("seca.workspace-editor", EDITOR, &workspace),
        ("seca.workspace-viewer", VIEWER, &workspace),
        ("starter", STARTER, &tenant),
        ("walker", "*", &tenant),
    ] {
        let spec = json!({"roles": [role], "subs": [subject], "scopes": [scope]});
        roles(Kind::RoleAssignment, role, spec);
    }
    let mut state = State::default();
    for (index, command) in (1..).zip(commands) {
        apply(&mut state, index, command);
    }
    state
}

fn apply(state: &mut State, index: u64, command: Command) {
    let envelope = Envelope {
        format: ENVELOPE_FORMAT,
        request_id: Uuid::now_v7(),
        actor: OWNER.to_owned(),
        trace: None,
        time: rempart_api::Timestamp::from_unix_ms(1_800_000_000_000),
        command,
    };
    let applied = state.apply(index, &envelope);
    assert!(applied.outcome.is_ok(), "{:?}", applied.outcome);
}

fn asking(subject: &str) -> Caller {
    Caller { subject: subject.to_owned(), proof: Proof::Foreign, operates: subject == OPERATOR }
}

fn ours(state: &State, caller: &str, call: &Call) -> bool {
    authorise(state, &asking(caller), call).is_ok()
}

/// Where `judge` and the table differ.
fn differences(judge: impl Fn(&State, &str, &Call) -> bool) -> Vec<String> {
    let state = state();
    let mut found = Vec::new();
    for kind in Kind::table().iter().map(|row| row.kind) {
        for (deed, place) in deeds(kind).into_iter().flat_map(|deed| PLACES.map(|place| (deed, place))) {
            let call = call(kind, place, deed);
            for caller in CALLERS {
                if judge(&state, caller, &call) != should(caller, kind, place, deed) {
                    found.push(format!("{caller}: {deed:?} {kind} in {place}"));
                }
            }
        }
    }
    found
}

#[test]
fn everybody_may_what_the_table_says_and_nothing_else() {
    assert_eq!(differences(ours), Vec::<String>::new());
}

/// Changes of `authorise` that once passed all tests, and some like them.
#[test]
fn the_table_notices_every_hole() {
    let read = |call: &Call| !call.is_write();
    let kind = |call: &Call, kinds: &[Kind]| kinds.contains(&call.urn().kind);
    let power =
        differences(|state, caller, call| matches!(call, Call::Power { .. }) || ours(state, caller, call));
    assert!(power.contains(&format!("{NOBODY}: Action(\"stop\") instance in acme")), "{power:?}");
    let readable = [Kind::Workspace, Kind::Image, Kind::Network, Kind::Subnet];
    let reads =
        differences(|state, caller, call| (read(call) && kind(call, &readable)) || ours(state, caller, call));
    for kind in readable {
        assert!(reads.contains(&format!("{NEIGHBOUR}: Get {kind} in acme")), "{reads:?}");
    }
    let digests = differences(|state, caller, call| {
        let fill = matches!(call, Call::Fill { uploaded: false, .. });
        (fill && state.owns(&call.urn().tenant, caller)) || ours(state, caller, call)
    });
    let told = |place| format!("{OWNER}: Fill {{ uploaded: false }} block-storage in {place}");
    assert_eq!(digests, ["acme", "acme/v"].map(told));
    for row in Kind::table() {
        for deed in deeds(row.kind) {
            // One cell the other way round, for one caller.
            let one = call(row.kind, "acme", deed);
            let flipped = differences(|state, caller, call| {
                let here = caller == NOBODY && format!("{call:?}") == format!("{one:?}");
                here != ours(state, caller, call)
            });
            assert!(!flipped.is_empty(), "{deed:?} {}", row.name);
        }
    }
}

#[test]
fn only_operators_are_told_what_operators_are() {
    let state = state();
    let asked = |subject: &str, call: &Call| authorise(&state, &asking(subject), call).ok();
    let region = call(Kind::Region, "local", Deed::Get);
    assert_eq!((asked(OPERATOR, &region), asked(OWNER, &region)), (Some(true), Some(false)));
    assert_eq!(asked(OWNER, &call(Kind::Instance, "acme", Deed::Get)), Some(false));
    assert_eq!(asked(OPERATOR, &call(Kind::Host, "h1", Deed::Get)), Some(true));
}

/// Routes hand over the one spelling of the shared tenant; the other is nobody's.
#[test]
fn the_shared_tenant_has_no_back_door() {
    assert_eq!(canonical_tenant("seca"), SHARED_TENANT);
    let state = state();
    for caller in CALLERS {
        assert!(!ours(&state, caller, &call(Kind::Image, "seca", Deed::Put)), "{caller}");
    }
}

#[test]
fn a_suspended_tenant_can_only_be_read() {
    let mut state = state();
    let spec = json!({"owners": [OWNER], "suspended": true});
    let command = Command::Put(Box::new(put(Urn::global(Kind::Tenant, "acme"), spec)));
    apply(&mut state, 100, command);
    for kind in Kind::table().iter().map(|row| row.kind).filter(|kind| kind.info().scope != Scope::Global) {
        for deed in deeds(kind) {
            let may = ours(&state, OWNER, &call(kind, "acme", deed));
            assert_eq!(may, matches!(deed, Deed::List | Deed::Get | Deed::Explain), "{deed:?} {kind}");
        }
    }
    let told = |subject: &str| {
        authorise(&state, &asking(subject), &call(Kind::Workspace, "acme", Deed::Put)).unwrap_err()
    };
    assert!(told(OWNER).to_string().contains("suspended"), "{}", told(OWNER));
    assert!(matches!(told(NOBODY), ServiceError::Forbidden), "it is nobody else's business");
}

#[test]
fn orphans_are_the_operators() {
    let state = state();
    let hosts = Urn::global(Kind::Host, "");
    let repair = rempart_api::fleet::Repair::Release;
    let calls = [
        Call::Orphans { hosts },
        Call::Repair { host: Urn::global(Kind::Host, "h1"), uid: Uuid::nil(), repair },
    ];
    for (caller, call) in CALLERS.iter().flat_map(|caller| calls.iter().map(move |call| (caller, call))) {
        assert_eq!(ours(&state, caller, call), *caller == OPERATOR, "{caller}: {call:?}");
    }
}
