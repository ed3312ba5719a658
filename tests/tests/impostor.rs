//! A host whose machine was taken over: it has a certificate of its own, and speaks of guests that are not its.

use std::time::Duration;

use rempart_api::Urn;
use rempart_identity::join::join;
use rempart_identity::{Credentials, Expect, JoinToken, Key};
use rempart_proto::agent::v1::agent_message::Message;
use rempart_proto::agent::v1::fleet_client::FleetClient;
use rempart_proto::agent::v1::{
    AgentMessage, Capacity, Failure, Hello, HypervisorHealth, InstanceObserved, Observed, PowerOffCause,
    Presence, VolumeObserved,
};
use rempart_tests::identity::{agent_credentials, connection};
use rempart_tests::{Lab, instance, volume};
use serde_json::{Value, json};
use tonic::{Code, Status};

/// Everything a report can say, of these objects: lies, but for a host they are bound to.
fn lies(guest: &Value, generation: u64, disk: &Value, sequence: u64) -> AgentMessage {
    let failure = || {
        Some(Failure {
            reason: "Taken".to_owned(),
            message: "words of another host".to_owned(),
            ..Failure::default()
        })
    };
    let text = |uid: &Value| uid.as_str().expect("a uid").to_owned();
    // Presence goes through both.
    let presence = if sequence.is_multiple_of(2) { Presence::Absent } else { Presence::Present };
    let seen = InstanceObserved {
        uid: text(guest),
        generation,
        epoch: 1,
        presence: presence.into(),
        failure: failure(),
        running: false,
        power_generation: 1,
        off_cause: PowerOffCause::Crashed.into(),
        boot_id: "b".to_owned(),
    };
    let disk = VolumeObserved {
        uid: text(disk),
        generation: 1,
        epoch: 1,
        presence: presence.into(),
        failure: failure(),
        capture_failure: failure(),
    };
    let observed = Observed { sequence, volumes: vec![disk], instances: vec![seen], ..Observed::default() };
    AgentMessage { message: Some(Message::Observed(observed)) }
}

/// Says all of it in a session as `host`. Returns once the controller has taken it in.
async fn say(lab: &Lab, credentials: &Credentials, host: &str, says: Vec<AgentMessage>) -> Status {
    let (_, port) = lab.cluster.layout.ports[0];
    let channel = connection(credentials, Expect::AnyController, &format!("127.0.0.1:{port}"));
    let hello = || {
        let hello = Hello {
            host: host.to_owned(),
            boot_id: "b".to_owned(),
            zone: "a".to_owned(),
            capacity: Some(Capacity { vcpus: 4, memory_mib: 4096, disk_mib: 4096 }),
            hypervisor: Some(HypervisorHealth { available: true, ..HypervisorHealth::default() }),
            ..Hello::default()
        };
        AgentMessage { message: Some(Message::Hello(hello)) }
    };
    // A second Hello is refused, and only after all that came before it.
    let all: Vec<_> = [hello()].into_iter().chain(says).chain([hello()]).collect();
    let open = tokio_stream::StreamExt::chain(tokio_stream::iter(all), tokio_stream::pending());
    let answer = FleetClient::new(channel.expect("an address")).session(open).await;
    let mut answers = answer.expect("its certificate is good").into_inner();
    loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the session ended without a word"),
            Err(status) => return status,
        }
    }
}

/// What is known of an object, without what changes by itself.
async fn known(lab: &Lab, urn: &Urn) -> (Option<u64>, Value) {
    let view = lab.view(urn).await.expect("it is there");
    (view.metadata.resource_version, view.status.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_not_heard_on_another_hosts_guest() {
    let mut lab = Lab::open(1).await;
    let before = lab.domains();
    lab.create("web", json!({})).await;
    lab.active(&instance("web")).await;
    let guest = json!(lab.new_domain(&before).await);
    let disk = lab.volumes()[0].file_stem().expect("a name").to_string_lossy().into_owned();
    lab.alice.act(&instance("web"), "start").await.expect("accepted");
    // Power is told before the change that asked for it has ended: only then has its own host no more to say.
    lab.status(&instance("web"), "to be on, and that to be all", |status| {
        status["powerState"] == "on" && status["state"] == "active"
    })
    .await;
    let (mut states, urns) = (Vec::new(), [instance("web"), volume("web")]);
    for urn in &urns {
        states.push(known(&lab, urn).await);
    }

    // The newest there is: what is said of it is not too late.
    let generation = states[0].0.expect("a version");

    let token = lab.cluster.layout.join_token(&["--host", "thief"]).expect("a token");
    let key = Key::generate().expect("a key");
    let token = JoinToken::parse(&token).expect("a token");
    let (_, joined) = join(&token, &key, Vec::new(), Duration::from_secs(20)).await.expect("taken in");
    let thief = Credentials::new(joined.ca, joined.certificate, &key).expect("they belong together");

    let told = |host: &'static str| {
        let stranger = json!("00000000-0000-7000-8000-000000000000");
        let says = vec![
            lies(&guest, generation, &json!(disk), 1),
            lies(&guest, generation, &json!(disk), 2),
            lies(&stranger, 1, &stranger, 3),
            // Each under the other's uid.
            lies(&json!(disk), 1, &guest, 4),
        ];
        (host, says)
    };
    let (host, says) = told("thief");
    let end = say(&lab, &thief, host, says).await;
    assert!(end.code() == Code::InvalidArgument && end.message().contains("second Hello"), "{end:?}");
    for (urn, before) in urns.iter().zip(&states) {
        assert_eq!(&known(&lab, urn).await, before, "{urn} is as it was");
    }
    let (host, says) = told("h1");
    let end = say(&lab, &thief, host, says).await;
    assert_eq!(end.code(), Code::PermissionDenied, "{end:?}");
    for (urn, before) in urns.iter().zip(&states) {
        assert_eq!(&known(&lab, urn).await, before, "{urn} is as it was");
    }

    // The same words of its own host count: what was not heard above was not nonsense.
    lab.kill_agent();
    let own = agent_credentials(&lab.agent.data_dir).expect("its keys");
    let end = say(&lab, &own, "h1", vec![lies(&guest, generation, &json!(disk), 1)]).await;
    assert!(end.message().contains("second Hello"), "{end:?}");
    let (_, status) = known(&lab, &instance("web")).await;
    assert!(status.to_string().contains("words of another host"), "{status}");
    lab.start_agent();
    lab.active(&instance("web")).await;
}
