//! Which controller to dial next, and when.

use super::{
    CONNECT_TIMEOUT, Context, End, HEARTBEAT_BOUNDS_S, HEARTBEAT_DEFAULT, KEEPALIVE_INTERVAL,
    KEEPALIVE_TIMEOUT, MAX_DESIRED_BYTES, OUTGOING_MESSAGES, Session, WELCOME_WITHIN,
};
use rempart_proto::agent::v1 as wire;
use rempart_proto::agent::v1::fleet_client::FleetClient;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Endpoint;
use uuid::Uuid;
use wire::controller_message::Message;

/// The shortest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A session this long ends a series of failures.
const LASTING: Duration = Duration::from_secs(5);
/// Redirections in a row that are followed without a longer pause.
const PROMPT_REDIRECTIONS: u32 = 2;

/// Where to dial, and what to show.
#[derive(Debug, Clone)]
pub struct Dialer {
    /// `host:port` of the controllers' internal listeners.
    pub controllers: Vec<String>,
    /// File with the bearer token; read anew for each session, because it is rotated.
    pub credential_file: Option<PathBuf>,
}

/// Dials until the agent stops.
pub async fn run(dialer: Dialer, context: Context) {
    let stop = context.stop.clone();
    let mut pace = Pace::default();
    let mut next = 0;
    let mut redirected = None;
    while !stop.is_set() && !dialer.controllers.is_empty() {
        let address = redirected.take().unwrap_or_else(|| {
            next += 1;
            dialer.controllers[(next - 1) % dialer.controllers.len()].clone()
        });
        let begun = Instant::now();
        let end = tokio::select! {
            end = dialer.session(&address, &context) => end,
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

impl Dialer {
    /// One session, from the connection to its end.
    async fn session(&self, address: &str, context: &Context) -> End {
        match self.open(address, context).await {
            Ok((session, incoming, heartbeat)) => session.converse(incoming, heartbeat).await,
            Err(end) => end,
        }
    }

    async fn open(
        &self,
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
        let mut request = tonic::Request::new(ReceiverStream::new(messages));
        if let Some(credential) = self.credential().await? {
            request.metadata_mut().insert("authorization", credential);
        }
        let opening = async {
            let channel = self.endpoint(address)?.connect().await;
            let channel = channel.map_err(|error| End::Lost(with_causes(&error)))?;
            let mut client = FleetClient::new(channel).max_decoding_message_size(MAX_DESIRED_BYTES);
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
            unacknowledged: VecDeque::new(),
            accepting: None,
            introduced_hypervisor,
        };
        Ok((session, incoming, heartbeat))
    }

    fn endpoint(&self, address: &str) -> Result<Endpoint, End> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|error| End::Lost(format!("address {address:?}: {error}")))?;
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true))
    }

    /// The bearer token as metadata that no log prints.
    async fn credential(&self) -> Result<Option<AsciiMetadataValue>, End> {
        let Some(path) = &self.credential_file else { return Ok(None) };
        let lost = |why: String| End::Lost(format!("credential {}: {why}", path.display()));
        let token = tokio::fs::read_to_string(path).await.map_err(|error| lost(error.to_string()))?;
        // The parser's words are left out: they could show the token.
        let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| lost("not a token".into()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// An error with what caused it: the transport's own words say only "transport error".
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}
