//! What a generator of requests finds, that goes by the document the server itself gives: `make schemathesis`.

use std::path::Path;
use std::process::Command;

use rempart_api::{Kind, Urn};
use rempart_tests::Cluster;
use serde_json::json;

/// What requests refer to, so that they get further than to what is missing; and which refusals are right for a request that is
/// in order as far as the document can tell: what it names may be missing or used.
const CONFIG: &str = r#"
[parameters]
"path.tenant" = "acme"
"path.workspace" = "w"
"path.network" = "n"
"path.instance" = "web"
# Opaque, and a grammar of its own: tests/tests/api.rs and docs/lists.md.
"query.skipToken" = ""
"query.labels" = "env=prod"

[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422"]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428"]
"#;

#[tokio::test]
#[ignore = "needs schemathesis: make schemathesis"]
async fn every_generated_request_is_answered_as_the_document_says() {
    let program = std::env::var("SCHEMATHESIS").expect("SCHEMATHESIS names the program");
    let seconds = std::env::var("SCHEMATHESIS_SECONDS").unwrap_or_else(|_| "300".to_owned());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = [("REMPART_STATUS_TABLE", "spec")];
    let cluster = Cluster::start_with(&dir.path().join("c"), 1, &settings).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    // One caller may do everything, so that nothing stays untried.
    let tenant = json!({ "spec": { "owners": ["operator"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    operator.put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");
    let network = json!({ "spec": { "cidr": { "ipv4": "10.0.0.0/16" }, "skuRef": "skus/n1k" } });
    operator.put(&Urn::workspace(Kind::Network, "acme", "w", "n"), &network).await.expect("a network");
    let config = dir.path().join("schemathesis.toml");
    std::fs::write(&config, CONFIG).expect("a file");
    let token = cluster.layout.token("operator").expect("a token");
    let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    let status = Command::new(program)
        .current_dir(dir.path())
        .arg("--config-file")
        .arg(&config)
        .args(["run", &format!("{}/openapi.json", cluster.layout.url(1))])
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        // One worker: several read their own source at once, which some releases of Python 3.11 and 3.12 do not survive.
        .args(["--checks", "all", "--continue-on-failure", "--max-time", &seconds, "--workers", "1"])
        .args(["--report", "junit", "--report-dir"])
        .arg(&report)
        .env("NO_PROXY", "*")
        .status()
        .expect("it runs");
    assert!(status.success(), "{status}; see above, and {}", report.display());
    assert!(operator.get(&Urn::global(Kind::Tenant, "public")).await.is_ok(), "it still serves");
}
