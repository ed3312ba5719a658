//! Senders that take and do not give: others are served all the same.

use super::refusals::ask;
use super::*;

const GIB: usize = 1 << 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_leaves_turns_to_others() {
    let stage = Stage::open(1, &[]).await;
    let own = stage.volume(1, "v", 1).await;
    let bob = stage.cluster.client(1, "bob").expect("a client");
    let theirs = Urn::workspace(Kind::BlockStorage, "other", "w", "v");
    bob.put(&theirs, &json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } })).await.expect("a volume");
    let bytes = noise(MIB, 1);
    let sound = query("raw", &bytes);

    let mut open = Vec::new();
    let refused = loop {
        let (stream, line) = ask(&stage, "alice", &own, &sound, MIB).await;
        if !line.starts_with("HTTP/1.1 100") {
            break line;
        }
        open.push(stream);
        assert!(open.len() < 64, "somebody has all there is");
    };
    assert!(refused.starts_with("HTTP/1.1 429") && open.len() == 4, "{refused} after {}", open.len());
    let refused = stage.upload(1, &own, &sound, bytes.clone()).await;
    refused.expect(429, "as many uploads under way");
    let (_, line) = ask(&stage, "bob", &theirs, &sound, MIB).await;
    assert!(line.starts_with("HTTP/1.1 100"), "another tenant is served: {line}");

    drop(open.pop());
    until_some("a turn to be free", PATIENCE, || async {
        match stage.upload(1, &own, &sound, bytes.clone()).await {
            Answer { status: 200, .. } => Ok(()),
            Answer { status, body } => Err(format!("{status} {body}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_announced_is_not_set_aside() {
    let free = tempfile::tempdir_in("/tmp").expect("a temporary directory");
    let disk = rustix::fs::statvfs(free.path()).expect("its file system");
    let free = disk.f_bavail * disk.f_frsize;
    // Room for four, and three are announced, twice.
    let floor = free.saturating_sub(4 * GIB as u64);
    let stage = Stage::open(1, &[("REMPART_BLOB_FLOOR_BYTES", &floor.to_string())]).await;
    let urn = stage.volume(1, "v", 8).await;
    let bytes = noise(MIB, 1);
    let sound = query("raw", &bytes);
    let (first, line) = ask(&stage, "alice", &urn, &sound, 3 * GIB).await;
    assert!(line.starts_with("HTTP/1.1 100"), "{line}");
    let (second, line) = ask(&stage, "alice", &urn, &sound, 3 * GIB).await;
    assert!(line.starts_with("HTTP/1.1 100"), "{line}");
    let (_, line) = ask(&stage, "alice", &urn, &sound, 6 * GIB).await;
    assert!(line.starts_with("HTTP/1.1 507"), "what can not fit is told before the bytes: {line}");
    stage.upload(1, &urn, &sound, bytes).await.expect(200, "\"active\"");
    drop((first, second));
}
