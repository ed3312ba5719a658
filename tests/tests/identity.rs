//! Who is who, between real processes: joining, being refused, certificates that expire, hosts that are revoked.

use std::path::Path;
use std::time::Duration;

use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_identity::join::{JoinError, join};
use rempart_identity::{Ca, Credentials, Expect, Identity, JoinToken, Key};
use rempart_proto::agent::v1::agent_message::Message;
use rempart_proto::agent::v1::fleet_client::FleetClient;
use rempart_proto::agent::v1::{AgentMessage, Capacity, Hello, HypervisorHealth};
use rempart_proto::blob::v1::HasRequest;
use rempart_proto::blob::v1::blobs_client::BlobsClient;
use rempart_proto::enrol::v1::RenewRequest;
use rempart_proto::enrol::v1::enrolment_client::EnrolmentClient;
use rempart_proto::raft::v1::Payload;
use rempart_proto::raft::v1::leader_client::LeaderClient;
use rempart_proto::raft::v1::raft_client::RaftClient;
use rempart_tests::identity::{agent_credentials, connection, controller_credentials};
use rempart_tests::{Agent, Cluster, Daemon, until, until_some};
use serde_json::{Value, json};
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn host(name: &str) -> Urn {
    Urn::global(Kind::Host, name)
}

/// An agent whose hypervisor never answers: who it is does not depend on that.
fn agent(dir: &Path, cluster: &Cluster, name: &str) -> Agent {
    let nowhere = format!("qemu+unix:///system?socket={}/nowhere", dir.display());
    Agent::new(dir, name, &cluster.layout, &nowhere).expect("an agent")
}

async fn status(operator: &Client, name: &str) -> Result<Value, String> {
    let view = operator.get(&host(name)).await.map_err(|error| error.to_string())?;
    Ok(view.status.unwrap_or_default())
}

async fn reachable(operator: &Client, name: &str, expected: bool) {
    until_some(&format!("{name} to be reachable: {expected}"), PATIENCE, || async {
        let status = status(operator, name).await?;
        if status["reachable"] == expected { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

fn address(cluster: &Cluster, id: usize) -> String {
    format!("127.0.0.1:{}", cluster.layout.ports[id - 1].1)
}

async fn redeem(text: &str) -> Result<Identity, JoinError> {
    let token = JoinToken::parse(text)?;
    let key = Key::generate()?;
    let (_, joined) = join(&token, &key, Vec::new(), Duration::from_secs(20)).await?;
    Ok(joined.certificate.identity)
}

fn refused(result: Result<Identity, JoinError>, words: &str) {
    match result {
        Err(JoinError::Refused(why)) => assert!(why.contains(words), "{why}"),
        other => panic!("not refused ({words}): {other:?}"),
    }
}

/// What a session that begins like this comes to.
async fn session(credentials: &Credentials, cluster: &Cluster, claims: &str) -> Result<(), tonic::Status> {
    let leader = leader(cluster).await;
    let channel =
        connection(credentials, Expect::AnyController, &address(cluster, leader)).expect("an address");
    let hello = Hello {
        host: claims.to_owned(),
        boot_id: "b".to_owned(),
        zone: "a".to_owned(),
        capacity: Some(Capacity { vcpus: 1, memory_mib: 1024, disk_mib: 1024 }),
        hypervisor: Some(HypervisorHealth::default()),
        ..Hello::default()
    };
    let hello = AgentMessage { message: Some(Message::Hello(hello)) };
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    sender.send(hello).await.expect("there is room");
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let answer = FleetClient::new(channel).session(outgoing).await;
    answer?.into_inner().message().await.map(drop)
}

async fn leader(cluster: &Cluster) -> usize {
    let ids: Vec<usize> = cluster.controllers.iter().map(|controller| controller.id).collect();
    until_some("a leader", PATIENCE, || async {
        // As they are now: where certificates last for seconds, those of before are no use.
        let credentials = controller_credentials(&cluster.layout.cluster_dir()).expect("its keys");
        for id in &ids {
            let channel =
                connection(&credentials, Expect::AnyController, &address(cluster, *id)).expect("an address");
            let asked = LeaderClient::new(channel)
                .read_index(rempart_proto::raft::v1::ReadIndexRequest::default())
                .await;
            if asked.is_ok() {
                return Ok(*id);
            }
        }
        Err("none".to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_join_once_and_are_who_their_certificates_say() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Cluster::start(&dir.path().join("c"), 3).await.expect("a cluster");
    let layout = &cluster.layout;
    let operator = cluster.client(2, "operator").expect("a client");

    // An agent joins through a controller that may be a follower, and is seen.
    let one = agent(dir.path(), &cluster, "one");
    let first = one.start().expect("it starts");
    reachable(&operator, "one", true).await;
    first.kill();
    // The token is used up, and not needed any more.
    let text = std::fs::read_to_string(&one.join_token_file).expect("the token");
    refused(redeem(&text).await, "used before");
    std::fs::remove_file(&one.join_token_file).expect("it is there");
    let _one = one.start().expect("it starts");
    reachable(&operator, "one", true).await;

    tokens_are_refused(&cluster, dir.path()).await;

    // With A's key, as B.
    let stolen = agent_credentials(&one.data_dir).expect("its keys");
    let two = agent(dir.path(), &cluster, "two");
    let _two = two.start().expect("it starts");
    reachable(&operator, "two", true).await;
    let denied = session(&stolen, &cluster, "two").await.expect_err("A is not B");
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");

    strangers_are_refused(&cluster, &stolen).await;

    // What tells the lab's machines apart from strangers is not the address, and tokens of the API still work.
    let alice = layout.token("alice").expect("a token");
    let nobody = Client::new(&layout.url(3), &alice).expect("a client");
    assert_eq!(nobody.get(&host("one")).await.expect_err("no operator").status(), Some(403));

    revoked_at_once(&cluster, &operator, &one, &stolen, dir.path()).await;
}

/// Replayed, expired, of another cluster, for another name.
async fn tokens_are_refused(cluster: &Cluster, dir: &Path) {
    let layout = &cluster.layout;
    let mint = |arguments: &[&str]| layout.join_token(arguments).expect("a token");
    let once = mint(&["--host", "three"]);
    assert_eq!(redeem(&once).await.expect("taken in"), Identity::Host("three".to_owned()));
    refused(redeem(&once).await, "used before");
    // A founded cluster's controllers redeem through the log, too; a host's exchange key is none.
    let controller = mint(&["--controller", "2"]);
    assert!(matches!(redeem(&controller).await, Err(JoinError::Refused(_))));

    let short = mint(&["--host", "late", "--lifetime-seconds", "1"]);
    until_some("the token to expire", PATIENCE, || async {
        match redeem(&short).await {
            Err(JoinError::Refused(why)) if why.contains("expired") => Ok(()),
            // Taken in while it was in force, and used up since.
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    // A token for A does not make B: the name is the token's, and the agent notices.
    let foreign = agent(dir, cluster, "four");
    std::fs::write(&foreign.join_token_file, mint(&["--host", "five"])).expect("written");
    let said = ends(&foreign).await;
    assert!(said.contains("host:five") && said.contains("\"four\""), "{said}");

    // Another CA's digest: the joiner hangs up before it says anything.
    let other = Ca::create("other").expect("a CA");
    let token = JoinToken::parse(&mint(&["--host", "six"])).expect("a token");
    let wrong = JoinToken { ca_sha256: other.sha256(), ..token };
    match redeem(&wrong.to_text()).await {
        Err(JoinError::Stranger(why)) => assert!(why.contains("another digest"), "{why}"),
        other => panic!("{other:?}"),
    }
    std::fs::write(&foreign.join_token_file, wrong.to_text()).expect("written");
    let said = ends(&foreign).await;
    assert!(said.contains("another digest"), "{said}");
}

/// What an agent says that does not come up.
async fn ends(agent: &Agent) -> String {
    let mut daemon: Daemon = agent.start().expect("it starts");
    until_some("the agent to give up", PATIENCE, || {
        let status = daemon.exited();
        async move { status.ok_or_else(|| "it runs".to_owned()) }
    })
    .await;
    daemon.log()
}

/// Nobody without a certificate of this CA, and nobody but replicas, speaks Raft.
async fn strangers_are_refused(cluster: &Cluster, host: &Credentials) {
    let at = address(cluster, 1);
    let foreign = Ca::create("foreign").expect("a CA");
    let key = Key::generate().expect("a key");
    let forged = foreign.sign_own(&Identity::Controller(2), &key, HOUR).expect("signed");
    // It believes our CA, and shows what its own signed.
    let stranger = Credentials::new(host.ca().clone(), forged, &key).expect("they belong together");
    let raft = RaftClient::new(connection(&stranger, Expect::AnyController, &at).expect("an address"));
    raft.clone().describe(Payload::default()).await.expect_err("a certificate of another CA");

    let mut raft = RaftClient::new(connection(host, Expect::AnyController, &at).expect("an address"));
    let denied = raft.append_entries(Payload::default()).await.expect_err("a host is no replica");
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
    let mut leader = LeaderClient::new(connection(host, Expect::AnyController, &at).expect("an address"));
    let denied = leader.execute(Payload::default()).await.expect_err("a host is no replica");
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");

    // Without any certificate: only enrolment answers.
    let token =
        JoinToken::parse(&cluster.layout.join_token(&["--host", "x"]).expect("a token")).expect("a token");
    let naked =
        rempart_identity::pool::connect_to_join(&at, &token.ca_sha256, PATIENCE).await.expect("a connection");
    let denied = RaftClient::new(naked.clone()).vote(Payload::default()).await.expect_err("nobody");
    assert_eq!(denied.code(), Code::Unauthenticated, "{denied:?}");
    let denied = FleetClient::new(naked.clone()).session(tokio_stream::pending()).await.expect_err("nobody");
    assert_eq!(denied.code(), Code::Unauthenticated, "{denied:?}");
    let denied = EnrolmentClient::new(naked).renew(RenewRequest {}).await.expect_err("nothing to renew");
    assert_eq!(denied.code(), Code::Unauthenticated, "{denied:?}");

    // A caller that meant another replica does not talk to this one.
    let controller = controller_credentials(&cluster.layout.cluster_dir()).expect("its keys");
    let mut raft = RaftClient::new(connection(&controller, Expect::Controller(2), &at).expect("an address"));
    raft.describe(Payload::default()).await.expect_err("controller 1 is not 2");
}

/// A revoked host's session ends at once, its certificate opens nothing, and a new token takes it in again.
async fn revoked_at_once(
    cluster: &Cluster,
    operator: &Client,
    one: &Agent,
    stolen: &Credentials,
    dir: &Path,
) {
    // A call that goes on, over a connection that is there: it would end by itself after 20 s.
    let leading = leader(cluster).await;
    let channel = connection(stolen, Expect::AnyController, &address(cluster, leading)).expect("an address");
    let mut blobs = BlobsClient::new(channel);
    let denied = blobs.has(HasRequest::default()).await.expect_err("a host is no replica");
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
    let open = tokio::spawn(async move { blobs.deposit(tokio_stream::pending()).await });

    operator.act(&host("one"), "revoke").await.expect("accepted");
    reachable(operator, "one", false).await;
    let ended = open.await.expect("it ends").expect_err("what is not sent is not taken");
    assert_ne!(ended.code(), Code::DeadlineExceeded, "ended with the connection, not for silence: {ended:?}");
    let denied = session(stolen, cluster, "one").await.expect_err("revoked");
    assert_eq!(denied.code(), Code::Unauthenticated, "{denied:?}");
    assert!(denied.message().contains("revoked"), "{denied:?}");
    let id = leader(cluster).await;
    let channel = connection(stolen, Expect::AnyController, &address(cluster, id)).expect("an address");
    let denied = EnrolmentClient::new(channel).renew(RenewRequest {}).await.expect_err("revoked");
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");

    let token = cluster.layout.join_token(&["--host", "one"]).expect("a token");
    std::fs::write(&one.join_token_file, token).expect("written");
    // As on another machine: the agent that runs keeps its data directory.
    let again = Agent { data_dir: dir.join("again"), ..one.clone() };
    let _again = again.start().expect("it starts");
    reachable(operator, "one", true).await;
    let denied = session(stolen, cluster, "one").await.expect_err("another machine since");
    assert_eq!(denied.code(), Code::Unauthenticated, "{denied:?}");
}

/// Everything is stopped for longer than any certificate holds, and heals when it is started again; but for the host
/// that was revoked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_all_certificates_expired_a_cluster_heals() {
    const LIFETIME: &str = "4";
    let dir = tempfile::tempdir().expect("a temporary directory");
    let environment = [("REMPART_CERTIFICATE_LIFETIME_SECONDS", LIFETIME)];
    let mut cluster = Cluster::start_with(&dir.path().join("c"), 3, &environment).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    let (good, bad) = (agent(dir.path(), &cluster, "good"), agent(dir.path(), &cluster, "bad"));
    let (first, second) = (good.start().expect("it starts"), bad.start().expect("it starts"));
    reachable(&operator, "good", true).await;
    reachable(&operator, "bad", true).await;

    // While it runs: the next certificates come by themselves, and a session survives them.
    let before = agent_credentials(&good.data_dir).expect("its keys").certificate();
    until("every certificate of the beginning to have expired", PATIENCE, || before.is_expired()).await;
    until("the agent to have another certificate", PATIENCE, || {
        agent_credentials(&good.data_dir).is_ok_and(|now| now.certificate().der != before.der)
    })
    .await;
    reachable(&operator, "good", true).await;

    second.kill();
    operator.act(&host("bad"), "revoke").await.expect("accepted");
    let welcomed = welcomes(&first);
    first.kill();
    for id in 1..=3 {
        cluster.kill(id);
    }
    let shown = |data_dir: &Path| agent_credentials(data_dir).expect("its keys").certificate();
    let expired = shown(&good.data_dir);
    until("all certificates to expire", PATIENCE, || {
        let controllers = (1..=3).map(|id| {
            controller_credentials(&cluster.layout.identity_dir(id)).expect("its keys").certificate()
        });
        controllers.chain([shown(&good.data_dir), shown(&bad.data_dir)]).all(|shown| shown.is_expired())
    })
    .await;

    for id in 1..=3 {
        cluster.start_controller(id).expect("it starts");
    }
    for id in 1..=3 {
        cluster.ready(id).await.expect("an address");
    }
    // With an expired certificate there is nothing but renewal.
    let thief = agent_credentials(&good.data_dir).expect("its keys");
    let denied = session(&thief, &cluster, "good").await.expect_err("expired");
    assert_eq!(denied.code(), Code::Unauthenticated, "{denied:?}");
    assert!(denied.message().contains("expired"), "{denied:?}");

    let (first, second) = (good.start().expect("it starts"), bad.start().expect("it starts"));
    // The leader may not have missed it yet: what counts is the certificate, and the session it opens.
    until("the agent to have another certificate", PATIENCE, || shown(&good.data_dir).der != expired.der)
        .await;
    until("the agent to be welcomed", PATIENCE, || welcomes(&first) > welcomed).await;
    reachable(&operator, "good", true).await;
    until("the revoked host to hear that it is", PATIENCE, || second.log().contains("was revoked")).await;
    assert!(shown(&bad.data_dir).is_expired());
    assert_eq!(status(&operator, "bad").await.expect("a host")["reachable"], json!(false));
}

/// How often controllers have welcomed it, before a restart and since.
fn welcomes(agent: &Daemon) -> usize {
    agent.log().matches("welcomed").count()
}
