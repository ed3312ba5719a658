//! Every route the server says it has, by every method it takes, as every sort of caller: who may, and that strangers hear the
//! same, after the same time, of what is there and of what is not.
//!
//! Routes come from the document that the server gives of itself; that it has them all, and no others, is proven beside the
//! router (`controller/src/http/{fixed,openapi}/tests.rs`). One that nobody classified here fails.

mod classes;
mod stage;
mod strangers;

use rempart_tests::Cluster;

use crate::classes::{Caller, rights};
use crate::stage::{Stage, operations};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_classified_and_keeps_to_its_class() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("c"), 1).await.expect("a cluster");
    let stage = Stage::open(&cluster).await;
    let operations = operations(&stage).await;
    assert!(operations.len() > 100, "{}", operations.len());
    let mut wrong = Vec::new();
    for operation in &operations {
        for caller in Caller::ALL {
            let (status, body) = stage.harmless(operation, &stage::THERE, caller.token(&stage)).await;
            let got = (status != 401, status != 401 && status != 403);
            if got != rights(operation, caller) {
                wrong.push(format!("{caller:?}: {operation:?}: {status} {body}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(stage.is_whole().await, "what was refused, or was wrong, changed something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_hears_the_same_after_the_same_time_whatever_is_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("c"), 1).await.expect("a cluster");
    let stage = Stage::open(&cluster).await;
    let operations = operations(&stage).await;
    strangers::hear_the_same(&stage, &operations).await;
    strangers::wait_the_same(&stage, &operations).await;
}
