//! A real host as its operator has it: cordoned, with something on it, empty, removed.

use rempart_tests::{Lab, lab_host};
use serde_json::{Value, json};

/// What the API says against removing the host.
async fn why_it_stays(lab: &Lab) -> String {
    lab.operator.delete(&lab_host()).await.expect_err("something is bound to it").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_cordoned_and_goes_only_when_it_is_empty() {
    let mut lab = Lab::open(1).await;
    let first = lab.create("first", json!({})).await;
    lab.active(&first).await;

    lab.operator.act(&lab_host(), "cordon").await.expect("accepted");
    let host = lab.host("to be cordoned", |status| status["hostState"] == "cordoned").await;
    let taken = json!({ "vcpus": 1, "memoryMiB": 1024, "diskMiB": 1024 });
    assert_eq!((&host["allocated"], &host["instances"]), (&taken, &json!(1)), "{host}");
    let second = lab.create("second", json!({})).await;
    let words = |status: &Value| status["conditions"][0]["message"].as_str().unwrap_or_default().to_owned();
    let waits = lab.status(&second, "to wait", |status| status["state"] == "pending").await;
    assert!(words(&waits).contains("1 cordoned"), "{waits}");
    assert!(why_it_stays(&lab).await.contains("holds 1 instance and 1 volume;"));

    lab.operator.act(&lab_host(), "uncordon").await.expect("accepted");
    lab.active(&second).await;
    lab.delete("first").await;
    assert!(why_it_stays(&lab).await.contains("instance"));
    lab.delete("second").await;

    // A machine that never comes back is removed, when nothing is bound to it.
    lab.kill_agent();
    lab.host("to be missed", |status| status["reachable"] == false).await;
    lab.operator.delete(&lab_host()).await.expect("it is empty");
    let answer = lab.operator.get(&lab_host()).await.expect_err("it is gone");
    assert_eq!(answer.status(), Some(404));
}
