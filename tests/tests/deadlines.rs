//! Deadlines and orphans, as operators and tenants meet them.

use std::process::Command;

use rempart_api::fleet::{OrphanClass, Orphans, Repair};
use rempart_api::{Kind, Phase, Urn};
use rempart_tests::{Cluster, Lab, PATIENCE, binary, instance, until_some, volume};
use serde_json::{Value, json};
use uuid::Uuid;

/// What waits for a host is overdue after a hundredth of ten minutes, is said to be, and goes on waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_too_long_says_so_and_waits_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let setting = [("REMPART_DEADLINE_PERCENT", "1")];
    let cluster = Cluster::start_with(&dir.path().join("c"), 1, &setting).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let alice = cluster.client(1, "alice").expect("a client");
    let tenant = json!({ "spec": { "owners": ["alice"] } });
    operator.put(&Urn::global(Kind::Tenant, "acme"), &tenant).await.expect("a tenant");
    alice.put(&Urn::tenant(Kind::Workspace, "acme", "w"), &json!({})).await.expect("a workspace");
    let disk = json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } });
    alice.put(&volume("web"), &disk).await.expect("a volume");
    let boot = json!({ "deviceRef": "block-storages/web" });
    let spec = json!({ "skuRef": "skus/d2xs", "zone": "a", "bootVolume": boot });
    alice.put(&instance("web"), &json!({ "spec": spec })).await.expect("an instance");

    let fresh = alice.explain(&instance("web")).await.expect("it is there");
    let step = fresh.step.expect("a step");
    assert_eq!((step.name.as_str(), step.owner.as_str()), ("awaiting-host", "placement"));
    assert_eq!(step.deadline_seconds, 6);
    let late = until_some("the instance to be overdue", PATIENCE, || async {
        let standing = alice.explain(&instance("web")).await.map_err(|error| error.to_string())?;
        if standing.step.as_ref().is_some_and(|step| step.overdue) {
            Ok(standing)
        } else {
            Err(format!("{standing:?}"))
        }
    })
    .await;
    assert_eq!((late.state, late.reason.as_deref()), (Some(Phase::Pending), Some("NoHost:Overdue")));
    let status = alice.get(&instance("web")).await.expect("a view").status.expect("a status");
    assert_eq!(status["conditions"][0]["reason"], "NoHost:Overdue", "{status}");
    assert_eq!(status["conditions"].as_array().map(Vec::len), Some(1), "no state was entered: {status}");

    // Operators may ask, without a right to read it; strangers may not.
    let seen = operator.explain(&instance("web")).await.expect("an operator may");
    assert!(seen.uid.is_some() && operator.get(&instance("web")).await.is_err());
    let stranger = cluster.client(1, "mallory").expect("a client").explain(&instance("web")).await;
    assert_eq!(stranger.expect_err("a stranger").status(), Some(403));
    assert_eq!(alice.orphans().await.expect_err("it is the operators'").status(), Some(403));

    let told = |arguments: &[&str]| {
        let mut command = Command::new(binary("rempart").expect("it is built"));
        command.args(["-t", "acme", "-w", "w"]).args(arguments).env_clear().env("HOME", dir.path());
        command.env("REMPART_SERVER", cluster.layout.url(1));
        command.env("REMPART_TOKEN", cluster.layout.token("alice").expect("a token"));
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let words = told(&["explain", "vm", "web"]);
    for line in [
        "is pending, power off.",
        "Step:       awaiting-host",
        "Acts:       placement",
        "Deadline:   overdue for",
    ] {
        assert!(words.contains(line), "{line:?} is not in {words}");
    }
    let whole: Value = serde_json::from_str(&told(&["explain", "vm", "web", "-o", "json"])).expect("JSON");
    assert_eq!((&whole["step"]["overdue"], &whole["state"]), (&json!(true), &json!("pending")));
}

/// Waits until the orphans are as they should be.
async fn orphans(lab: &Lab, what: &str, good: impl Fn(&Orphans) -> bool) -> Orphans {
    until_some(&format!("orphans {what}"), PATIENCE, || async {
        let found = lab.operator.orphans().await.map_err(|error| error.to_string())?;
        if good(&found) { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_has_without_a_row_is_moved_aside_on_an_order_and_what_it_lost_is_not_made_anew() {
    let lab = Lab::open_with(1, &[("REMPART_AGENT_LOOK_EVERY_SECONDS", "1")]).await;
    let web = lab.create("web", json!({})).await;
    lab.active(&web).await;
    orphans(&lab, "to be none", |found| found.items.is_empty()).await;

    let stray = Uuid::now_v7();
    let (volumes, aside) = (lab.agent.data_dir.join("volumes"), lab.agent.data_dir.join("quarantine"));
    let file = volumes.join(format!("{stray}.qcow2"));
    std::fs::write(&file, "somebody's data").expect("written");
    let found = orphans(&lab, "to show it", |found| !found.items.is_empty()).await;
    let orphan = &found.items[0];
    assert_eq!((orphan.class, orphan.id.clone()), (OrphanClass::Leftover, format!("h1:{stray}")));
    let refused = lab.operator.repair(&orphan.id, Repair::Remove).await.expect_err("it is not aside");
    assert!(refused.to_string().contains("quarantine it first"), "{refused}");
    lab.operator.repair(&orphan.id, Repair::Quarantine).await.expect("accepted");
    orphans(&lab, "to be aside", |found| found.items[0].class == OrphanClass::Quarantined).await;
    let kept = aside.join(stray.to_string()).join("volume.qcow2");
    assert!(!file.exists() && std::fs::read_to_string(&kept).expect("it is there") == "somebody's data");
    lab.operator.repair(&orphan.id, Repair::Remove).await.expect("accepted");
    orphans(&lab, "to be none again", |found| found.items.is_empty()).await;
    assert!(!kept.exists());

    // What has a row is nobody's leftover, and its disk is not made anew when it is lost.
    let disk = lab.volumes().remove(0);
    let uid = disk.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
    let refused =
        lab.operator.repair(&format!("h1:{uid}"), Repair::Quarantine).await.expect_err("it has a row");
    assert!(refused.to_string().contains("belongs to"), "{refused}");
    let away = lab.agent.data_dir.join("away.qcow2");
    std::fs::rename(&disk, &away).expect("moved");
    let found = orphans(&lab, "to show the loss", |found| !found.items.is_empty()).await;
    assert_eq!((found.items[0].class, found.items[0].repair), (OrphanClass::Lost, None));
    let standing = lab.operator.explain(&volume("web")).await.expect("it is there");
    assert_eq!((standing.reason.as_deref(), standing.host.as_deref()), (Some("VolumeLost"), Some("h1")));
    assert!(!disk.exists(), "it was made anew");
    std::fs::rename(&away, &disk).expect("moved back");
    orphans(&lab, "to be none once more", |found| found.items.is_empty()).await;
    lab.active(&web).await;
    lab.delete("web").await;
}
