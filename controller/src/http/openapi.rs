//! The OpenAPI 3.1 document, from what the server itself goes by: the table of kinds and the types of their specs.
//!
//! What always holds: every path of it is a route, and every route is in it (`tests`); `docs/openapi.json` is what this makes.
//! What the types do not say (references that must exist, what may change) is in the descriptions of their fields and in
//! `docs/seca.md`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use rempart_api::catalogue::RegionZones;
use rempart_api::compute::InstanceStatus;
use rempart_api::console::{ConsoleAccess, MAX_LOG_BYTES};
use rempart_api::fleet::Orphans;
use rempart_api::network::{
    NetworkStatus, NicStatus, PublicIpStatus, RouteTableStatus, SecurityGroupStatus, SubnetStatus,
};
use rempart_api::standing::{self, Standing};
use rempart_api::storage::{BlobSpec, BlockStorageStatus, ImageStatus};
use rempart_api::tenancy::{Countable, Usage};
use rempart_api::workspace::WorkspaceStatus;
use rempart_api::{Kind, KindInfo, ListMetadata, Metadata, Problem, Provider, Scope, Status, Verbs};
use rempart_model::Spec;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::fixed::{self, Access};
use super::{body, console};

mod cluster;

/// The document as it is served.
pub(super) static TEXT: LazyLock<String> =
    LazyLock::new(|| serde_json::to_string_pretty(&document()).unwrap_or_default() + "\n");

/// OpenAPI passes over a parameter that is called Accept: it is said in words.
const DELETED: &str = "What is being deleted is listed in any case. `Accept: application/json; deleted=true` asks for deleted \
                       resources as well, `application/json; deleted=only` for nothing else: docs/lists.md.";

const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The whole of it.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for row in Kind::table() {
        add_kind(&mut paths, row, &mut schemas);
    }
    add_others(&mut paths, &mut schemas);
    cluster::add(&mut paths, &mut schemas);
    let problem = schemas.subschema_for::<Problem>();
    let tags = Provider::ALL.map(|provider| json!({ "name": provider.name() }));
    let definitions: Value = schemas.take_definitions(true).into();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rempart",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The Sovereign European Cloud API (providers seca.*), and Rempart's own providers in the same form \
                            (rempart.*).",
            "license": { "name": "EUPL-1.2", "identifier": "EUPL-1.2" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
            "responses": {
                "Problem": {
                    "description": "It was not done, and why (RFC 7807). `type` tells the class, whatever the status.",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "schemas": tidy(definitions),
        },
    })
}

/// Links of our own documentation mean nothing to readers of this one.
fn tidy(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("[`", "`").replace("`]", "`")),
        Value::Array(items) => items.into_iter().map(tidy).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, tidy(value))).collect(),
        other => other,
    }
}

fn segments(scope: Scope) -> &'static [(&'static str, &'static str)] {
    const ALL: [(&str, &str); 3] =
        [("tenants", "tenant"), ("workspaces", "workspace"), ("networks", "network")];
    &ALL[..match scope {
        Scope::Global => 0,
        Scope::Tenant => 1,
        Scope::Workspace => 2,
        Scope::Network => 3,
    }]
}

fn text(name: &str, max: u32) -> Value {
    let schema = json!({ "type": "string", "minLength": 1, "maxLength": max, "pattern": NAME });
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn add_kind(paths: &mut Map<String, Value>, row: &KindInfo, schemas: &mut SchemaGenerator) {
    let mut path = format!("/providers/{}/v1", row.provider.name());
    let mut parents = Vec::new();
    for (collection, parameter) in segments(row.scope) {
        path.push_str(&format!("/{collection}/{{{parameter}}}"));
        parents.push(text(parameter, 64));
    }
    path.push_str(&format!("/{}", row.collection));
    let title = title(row.kind);
    let spec = Spec::schema(row.kind, schemas).to_value();
    let status = row.has_status.then(|| status(row.kind, schemas));
    let definitions = schemas.definitions_mut();
    definitions.insert(title.clone(), resource(spec.clone(), status));
    let reference = json!({ "$ref": format!("#/components/schemas/{title}") });
    let list = json!({
        "type": "object",
        "required": ["items", "metadata"],
        "properties": { "items": { "type": "array", "items": reference }, "metadata": { "$ref": "#/components/schemas/ListMetadata" } },
    });
    definitions.insert(format!("{title}List"), list);
    schemas.subschema_for::<Metadata>();
    schemas.subschema_for::<ListMetadata>();
    let operation = |verb: &str, summary: String| json!({ "operationId": format!("{verb}{title}"), "tags": [row.provider.name()], "summary": summary });
    let name = row.name.replace('-', " ");
    let all = listed(row, operation("list", format!("List: {name}")), &parents);
    paths.insert(path.clone(), json!({ "get": all }));

    let own = [parents, vec![text("name", longest(row.kind))]].concat();
    let mut one = operation("get", format!("Read: {name}"));
    one["responses"] = responses(&[("200", "As it is now", Some(title.clone()))]);
    if let Some(provider) = row.kept_under {
        add_kept(paths, row, provider, schemas);
    }
    let mut item = json!({ "parameters": own, "get": one });
    if row.verbs == Verbs::All {
        let mut put = operation("put", format!("Create or replace: {name}"));
        put["parameters"] = json!([version()]);
        let body = sent(row, spec);
        put["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": body } } });
        put["responses"] =
            responses(&[("200", "Replaced", Some(title.clone())), ("201", "Created", Some(title.clone()))]);
        item["put"] = put;
        let mut delete = operation("delete", format!("Delete: {name}"));
        delete["parameters"] = json!([version()]);
        delete["responses"] = responses(&[("202", "It goes, or has begun to", None)]);
        item["delete"] = delete;
    }
    paths.insert(format!("{path}/{{name}}"), item);
    for action in row.actions {
        let mut post = operation(action, format!("{}: {name}", capital(action)));
        post["parameters"] = json!([version()]);
        post["responses"] = responses(&[("202", "Accepted", None)]);
        paths.insert(format!("{path}/{{name}}/{action}"), json!({ "parameters": own, "post": post }));
    }
}

/// Of a GET of a collection beneath `parents`.
fn listed(row: &KindInfo, mut operation: Value, parents: &[Value]) -> Value {
    operation["parameters"] = [parents, &list_parameters()].concat().into();
    operation["description"] = json!(DELETED);
    operation["responses"] = responses(&[("200", "A page", Some(format!("{}List", title(row.kind))))]);
    operation
}

/// What operators keep under `provider`, while the kind's own only shows it.
fn add_kept(
    paths: &mut Map<String, Value>,
    row: &KindInfo,
    provider: Provider,
    schemas: &mut SchemaGenerator,
) {
    let (title, path) = (title(row.kind), format!("/providers/{}/v1/{}", provider.name(), row.collection));
    let operation = |verb: &str, summary: &str| json!({ "operationId": format!("{verb}{title}"), "tags": [provider.name()], "summary": format!("{summary}: {} (operators)", row.name) });
    let all = listed(row, operation("listKept", "List"), &[]);
    paths.insert(path.clone(), json!({ "get": all }));
    let shown = |status, what| responses(&[(status, what, Some(title.clone()))]);
    let mut one = operation("getKept", "Read");
    one["responses"] = shown("200", "As it is now");
    let mut put = operation("put", "Change");
    put["parameters"] = json!([version()]);
    let spec = schemas.subschema_for::<RegionZones>().to_value();
    let body = json!({ "type": "object", "required": ["spec"], "properties": { "metadata": ignored(), "spec": spec } });
    put["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": body } } });
    put["responses"] = shown("200", "Changed");
    paths.insert(
        format!("{path}/{{name}}"),
        json!({ "parameters": [text("name", longest(row.kind))], "get": one, "put": put }),
    );
}

fn ignored() -> Value {
    json!({ "type": ["object", "null"], "description": "Passed over, but for what contradicts the path." })
}

/// Of what may be left out: null is as good as that (SECA).
fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// Labels and annotations.
fn maps() -> (Value, Value) {
    let map = |max: u32| {
        let keys = json!({ "minLength": 1, "maxLength": 256 });
        let values = json!({ "type": "string", "maxLength": max });
        json!({ "type": "object", "propertyNames": keys, "additionalProperties": values })
    };
    let (mut labels, annotations) = (map(63), map(1024));
    labels["maxProperties"] = json!(body::MAX_LABELS);
    (labels, annotations)
}

/// As a client sends it.
fn sent(row: &KindInfo, spec: Value) -> Value {
    let (labels, annotations) = maps();
    let (labels, annotations) = (or_null(labels), or_null(annotations));
    // What may be left out is what has no field that is required.
    let optional = matches!(row.kind, Kind::Workspace | Kind::InternetGateway);
    let spec = if optional { or_null(spec) } else { spec };
    json!({
        "type": "object",
        "required": if optional { json!([]) } else { json!(["spec"]) },
        "properties": { "labels": labels, "annotations": annotations, "metadata": ignored(), "spec": spec },
    })
}

/// As the server shows it.
fn resource(spec: Value, status: Option<Value>) -> Value {
    let (labels, annotations) = maps();
    let extensions = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let mut properties = json!({
        "labels": labels, "annotations": annotations, "extensions": extensions,
        "metadata": { "$ref": "#/components/schemas/Metadata" },
        "spec": spec,
    });
    let mut required = vec!["metadata", "spec"];
    if let Some(status) = status {
        properties["status"] = status;
        required.push("status");
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

/// What a kind has in its status.
fn status(kind: Kind, schemas: &mut SchemaGenerator) -> Value {
    let of = match kind {
        Kind::Workspace => schemas.subschema_for::<WorkspaceStatus>(),
        Kind::Instance => schemas.subschema_for::<InstanceStatus>(),
        Kind::BlockStorage => schemas.subschema_for::<BlockStorageStatus>(),
        Kind::Image => schemas.subschema_for::<ImageStatus>(),
        Kind::Network => schemas.subschema_for::<NetworkStatus>(),
        Kind::Subnet => schemas.subschema_for::<SubnetStatus>(),
        Kind::RouteTable => schemas.subschema_for::<RouteTableStatus>(),
        Kind::Nic => schemas.subschema_for::<NicStatus>(),
        Kind::PublicIp => schemas.subschema_for::<PublicIpStatus>(),
        Kind::SecurityGroup => schemas.subschema_for::<SecurityGroupStatus>(),
        _ => schemas.subschema_for::<Status>(),
    };
    let mut status = json!({ "allOf": [of] });
    if matches!(kind, Kind::Tenant | Kind::WorkspaceQuota) {
        status["properties"] = json!({ "usage": { "$ref": "#/components/schemas/UsageByCountable" } });
    }
    status
}

/// What has no row in the table of kinds.
fn add_others(paths: &mut Map<String, Value>, schemas: &mut SchemaGenerator) {
    let usage = schemas.subschema_for::<Usage>().to_value();
    let usages = Countable::ALL.map(|what| (what.name(), usage.clone()));
    let usage = json!({ "type": "object", "properties": Map::from_iter(usages) });
    let access = schemas.subschema_for::<ConsoleAccess>().to_value();
    let content = schemas.subschema_for::<BlobSpec>().to_value();
    schemas.definitions_mut().insert("UsageByCountable".to_owned(), usage);
    let console = |operation: &str, summary: &str| json!({ "operationId": operation, "tags": ["rempart.console"], "summary": summary });
    let instance = || vec![text("tenant", 64), text("workspace", 64), text("instance", 128)];
    let mut grant = console("openConsole", "A token and an address for a console, once and within a minute");
    grant["responses"] = json!({
        "201": { "description": "Where, and with what", "content": { "application/json": { "schema": access } } },
        "default": { "$ref": "#/components/responses/Problem" },
    });
    let mut connect = console("connectConsole", "The console itself, as a WebSocket, with its token");
    connect["security"] = json!([]);
    connect["responses"] = json!({
        "101": { "description": "It is open" },
        "default": { "$ref": "#/components/responses/Problem" },
    });
    let kind =
        json!({ "name": "kind", "in": "path", "required": true, "schema": { "enum": ["serial", "vnc"] } });
    let parameters = [instance(), vec![kind]].concat();
    paths.insert(
        console::CONSOLE.to_owned(),
        json!({ "parameters": parameters, "post": grant, "get": connect }),
    );
    let mut log = console("readSerialLog", "The end of what the guest wrote to its serial port");
    let tail = json!({ "type": "integer", "minimum": 1, "maximum": MAX_LOG_BYTES });
    log["parameters"] = json!([{ "name": "tailBytes", "in": "query", "schema": tail }]);
    let bytes = json!({ "application/octet-stream": {} });
    log["responses"] = json!({
        "200": { "description": "Its end", "content": bytes },
        "default": { "$ref": "#/components/responses/Problem" },
    });
    paths.insert(console::LOG.to_owned(), json!({ "parameters": instance(), "get": log }));
    let standing = schemas.subschema_for::<Standing>().to_value();
    for (scope, segments) in
        [Scope::Global, Scope::Tenant, Scope::Workspace, Scope::Network].map(|scope| (scope, segments(scope)))
    {
        let providers: Vec<_> = Provider::ALL.iter().map(|provider| provider.name()).collect();
        let mut path = format!("/providers/{}/v1/{{provider}}", standing::PROVIDER);
        let mut parameters = vec![
            json!({ "name": "provider", "in": "path", "required": true, "schema": { "enum": providers } }),
        ];
        for (collection, parameter) in segments {
            path.push_str(&format!("/{collection}/{{{parameter}}}"));
            parameters.push(text(parameter, 64));
        }
        path.push_str("/{collection}/{name}");
        let rows = Kind::table().iter().filter(|row| row.scope == scope);
        let collections: BTreeSet<_> = rows.map(|row| row.collection).collect();
        parameters.push(
            json!({ "name": "collection", "in": "path", "required": true, "schema": { "enum": collections } }),
        );
        parameters.push(text("name", 128));
        let operation = json!({
            "operationId": format!("explain{scope:?}"),
            "tags": [standing::PROVIDER],
            "summary": "Where a resource stands, what it waits for, by when, and what happens next",
            "responses": {
                "200": { "description": "As it is now", "content": { "application/json": { "schema": standing } } },
                "default": { "$ref": "#/components/responses/Problem" },
            },
        });
        paths.insert(path, json!({ "parameters": parameters, "get": operation }));
    }
    let orphans = schemas.subschema_for::<Orphans>().to_value();
    let fleet = |operation: &str, summary: &str| json!({ "operationId": operation, "tags": ["rempart.fleet"], "summary": summary });
    let mut all = fleet(
        "listOrphans",
        "What exists on hosts and controllers without a row, and rows without their thing (operators)",
    );
    all["responses"] = json!({
        "200": { "description": "As hosts have said, and controllers of their disks", "content": { "application/json": { "schema": orphans } } },
        "default": { "$ref": "#/components/responses/Problem" },
    });
    paths.insert("/providers/rempart.fleet/v1/orphans".to_owned(), json!({ "get": all }));
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": {
        "type": "string", "pattern": "^[a-z0-9.-]+:[0-9a-f-]{36}$",
    } });
    let repair = json!({ "name": "repair", "in": "path", "required": true, "schema": {
        "enum": ["quarantine", "remove", "release"],
    } });
    let mut order =
        fleet("repairOrphan", "Have one moved aside, removed, or released from a revoked host (operators)");
    order["responses"] = responses(&[("202", "Accepted", None)]);
    paths.insert(
        "/providers/rempart.fleet/v1/orphans/{id}/{repair}".to_owned(),
        json!({ "parameters": [id, repair], "post": order }),
    );
    let mut fill = json!({
        "operationId": "putBlockStorageContent",
        "tags": ["seca.storage"],
        "summary": "The bytes of a new, blank volume, as docs/uploads.md says; or (operators) what they are",
    });
    let query = |name: &str, required: bool, schema: Value| json!({ "name": name, "in": "query", "required": required, "schema": schema });
    fill["parameters"] = json!([
        query("sha256", true, json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })),
        query("format", true, json!({ "enum": ["raw", "qcow2"] })),
        query(
            "virtualSizeBytes",
            false,
            json!({ "type": "integer", "minimum": 1, "maximum": (1_u64 << 53) - 1 })
        ),
    ]);
    let octets = json!({ "application/octet-stream": {}, "application/json": { "schema": content } });
    fill["requestBody"] = json!({ "required": true, "content": octets });
    fill["responses"] = responses(&[("202", "It is the volume's content", None)]);
    let volume = [text("tenant", 64), text("workspace", 64), text("name", 128)];
    let path =
        "/providers/seca.storage/v1/tenants/{tenant}/workspaces/{workspace}/block-storages/{name}/content";
    paths.insert(path.to_owned(), json!({ "parameters": volume, "put": fill }));
    for row in fixed::TABLE {
        for (_, access) in row.methods {
            if let Access::Everybody { summary, content } = access {
                paths.insert(row.path.to_owned(), public(summary, content));
            }
        }
    }
}

/// Of a GET that takes no token.
fn public(summary: &str, content: &str) -> Value {
    let content = json!({ content: {} });
    json!({ "get": { "summary": summary, "security": [], "responses": {
        "200": { "description": "It is here", "content": content },
        "default": { "description": "Not now" },
    } } })
}

fn list_parameters() -> Vec<Value> {
    let query = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "query", "schema": schema, "description": description });
    vec![
        query("labels", json!({ "type": "string" }), "Labels that items have: docs/lists.md"),
        query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 10_000 }), "Most items"),
        query("skipToken", json!({ "type": "string" }), "From the page before"),
    ]
}

fn version() -> Value {
    json!({
        "name": "if-unmodified-since", "in": "header",
        "schema": { "type": "integer", "minimum": 0, "maximum": (1_u64 << 53) - 1 },
        "description": "metadata.resourceVersion that the resource must have",
    })
}

/// Of these, and of every failure.
fn responses(good: &[(&str, &str, Option<String>)]) -> Value {
    let mut responses = Map::new();
    for (status, description, schema) in good {
        let mut response = json!({ "description": description });
        if let Some(schema) = schema {
            let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
            response["content"] = json!({ "application/json": { "schema": schema } });
        }
        responses.insert((*status).to_owned(), response);
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    responses.into()
}

fn longest(kind: Kind) -> u32 {
    match kind {
        Kind::Tenant
        | Kind::WorkspaceQuota
        | Kind::Workspace
        | Kind::Network
        | Kind::Role
        | Kind::Host
        | Kind::ServiceAccount
        | Kind::Region => 64,
        _ => 128,
    }
}

/// `security-group-rule` as a name of a type: `SecurityGroupRule`.
fn title(kind: Kind) -> String {
    kind.info().name.split('-').map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests;
