//! Three replicas as real processes, each with its own Postgres: what a cluster promises while processes die.
//!
//! No host takes part: workspaces, volumes and networks are objects, and that is enough to lose or to double.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_controller::authority::{Audience, Authority};
use rempart_proto::agent::v1::fleet_client::FleetClient;
use rempart_proto::raft::v1::leader_client::LeaderClient;
use rempart_proto::raft::v1::raft_client::RaftClient;
use rempart_proto::raft::v1::{Payload, ReadIndexRequest};
use rempart_tests::{Cluster, Daemon, Layout, until, until_some};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// Calls are answered within this, whatever happens: the service's patience and some for a busy machine.
const PATIENCE: Duration = Duration::from_secs(16);

struct Bench {
    dir: tempfile::TempDir,
    cluster: Cluster,
    http: reqwest::Client,
    tokens: BTreeMap<&'static str, String>,
}

/// What a replica answered.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    request_id: Option<Uuid>,
    retry_after: Option<String>,
    media: String,
    body: Value,
}

impl Answer {
    fn version(&self) -> u64 {
        self.body["metadata"]["resourceVersion"].as_u64().unwrap_or_else(|| panic!("no version in {self:?}"))
    }

    fn uid(&self) -> String {
        self.body["metadata"].to_string()
    }

    fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

/// One subject at all replicas.
#[derive(Clone)]
struct Caller {
    http: reqwest::Client,
    urls: Vec<String>,
    token: String,
}

impl Caller {
    async fn call(
        &self,
        replica: usize,
        method: Method,
        urn: &Urn,
        body: Option<&Value>,
        version: Option<u64>,
    ) -> Result<Answer, reqwest::Error> {
        let base = &self.urls[replica - 1];
        let url = format!("{base}/providers/{}/v1/{}", urn.kind.info().provider.name(), urn.path());
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(version) = version {
            request = request.header("if-unmodified-since", version);
        }
        read(request.send().await?).await
    }

    async fn put(&self, replica: usize, urn: &Urn, body: &Value) -> Result<Answer, reqwest::Error> {
        self.call(replica, Method::PUT, urn, Some(body), None).await
    }

    async fn get(&self, replica: usize, urn: &Urn) -> Result<Answer, reqwest::Error> {
        self.call(replica, Method::GET, urn, None, None).await
    }

    /// As a patient client does: the next replica after no answer or a 503, until there is an answer.
    async fn insist(&self, first: usize, method: Method, urn: &Urn, body: Option<&Value>) -> Answer {
        let replica = std::sync::atomic::AtomicUsize::new(first - 1);
        until_some(&format!("{method} {urn} to be answered"), Duration::from_secs(40), || async {
            let replica = replica.fetch_add(1, Ordering::Relaxed) % self.urls.len() + 1;
            match self.call(replica, method.clone(), urn, body, None).await {
                Ok(answer) if answer.status != 503 => Ok(answer),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }
}

async fn read(response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let header = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let (status, request_id) = (response.status().as_u16(), header("x-request-id").and_then(|id| id.parse().ok()));
    let (retry_after, media) = (header("retry-after"), header("content-type").unwrap_or_default());
    let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
    Ok(Answer { status, request_id, retry_after, media, body })
}

/// Three replicas with tenant `acme`, owned by alice, and its workspace `w`.
async fn bench() -> Bench {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let started = Instant::now();
    let cluster = Cluster::start(&dir.path().join("c"), 3).await.expect("a cluster");
    println!("three replicas ready after {:?}", started.elapsed());
    let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build().expect("a client");
    let token = |subject| (subject, cluster.layout.token(subject, false).expect("a token"));
    let tokens = ["operator", "alice", "mallory"].map(token).into();
    let bench = Bench { dir, cluster, http, tokens };
    let tenant = Urn::global(Kind::Tenant, "acme");
    let body = json!({ "spec": { "owners": ["alice"] } });
    assert_eq!(bench.caller("operator").insist(1, Method::PUT, &tenant, Some(&body)).await.status, 201);
    let workspace = bench.caller("alice").insist(2, Method::PUT, &workspace("w"), Some(&json!({}))).await;
    assert_eq!(workspace.status, 201, "{workspace:?}");
    bench
}

impl Bench {
    fn caller(&self, subject: &str) -> Caller {
        let urls = (1..=3).map(|id| self.cluster.layout.url(id)).collect();
        Caller { http: self.http.clone(), urls, token: self.tokens[subject].clone() }
    }

    /// The replica that leads and has a quorum behind it.
    async fn leader(&self) -> usize {
        let running: Vec<usize> = self.cluster.controllers.iter().map(|controller| controller.id).collect();
        until_some("a leader", Duration::from_secs(20), || async {
            for id in &running {
                let mut client = LeaderClient::new(channel(&self.cluster.layout, *id));
                let request = bearer(ReadIndexRequest {}, &peer_token(&self.cluster.layout));
                if tokio::time::timeout(Duration::from_secs(2), client.read_index(request)).await.is_ok_and(|answer| answer.is_ok()) {
                    return Ok(*id);
                }
            }
            Err("none of them".to_owned())
        })
        .await
    }

    async fn restart(&mut self, id: usize) {
        self.cluster.start_controller(id).expect("it starts");
        self.cluster.ready(id).await.expect("an address");
    }

    /// Whether replica `id` says that it is ready, and what it says.
    async fn readiness(&self, id: usize) -> (bool, String) {
        match self.http.get(format!("{}/readyz", self.cluster.layout.url(id))).send().await {
            Ok(answer) => (answer.status().is_success(), answer.text().await.unwrap_or_default()),
            Err(error) => (false, error.to_string()),
        }
    }
}

fn channel(layout: &Layout, id: usize) -> Channel {
    let address = format!("http://127.0.0.1:{}", layout.ports[id - 1].1);
    Endpoint::from_shared(address).expect("an address").connect_timeout(Duration::from_secs(1)).connect_lazy()
}

fn peer_token(layout: &Layout) -> String {
    let authority = Authority::open(&layout.cluster_dir().join("issuer.key")).expect("the cluster's key");
    authority.issue(Audience::Peer, "1", Duration::from_secs(60)).expect("a token")
}

fn bearer<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    request
}

fn workspace(name: &str) -> Urn {
    Urn::tenant(Kind::Workspace, "acme", name)
}

fn volume(name: &str) -> Urn {
    Urn::workspace(Kind::BlockStorage, "acme", "w", name)
}

fn volume_body(mark: &str) -> Value {
    json!({ "annotations": { "mark": mark }, "spec": { "sizeGB": 5, "skuRef": "skus/le500" } })
}

/// What `sql` gives in the private Postgres of replica `id`, one line a row.
fn query(layout: &Layout, id: usize, sql: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "rempart", "-d", "postgres", "-c", sql, "-h"])
        .arg(layout.data_dir(id).join("postgres/socket"))
        .output()
        .expect("psql is installed");
    let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr }).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// A row of the history.
#[derive(Debug, Clone)]
struct Row {
    request_id: Uuid,
    actor: String,
    action: String,
    subject: String,
    accepted: bool,
}

/// The history, once it is the same on all replicas and holds `last`.
async fn history(bench: &Bench, last: Uuid) -> Vec<Row> {
    let everything = "SELECT log_index, ordinal, at_ms, request_id, actor, action, subject, outcome FROM audit \
                      ORDER BY log_index, ordinal";
    let layout = &bench.cluster.layout;
    let rows: Vec<String> = until_some("the history to be in all three databases", Duration::from_secs(20), || async {
        let mut found = Vec::new();
        for id in 1..=3 {
            let rows = query(layout, id, everything)?;
            if !rows.contains(&last.to_string()) {
                return Err(format!("replica {id} lacks the last row"));
            }
            found.push(rows);
        }
        Ok(found)
    })
    .await;
    assert!(rows[0] == rows[1] && rows[1] == rows[2], "the histories differ:\n{}\n{}\n{}", rows[0], rows[1], rows[2]);
    for table in ["resource ORDER BY kind, tenant, workspace, network, name", "answer ORDER BY log_index"] {
        let sql = format!("SELECT * FROM {table}");
        let tables: BTreeSet<String> = (1..=3).map(|id| query(layout, id, &sql).expect("rows")).collect();
        assert_eq!(tables.len(), 1, "{table} differs between replicas");
    }
    rows[0]
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.splitn(8, '|').collect();
            let outcome: Value = serde_json::from_str(fields[7]).expect("JSON");
            Row {
                request_id: fields[3].parse().expect("a uuid"),
                actor: fields[4].to_owned(),
                action: fields[5].to_owned(),
                subject: fields[6].to_owned(),
                accepted: outcome["accepted"].as_bool().expect("accepted or not"),
            }
        })
        .collect()
}

/// Replicas say nothing alarming while nothing alarming happens.
fn quiet(bench: &Bench) {
    for controller in &bench.cluster.controllers {
        let log = controller.daemon.log();
        let loud: Vec<&str> = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect();
        assert!(loud.is_empty(), "replica {} says, in normal operation: {loud:#?}", controller.id);
    }
}

fn no_panics(bench: &Bench) {
    for id in 1..=3 {
        let log = std::fs::read_to_string(bench.cluster.layout.log(id)).unwrap_or_default();
        for word in ["panicked", "panic at", "backtrace"] {
            assert!(!log.contains(word), "{word} in the log of replica {id}:\n{log}");
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_are_one() {
    let mut bench = bench().await;
    any_replica_serves(&bench).await;
    the_same_errors_everywhere(&bench).await;
    strangers_are_refused(&bench).await;
    quiet(&bench);
    postgres_dies(&mut bench).await;
    the_leader_leaves(&mut bench).await;
    a_replica_catches_up(&mut bench).await;
    a_majority_is_down(&mut bench).await;
    all_die_at_once(&mut bench).await;
    no_panics(&bench);
}

/// What one replica acknowledged, every other one shows at once.
async fn any_replica_serves(bench: &Bench) {
    let alice = bench.caller("alice");
    let leader = bench.leader().await;
    let followers: Vec<usize> = (1..=3).filter(|id| *id != leader).collect();
    let urn = volume("anywhere");
    let mut version = 0;
    for round in 0..20_u64 {
        for writer in [followers[0], leader, followers[1]] {
            let mark = format!("{round}-{writer}");
            let written = alice.put(writer, &urn, &volume_body(&mark)).await.expect("an answer");
            version += 1;
            assert_eq!(written.status, if version == 1 { 201 } else { 200 }, "{written:?}");
            assert_eq!(written.version(), version);
            for reader in 1..=3 {
                let read = alice.get(reader, &urn).await.expect("an answer");
                assert_eq!(read.status, 200, "via {reader}: {read:?}");
                assert_eq!((read.version(), &read.body["annotations"]["mark"]), (version, &json!(mark)), "via {reader}");
            }
        }
    }
    // All of them at the same object at once: one after the other, in any order.
    let tasks: Vec<_> = (0..30)
        .map(|number| {
            let (alice, urn) = (alice.clone(), urn.clone());
            tokio::spawn(async move { alice.put(number % 3 + 1, &urn, &volume_body("x")).await.expect("an answer").version() })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.expect("it ends"));
    }
    versions.sort_unstable();
    assert_eq!(versions, (version + 1..=version + 30).collect::<Vec<_>>());
    // Lists too.
    let mut lists = Vec::new();
    for id in 1..=3 {
        let client = bench.cluster.client(id, "alice").expect("a client");
        let list = client.list(&urn).await.expect("a list");
        lists.push(serde_json::to_value(list).expect("JSON")["items"].clone());
    }
    assert!(lists.iter().all(|list| *list == lists[0] && list.as_array().is_some_and(|items| items.len() == 1)), "{lists:?}");
}

async fn the_same_errors_everywhere(bench: &Bench) {
    let (alice, mallory) = (bench.caller("alice"), bench.caller("mallory"));
    let nobody = Caller { token: "nonsense".to_owned(), ..alice.clone() };
    let orphan = Urn::workspace(Kind::BlockStorage, "acme", "missing", "v");
    let wrong = json!({ "spec": { "sizeGB": "5", "skuRef": "skus/le500" } });
    let good = volume_body("m");
    let long = volume(&"x".repeat(129));
    let cases: Vec<(&Caller, Method, Urn, Option<&Value>, Option<u64>, u16)> = vec![
        (&nobody, Method::GET, volume("v"), None, None, 401),
        (&nobody, Method::PUT, volume("v"), Some(&good), None, 401),
        (&mallory, Method::GET, volume("anywhere"), None, None, 403),
        (&mallory, Method::PUT, volume("anywhere"), Some(&good), None, 403),
        (&mallory, Method::PUT, volume("anywhere"), Some(&wrong), None, 403),
        (&mallory, Method::DELETE, volume("anywhere"), None, None, 403),
        (&alice, Method::GET, volume("absent"), None, None, 404),
        (&alice, Method::DELETE, volume("absent"), None, None, 404),
        (&alice, Method::PUT, volume("v"), Some(&wrong), None, 400),
        (&alice, Method::PUT, long, Some(&good), None, 412),
        (&alice, Method::PUT, orphan, Some(&good), None, 412),
        (&alice, Method::PUT, volume("anywhere"), Some(&good), Some(1), 412),
        (&alice, Method::DELETE, workspace("w"), None, None, 412),
        (&alice, Method::POST, volume("anywhere"), None, None, 405),
    ];
    for (caller, method, urn, body, version, status) in cases {
        let mut answers = Vec::new();
        for id in 1..=3 {
            let answer = caller.call(id, method.clone(), &urn, body, version).await.expect("an answer");
            assert_eq!(answer.status, status, "{method} {urn} via {id}: {answer:?}");
            assert_eq!(answer.media, "application/problem+json", "{method} {urn} via {id}");
            assert!(answer.request_id.is_some(), "{method} {urn} via {id}");
            answers.push(answer.body);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{method} {urn}: {answers:#?}");
    }
}

/// Peers and agents of another cluster, and tokens meant for something else.
async fn strangers_are_refused(bench: &Bench) {
    let layout = &bench.cluster.layout;
    let foreign = Layout { dir: bench.dir.path().join("foreign"), ports: layout.ports.clone() };
    std::fs::create_dir_all(&foreign.dir).expect("a directory");
    foreign.init().expect("another cluster");
    let ours = peer_token(layout);
    let mut peer = RaftClient::new(channel(layout, 1));
    peer.describe(bearer(Payload::default(), &ours)).await.expect("a peer is answered");
    let theirs = peer_token(&foreign);
    let api = bench.tokens["operator"].clone();
    let fleet = layout.token("h", true).expect("a token");
    for (whose, token) in [("another cluster's", &theirs), ("an operator's", &api), ("an agent's", &fleet)] {
        let refused = peer.describe(bearer(Payload::default(), token)).await.expect_err(whose);
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{whose}: {refused:?}");
        let refused = peer.append_entries(bearer(Payload::default(), token)).await.expect_err(whose);
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{whose}: {refused:?}");
        let mut leader = LeaderClient::new(channel(layout, 1));
        let refused = leader.execute(bearer(Payload::default(), token)).await.expect_err(whose);
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{whose}: {refused:?}");
    }
    assert_eq!(peer.describe(Payload::default()).await.expect_err("no token").code(), tonic::Code::Unauthenticated);
    let foreign_fleet = foreign.token("h", true).expect("a token");
    for (whose, token) in [("another cluster's", &foreign_fleet), ("a peer's", &ours), ("an operator's", &api)] {
        for id in 1..=3 {
            let mut agents = FleetClient::new(channel(layout, id));
            let silence = bearer(PendingStream, token);
            let refused = agents.session(silence).await.map(|_| ()).expect_err(whose);
            assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{whose} via {id}: {refused:?}");
        }
    }
    for token in [&ours, &fleet, &theirs] {
        let caller = Caller { token: token.clone(), ..bench.caller("alice") };
        assert_eq!(caller.get(1, &volume("anywhere")).await.expect("an answer").status, 401);
    }
}
