//! Uploads, on real controllers: what is taken, what is refused, and what survives.
//!
//! Four files: [`refusals`] has hostile and mistaken bytes, [`faults`] what happens to the machines meanwhile, [`hosts`]
//! what hypervisors are given of it, and this one what they stand on, with uploads that go well.

mod fair;
mod faults;
mod hosts;
mod refusals;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rempart_api::{Kind, Urn};
use rempart_tests::{Cluster, sha256_of, until_some};
use serde_json::{Value, json};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const MIB: usize = 1 << 20;

/// A cluster with tenant `acme` of alice and `other` of bob, and a workspace `w` in each.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) dir: tempfile::TempDir,
}

/// Answer of an upload: status, and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn expect(self, status: u16, words: &str) -> Value {
        let said = self.body.to_string();
        assert!(
            self.status == status && said.contains(words),
            "{} {said}, not {status} {words:?}",
            self.status
        );
        self.body
    }
}

pub(crate) fn volume(name: &str) -> Urn {
    Urn::workspace(Kind::BlockStorage, "acme", "w", name)
}

/// Bytes that look like nothing else, the same for the same seed.
pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut word = seed | 1;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&(word >> 8).to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

pub(crate) fn query(format: &str, bytes: &[u8]) -> String {
    format!("format={format}&sha256={}", sha256_of(bytes))
}

/// A file that qemu-img makes.
pub(crate) fn qemu_img(dir: &Path, name: &str, arguments: &[&str]) -> Vec<u8> {
    let path = dir.join(name);
    let mut words: Vec<&str> = arguments.to_vec();
    let path_text = path.to_str().expect("a path");
    words.iter_mut().filter(|word| **word == "FILE").for_each(|word| *word = path_text);
    let output = Command::new("qemu-img").args(&words).output().expect("qemu-img runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&path).expect("it was made")
}

impl Stage {
    pub(crate) async fn open(replicas: usize, environment: &[(&'static str, &str)]) -> Stage {
        let dir = tempfile::Builder::new().prefix("ru").tempdir_in("/tmp").expect("a temporary directory");
        let cluster =
            Cluster::start_with(&dir.path().join("c"), replicas, environment).await.expect("a cluster");
        let operator = cluster.client(1, "operator").expect("a client");
        for (tenant, owner) in [("acme", "alice"), ("other", "bob")] {
            let owners = json!({ "spec": { "owners": [owner] } });
            operator.put(&Urn::global(Kind::Tenant, tenant), &owners).await.expect("a tenant");
            let client = cluster.client(1, owner).expect("a client");
            client.put(&Urn::tenant(Kind::Workspace, tenant, "w"), &json!({})).await.expect("a workspace");
        }
        Stage { cluster, dir }
    }

    /// A blank volume.
    pub(crate) async fn volume(&self, replica: usize, name: &str, size_gb: u32) -> Urn {
        let alice = self.cluster.client(replica, "alice").expect("a client");
        let spec = json!({ "spec": { "sizeGB": size_gb, "skuRef": "skus/le500" } });
        alice.put(&volume(name), &spec).await.expect("a volume");
        volume(name)
    }

    pub(crate) fn content_url(&self, replica: usize, urn: &Urn, query: &str) -> String {
        let base = self.cluster.layout.url(replica);
        format!("{base}/providers/seca.storage/v1/{}/content?{query}", urn.path())
    }

    pub(crate) fn token(&self, subject: &str) -> String {
        self.cluster.layout.token(subject).expect("a token")
    }

    /// Uploads as `subject`.
    pub(crate) async fn upload_as(
        &self,
        subject: &str,
        replica: usize,
        urn: &Urn,
        query: &str,
        bytes: impl Into<reqwest::Body>,
    ) -> Result<Answer, String> {
        let http = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        let request = http
            .put(self.content_url(replica, urn, query))
            .bearer_auth(self.token(subject))
            .header("content-type", "application/octet-stream")
            .body(bytes);
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        Ok(Answer { status, body: answer.json().await.unwrap_or_default() })
    }

    /// Uploads as alice, and is answered.
    pub(crate) async fn upload(&self, replica: usize, urn: &Urn, query: &str, bytes: Vec<u8>) -> Answer {
        self.upload_as("alice", replica, urn, query, bytes).await.expect("an answer")
    }

    pub(crate) fn blob_dir(&self, replica: usize) -> PathBuf {
        self.cluster.layout.data_dir(replica).join("blobs")
    }

    /// Names of all files among a replica's blobs.
    pub(crate) fn files(&self, replica: usize) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.blob_dir(replica)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Waits until a replica holds exactly these bytes.
    pub(crate) async fn holds(&self, replica: usize, name: &str, bytes: &[u8]) {
        let path = self.blob_dir(replica).join(name);
        until_some(&format!("controller {replica} to hold {name}"), PATIENCE, || {
            let found = std::fs::read(&path).is_ok_and(|found| found == bytes);
            let files = self.files(replica);
            async move { if found { Ok(()) } else { Err(format!("{files:?}")) } }
        })
        .await;
    }

    /// Waits until no replica of `replicas` has a file among its blobs.
    pub(crate) async fn nothing_left(&self, replicas: &[usize]) {
        until_some("all blobs to be gone", PATIENCE, || {
            let left: Vec<_> = replicas.iter().flat_map(|replica| self.files(*replica)).collect();
            async move { if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) } }
        })
        .await;
    }

    pub(crate) fn pid(&self, replica: usize) -> u32 {
        let running = self.cluster.controllers.iter().find(|controller| controller.id == replica);
        running.expect("it runs").daemon.pid()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sound_is_taken_by_any_replica_and_held_by_all() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::open(3, &[]).await;
    let raw = noise(3 * MIB, 1);
    let urn = stage.volume(1, "raw", 1).await;
    for replica in [2, 3, 2] {
        // The second and third time nothing is filled any more: it is so already.
        let view =
            stage.upload(replica, &urn, &query("raw", &raw), raw.clone()).await.expect(200, "\"active\"");
        assert_eq!(view["metadata"]["resourceVersion"], 2, "filled once: {view}");
    }
    let source = stage.dir.path().join("source.raw");
    std::fs::write(&source, &raw).expect("it is written");
    let source = source.to_str().expect("a path").to_owned();
    let qcow2 =
        qemu_img(stage.dir.path(), "a.qcow2", &["convert", "-f", "raw", "-O", "qcow2", &source, "FILE"]);
    let other = stage.volume(1, "qcow2", 1).await;
    let declared = format!("{}&virtualSizeBytes={}", query("qcow2", &qcow2), 3 * MIB);
    stage.upload(1, &other, &declared, qcow2.clone()).await.expect(200, "\"active\"");
    for replica in 1..=3 {
        let (first, second) = (format!("{}.raw", sha256_of(&raw)), format!("{}.qcow2", sha256_of(&qcow2)));
        stage.holds(replica, &first, &raw).await;
        stage.holds(replica, &second, &qcow2).await;
        let file = std::fs::metadata(stage.blob_dir(replica).join(first)).expect("it is there");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        assert_eq!(stage.files(replica).len(), 2, "{:?}", stage.files(replica));
    }
    let image = json!({ "blockStorageRef": "workspaces/w/block-storages/qcow2", "cpuArchitecture": "amd64" });
    let alice = stage.cluster.client(1, "alice").expect("a client");
    let image_urn = Urn::tenant(Kind::Image, "acme", "mine");
    alice.put(&image_urn, &json!({ "spec": image })).await.expect("an image of what was uploaded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_what_is_uploaded() {
    let stage = Stage::open(1, &[]).await;
    let urn = stage.volume(1, "large", 1).await;
    // A first one, so that what is made once is made.
    let small = noise(4 * MIB, 5);
    let first = stage.volume(1, "small", 1).await;
    stage.upload(1, &first, &query("raw", &small), small.clone()).await.expect(200, "");
    let bytes = noise(300 * MIB, 7);
    let query = query("raw", &bytes);
    let peak_kib = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("its peak").to_owned();
        line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    let pid = stage.pid(1);
    let before = peak_kib(pid);
    let start = Instant::now();
    stage.upload(1, &urn, &query, bytes).await.expect(200, "\"active\"");
    let after = peak_kib(pid);
    eprintln!("300 MiB in {:.1} s; peak of memory {before} -> {after} KiB", start.elapsed().as_secs_f64());
    assert!(after < before + before / 2, "{before} KiB before, {after} KiB after 300 MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_uploads_at_once_one_wins() {
    let stage = Stage::open(3, &[]).await;
    for (name, seeds, losers) in [("different", [1, 2], 1), ("same", [3, 3], 0)] {
        let urn = stage.volume(1, name, 1).await;
        let [first, second] = seeds.map(|seed| noise(8 * MIB, seed));
        let (one, two) = (query("raw", &first), query("raw", &second));
        let (one, two) =
            tokio::join!(stage.upload(1, &urn, &one, first), stage.upload(2, &urn, &two, second));
        let lost: Vec<&Answer> = [&one, &two].into_iter().filter(|answer| answer.status != 200).collect();
        assert_eq!(lost.len(), losers, "{name}: {one:?} {two:?}");
        for answer in lost {
            assert_eq!(answer.status, 412, "{answer:?}");
            assert!(answer.body["detail"].as_str().expect("words").contains("has content"), "{answer:?}");
        }
    }
}
