//! Three replicas, those who call them, and their databases.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_identity::Expect;
use rempart_proto::raft::v1::ReadIndexRequest;
use rempart_proto::raft::v1::leader_client::LeaderClient;
use rempart_tests::database::{AuditRow, audit_trail};
use rempart_tests::identity::{connection, controller_credentials};
use rempart_tests::{Cluster, Layout, until_some};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::transport::Channel;
use uuid::Uuid;

/// Calls are answered within this, whatever happens: the service's patience and some for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(16);

pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
    pub(crate) http: reqwest::Client,
    pub(crate) tokens: BTreeMap<&'static str, String>,
    pub(crate) began: Instant,
    /// Last: it goes when nobody is in it any more.
    pub(crate) dir: tempfile::TempDir,
}

/// What a replica answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) request_id: Option<Uuid>,
    pub(crate) retry_after: Option<String>,
    pub(crate) media: String,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn version(&self) -> u64 {
        self.body["metadata"]["resourceVersion"].as_u64().unwrap_or_else(|| panic!("no version in {self:?}"))
    }

    /// Tells one incarnation of a name from the next.
    pub(crate) fn created_at(&self) -> String {
        self.body["metadata"]["createdAt"].to_string()
    }

    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

/// One subject at all replicas.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) http: reqwest::Client,
    pub(crate) urls: Vec<String>,
    pub(crate) token: String,
}

impl Caller {
    pub(crate) async fn call(
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

    pub(crate) async fn put(
        &self,
        replica: usize,
        urn: &Urn,
        body: &Value,
    ) -> Result<Answer, reqwest::Error> {
        self.call(replica, Method::PUT, urn, Some(body), None).await
    }

    pub(crate) async fn get(&self, replica: usize, urn: &Urn) -> Result<Answer, reqwest::Error> {
        self.call(replica, Method::GET, urn, None, None).await
    }

    /// Reads what may be old.
    pub(crate) async fn stale(&self, replica: usize, urn: &Urn) -> reqwest::Response {
        let base = &self.urls[replica - 1];
        let url = format!("{base}/providers/{}/v1/{}", urn.kind.info().provider.name(), urn.path());
        let request = self.http.get(url).bearer_auth(&self.token).header("rempart-consistency", "stale");
        request.send().await.expect("an answer")
    }

    /// As a patient client does: the next replica after no answer or a 503, until there is an answer.
    pub(crate) async fn insist(
        &self,
        first: usize,
        method: Method,
        urn: &Urn,
        body: Option<&Value>,
    ) -> Answer {
        let replica = AtomicUsize::new(first - 1);
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

pub(crate) async fn read(response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, request_id) =
        (response.status().as_u16(), header("x-request-id").and_then(|id| id.parse().ok()));
    let (retry_after, media) = (header("retry-after"), header("content-type").unwrap_or_default());
    let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
    Ok(Answer { status, request_id, retry_after, media, body })
}

/// Three replicas with tenant `acme`, owned by alice, and its workspace `w`.
pub(crate) async fn bench() -> Bench {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let started = Instant::now();
    let cluster = Cluster::start(&dir.path().join("c"), 3).await.expect("a cluster");
    eprintln!("three replicas ready after {:?}", started.elapsed());
    let http =
        reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build().expect("a client");
    let token = |subject| (subject, cluster.layout.token(subject).expect("a token"));
    let tokens = ["operator", "alice", "mallory"].map(token).into();
    let bench = Bench { cluster, http, tokens, began: started, dir };
    let tenant = Urn::global(Kind::Tenant, "acme");
    let body = json!({ "spec": { "owners": ["alice"] } });
    assert_eq!(bench.caller("operator").insist(1, Method::PUT, &tenant, Some(&body)).await.status, 201);
    let workspace = bench.caller("alice").insist(2, Method::PUT, &workspace("w"), Some(&json!({}))).await;
    assert_eq!(workspace.status, 201, "{workspace:?}");
    bench
}

impl Bench {
    /// Says what comes now, and when.
    pub(crate) fn stage(&self, what: &str) {
        eprintln!("{:>6.1} s  {}", self.began.elapsed().as_secs_f64(), what.replace('_', " "));
    }

    pub(crate) fn caller(&self, subject: &str) -> Caller {
        let urls = (1..=3).map(|id| self.cluster.layout.url(id)).collect();
        Caller { http: self.http.clone(), urls, token: self.tokens[subject].clone() }
    }

    /// The replica that leads and has a quorum behind it.
    pub(crate) async fn leader(&self) -> usize {
        let running: Vec<usize> = self.cluster.controllers.iter().map(|controller| controller.id).collect();
        until_some("a leader", Duration::from_secs(20), || async {
            for id in &running {
                let mut client = LeaderClient::new(channel(&self.cluster.layout, *id));
                let request = ReadIndexRequest::default();
                if tokio::time::timeout(Duration::from_secs(2), client.read_index(request))
                    .await
                    .is_ok_and(|answer| answer.is_ok())
                {
                    return Ok(*id);
                }
            }
            Err("none of them".to_owned())
        })
        .await
    }

    pub(crate) async fn restart(&mut self, id: usize) {
        self.cluster.start_controller(id).expect("it starts");
        self.cluster.ready(id).await.expect("an address");
    }

    /// Whether replica `id` says that it is ready, and what it says.
    pub(crate) async fn readiness(&self, id: usize) -> (bool, String) {
        match self.http.get(format!("{}/readyz", self.cluster.layout.url(id))).send().await {
            Ok(answer) => (answer.status().is_success(), answer.text().await.unwrap_or_default()),
            Err(error) => (false, error.to_string()),
        }
    }
}

/// A connection to replica `id`, as the first controller.
pub(crate) fn channel(layout: &Layout, id: usize) -> Channel {
    let credentials = controller_credentials(&layout.cluster_dir()).expect("its keys");
    let address = format!("127.0.0.1:{}", layout.ports[id - 1].1);
    connection(&credentials, Expect::AnyController, &address).expect("an address")
}

pub(crate) fn workspace(name: &str) -> Urn {
    Urn::tenant(Kind::Workspace, "acme", name)
}

pub(crate) fn volume(name: &str) -> Urn {
    Urn::workspace(Kind::BlockStorage, "acme", "w", name)
}

pub(crate) fn volume_body(mark: &str) -> Value {
    json!({ "annotations": { "mark": mark }, "spec": { "sizeGB": 5, "skuRef": "skus/le500" } })
}

/// The history, once it is the same on all replicas and holds `last`.
pub(crate) async fn history(bench: &Bench, last: Uuid) -> Vec<AuditRow> {
    audit_trail(&bench.cluster.layout, last).await
}

/// Replicas say nothing alarming while nothing alarming happens.
pub(crate) fn quiet(bench: &Bench) {
    for controller in &bench.cluster.controllers {
        let log = controller.daemon.log();
        let loud: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
            // Where everything is slow, another replica's Postgres may take long to be made; that it waits is right to say.
            .filter(|line| !line.contains("the cluster is not complete yet"))
            .collect();
        assert!(loud.is_empty(), "replica {} says, in normal operation: {loud:#?}", controller.id);
    }
}

pub(crate) fn no_panics(bench: &Bench) {
    for id in 1..=3 {
        let log = std::fs::read_to_string(bench.cluster.layout.log(id)).unwrap_or_default();
        for word in ["panicked", "panic at", "backtrace"] {
            assert!(!log.contains(word), "{word} in the log of replica {id}:\n{log}");
        }
    }
}
