//! Controllers of the cluster before, back on the disks they had, beside the one that was restored.

use rempart_api::client::Client;
use rempart_identity::Expect;
use rempart_proto::blob::v1::HasRequest;
use rempart_proto::blob::v1::blobs_client::BlobsClient;
use rempart_proto::raft::v1::history_client::HistoryClient;
use rempart_proto::raft::v1::leader_client::LeaderClient;
use rempart_proto::raft::v1::raft_client::RaftClient;
use rempart_proto::raft::v1::{AuditRequest, Payload, ReportRequest};
use rempart_tests::identity::{connection, controller_credentials};
use rempart_tests::{Cluster, Lab, Layout, PATIENCE, instance, until_some, volume};
use tonic::{Code, Status};

use super::ledger;

/// What a controller says to a host that has heard a higher incarnation.
const OUTDONE: &str = "has been told things by incarnation 2 of this cluster, and this controller is of incarnation 1: it was restored \
                       from a backup since";

/// A majority of them serves again, and takes what tenants want: nothing of it reaches the host, also while the restored
/// cluster is away and they are all there is. Guests `uids` go on, as the restored cluster wants them. Those that came back go
/// on running in what is returned.
pub(super) async fn they_drive_nothing(
    lab: &mut Lab,
    layout: &Layout,
    alice: &str,
    guests: [(&str, &String); 2],
) -> Cluster {
    let mut former = Cluster { layout: layout.clone(), controllers: Vec::new(), environment: Vec::new() };
    for id in [2, 3] {
        former.start_controller(id).expect("it starts");
    }
    for id in [2, 3] {
        former.ready(id).await.expect("two of three are a majority, and serve");
    }
    // They know nothing of what became of them, and take what they are told.
    let alice = Client::new(&layout.url(2), alice).expect("a client");
    let [(stopped, _), (deleted, _)] = guests;
    alice.act(&instance(stopped), "stop").await.expect("accepted");
    alice.delete(&instance(deleted)).await.expect("accepted");
    alice.delete(&volume(deleted)).await.expect("accepted");
    let records = || guests.map(|(_, uid)| ledger(lab, uid));
    let before = records();

    // Now they are all the controllers that the host finds.
    lab.cluster.kill(4);
    until_some("the host to be told why nothing comes of it", PATIENCE, || async {
        let agent = lab.daemon.as_ref().expect("it runs").log();
        let says = |log: &str| log.contains(OUTDONE);
        let former = [2, 3].map(|id| says(&former.running(id).log()));
        if says(&agent) && former.contains(&true) { Ok(()) } else { Err(format!("{former:?} {agent}")) }
    })
    .await;
    assert_eq!(guests.map(|(_, uid)| ledger(lab, uid)), before, "nothing was accepted of them");
    assert!(guests.iter().all(|(_, uid)| lab.qemu_runs(uid)), "and nothing done");

    lab.cluster.start_controller(4).expect("it starts");
    lab.cluster.ready(4).await.expect("it serves");
    for id in [2, 3] {
        they_are_refused(layout, id).await;
    }
    former
}

/// Whatever a former controller asks of the restored one, it hears what it is.
async fn they_are_refused(layout: &Layout, id: usize) {
    let shown = controller_credentials(&layout.identity_dir(id)).expect("it has a certificate");
    let to = || connection(&shown, Expect::Controller(4), &layout.internal_address(4)).expect("an address");
    let refused = |what: &str, answer: Result<(), Status>| {
        let status = answer.expect_err(what);
        let words = format!("controller {id} is of the cluster before it was restored from a backup");
        assert!(status.message().contains(&words), "{what}: {status:?}");
        assert!(
            matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied),
            "{what}: {status:?}"
        );
    };
    let nothing = || Payload { bytes: Vec::new().into() };
    refused("a vote", RaftClient::new(to()).vote(nothing()).await.map(drop));
    refused("entries", RaftClient::new(to()).append_entries(nothing()).await.map(drop));
    refused("a call", LeaderClient::new(to()).execute(nothing()).await.map(drop));
    refused("a report", LeaderClient::new(to()).report(ReportRequest {}).await.map(drop));
    refused("history", HistoryClient::new(to()).audit(AuditRequest { first: 1, last: 1 }).await.map(drop));
    refused("a blob", BlobsClient::new(to()).has(HasRequest { blob: None }).await.map(drop));
}
