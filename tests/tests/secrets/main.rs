//! Secrets are nowhere in clear: not in a file, a database, a log, a command line, an environment, a metric or an answer
//! to somebody who may not see them.
//!
//! Real controllers, a real agent, a real guest. Each secret is random, so whatever is found is a leak. That the search
//! would find one is part of the test: a tenant's SSH key, which is no secret, has to turn up wherever user data would, and
//! what may be in clear on a host has to be exactly where it belongs.

mod canary;
mod search;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rempart_api::Urn;
use rempart_api::console::ConsoleKind;
use rempart_identity::join::{JoinError, join};
use rempart_identity::{JoinToken, Key};
use rempart_tests::{Lab, console, instance};
use serde_json::{Value, json};

use canary::{Canaries, opened, private_part, random_text, root_key};
use search::Found;

/// Bytes of the larger user data: more than fits a page of Postgres.
const LARGE: usize = 50_000;
const CONTROL: &str = "the SSH key, which is no secret";

struct Stage {
    lab: Lab,
    urn: Urn,
    canaries: Canaries,
    /// What the server has said to refused calls, and metrics.
    answers: Vec<String>,
    /// User data of the guest, first and second.
    user_data: [String; 2],
    control: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_nowhere_in_clear() {
    let mut lab = Lab::open_with(3, &[("REMPART_LOG", "debug")]).await;
    // An operator who looks for a fault has everything logged.
    lab.cluster.environment.push(("REMPART_LOG", "debug".to_owned()));
    restart_controllers(&mut lab).await;
    let secrets = [random_text(300), random_text(LARGE)];
    // `tiny` shows the first forty lines on its console: what a guest says of itself is its own affair.
    let user_data = secrets.each_ref().map(|secret| format!("{}{secret}\n", "#\n".repeat(41)));
    let urn = instance("vault");
    let control = format!("ssh-ed25519 {}", random_text(60));
    let mut stage =
        Stage { lab, urn, canaries: Canaries::default(), answers: Vec::new(), user_data, control };
    stage.canaries.text(CONTROL, &stage.control);
    stage.canaries.text("first user data", &secrets[0]);
    stage.canaries.text("second user data", &secrets[1]);
    keys(&mut stage);

    let uid = a_guest_gets_its_secrets(&stage).await;
    refusals(&mut stage).await;
    one_time_tokens(&mut stage).await;
    let journals = ["log", "postgres/data/pg_wal"];
    check(&mut stage, &uid, true, &journals).await;

    restart_controllers(&mut stage.lab).await;
    stage.lab.kill_agent();
    stage.lab.start_agent();
    stage.lab.host("to be back", |status| status["reachable"] == true).await;
    let view =
        stage.lab.cluster.client(3, "alice").expect("a client").get(&stage.urn).await.expect("it is there");
    assert_eq!(view.spec["userData"], stage.user_data[1], "its owner sees it, after a restart as well");
    // At its end Postgres has written its tables, too.
    check(&mut stage, &uid, true, &["log", "postgres/data/pg_wal", "postgres/data/base"]).await;

    stage.lab.delete("vault").await;
    check(&mut stage, &uid, false, &journals).await;
}

async fn restart_controllers(lab: &mut Lab) {
    for id in 1..=3 {
        assert!(lab.cluster.take(id).terminate().is_some_and(|status| status.success()));
        lab.cluster.start_controller(id).expect("it starts");
        lab.cluster.ready(id).await.expect("it is ready");
    }
}

/// Those of the machines and of the cluster.
fn keys(stage: &mut Stage) {
    let layout = &stage.lab.cluster.layout;
    stage.canaries.bytes("root key", &root_key(&layout.cluster_dir()));
    for (name, file) in [("CA key", "ca.key"), ("issuer key", "issuer.key")] {
        stage.canaries.bytes(name, private_part(&opened(&layout.cluster_dir(), file)));
    }
    for id in 1..=3 {
        let key = std::fs::read(layout.identity_dir(id).join("controller.key")).expect("its key");
        stage.canaries.bytes(&format!("key of controller {id}"), private_part(&key));
    }
    let identity = std::fs::read(stage.lab.agent.data_dir.join("identity/identity.json")).expect("its key");
    let identity: Value = serde_json::from_slice(&identity).expect("JSON");
    let key: Vec<u8> = serde_json::from_value(identity["key"].clone()).expect("a key");
    stage.canaries.bytes("key of the agent", private_part(&key));
    let used = std::fs::read_to_string(&stage.lab.agent.join_token_file).expect("its token");
    stage.canaries.text("join token of the agent", last(&used));
    for (name, token) in [("alice", &layout.token("alice")), ("mallory", &layout.token("mallory"))] {
        let token = token.as_ref().expect("a token");
        stage.canaries.text(&format!("token of {name}"), last(token));
    }
}

/// The end of a token is its signature, or a part of it: without it the rest is of no use.
fn last(token: &str) -> &str {
    let token = token.trim();
    &token[token.len() - 40..]
}

/// Made with one, given another before it starts, on with that.
async fn a_guest_gets_its_secrets(stage: &Stage) -> String {
    let lab = &stage.lab;
    let follower = lab.cluster.client(2, "alice").expect("a client");
    let more = |text: &str| json!({ "userData": text, "sshKeys": [stage.control] });
    lab.create("vault", more(&stage.user_data[0])).await;
    lab.active(&stage.urn).await;
    let body = lab.body("vault", more(&stage.user_data[1]));
    // Twice: the same text again is no change.
    for _ in 0..2 {
        follower.put(&stage.urn, &body).await.expect("accepted");
    }
    lab.active(&stage.urn).await;
    let uid = lab.new_domain(&std::collections::BTreeSet::new()).await;
    follower.act(&stage.urn, "start").await.expect("accepted");
    lab.says(&uid, "tiny: ready").await;
    let digest = digest_of(&stage.user_data[1]);
    let said = console(&lab.agent, &uid);
    assert!(said.contains(&format!("tiny: user-data sha256 {digest}")), "{said}");
    uid
}

fn digest_of(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Calls that are refused, each with a secret of its own in it.
async fn refusals(stage: &mut Stage) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let layout = &stage.lab.cluster.layout;
    let path = format!("/providers/seca.compute/v1/{}", stage.urn.path());
    let (alice, mallory) =
        (layout.token("alice").expect("a token"), layout.token("mallory").expect("a token"));
    let body = |data: Value| stage.lab.body("vault", json!({ "userData": data })).to_string();
    let spec = |text: &str, field: &str, value: Value| {
        let mut body = stage.lab.body("vault", json!({ "userData": text }));
        body["spec"][field] = value;
        body.to_string()
    };
    let subject = |token: &str| if token == mallory { "mallory" } else { "alice" };
    let fresh = |number: usize| format!("{number}{}", random_text(60));
    let secrets: Vec<String> = (0..14).map(fresh).collect();
    let long = format!("{}{}", secrets[3], "x".repeat(70_000));
    // What, the body, the token, the version, the status.
    let calls = [
        ("a list", body(json!([secrets[0]])), &alice, None, 400),
        ("an object", body(json!({ "x": secrets[1] })), &alice, None, 400),
        ("cut off", body(json!(secrets[2])).trim_end_matches('}').to_owned(), &alice, None, 400),
        ("too long", body(json!(long)), &alice, None, 412),
        ("sealed already", body(json!(format!("sealed:v1:{}", secrets[4]))), &alice, None, 412),
        ("a wrong zone", spec(&secrets[5], "zone", json!("nowhere")), &alice, None, 412),
        ("no SKU", spec(&secrets[6], "skuRef", Value::Null), &alice, None, 412),
        ("a changed volume", spec(&secrets[7], "bootVolume", json!({})), &alice, None, 412),
        ("a stale version", body(json!(secrets[8])), &alice, Some("1"), 412),
        ("a stranger", body(json!(secrets[9])), &mallory, None, 403),
        ("no token", body(json!(secrets[10])), &secrets[11], None, 401),
        ("a bare text", json!(secrets[12]).to_string(), &alice, None, 400),
    ];
    for (number, secret) in secrets.iter().enumerate() {
        stage.canaries.text(&format!("secret {number} of a refused call"), secret);
    }
    for (what, body, token, version, status) in calls {
        for id in 1..=3 {
            let request = http.put(format!("{}{path}", layout.url(id)));
            let request = request.bearer_auth(token).header("content-type", "application/json");
            let request = match version {
                Some(version) => request.header("if-unmodified-since", version),
                None => request,
            };
            let response = request.body(body.clone()).send().await.expect("an answer");
            let request_id = response.headers()["x-request-id"].to_str().expect("text").to_owned();
            let (is, said) = (response.status(), response.text().await.expect("a text"));
            assert_eq!(is, status, "{what}: {said}");
            recorded(
                &layout.data_dir(id),
                &request_id,
                status,
                if status == 401 { "" } else { subject(token) },
            );
            stage.answers.push(format!("{what}: {said}"));
        }
    }
    // In an address, where logs would have it.
    let address = format!(
        "{}/providers/rempart.console/v1/{}/serial?token={}",
        layout.url(1),
        stage.urn.path(),
        secrets[13]
    );
    let response = http.get(address).header("upgrade", "websocket").send().await.expect("an answer");
    assert!(response.status().is_client_error(), "{response:?}");
    stage.answers.push(response.text().await.expect("a text"));
}

/// The controller that refused a call has written down whose, and what it answered.
fn recorded(data_dir: &Path, request_id: &str, status: u16, subject: &str) {
    let journal = std::fs::read_to_string(data_dir.join("audit/refused.jsonl")).expect("a journal");
    let line = journal.lines().find(|line| line.contains(request_id)).expect("a line of this request");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["status"], &line["subject"]), (&json!(status), &json!(subject)), "{line}");
    assert_eq!(line["method"], "PUT");
}

async fn one_time_tokens(stage: &mut Stage) {
    let text = stage.lab.cluster.layout.join_token(&["--host", "h2"]).expect("a token");
    stage.canaries.text("another join token", last(&text));
    let redeem = async || -> Result<(), JoinError> {
        let (token, key) = (JoinToken::parse(&text)?, Key::generate()?);
        join(&token, &key, Vec::new(), Duration::from_secs(20)).await.map(drop)
    };
    redeem().await.expect("it is good once");
    stage.answers.push(redeem().await.expect_err("it was used").to_string());
    let access = stage.lab.alice.console(&stage.urn, ConsoleKind::Serial).await.expect("a token");
    stage.canaries.text("console token", last(&access.token));
    let opened = stage.lab.alice.open_console(&access).await.expect("it opens");
    drop(opened);
    let again = stage.lab.alice.open_console(&access).await.expect_err("it was used");
    stage.answers.push(again.to_string());
}

/// Looks everywhere. `there`: whether the guest still is; `parts`: what of a controller's data holds the text that is no
/// secret.
async fn check(stage: &mut Stage, uid: &str, there: bool, parts: &[&str]) {
    let layout = &stage.lab.cluster.layout;
    let everything = layout.dir.parent().expect("the lab's directory").to_owned();
    let (mut found, bytes) = search::files(&everything, &stage.canaries);
    assert!(bytes > 100 << 20, "three databases, logs and images are more than {bytes} bytes");
    let control = found.remove(CONTROL).unwrap_or_default();
    assert_eq!(
        readable(&found),
        readable(&allowed(stage, uid, there)),
        "in clear, and where, and readable for whom"
    );

    // The search looks where it should: the log, the database and what comes out of it hold the text beside the secret.
    for id in 1..=3 {
        let dump = search::dump(&layout.data_dir(id));
        assert_eq!(stage.canaries.within(dump.as_bytes()), if there { vec![CONTROL] } else { Vec::new() });
        assert!(dump.contains("COPY public.audit") && dump.contains("COPY public.answer"), "all tables");
        let below = |part: &str| {
            let part = layout.data_dir(id).join(part);
            let part = part.strip_prefix(&everything).expect("it is below").to_owned();
            control.keys().any(|path| path.starts_with(&part))
        };
        for part in parts {
            assert!(below(part), "{part} of controller {id} is not where it was looked at: {control:?}");
        }
    }
    let (in_processes, seen) = search::processes(&stage.canaries);
    assert!(in_processes.is_empty(), "{in_processes:#?}");
    let daemons = stage.lab.cluster.controllers.iter().map(|one| &one.daemon).chain(&stage.lab.daemon);
    for daemon in daemons {
        assert!(seen.contains(&daemon.pid()));
        stage.answers.push(metrics(&daemon.log()).await);
    }
    for answer in &stage.answers {
        assert!(stage.canaries.within(answer.as_bytes()).is_empty(), "{answer}");
    }
}

/// What belongs on a disk in clear: each machine's own key, the root key, an operator's token file, and on a host what its
/// guests need to start without controllers.
fn allowed(stage: &Stage, uid: &str, there: bool) -> Found {
    let mut allowed = Found::new();
    let mut allow = |name: &str, paths: &[String]| {
        let paths = paths.iter().map(|path| (PathBuf::from(path), 0o600)).collect();
        allowed.insert(name.to_owned(), paths);
    };
    let of_controllers: Vec<String> = (1..=3).map(|id| format!("c/k{id}/root.key")).collect();
    allow("root key", &of_controllers);
    for id in 1..=3 {
        allow(&format!("key of controller {id}"), &[format!("c/k{id}/controller.key")]);
    }
    allow("key of the agent", &["h1/identity/identity.json".to_owned()]);
    allow("join token of the agent", &["h1.token".to_owned()]);
    if there {
        let seed = format!("h1/seeds/{uid}.img");
        allow("second user data", &[format!("h1/ledger/instances/{uid}.json"), seed]);
    }
    assert!(stage.lab.agent.data_dir.ends_with("h1"));
    allowed
}

fn readable(found: &Found) -> BTreeMap<&str, Vec<String>> {
    let modes = |paths: &BTreeMap<PathBuf, u32>| {
        paths.iter().map(|(path, mode)| format!("{mode:o} {}", path.display())).collect()
    };
    found.iter().map(|(name, paths)| (name.as_str(), modes(paths))).collect()
}

/// The metrics that a daemon says in its log to have; it may have been started more than once.
async fn metrics(log: &str) -> String {
    let line = log.lines().rev().find(|line| line.contains("metrics are at")).expect("it says where");
    let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let url = format!("http://{}/metrics", address.expect("an address"));
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    http.get(url).send().await.expect("an answer").text().await.expect("text")
}
