//! The controllers themselves, in the document.

use rempart_api::cluster::{
    BACKUP_HEADER, BackupRequest, PROVIDER, Replica, ReplicaList, ReplicaSpec, ResumeRequest,
};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::super::backup::BACKUP;
use super::super::cluster::{LEAD, REPLICA, REPLICAS, RESUME};
use super::responses;

/// Adds their paths.
pub(super) fn add(paths: &mut Map<String, Value>, schemas: &mut SchemaGenerator) {
    // For their names.
    let _ = (schemas.subschema_for::<ReplicaList>(), schemas.subschema_for::<Replica>());
    let spec = schemas.subschema_for::<ReplicaSpec>().to_value();
    let body = json!({ "type": "object", "required": ["spec"], "properties": { "spec": spec } });
    let operation = |name: &str, summary: &str, answers: Value| json!({ "operationId": name, "tags": [PROVIDER], "summary": summary, "responses": answers });
    let shown = |what: &str, schema: &str| responses(&[("200", what, Some(schema.to_owned()))]);
    let accepted = || responses(&[("202", "It is written down; the list tells how far it is", None)]);
    let id = json!([{ "name": "id", "in": "path", "required": true, "schema": { "type": "integer", "minimum": 0, "maximum": u64::MAX } }]);
    let mut put = operation("joinReplica", "A controller that runs is to vote (operators)", accepted());
    put["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": body } } });
    let get = operation("listReplicas", "Every controller (operators)", shown("All of them", "ReplicaList"));
    paths.insert(REPLICAS.to_owned(), json!({ "get": get }));
    let get = operation("getReplica", "A controller (operators)", shown("How it is doing", "Replica"));
    let delete = operation("removeReplica", "A controller is to leave, for good (operators)", accepted());
    paths.insert(REPLICA.to_owned(), json!({ "parameters": id, "get": get, "put": put, "delete": delete }));
    let lead = operation("leadReplica", "A controller is to lead (operators)", accepted());
    paths.insert(LEAD.to_owned(), json!({ "parameters": id, "post": lead }));
    let json =
        |schema: Value| json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    let mut resume =
        operation("resumeCluster", "A restored cluster is to take changes again (operators)", accepted());
    resume["requestBody"] = json(schemas.subschema_for::<ResumeRequest>().to_value());
    paths.insert(RESUME.to_owned(), json!({ "post": resume }));
    let mut answers =
        responses(&[("200", "The backup, encrypted; broken off if it cannot be completed", None)]);
    answers["200"]["content"] =
        json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } });
    answers["200"]["headers"] =
        json!({ BACKUP_HEADER: { "description": "What is in it, as JSON", "schema": { "type": "string" } } });
    let mut backup = operation("backUpCluster", "A backup of the control plane (operators)", answers);
    backup["requestBody"] = json(schemas.subschema_for::<BackupRequest>().to_value());
    paths.insert(BACKUP.to_owned(), json!({ "post": backup }));
}
