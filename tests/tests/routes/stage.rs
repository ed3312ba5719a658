//! A tenant with one of everything, and calls of what the document says there is.

use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_tests::Cluster;
use serde_json::{Value, json};

use crate::classes::Caller;

/// A method of a path, as the document has it.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    /// With its parameters in braces.
    pub(crate) path: String,
    /// It takes no token, or not one of the API.
    pub(crate) open: bool,
}

/// What explains where a resource stands: behind it, the resource's own path without its version.
const EXPLAIN: &str = "/providers/rempart.explain/v1/";

impl Operation {
    /// The path of the resource that it explains, if it does that.
    pub(crate) fn explains(&self) -> Option<String> {
        let (provider, rest) = self.path.strip_prefix(EXPLAIN)?.split_once('/')?;
        Some(format!("/providers/{provider}/v1/{rest}"))
    }
}

/// What the parameters of a path are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tenant: &'static str,
    pub(crate) workspace: &'static str,
    pub(crate) network: &'static str,
    /// Whether the item's own name is one that exists.
    pub(crate) item: bool,
}

/// Where everything is. All names have others of their length, which are not there.
pub(crate) const THERE: Place = Place { tenant: "acme", workspace: "ws", network: "nw", item: true };

/// The item of each kind is called so, where it is not the name of a place.
const ITEM: &str = "item";
const NO_ITEM: &str = "none";

/// A server and its callers.
pub(crate) struct Stage {
    http: reqwest::Client,
    url: String,
    pub(crate) tokens: Vec<(Caller, String)>,
}

/// An answer, without what is each answer's own: its request id, its date, and its path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Stage {
    /// Makes everything.
    pub(crate) async fn open(cluster: &Cluster) -> Stage {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let callers = Caller::ALL.into_iter().filter(|caller| *caller != Caller::Nobody);
        let tokens = callers.map(|caller| (caller, cluster.layout.token(caller.subject()).expect("a token")));
        let stage = Stage { http, url: cluster.layout.url(1), tokens: tokens.collect() };
        let operator = cluster.client(1, Caller::Operator.subject()).expect("a client");
        let owner = cluster.client(1, Caller::Owner.subject()).expect("a client");
        for (name, subject) in [("acme", Caller::Owner), ("globex", Caller::Neighbour)] {
            let spec = json!({ "spec": { "owners": [subject.subject()] } });
            operator.put(&Urn::global(Kind::Tenant, name), &spec).await.expect("a tenant");
        }
        for (urn, spec) in everything() {
            let client = if urn.tenant.is_empty() { &operator } else { &owner };
            client.put(&urn, &json!({ "spec": spec })).await.unwrap_or_else(|error| panic!("{urn}: {error}"));
        }
        stage
    }

    /// Whether everything is there, as it was made.
    pub(crate) async fn is_whole(&self) -> bool {
        for (urn, _) in everything() {
            let path = format!("/providers/{}/v1/{}", urn.kind.info().provider.name(), urn.path());
            let caller = if urn.tenant.is_empty() { Caller::Operator } else { Caller::Owner };
            let answer = self.request("get", &path).bearer_auth(caller.token(self).expect("it has one"));
            let view: Value = answer.send().await.expect("an answer").json().await.expect("JSON");
            if view["metadata"]["resourceVersion"] != 1 || !view["metadata"]["deletedAt"].is_null() {
                return false;
            }
        }
        true
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// What `operation` comes to by a request that does nothing, whoever sends it: its version or its body are wrong.
    pub(crate) async fn harmless(
        &self,
        operation: &Operation,
        place: &Place,
        token: Option<&str>,
    ) -> (u16, String) {
        let answer = self.ask(operation, place, token, &json!({ "spec": 5 })).await;
        (answer.status, answer.body)
    }

    /// The answer to a request with this body, if it takes one, and an outdated version.
    pub(crate) async fn ask(
        &self,
        operation: &Operation,
        place: &Place,
        token: Option<&str>,
        body: &Value,
    ) -> Answer {
        self.timed(operation, place, token, body).await.0
    }

    /// And how long it took to come.
    pub(crate) async fn timed(
        &self,
        operation: &Operation,
        place: &Place,
        token: Option<&str>,
        body: &Value,
    ) -> (Answer, Duration) {
        let path = filled(&operation.path, place);
        let mut request = self.request(&operation.method, &path);
        request = match (operation.method.as_str(), path.ends_with("/content")) {
            ("put", true) => request.header("content-type", "application/octet-stream").body("x"),
            ("put", false) => request.header("if-unmodified-since", 9999).json(body),
            ("delete" | "post", _) => request.header("if-unmodified-since", 9999),
            _ => request,
        };
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let begun = Instant::now();
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let own = |name: &str| ["x-request-id", "date"].contains(&name);
        let headers = answer.headers().iter().filter(|(name, _)| !own(name.as_str()));
        let headers = headers.map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect();
        let body = answer.text().await.expect("a body");
        let took = begun.elapsed();
        (Answer { status, headers, body: body.replace(&path, "PATH") }, took)
    }
}

/// One of each kind that is not there anyway, users behind what they use.
fn everything() -> Vec<(Urn, Value)> {
    let tenant = |kind, name: &str| Urn::tenant(kind, "acme", name);
    let here = |kind| Urn::workspace(kind, "acme", "ws", ITEM);
    let inside = |kind| Urn::network(kind, "acme", "ws", "nw", ITEM);
    let assigned = |name: &str, role: &str, who: Caller, scope: Value| {
        let spec = json!({ "roles": [role], "subs": [who.subject()], "scopes": [scope] });
        (tenant(Kind::RoleAssignment, name), spec)
    };
    let route = json!({ "destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/item" });
    let permission = json!({ "provider": "seca.compute", "resources": ["*"], "verb": ["get"] });
    let image = json!({ "blockStorageRef": "workspaces/ws/block-storages/item", "cpuArchitecture": "amd64", "boot": "UEFI" });
    vec![
        (Urn::global(Kind::Host, ITEM), json!({ "zone": "a" })),
        (Urn::global(Kind::AddressPool, ITEM), json!({ "blocks": ["203.0.113.0/31"] })),
        (Urn::global(Kind::TokenRevocation, ITEM), json!({ "subject": "zed" })),
        (tenant(Kind::Workspace, "ws"), json!({})),
        (tenant(Kind::WorkspaceQuota, "ws"), json!({ "quota": {} })),
        (tenant(Kind::ServiceAccount, ITEM), json!({ "keys": [] })),
        (tenant(Kind::Role, ITEM), json!({ "permissions": [permission] })),
        assigned(ITEM, "seca.workspace-viewer", Caller::Viewer, json!({ "workspaces": ["ws"] })),
        assigned("editor", "seca.workspace-editor", Caller::Editor, json!({ "workspaces": ["ws"] })),
        assigned("admin", "seca.admin", Caller::Admin, json!({})),
        (here(Kind::BlockStorage), json!({ "sizeGB": 1, "skuRef": "skus/LE500" })),
        (tenant(Kind::Image, ITEM), image),
        (
            Urn::workspace(Kind::Network, "acme", "ws", "nw"),
            json!({ "cidr": { "ipv4": "10.0.0.0/16" }, "skuRef": "skus/n1k" }),
        ),
        (here(Kind::InternetGateway), json!({})),
        (inside(Kind::RouteTable), json!({ "routes": [route] })),
        (
            inside(Kind::Subnet),
            json!({ "cidr": { "ipv4": "10.0.1.0/29" }, "routeTableRef": ITEM, "zone": "a" }),
        ),
        (here(Kind::Nic), json!({ "subnetRef": "networks/nw/subnets/item" })),
        (here(Kind::PublicIp), json!({ "version": "IPv4" })),
        (here(Kind::SecurityGroupRule), json!({ "direction": "egress", "ports": { "from": 1 } })),
        (here(Kind::SecurityGroup), json!({ "ruleRefs": [ITEM] })),
        (
            here(Kind::Instance),
            json!({ "skuRef": "skus/DXS", "zone": "a", "bootVolume": { "deviceRef": ITEM } }),
        ),
    ]
}

/// The path without its braces.
pub(crate) fn filled(path: &str, place: &Place) -> String {
    let collection = path.split("/{name}").next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let item = match collection {
        "regions" if place.item => "local",
        "regions" => "other",
        "tenants" => place.tenant,
        "workspaces" | "workspace-quotas" => place.workspace,
        "networks" => place.network,
        "skus" if !place.item => "seca.none",
        "skus" if path.contains("compute") => "seca.d2xs",
        "skus" if path.contains("storage") => "seca.le5k",
        "skus" => "seca.n10k",
        _ if place.item => ITEM,
        _ => NO_ITEM,
    };
    let instance = if place.item { ITEM } else { NO_ITEM };
    path.replace("{tenant}", place.tenant)
        .replace("{workspace}", place.workspace)
        .replace("{network}", place.network)
        .replace("{instance}", instance)
        .replace("{kind}", "serial")
        .replace("{name}", item)
        // There is no such controller, and no such thing on a host.
        .replace("{id}/{repair}", "h:01900000-0000-7000-8000-000000000001/quarantine")
        .replace("{id}", "99")
}

/// What the server says it takes, and the writes of SKUs, which operators do in the shared tenant and the document leaves out.
pub(crate) async fn operations(stage: &Stage) -> Vec<Operation> {
    let document = stage.request("get", "/openapi.json").send().await.expect("an answer");
    let document: Value = document.json().await.expect("JSON");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            // Of each kind below, rather than by a pattern.
            if method != "parameters" && !path.starts_with(EXPLAIN) {
                let open = operation["security"] == json!([]);
                operations.push(Operation { method: method.clone(), path: path.clone(), open });
            }
        }
    }
    // A region is explained where everybody reads it.
    let kept = |path: &str| path.starts_with("/providers/rempart.catalogue/v1/regions");
    let resources = operations.iter().filter(|one| one.method == "get" && one.path.ends_with("/{name}"));
    let resources = resources.filter(|one| !kept(&one.path));
    let explained: Vec<Operation> = resources
        .map(|one| Operation {
            method: "get".to_owned(),
            path: format!("{EXPLAIN}{}", one.path.trim_start_matches("/providers/").replacen("/v1/", "/", 1)),
            open: false,
        })
        .collect();
    operations.extend(explained);
    for provider in ["seca.compute", "seca.storage", "seca.network"] {
        for method in ["put", "delete"] {
            let path = format!("/providers/{provider}/v1/tenants/public/skus/{{name}}");
            operations.push(Operation { method: method.to_owned(), path, open: false });
        }
    }
    operations
}
