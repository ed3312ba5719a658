//! Rights over HTTP: what is given holds at every controller at once, and ends at once.

use rempart_api::client::{Client, ClientError};
use rempart_api::{Kind, Urn};
use rempart_tests::Cluster;
use serde_json::{Value, json};

fn tenant(kind: Kind, name: &str) -> Urn {
    Urn::tenant(kind, "acme", name)
}

fn assigned(role: &str, subject: &str, scope: &Value) -> Value {
    json!({ "spec": { "roles": [role], "subs": [subject], "scopes": [scope] } })
}

fn status<T>(answer: Result<T, ClientError>) -> u16 {
    match answer {
        Ok(_) => 200,
        Err(error) => error.status().expect("an answer"),
    }
}

/// What a refusal says, without the path that was asked for.
async fn refused(client: &Client, urn: &Urn) -> Value {
    let problem = match client.get(urn).await {
        Err(ClientError::Problem(problem)) => problem,
        other => panic!("{urn}: {other:?}"),
    };
    assert_eq!(problem.status, 403, "{urn}");
    let mut said = serde_json::to_value(&*problem).expect("plain data");
    said.as_object_mut().expect("an object").remove("instance");
    said
}

#[tokio::test]
async fn rights_hold_everywhere_from_the_answer_on_and_end_so() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("c"), 3).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let owners = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &owners).await.expect("a tenant");
    let alice = cluster.client(1, "alice").expect("a client");
    let bobs: Vec<_> = (1..=3).map(|id| cluster.client(id, "bob").expect("a client")).collect();
    for name in ["w", "v"] {
        alice.put(&tenant(Kind::Workspace, name), &json!({})).await.expect("a workspace");
    }
    let volume = |workspace: &str, name: &str| Urn::workspace(Kind::BlockStorage, "acme", workspace, name);
    let spec = json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } });
    for workspace in ["w", "v"] {
        alice.put(&volume(workspace, "data"), &spec).await.expect("a volume");
    }

    // A stranger hears the same of what is there and of what is not.
    let first = refused(&bobs[0], &volume("w", "data")).await;
    for urn in [
        volume("w", "none"),
        volume("none", "x"),
        tenant(Kind::Role, "seca.admin"),
        tenant(Kind::Workspace, "w"),
    ] {
        assert_eq!(refused(&bobs[1], &urn).await, first, "{urn}");
    }
    assert_eq!(refused(&bobs[2], &Urn::tenant(Kind::Workspace, "nowhere", "w")).await, first);

    // Given, taken, and given again: each time every controller knows it by the answer.
    let given = tenant(Kind::RoleAssignment, "bob");
    let scope = json!({ "workspaces": ["w"] });
    for _ in 0..5 {
        alice.put(&given, &assigned("seca.workspace-viewer", "bob", &scope)).await.expect("given");
        for bob in &bobs {
            assert_eq!(status(bob.get(&volume("w", "data")).await), 200);
            assert_eq!(status(bob.put(&volume("w", "more"), &spec).await), 403);
            assert_eq!(status(bob.get(&volume("v", "data")).await), 403);
            let seen = bob.list(&tenant(Kind::Workspace, "")).await.expect("a list");
            let names: Vec<_> = seen.items.iter().map(|item| item.metadata.name.as_str()).collect();
            assert_eq!(names, ["w"], "the others are not his");
            // What everybody sees of the shared catalogue, he sees under the tenant's path, too.
            assert_eq!(status(bob.list(&tenant(Kind::StorageSku, "")).await), 200);
        }
        alice.delete(&given).await.expect("taken");
        for bob in &bobs {
            assert_eq!(status(bob.get(&volume("w", "data")).await), 403);
            assert_eq!(status(bob.list(&tenant(Kind::Workspace, "")).await), 403);
        }
    }

    // Who may write and not delete is told what is wrong with what they write; who may only read is told nothing of it.
    let wrong = json!({ "spec": { "sizeGB": "many" } });
    for (role, expected) in [("seca.workspace-editor", 400), ("seca.workspace-viewer", 403)] {
        alice.put(&given, &assigned(role, "bob", &scope)).await.expect("given");
        assert_eq!(status(bobs[0].put(&volume("w", "wrong"), &wrong).await), expected, "{role}");
        assert_eq!(status(bobs[0].delete(&volume("w", "data")).await), 403, "{role}");
    }

    // Who may give does not give more than they hold.
    let permission = json!({ "provider": "seca.authorization", "resources": ["*"], "verb": ["*"] });
    let giver = json!({ "spec": { "permissions": [permission] } });
    alice.put(&tenant(Kind::Role, "giver"), &giver).await.expect("a role");
    alice.put(&given, &assigned("giver", "bob", &json!({}))).await.expect("given");
    let bob = &bobs[1];
    let all = assigned("seca.admin", "bob", &json!({}));
    match bob.put(&tenant(Kind::RoleAssignment, "more"), &all).await {
        Err(ClientError::Problem(problem)) => {
            assert_eq!(problem.status, 403, "{problem:?}");
            assert!(problem.detail.contains("you do not hold yourself: role seca.admin"), "{problem:?}");
        }
        other => panic!("{other:?}"),
    }
    bob.put(&tenant(Kind::RoleAssignment, "same"), &assigned("giver", "carol", &json!({})))
        .await
        .expect("his to give");

    // System roles are seen with the tenant's own, and nobody's to change.
    let roles = bob.list(&tenant(Kind::Role, "")).await.expect("a list");
    let names: Vec<_> = roles.items.iter().map(|item| item.metadata.name.as_str()).collect();
    let system = ["admin", "region-admin", "workspace-admin", "workspace-editor", "workspace-viewer"];
    let expected: Vec<_> =
        ["giver".to_owned()].into_iter().chain(system.map(|name| format!("seca.{name}"))).collect();
    assert_eq!(names, expected);
    let view = alice.get(&tenant(Kind::Role, "seca.workspace-viewer")).await.expect("a role");
    assert_eq!(view.metadata.tenant.as_deref(), Some("acme"));
    assert_eq!(view.status.expect("a status")["state"], "active");
    let system = tenant(Kind::Role, "seca.admin");
    assert_eq!(status(alice.put(&system, &giver).await), 403);
    assert_eq!(status(alice.delete(&system).await), 403);
    // Operators hold nothing in a tenant.
    assert_eq!(status(operator.list(&tenant(Kind::Role, "")).await), 403);
    assert_eq!(status(operator.put(&given, &all).await), 403);
}
