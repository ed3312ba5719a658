//! What a host is given: images of the volumes placed on it, and nothing else, whoever asks with its keys.

use rempart_identity::Expect;
use rempart_proto::blob::v1::blobs_client::BlobsClient;
use rempart_proto::blob::v1::{Blob, Format, HasRequest, PullRequest, ReadRequest};
use rempart_tests::identity::{agent_credentials, connection};
use rempart_tests::{Lab, instance};
use tonic::{Code, Status};

use super::*;

/// A host whose keys were stolen, and the internal address of the one controller.
struct Thief {
    credentials: rempart_identity::Credentials,
    address: String,
}

impl Thief {
    fn blobs(&self) -> BlobsClient<tonic::transport::Channel> {
        let channel = connection(&self.credentials, Expect::AnyController, &self.address);
        BlobsClient::new(channel.expect("an address"))
    }

    /// Reads all of a blob.
    async fn read(&self, blob: &Blob) -> Result<Vec<u8>, Status> {
        let request = ReadRequest { blob: Some(blob.clone()), offset: 0 };
        let mut pieces = self.blobs().read(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.message().await? {
            bytes.extend_from_slice(&piece.bytes);
        }
        Ok(bytes)
    }

    async fn is_refused(&self, blob: &Blob, when: &str) {
        let refused = self.read(blob).await.expect_err(when);
        assert_eq!(refused.code(), Code::PermissionDenied, "{when}: {refused:?}");
        assert!(refused.message().contains("no volume bound to host h1"), "{when}: {refused:?}");
    }
}

/// Uploads bytes into a volume of their own.
async fn uploaded(lab: &Lab, name: &str, bytes: Vec<u8>) -> Blob {
    let (sha256, size_bytes) = (sha256_of(&bytes), bytes.len() as u64);
    let spec = json!({ "spec": { "sizeGB": 1, "skuRef": "skus/le500" } });
    lab.alice.put(&volume(name), &spec).await.expect("a volume");
    let query = [("format", "raw"), ("sha256", sha256.as_str())];
    let body = (std::io::Cursor::new(bytes), size_bytes);
    lab.alice.upload(&volume(name), "content", &query, body, |_| {}).await.expect("taken");
    Blob { sha256, format: Format::Raw.into(), size_bytes, virtual_size_bytes: size_bytes }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_given_only_what_its_own_volumes_stand_on() {
    let lab = Lab::open(1).await;
    let (placed, elsewhere) = (noise(MIB, 1), noise(MIB, 2));
    let other = uploaded(&lab, "elsewhere", elsewhere).await;
    let blob = uploaded(&lab, "source", placed.clone()).await;
    let image = json!({ "blockStorageRef": "workspaces/w/block-storages/source", "cpuArchitecture": "amd64", "boot": "BIOS" });
    let image_urn = Urn::tenant(Kind::Image, "acme", "placed");
    lab.alice.put(&image_urn, &json!({ "spec": image })).await.expect("an image");
    let spec = json!({ "sizeGB": 1, "skuRef": "skus/le500", "sourceImageRef": "images/placed" });
    lab.alice.put(&volume("boot"), &json!({ "spec": spec })).await.expect("a volume");

    until_some("the host to have joined", PATIENCE, || async {
        agent_credentials(&lab.agent.data_dir).map(drop).map_err(|error| error.to_string())
    })
    .await;
    let (_, port) = lab.cluster.layout.ports[0];
    let thief = Thief {
        credentials: agent_credentials(&lab.agent.data_dir).expect("its keys"),
        address: format!("127.0.0.1:{port}"),
    };
    thief.is_refused(&blob, "no volume is placed anywhere").await;
    thief.is_refused(&other, "no volume is placed anywhere").await;

    lab.alice.put(&instance("boot"), &lab.body("boot", json!({}))).await.expect("an instance");
    lab.active(&instance("boot")).await;
    assert_eq!(thief.read(&blob).await.expect("its own"), placed);
    thief.is_refused(&other, "another volume's").await;
    let lie = Blob { size_bytes: blob.size_bytes - 1, ..blob.clone() };
    thief.is_refused(&lie, "declared otherwise").await;

    // What controllers ask of one another is not for hosts at all.
    let has = HasRequest { blob: Some(blob.clone()) };
    let refused = thief.blobs().has(has).await.expect_err("a host asks");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let pull = PullRequest { blob: Some(blob.clone()) };
    let refused = thief.blobs().pull(pull).await.expect_err("a host asks");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");

    lab.delete("boot").await;
    thief.is_refused(&blob, "its volume is gone").await;
}
