//! Images of volumes that guests have used: copied by the volume's host, taken in by the leader, used for other guests.

use std::time::Duration;

use rempart_api::{Kind, Urn};
use rempart_proto::blob::v1::blobs_client::BlobsClient;
use rempart_proto::blob::v1::deposit_piece::Piece;
use rempart_proto::blob::v1::{Blob, Copy, DepositPiece, Format};
use rempart_tests::identity::{agent_credentials, connection};
use rempart_tests::{Lab, PATIENCE, instance, until, until_some, volume};
use serde_json::{Value, json};
use tonic::Code;

fn image(name: &str) -> Urn {
    Urn::tenant(Kind::Image, "acme", name)
}

fn image_of(source: &str) -> Value {
    let source = format!("workspaces/w/block-storages/{source}");
    json!({ "spec": { "blockStorageRef": source, "cpuArchitecture": "amd64", "boot": "BIOS", "initializer": "cloudinit-22" } })
}

/// A guest that ran once, and is off.
async fn used(lab: &Lab, name: &str) -> String {
    let before = lab.domains();
    let urn = lab.create(name, json!({ "userData": "#tiny: poweroff-after 0" })).await;
    lab.active(&urn).await;
    let uid = lab.new_domain(&before).await;
    lab.alice.act(&urn, "start").await.expect("accepted");
    lab.status(&urn, "to have run and ended", |status| {
        status["conditions"][0]["reason"] == "GuestShutdown" && status["state"] == "active"
    })
    .await;
    uid
}

fn copies(lab: &Lab) -> usize {
    std::fs::read_dir(lab.agent.data_dir.join("captures")).expect("the directory").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_made_of_what_a_guest_left_on_its_disk() {
    let mut lab = Lab::open(3).await;
    used(&lab, "first").await;

    // While it runs, or is to run, its disk is nobody's to copy.
    let sleeper = lab.create("sleeper", json!({})).await;
    lab.active(&sleeper).await;
    lab.alice.act(&sleeper, "start").await.expect("accepted");
    let refused = lab.alice.put(&image("torn"), &image_of("sleeper")).await.expect_err("it runs");
    assert_eq!(refused.status(), Some(412));
    assert!(refused.to_string().contains("stop it first"), "{refused}");

    lab.alice.put(&image("golden"), &image_of("first")).await.expect("an image");
    let status = lab.status(&image("golden"), "to be complete", |status| status["state"] == "active").await;
    assert_eq!(status["sizeMB"], 1024);
    let states: Vec<_> = status["conditions"].as_array().expect("a history").iter().rev().collect();
    assert_eq!(states[1]["state"], "creating", "{status}");
    // The copy outlives what it was copied from, and has what the guest wrote.
    lab.delete("first").await;
    let spec = json!({ "sizeGB": 1, "skuRef": "skus/le500", "sourceImageRef": "images/golden" });
    lab.alice.put(&volume("second"), &json!({ "spec": spec })).await.expect("a volume");
    let before = lab.domains();
    lab.alice.put(&instance("second"), &lab.body("second", json!({}))).await.expect("an instance");
    lab.active(&instance("second")).await;
    let uid = lab.new_domain(&before).await;
    lab.alice.act(&instance("second"), "start").await.expect("accepted");
    lab.says(&uid, "tiny: boot 2 of this disk").await;

    whoever_dies(&mut lab).await;
    a_start_and_a_copy_take_turns(&lab).await;
    what_was_not_asked_for_is_refused(&lab).await;
}

/// The agent at any moment of it, and then the leader.
async fn whoever_dies(lab: &mut Lab) {
    used(lab, "third").await;
    for (round, pause_ms) in [0, 60, 150, 400].into_iter().enumerate() {
        let name = format!("copy-{round}");
        lab.alice.put(&image(&name), &image_of("third")).await.expect("an image");
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        lab.kill_agent();
        lab.start_agent();
        lab.status(&image(&name), "to be complete", |status| status["state"] == "active").await;
    }
    lab.alice.put(&image("last"), &image_of("third")).await.expect("an image");
    lab.cluster.kill(2);
    lab.status(&image("last"), "to be complete", |status| status["state"] == "active").await;
    lab.cluster.start_controller(2).expect("it starts");
    until("no copy to be left on the host", PATIENCE, || copies(lab) == 0).await;
}

async fn a_start_and_a_copy_take_turns(lab: &Lab) {
    lab.alice.put(&image("both"), &image_of("third")).await.expect("an image");
    let kept = lab.alice.delete(&volume("third")).await.expect_err("it is used, and copied");
    assert_eq!(kept.status(), Some(412));
    lab.alice.act(&instance("third"), "start").await.expect("accepted");
    lab.status(&image("both"), "to be complete", |status| status["state"] == "active").await;
    lab.status(&instance("third"), "to have run again", |status| {
        status["conditions"][0]["reason"] == "GuestShutdown" && status["state"] == "active"
    })
    .await;
}

/// A stolen host gives bytes to no image it was not asked to copy for.
async fn what_was_not_asked_for_is_refused(lab: &Lab) {
    let stolen = agent_credentials(&lab.agent.data_dir).expect("its keys");
    let ports = lab.cluster.layout.ports.clone();
    until_some("the leader to refuse", PATIENCE, || async {
        let mut heard = Vec::new();
        for (_, port) in &ports {
            let address = format!("127.0.0.1:{port}");
            let channel =
                connection(&stolen, rempart_identity::Expect::AnyController, &address).expect("an address");
            let copy = Copy {
                volume_uid: uuid::Uuid::nil().to_string(),
                epoch: 1,
                image_uid: uuid::Uuid::nil().to_string(),
                blob: Some(Blob {
                    sha256: "ab".repeat(32),
                    format: Format::Qcow2.into(),
                    size_bytes: 65_536,
                    virtual_size_bytes: 1 << 20,
                }),
            };
            let pieces = tokio_stream::iter([DepositPiece { piece: Some(Piece::Copy(copy)) }]);
            let denied = BlobsClient::new(channel).deposit(pieces).await.expect_err("nobody asked for it");
            if denied.code() == Code::PermissionDenied {
                return Ok(());
            }
            heard.push(denied);
        }
        Err(format!("{heard:?}"))
    })
    .await;
}
