//! Which controller to dial next, and when.

use super::{
    Context, End, HEARTBEAT_BOUNDS_S, HEARTBEAT_DEFAULT, MAX_DESIRED_BYTES, OUTGOING_MESSAGES, Session,
    WELCOME_WITHIN,
};
use crate::identity::Controllers;
use rempart_proto::agent::v1 as wire;
use rempart_proto::agent::v1::fleet_client::FleetClient;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;
use wire::controller_message::Message;

/// The shortest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A session this long ends a series of failures.
const LASTING: Duration = Duration::from_secs(5);
/// Redirections in a row that are followed without a longer pause.
const PROMPT_REDIRECTIONS: u32 = 2;

/// Dials until the agent stops.
pub async fn run(controllers: Controllers, context: Context) {
    let stop = context.stop.clone();
    let mut pace = Pace::default();
    let mut next = 0;
    let mut redirected = None;
    while !stop.is_set() && !controllers.addresses().is_empty() {
        let address = redirected.take().unwrap_or_else(|| {
            next += 1;
            controllers.addresses()[(next - 1) % controllers.addresses().len()].clone()
        });
        tokio::select! {
            // An expired certificate is being renewed; until then nobody would listen.
            () = controllers.in_force() => {}
            () = stop.wait() => return,
        }
        let begun = Instant::now();
        let end = tokio::select! {
            end = session(&controllers, &address, &context) => end,
            () = stop.wait() => End::Stopped,
        };
        let pause = pace.after(&end, begun.elapsed(), jitter());
        match end {
            End::Stopped => return,
            End::NotLeader(leader) => {
                tracing::info!(%address, leader, "not the leader");
                redirected = leader;
            }
            End::IntroduceAgain => {
                tracing::info!(%address, "the hypervisor answers now: introducing this host again");
                redirected = Some(address);
            }
            End::Lost(why) => tracing::warn!(%address, why, "session ended"),
            End::Stale(why) => tracing::error!(%address, why, "desired state refused"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.wait() => return,
        }
    }
}

/// How long to pause after sessions that came to nothing: longer each time, and never the same for two agents.
#[derive(Debug, Default)]
pub(super) struct Pace {
    failures: u32,
    redirections: u32,
}

impl Pace {
    /// `jitter` is a number from 0 to 255.
    pub(super) fn after(&mut self, end: &End, lasted: Duration, jitter: u8) -> Duration {
        if lasted >= LASTING {
            *self = Self::default();
        }
        match end {
            End::NotLeader(Some(_)) if self.redirections < PROMPT_REDIRECTIONS => self.redirections += 1,
            _ => self.failures += 1,
        }
        let doublings = self.failures.saturating_sub(1).min(10);
        let longest = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        // Between half and all of it.
        longest.mul_f64(0.5 + f64::from(jitter) / 510.0)
    }
}

fn jitter() -> u8 {
    Uuid::new_v4().as_bytes()[0]
}

/// One session, from the connection to its end.
async fn session(controllers: &Controllers, address: &str, context: &Context) -> End {
    match open(controllers, address, context).await {
        Ok((session, incoming, heartbeat)) => {
            controllers.set_leader(Some(address.to_owned()));
            metrics::gauge!("rempart_agent_session_up").set(1.0);
            let end = session.converse(incoming, heartbeat).await;
            metrics::gauge!("rempart_agent_session_up").set(0.0);
            controllers.set_leader(None);
            end
        }
        Err(end) => end,
    }
}

async fn open(
    controllers: &Controllers,
    address: &str,
    context: &Context,
) -> Result<(Session, tonic::Streaming<wire::ControllerMessage>, Duration), End> {
    let introduction = context.introduction.clone();
    let hello = tokio::task::spawn_blocking(move || introduction.hello()).await;
    let hello = hello.map_err(|error| End::Lost(format!("the survey of this host failed: {error}")))?;
    let introduced_hypervisor = hello.virtualization.is_some();
    let held = hello.ledger.clone();
    let (outgoing, messages) = mpsc::channel(OUTGOING_MESSAGES);
    let first = wire::AgentMessage { message: Some(wire::agent_message::Message::Hello(hello)) };
    // Before the call: a server may wait for it before it answers anything. The channel is empty.
    outgoing.send(first).await.map_err(|_| End::Lost("the stream is closed".into()))?;
    let request = ReceiverStream::new(messages);
    let opening = async {
        let connection = controllers.at(address).await.map_err(|error| End::Lost(error.to_string()))?;
        let mut client = FleetClient::new(connection).max_decoding_message_size(MAX_DESIRED_BYTES);
        let answer = client.session(request).await.map_err(|status| End::Lost(status.to_string()))?;
        let mut incoming = answer.into_inner();
        let welcome = incoming.message().await.map_err(|status| End::Lost(status.to_string()))?;
        Ok((incoming, welcome.and_then(|welcome| welcome.message)))
    };
    let (incoming, first) = tokio::time::timeout(WELCOME_WITHIN, opening)
        .await
        .unwrap_or_else(|_| Err(End::Lost("no welcome in time".into())))?;
    let welcome = match first {
        Some(Message::Welcome(welcome)) => welcome,
        Some(Message::NotLeader(not_leader)) => return Err(End::not_leader(not_leader)),
        _ => return Err(End::Lost("something else than a welcome came first".into())),
    };
    if let Some(held) = held.filter(|held| held.cluster_id != welcome.cluster_id) {
        let why = format!("cluster {}, this host belongs to {}", welcome.cluster_id, held.cluster_id);
        return Err(End::Stale(why));
    }
    tracing::info!(%address, cluster = welcome.cluster_id, "welcomed");
    let heartbeat = match welcome.heartbeat_seconds {
        seconds if HEARTBEAT_BOUNDS_S.contains(&seconds) => Duration::from_secs(seconds.into()),
        _ => HEARTBEAT_DEFAULT,
    };
    let session = Session {
        context: context.clone(),
        cluster_id: welcome.cluster_id,
        outgoing,
        told: None,
        sequence: 0,
        tell_at: None,
        unacknowledged: VecDeque::new(),
        accepting: None,
        introduced_hypervisor,
    };
    Ok((session, incoming, heartbeat))
}
