//! Bytes that are not what was declared, hostile ones among them and callers without the right.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_and_leaves_nothing() {
    let stage = Stage::open(1, &[("REMPART_UPLOAD_IDLE_SECONDS", "2")]).await;
    let urn = stage.volume(1, "v", 1).await;
    mistakes(&stage, &urn).await;
    hostile_images(&stage, &urn).await;
    strangers(&stage, &urn).await;
    before_the_bytes(&stage, &urn).await;
    senders_that_fail(&stage, &urn).await;
    assert_eq!(stage.files(1), Vec::<String>::new());
    let view = stage.cluster.client(1, "alice").expect("a client").get(&urn).await.expect("it is there");
    assert_eq!(view.metadata.resource_version, Some(1), "nothing changed");
    // And after all of that, the right bytes are taken; then nothing else is.
    let good = noise(MIB, 1);
    stage.upload(1, &urn, &query("raw", &good), good.clone()).await.expect(200, "\"active\"");
    let other = noise(MIB, 2);
    stage.upload(1, &urn, &query("raw", &other), other.clone()).await.expect(412, "has content");
    used_volumes(&stage).await;
    by_digest(&stage, &good).await;
}

async fn mistakes(stage: &Stage, urn: &Urn) {
    let bytes = noise(MIB, 1);
    let sound = query("raw", &bytes);
    let wrong_digest = query("raw", b"other");
    stage.upload(1, urn, &wrong_digest, bytes.clone()).await.expect(422, "not the declared one");
    let size = format!("{sound}&virtualSizeBytes={}", 2 * MIB);
    stage.upload(1, urn, &size, bytes.clone()).await.expect(422, "2097152 were declared");
    stage.upload(1, urn, &query("raw", &bytes[1..]), bytes[1..].to_vec()).await.expect(422, "whole sectors");
    stage.upload(1, urn, &query("raw", b""), Vec::new()).await.expect(422, "empty");
    // Nothing a client writes becomes a path.
    for digest in ["..%2f..%2fetc%2fpasswd", "../../x", "a;b", "%00", &"AB".repeat(32), &"g".repeat(64), ""] {
        let query = format!("format=raw&sha256={digest}");
        stage.upload(1, urn, &query, bytes.clone()).await.expect(400, "64 lower-case");
    }
    let digest = sha256_of(&bytes);
    stage.upload(1, urn, &format!("sha256={digest}"), bytes.clone()).await.expect(400, "never guessed");
    stage.upload(1, urn, &format!("{sound}&fromat=x"), bytes.clone()).await.expect(400, "fromat");
    stage.upload(1, urn, &format!("{sound}&virtualSizeBytes=-1"), bytes.clone()).await.expect(400, "bytes");
    // A format is named, and is one of two.
    for format in ["vmdk", "vdi", "auto", "QCOW2"] {
        let query = format!("format={format}&sha256={digest}");
        stage.upload(1, urn, &query, bytes.clone()).await.expect(422, "convert the image");
    }
}

async fn hostile_images(stage: &Stage, urn: &Urn) {
    let dir = stage.dir.path();
    let refused = async |what: &str, format: &str, bytes: Vec<u8>, words: &str| {
        let answer = stage.upload(1, urn, &query(format, &bytes), bytes).await;
        assert!(answer.status == 422 && answer.body.to_string().contains(words), "{what}: {answer:?}");
        assert_eq!(answer.body["type"], "http://secapi.cloud/errors/validation-error", "{what}");
    };
    // A file, a json: description and a network address underneath.
    for backing in
        ["/etc/shadow", "json:{\"driver\":\"raw\",\"file.filename\":\"/etc/shadow\"}", "nbd://127.0.0.1/x"]
    {
        let arguments = ["create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "raw", "FILE", "16M"];
        let bytes = qemu_img(dir, "backed.qcow2", &arguments);
        refused(backing, "qcow2", bytes, "backing file").await;
    }
    // CVE-2024-32498.
    let option = format!("data_file={},data_file_raw=on", dir.join("outside.raw").display());
    let bytes =
        qemu_img(dir, "external.qcow2", &["create", "-q", "-f", "qcow2", "-o", &option, "FILE", "16M"]);
    refused("an external data file", "qcow2", bytes, "external data file").await;
    // Whose descriptor names any file (CVE-2022-47951).
    for subformat in ["monolithicSparse", "monolithicFlat"] {
        let option = format!("subformat={subformat}");
        let name = format!("{subformat}.vmdk");
        let bytes = qemu_img(dir, &name, &["create", "-q", "-f", "vmdk", "-o", &option, "FILE", "16M"]);
        refused(subformat, "raw", bytes.clone(), "VMDK").await;
        refused(subformat, "qcow2", bytes, "VMDK").await;
    }
    // A header that contradicts what was declared.
    let sound = qemu_img(dir, "sound.qcow2", &["create", "-q", "-f", "qcow2", "FILE", "16M"]);
    refused("qcow2 declared as raw", "raw", sound.clone(), "declare it as qcow2").await;
    refused("raw declared as qcow2", "qcow2", noise(MIB, 3), "no qcow2 header").await;
    // Eight exbibytes in a small file; and merely more than the volume.
    let mut vast = sound.clone();
    vast[24..32].copy_from_slice(&(8_u64 << 60).to_be_bytes());
    refused("8 EiB", "qcow2", vast, "virtual size").await;
    let large = qemu_img(dir, "large.qcow2", &["create", "-q", "-f", "qcow2", "FILE", "2G"]);
    refused("2 GiB in 1 GiB", "qcow2", large, "make the volume larger").await;
    // Tables beyond reason, unknown features, encryption, and headers cut short.
    let patched = |offset: usize, field: &[u8]| {
        let mut bytes = sound.clone();
        bytes[offset..offset + field.len()].copy_from_slice(field);
        bytes
    };
    refused("L1 bomb", "qcow2", patched(36, &u32::MAX.to_be_bytes()), "L1 table").await;
    refused("refcount bomb", "qcow2", patched(56, &u32::MAX.to_be_bytes()), "refcount table").await;
    refused("L1 outside", "qcow2", patched(40, &(1_u64 << 40).to_be_bytes()), "outside the file").await;
    refused("unknown feature", "qcow2", patched(72, &(1_u64 << 40).to_be_bytes()), "unknown incompatible")
        .await;
    refused("encrypted", "qcow2", patched(32, &2_u32.to_be_bytes()), "encrypted").await;
    for length in [0, 3, 71, 103, 111] {
        refused("cut short", "qcow2", sound[..length].to_vec(), "the image is refused").await;
    }
    let source = dir.join("noise.raw");
    std::fs::write(&source, noise(8 * MIB, 9)).expect("it is written");
    let source = source.to_str().expect("a path").to_owned();
    let full = qemu_img(dir, "full.qcow2", &["convert", "-f", "raw", "-O", "qcow2", &source, "FILE"]);
    refused("half of it", "qcow2", full[..full.len() / 2].to_vec(), "is the file complete").await;
}

async fn strangers(stage: &Stage, urn: &Urn) {
    let bytes = noise(MIB, 1);
    for (subject, target) in [
        ("bob", urn.clone()),
        ("bob", volume("never-was")),
        ("operator", urn.clone()),
        ("alice", Urn::workspace(Kind::BlockStorage, "other", "w", "x")),
        ("alice", Urn::workspace(Kind::BlockStorage, "public", "images", "x")),
    ] {
        for query in [query("raw", &bytes), "nonsense".to_owned()] {
            let answer =
                stage.upload_as(subject, 1, &target, &query, bytes.clone()).await.expect("an answer");
            answer.expect(403, "forbidden");
        }
    }
    stage.upload(1, &volume("never-was"), &query("raw", &bytes), bytes.clone()).await.expect(404, "");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    for method in
        [reqwest::Method::GET, reqwest::Method::HEAD, reqwest::Method::POST, reqwest::Method::DELETE]
    {
        let request = http.request(method, stage.content_url(1, urn, "")).bearer_auth(stage.token("alice"));
        assert_eq!(request.send().await.expect("an answer").status(), 405);
    }
}

/// Sends the head of an upload that waits for leave, and returns the connection with the first line of the answer.
pub(crate) async fn ask(
    stage: &Stage,
    subject: &str,
    urn: &Urn,
    query: &str,
    length: usize,
) -> (TcpStream, String) {
    let url = stage.content_url(1, urn, query);
    let (authority, path) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
    let mut stream = TcpStream::connect(authority).await.expect("a connection");
    let head = format!(
        "PUT /{path} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {}\r\ncontent-type: \
         application/octet-stream\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n",
        stage.token(subject)
    );
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.expect("an answer"));
    }
    (stream, String::from_utf8_lossy(&line).trim().to_owned())
}

async fn before_the_bytes(stage: &Stage, urn: &Urn) {
    let bytes = noise(MIB, 1);
    let sound = query("raw", &bytes);
    for (subject, query, length, status) in [
        ("bob", sound.as_str(), MIB, "HTTP/1.1 403"),
        ("alice", "format=vmdk", MIB, "HTTP/1.1 422"),
        ("alice", "format=raw", MIB, "HTTP/1.1 400"),
        ("alice", sound.as_str(), (1 << 30) + 1, "HTTP/1.1 413"),
        ("alice", sound.as_str(), MIB, "HTTP/1.1 100"),
    ] {
        let (_, line) = ask(stage, subject, urn, query, length).await;
        assert!(line.starts_with(status), "{subject} {query} {length}: {line}");
    }
    stage.nothing_left(&[1]).await;
}

async fn senders_that_fail(stage: &Stage, urn: &Urn) {
    let bytes = noise(8 * MIB, 1);
    let sound = query("raw", &bytes);
    // Cut in the middle.
    let (mut stream, _) = ask(stage, "alice", urn, &sound, bytes.len()).await;
    stream.write_all(&bytes[..4 * MIB]).await.expect("half of it");
    until_some("some of it to arrive", PATIENCE, || {
        let files = stage.files(1);
        async move {
            if files.iter().any(|name| name.ends_with(".unfinished")) { Ok(()) } else { Err("no".into()) }
        }
    })
    .await;
    drop(stream);
    stage.nothing_left(&[1]).await;
    // Silent for longer than the 2 s that are set here: the answer comes after the rest was waited for in vain.
    let (mut stream, _) = ask(stage, "alice", urn, &sound, bytes.len()).await;
    stream.write_all(&bytes[..MIB]).await.expect("a part");
    let mut rest = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut rest)).await.expect("in time").expect("text");
    assert!(rest.contains("HTTP/1.1 408") && rest.contains("did not arrive in time"), "{rest}");
    stage.nothing_left(&[1]).await;
}

async fn used_volumes(stage: &Stage) {
    let used = stage.volume(1, "used", 1).await;
    let alice = stage.cluster.client(1, "alice").expect("a client");
    let spec =
        json!({ "skuRef": "skus/d2xs", "zone": "a", "bootVolume": { "deviceRef": "block-storages/used" } });
    let instance = Urn::workspace(Kind::Instance, "acme", "w", "i");
    alice.put(&instance, &json!({ "spec": spec })).await.expect("an instance");
    let bytes = noise(MIB, 4);
    stage.upload(1, &used, &query("raw", &bytes), bytes).await.expect(412, "only a new, blank volume");
}

/// Operators may name bytes that are held; nobody else may.
async fn by_digest(stage: &Stage, held: &[u8]) {
    let operator = stage.cluster.client(1, "operator").expect("a client");
    let alice = stage.cluster.client(1, "alice").expect("a client");
    let workspace = Urn::tenant(Kind::Workspace, "public", "images");
    operator.put(&workspace, &json!({ "spec": {} })).await.expect("a workspace");
    let shared = Urn::workspace(Kind::BlockStorage, "public", "images", "s");
    let spec = json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } });
    operator.put(&shared, &spec).await.expect("a volume");
    let content = |bytes: &[u8]| json!({ "sha256": sha256_of(bytes), "format": "raw", "sizeBytes": bytes.len(), "virtualSizeBytes": bytes.len() });
    let fill = async |client: &rempart_api::client::Client, urn: &Urn, bytes: &[u8]| {
        let url = stage.content_url(1, urn, "");
        let sent = client.send(reqwest::Method::PUT, &url, Some(&content(bytes)), None).await;
        sent.map_or_else(|error| error.status().expect("a status"), |(status, _)| status)
    };
    assert_eq!(fill(&operator, &shared, b"nobody has this").await, 422);
    let mine = stage.volume(1, "mine", 1).await;
    assert_eq!(fill(&alice, &mine, held).await, 403, "a digest gives nobody bytes");
    assert_eq!(fill(&operator, &shared, held).await, 200);
}
