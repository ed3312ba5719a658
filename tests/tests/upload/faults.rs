//! What happens to controllers while bytes arrive, and to bytes while controllers run.

use rempart_api::fleet::{BlobOrphan, BlobOrphanClass, BlobOrphans};
use rempart_tests::binary;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_survive_their_controllers() {
    let mut stage = Stage::open(3, &[("REMPART_BLOB_GRACE_SECONDS", "3")]).await;
    the_receiver_is_killed(&mut stage).await;
    a_replica_that_lost_its_blobs_heals(&mut stage).await;
    what_is_lost_or_missing_is_told_until_it_is_back(&stage).await;
    without_a_majority_nothing_is_filled(&stage).await;
    what_nothing_refers_to_goes(&stage).await;
}

/// Blobs in the wrong place, as an operator is told at a controller, once that is as it should be.
async fn blobs(
    stage: &Stage,
    replica: usize,
    what: &str,
    good: impl Fn(&BlobOrphans) -> bool,
) -> BlobOrphans {
    let operator = stage.cluster.client(replica, "operator").expect("a client");
    until_some(&format!("orphans {what}"), PATIENCE, || async {
        let found = operator.orphans().await.map_err(|error| error.to_string())?;
        assert_eq!(found.items, [], "there is no host");
        if good(&found.blobs) { Ok(found.blobs) } else { Err(format!("{found:?}")) }
    })
    .await
}

fn only(found: &BlobOrphans) -> Option<(BlobOrphanClass, Option<u64>, &BlobOrphan)> {
    let [only] = &found.items[..] else { return None };
    Some((only.class, only.controller, only))
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
    let found = blobs(stage, 1, "without the word of one that is down", |found| found.items.is_empty()).await;
    assert_eq!(found.not_asked.iter().map(|one| one.controller).collect::<Vec<_>>(), [2], "{found:?}");
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

async fn what_is_lost_or_missing_is_told_until_it_is_back(stage: &Stage) {
    let bytes = noise(16 * MIB, 1);
    let name = format!("{}.raw", sha256_of(&bytes));
    let path = |replica| stage.blob_dir(replica).join(&name);
    blobs(stage, 1, "to be none", |found| *found == BlobOrphans::default()).await;

    // No file, but a directory of its name: it cannot be brought back there.
    std::fs::remove_file(path(3)).and_then(|()| std::fs::create_dir(path(3))).expect("it is in the way");
    let missing = |found: &BlobOrphans| {
        only(found).is_some_and(|(class, controller, one)| {
            (class, controller) == (BlobOrphanClass::Missing, Some(3))
                && one.message.contains("The last try failed")
        })
    };
    let found = blobs(stage, 2, "to show it missing at 3, and why", missing).await;
    let one = &found.items[0];
    assert_eq!((&one.name, one.bytes, one.since.is_some()), (&name, 16 << 20, true));
    assert!(one.message.contains("from one that has it: 1, 2."), "{one:?}");
    assert_eq!(one.references, [volume("v").to_string()]);

    // Now nobody has it. One that is just taking it from another may have to be told twice.
    let lost = |found: &BlobOrphans| {
        [1, 2].into_iter().for_each(|replica| drop(std::fs::remove_file(path(replica))));
        only(found).is_some_and(|(class, controller, _)| (class, controller) == (BlobOrphanClass::Lost, None))
    };
    let found = blobs(stage, 1, "to show it lost", lost).await;
    let message = &found.items[0].message;
    assert!(message.contains("do not have it: 1, 2, 3. Put its file"), "{message}");
    let shown = tokio::task::block_in_place(|| {
        let mut command = Command::new(binary("rempart").expect("it is built"));
        command.args(["fleet", "orphans"]).env_clear().env("HOME", stage.dir.path());
        let server = stage.cluster.layout.url(2);
        command.env("REMPART_SERVER", server).env("REMPART_TOKEN", stage.token("operator"));
        command.output().expect("it runs")
    });
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("{name}  lost")) && shown.contains("block-storages/v: "), "{shown}");

    // What it says helps: the file, put back at one, and what was in the way taken away.
    let aside = stage.dir.path().join("copy");
    std::fs::write(&aside, &bytes).and_then(|()| std::fs::rename(&aside, path(2))).expect("it is put back");
    std::fs::remove_dir(path(3)).expect("it is out of the way");
    for replica in 1..=3 {
        stage.holds(replica, &name, &bytes).await;
    }
    blobs(stage, 3, "to be none again", |found| *found == BlobOrphans::default()).await;

    // The other way: the same bytes, to a new volume.
    (1..=3).for_each(|replica| drop(std::fs::remove_file(path(replica))));
    let again = stage.volume(1, "again", 1).await;
    stage.upload(1, &again, &query("raw", &bytes), bytes.clone()).await.expect(200, "\"active\"");
    for replica in 1..=3 {
        stage.holds(replica, &name, &bytes).await;
    }
    blobs(stage, 2, "to be none after that", |found| *found == BlobOrphans::default()).await;
    stage.cluster.client(1, "alice").expect("a client").delete(&again).await.expect("accepted");
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
    // One that cannot be removed keeps none of the others, and says so. Its name is the first of all.
    let stuck = format!("{}.raw", "0".repeat(64));
    std::fs::create_dir(stage.blob_dir(2).join(&stuck)).expect("it is made");
    alice.delete(&volume("v")).await.expect("accepted");
    let name = format!("{}.raw", sha256_of(&kept));
    until_some("only what is needed to be left", PATIENCE, || {
        let mut left: Vec<_> = (1..=3).map(|replica| stage.files(replica)).collect();
        left.iter_mut().for_each(|files| files.retain(|file| *file != stuck));
        let name = name.clone();
        async move {
            if left.iter().all(|files| *files == [name.clone()]) { Ok(()) } else { Err(format!("{left:?}")) }
        }
    })
    .await;
    let unneeded = |found: &BlobOrphans| {
        only(found).is_some_and(|(class, controller, one)| {
            (class, controller) == (BlobOrphanClass::Unneeded, Some(2))
                && one.message.contains("could not remove it")
        })
    };
    let found = blobs(stage, 3, "to show what stays, and why", unneeded).await;
    let one = &found.items[0];
    assert_eq!((&one.name, &one.references[..]), (&stuck, &[][..]));
    assert!(one.since.is_some() && one.goes_at > one.since, "{one:?}");
    std::fs::remove_dir(stage.blob_dir(2).join(&stuck)).expect("it is removed by hand");
    blobs(stage, 3, "to be none once more", |found| *found == BlobOrphans::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_never_filled() {
    let stage = Stage::open(1, &[("REMPART_BLOB_FLOOR_BYTES", &(1_u64 << 60).to_string())]).await;
    let urn = stage.volume(1, "v", 1).await;
    let bytes = noise(MIB, 1);
    stage.upload(1, &urn, &query("raw", &bytes), bytes).await.expect(507, "make room");
    assert_eq!(stage.files(1), Vec::<String>::new());
}
