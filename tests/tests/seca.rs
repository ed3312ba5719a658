//! What clients of SECA that we did not write go by: statuses and classes of refusals, names as they were asked for, what is
//! checked before what.

use rempart_api::client::{Client, ClientError, Deleted, Page};
use rempart_api::region::RegionSpec;
use rempart_api::workspace::WorkspaceStatus;
use rempart_api::{Kind, ProblemType, ResourceView, Scope, Urn};
use rempart_tests::Cluster;
use serde_json::{Value, json};

struct Stage {
    _dir: tempfile::TempDir,
    cluster: Cluster,
    operator: Client,
    alice: Client,
}

/// Two tables of statuses, one behaviour: this one answers as the specification says.
async fn stage() -> Stage {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = [("REMPART_STATUS_TABLE", "spec")];
    let cluster = Cluster::start_with(&dir.path().join("c"), 1, &settings).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let alice = cluster.client(1, "alice").expect("a client");
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    alice.put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");
    Stage { _dir: dir, cluster, operator, alice }
}

fn here(kind: Kind, name: &str) -> Urn {
    Urn::workspace(kind, "acme", "w", name)
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, ProblemType, String) {
    match answer {
        Err(ClientError::Problem(problem)) => (
            problem.status,
            problem.class,
            problem.sources.first().map(|source| source.pointer.clone()).unwrap_or_default(),
        ),
        other => panic!("it is refused: {other:?}"),
    }
}

#[tokio::test]
async fn what_other_clients_go_by() {
    let stage = stage().await;
    types_and_values(&stage.alice).await;
    rights_before_headers(&stage).await;
    the_shared_tenant_by_either_name(&stage).await;
    architectures(&stage).await;
    our_own_client(&stage).await;
    the_edges_of_http(&stage).await;
}

/// 400 for JSON of another type, 422 for what is no legal value.
async fn types_and_values(alice: &Client) {
    let volume = |size: Value| json!({ "spec": { "sizeGB": size, "skuRef": "skus/le500" } });
    let direction = |value: Value| json!({ "spec": { "direction": value } });
    let bad = ProblemType::InvalidRequest;
    let invalid = ProblemType::ValidationError;
    for (kind, body, status, class, pointer) in [
        (Kind::BlockStorage, volume(json!("5")), 400, bad, "/spec/sizeGB"),
        (Kind::BlockStorage, volume(json!(1.5)), 400, bad, "/spec/sizeGB"),
        (Kind::BlockStorage, volume(json!(-1)), 422, invalid, "/spec/sizeGB"),
        (Kind::BlockStorage, volume(json!(null)), 422, invalid, "/spec/sizeGB"),
        (
            Kind::BlockStorage,
            json!({ "spec": { "sizeGB": 5, "skuRef": {} } }),
            422,
            invalid,
            "/spec/skuRef/resource",
        ),
        (Kind::SecurityGroupRule, direction(json!("in")), 422, invalid, "/spec/direction"),
        (Kind::SecurityGroupRule, direction(json!(5)), 400, bad, "/spec/direction"),
        (Kind::SecurityGroupRule, json!({ "spec": {} }), 422, invalid, "/spec/direction"),
        (Kind::SecurityGroupRule, direction(json!({ "ingress": null })), 400, bad, "/spec/direction"),
        (
            Kind::Network,
            json!({ "spec": { "cidr": ["10.0.0.0/16"], "skuRef": "n1k" } }),
            400,
            bad,
            "/spec/cidr",
        ),
        (
            Kind::BlockStorage,
            json!({ "spec": { "sizeGB": 5, "skuRef": { "resource": "skus/le500", "tenant": "nope" } } }),
            422,
            invalid,
            "/spec/skuRef",
        ),
        (
            Kind::SecurityGroupRule,
            json!({ "spec": {
                "direction": "ingress",
                "sourceRef": ["10.0.0.1", { "resource": "instances/x", "workspace": "w".repeat(500_000) }],
            } }),
            422,
            invalid,
            "/spec/sourceRef/1",
        ),
    ] {
        let answer = refused(alice.put(&here(kind, "x"), &body).await);
        assert_eq!(answer, (status, class, pointer.to_owned()), "{body}");
    }
    // What a client wrote comes back, within the bounds of a problem.
    let long = "k".repeat(1000);
    let body = json!({ "spec": { "direction": "ingress", "annotations": { long: 5 } } });
    let answer = refused(alice.put(&here(Kind::SecurityGroupRule, "x"), &body).await);
    assert_eq!((answer.0, answer.2.chars().count()), (400, 256));
}

/// SECA's order: 401, 403, and then what is wrong with the request. A version may be any integer.
async fn rights_before_headers(stage: &Stage) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = stage.alice.url(&Urn::tenant(Kind::Workspace, "acme", "w"));
    for (subject, expected) in [("mallory", [403; 3]), ("alice", [400, 406, 412])] {
        let token = stage.cluster.layout.token(subject).expect("a token");
        let wrong = [("if-unmodified-since", "soon"), ("accept", "text/html"), ("if-unmodified-since", "-1")];
        for ((name, value), expected) in wrong.into_iter().zip(expected) {
            let request = http.put(&url).bearer_auth(&token).header(name, value).json(&json!({}));
            let status = request.send().await.expect("an answer").status().as_u16();
            assert_eq!(status, expected, "{subject}: {name}: {value}");
        }
    }
    // SECA has no version for what is only read; caches send dates there.
    let token = stage.cluster.layout.token("alice").expect("a token");
    for path in [url.as_str(), url.strip_suffix("/w").expect("a workspace")] {
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        let request = http.get(path).bearer_auth(&token).header("if-unmodified-since", date);
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), 200, "{path}");
    }
}

/// `public` and `seca` are one tenant, shown by the name it was asked for.
async fn the_shared_tenant_by_either_name(stage: &Stage) {
    let named = |view: &ResourceView| (view.metadata.tenant.clone(), view.metadata.reference.clone());
    for tenant in ["public", "seca"] {
        let sku = Urn::tenant(Kind::StorageSku, tenant, "seca.le500");
        let expected = (Some(tenant.to_owned()), sku.to_string());
        assert_eq!(named(&stage.alice.get(&sku).await.expect("it is there")), expected);
        let listed = stage.alice.list(&sku).await.expect("a list");
        assert!(listed.items.iter().any(|item| named(item) == expected), "{listed:?}");
        let own = Urn::tenant(Kind::StorageSku, tenant, "own");
        let spec = json!({ "iops": 100, "minVolumeSize": 1, "type": "local-durable" });
        let body = json!({ "labels": { "Tier": "OWN" }, "extensions": { "vendor": "x" }, "spec": spec });
        let (_, view) = stage.operator.put(&own, &body).await.expect("a size");
        assert_eq!(named(&view), (Some(tenant.to_owned()), own.to_string()));
        let seen = stage.alice.get(&Urn::tenant(Kind::StorageSku, "acme", "own")).await.expect("it is there");
        assert_eq!(named(&seen).0.as_deref(), Some("acme"));
        assert_eq!(json!([seen.labels, seen.extensions]), json!([{ "Tier": "OWN" }, { "vendor": "x" }]));
    }
}

/// Sizes say by a label what they are of.
async fn architectures(stage: &Stage) {
    let alice = &stage.alice;
    let volume = |more: Value| {
        let mut spec = json!({ "sizeGB": 1, "skuRef": "skus/le500" });
        spec.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        json!({ "spec": spec })
    };
    alice.put(&here(Kind::BlockStorage, "source"), &volume(json!({}))).await.expect("a volume");
    let image =
        json!({ "blockStorageRef": "workspaces/w/block-storages/source", "cpuArchitecture": "arm64" });
    alice.put(&Urn::tenant(Kind::Image, "acme", "arm"), &json!({ "spec": image })).await.expect("an image");
    let boot = volume(json!({ "sourceImageRef": "images/arm" }));
    alice.put(&here(Kind::BlockStorage, "boot"), &boot).await.expect("a volume");
    let instance = |sku: &str| json!({ "spec": { "skuRef": sku, "zone": "a", "bootVolume": { "deviceRef": "block-storages/boot" } } });
    let answer = refused(alice.put(&here(Kind::Instance, "vm"), &instance("skus/dxs")).await);
    assert_eq!((answer.0, answer.2.as_str()), (422, "/spec/bootVolume/deviceRef"));
    let body = json!({ "labels": { "Architecture": "arm64" }, "spec": { "vCPU": 1, "ram": 1 } });
    let sku = Urn::tenant(Kind::InstanceSku, "public", "arm");
    stage.operator.put(&sku, &body).await.expect("a size");
    alice.put(&here(Kind::Instance, "vm"), &instance("skus/arm")).await.expect("it waits for such a machine");
}

/// It begins as others do, and reaches every kind, page by page.
async fn our_own_client(stage: &Stage) {
    let (alice, operator) = (&stage.alice, &stage.operator);
    let global = alice.discover().await.expect("where to begin");
    let url = alice.url(&Urn::global(Kind::Region, "local"));
    assert!(url.starts_with(&format!("{}/v1/", global.endpoints[0].url)), "{url}: {global:?}");
    let region = alice.get(&Urn::global(Kind::Region, "local")).await.expect("the region");
    let region: RegionSpec = region.spec_as().expect("it is one");
    assert_eq!(region.available_zones, ["a", "b"]);

    let network = json!({ "spec": { "cidr": { "ipv4": "10.0.0.0/16" }, "skuRef": "skus/n1k" } });
    alice.put(&here(Kind::Network, "n"), &network).await.expect("a network");
    for row in Kind::table() {
        let any = Urn::network(row.kind, "acme", "w", "n", "").sibling(row.kind, "");
        let client = if row.scope == Scope::Global && row.kind != Kind::Region { operator } else { alice };
        for deleted in [Deleted::Plain, Deleted::Include, Deleted::Only] {
            let page = Page { labels: Some("!nothing"), limit: Some(1), skip_token: None, deleted };
            let first = client.list_page(&any, page).await.expect(row.name);
            assert!(first.items.len() <= 1, "{}: {first:?}", row.name);
            if let Some(token) = &first.metadata.skip_token {
                let second = Page { skip_token: Some(token), ..page };
                let second = client.list_page(&any, second).await.expect(row.name);
                assert_ne!(first.items[0].metadata.name, second.items[0].metadata.name, "{}", row.name);
            }
        }
    }

    let urn = Urn::tenant(Kind::Workspace, "acme", "short");
    let (_, view) = alice.put(&urn, &json!({})).await.expect("a workspace");
    assert_eq!(view.status_as::<WorkspaceStatus>().expect("it is one").resource_count, 0);
    assert_eq!(refused(alice.delete_if(&urn, Some(9)).await).0, 412);
    let stale = alice.act_if(&here(Kind::Instance, "vm"), "start", Some(9)).await;
    assert_eq!(refused(stale).1, ProblemType::PreconditionFailed);
    alice.delete_if(&urn, view.metadata.resource_version).await.expect("accepted");
}

/// What stands around a call: methods, paths, parameters, conditions, media types.
async fn the_edges_of_http(stage: &Stage) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let token = stage.cluster.layout.token("alice").expect("a token");
    let base = stage.cluster.layout.url(1);
    let all = "/providers/seca.workspace/v1/tenants/acme/workspaces";
    let one = format!("{all}/w");
    let json = ("content-type", "application/json");
    let version = stage.alice.get(&Urn::tenant(Kind::Workspace, "acme", "w")).await.expect("it is there");
    let version = version.metadata.resource_version.expect("a version");
    let only = ("accept", "text/html; deleted=only, application/json");
    for (method, path, headers, body, status, about) in [
        ("PUT", "/.wellknown/secapi", &[][..], "", 405, "GET, HEAD"),
        ("DELETE", "/healthz", &[], "", 405, "GET, HEAD"),
        ("HEAD", all, &[], "", 405, ""),
        ("OPTIONS", &one, &[], "", 405, "GET, PUT, DELETE"),
        ("GET", &format!("{one}/"), &[], "", 200, ""),
        ("GET", &format!("{one}//"), &[], "", 404, "no such path"),
        ("GET", &format!("{all}//w"), &[], "", 404, "no such path"),
        ("GET", &format!("{all}/%77"), &[], "", 200, ""),
        ("GET", &format!("{all}/w%2F"), &[], "", 404, "no such path"),
        ("GET", &format!("{all}?l%69mit=0"), &[], "", 400, "limit: must be"),
        ("GET", &format!("{all}?limit=5&%6Cimit=6"), &[], "", 400, "limit: is given twice"),
        ("GET", &format!("{all}?other=5&other=6"), &[], "", 200, ""),
        // Not asked of what is taken.
        ("GET", all, &[only], "", 200, "workspaces/w\""),
        ("GET", all, &[("accept", "application/json; deleted=only")], "", 200, "\"items\":[]"),
        ("GET", all, &[("accept", "application/json; deleted")], "", 400, "deleted is something else"),
        ("PUT", &one, &[json, ("if-none-match", "*")], "{}", 412, "compares entity tags"),
        ("PUT", &one, &[json, ("if-match", "\"1\"")], "{}", 412, ""),
        ("DELETE", &one, &[("if-match", "*")], "", 412, ""),
        ("GET", &one, &[("if-none-match", "*")], "", 200, ""),
        ("PUT", &one, &[json, ("content-type", "text/plain")], "{}", 415, ""),
        ("PUT", &one, &[json, ("content-encoding", "gzip")], "{}", 415, "no content-encoding"),
        ("PUT", &one, &[], "{}", 415, ""),
        ("PUT", &one, &[json], "{\"metadata\": 5}", 400, "/metadata: must be an object"),
        ("PUT", &one, &[json], "{\"metadata\": {\"name\": 5}}", 400, "/metadata/name: must be a string"),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let what = format!("{method} {path} {headers:?} {body}");
        let is_head = method == reqwest::Method::HEAD;
        let mut request = http.request(method, format!("{base}{path}")).bearer_auth(token.trim());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body.to_owned()).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{what}");
        let header =
            |name| answer.headers().get(name).map_or("", |value| value.to_str().expect("text")).to_owned();
        let (kind, allow) = (header("content-type"), header("allow"));
        assert!(!is_head || allow == "GET", "{what}: {allow}");
        let text = answer.text().await.expect("a body");
        if status >= 400 {
            assert_eq!(kind, "application/problem+json", "{what}");
        }
        if status == 405 && !is_head {
            assert_eq!(allow, about, "{what}");
            let problem: Value = serde_json::from_str(&text).expect("a problem");
            assert_eq!(problem["status"], 405, "{what}");
        } else {
            assert!(text.contains(about), "{what}: {text}");
        }
    }
    let after = stage.alice.get(&Urn::tenant(Kind::Workspace, "acme", "w")).await.expect("it is there");
    assert_eq!(after.metadata.resource_version, Some(version), "what was refused changed nothing");
}
