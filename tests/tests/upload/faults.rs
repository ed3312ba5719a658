//! What happens to controllers while bytes arrive, and to bytes while controllers run.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_survive_their_controllers() {
    let mut stage = Stage::open(3, &[("REMPART_BLOB_GRACE_SECONDS", "3")]).await;
    the_receiver_is_killed(&mut stage).await;
    a_replica_that_lost_its_blobs_heals(&mut stage).await;
    without_a_majority_nothing_is_filled(&stage).await;
    what_nothing_refers_to_goes(&stage).await;
}

async fn the_receiver_is_killed(stage: &mut Stage) {
    let urn = stage.volume(1, "v", 1).await;
    let bytes = noise(16 * MIB, 1);
    let sound = query("raw", &bytes);
    let url = stage.content_url(2, &urn, &sound);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let token = stage.token("alice");
    let sending = tokio::spawn(async move {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = http.put(url).bearer_auth(token).header("content-type", "application/octet-stream");
        request.body(body).send().await
    });
    sender.send(Ok(bytes[..8 * MIB].to_vec())).await.expect("half of it");
    until_some("some of it to arrive", PATIENCE, || {
        let files = stage.files(2);
        async move { if files.is_empty() { Err("nothing".to_owned()) } else { Ok(()) } }
    })
    .await;
    stage.cluster.kill(2);
    assert!(sending.await.expect("it ends").is_err(), "nobody answers");
    let alice = stage.cluster.client(1, "alice").expect("a client").patient(PATIENCE);
    let view = alice.get(&urn).await.expect("it is there");
    assert_eq!(view.metadata.resource_version, Some(1), "it was not filled");
    assert!(stage.files(1).is_empty() && stage.files(3).is_empty());
    // The same upload at another replica, with one of three down.
    stage.upload(3, &urn, &sound, bytes.clone()).await.expect(200, "\"active\"");
    let name = format!("{}.raw", sha256_of(&bytes));
    stage.holds(1, &name, &bytes).await;
    stage.cluster.start_controller(2).expect("it starts");
    stage.cluster.ready(2).await.expect("it is ready");
    stage.holds(2, &name, &bytes).await;
    assert_eq!(stage.files(2), [name], "and nothing unfinished is left");
}

async fn a_replica_that_lost_its_blobs_heals(stage: &mut Stage) {
    let bytes = noise(16 * MIB, 1);
    let name = format!("{}.raw", sha256_of(&bytes));
    stage.cluster.take(3).terminate();
    std::fs::remove_dir_all(stage.blob_dir(3)).expect("it goes");
    stage.cluster.start_controller(3).expect("it starts");
    stage.holds(3, &name, &bytes).await;
    // While it runs; and one that is there, but is not all there.
    std::fs::remove_dir_all(stage.blob_dir(1)).expect("it goes");
    std::fs::write(stage.blob_dir(2).join(&name), &bytes[..MIB]).expect("it is cut");
    stage.holds(1, &name, &bytes).await;
    stage.holds(2, &name, &bytes).await;
    stage.cluster.ready(3).await.expect("it is ready");
}

async fn without_a_majority_nothing_is_filled(stage: &Stage) {
    let urn = stage.volume(1, "lonely", 1).await;
    let bytes = noise(MIB, 2);
    let sound = query("raw", &bytes);
    // A file where the directory should be: these two cannot take anything.
    for replica in [2, 3] {
        std::fs::rename(stage.blob_dir(replica), stage.blob_dir(replica).with_extension("aside"))
            .expect("aside");
        std::fs::write(stage.blob_dir(replica), "").expect("it is written");
    }
    stage.upload(1, &urn, &sound, bytes.clone()).await.expect(503, "kept here");
    assert!(stage.files(1).contains(&format!("{}.raw", sha256_of(&bytes))), "{:?}", stage.files(1));
    for replica in [2, 3] {
        std::fs::remove_file(stage.blob_dir(replica)).expect("it goes");
        std::fs::rename(stage.blob_dir(replica).with_extension("aside"), stage.blob_dir(replica))
            .expect("back");
    }
    stage.upload(1, &urn, &sound, bytes).await.expect(200, "\"active\"");
}

async fn what_nothing_refers_to_goes(stage: &Stage) {
    let alice = stage.cluster.client(1, "alice").expect("a client");
    let kept = noise(MIB, 2);
    alice.delete(&volume("v")).await.expect("accepted");
    let name = format!("{}.raw", sha256_of(&kept));
    until_some("only what is needed to be left", PATIENCE, || {
        let left: Vec<_> = (1..=3).map(|replica| stage.files(replica)).collect();
        let name = name.clone();
        async move {
            if left.iter().all(|files| *files == [name.clone()]) { Ok(()) } else { Err(format!("{left:?}")) }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_never_filled() {
    let stage = Stage::open(1, &[("REMPART_BLOB_FLOOR_BYTES", &(1_u64 << 60).to_string())]).await;
    let urn = stage.volume(1, "v", 1).await;
    let bytes = noise(MIB, 1);
    stage.upload(1, &urn, &query("raw", &bytes), bytes).await.expect(507, "make room");
    assert_eq!(stage.files(1), Vec::<String>::new());
}
