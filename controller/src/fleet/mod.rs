//! Sessions of hypervisor agents: push what is desired, take what is observed. Only the leader holds them.
//!
//! ```text
//!   agent ── Hello ──────────> HostSeen (log)      Welcome, Desired{whole} ──> agent
//!   State change ── bell ────> Desired{difference} ───────────────────────────> agent
//!   agent ── Observed ───────> Report (log) ───── Acknowledged ──────────────> agent
//!   silence ─────────────────> the session ends; reconcile::hosts says HostUnreachable
//! ```
//!
//! Absence from a message deletes nothing: what should go is pushed as absent, until its host says that it is gone.

mod sent;
mod session;
mod under_way;
mod wire;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::Stream;
use rempart_model::{Answer, Command};
use rempart_proto::agent::v1::controller_message::Message as ControllerSays;
use rempart_proto::agent::v1::fleet_server::{Fleet as FleetRpc, FleetServer};
use rempart_proto::agent::v1::{AgentMessage, ControllerMessage, NotLeader, OpenConsole};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::pki::Sealer;
use crate::raft::Node;
use crate::replica::{Replica, propose_as_system};
use session::Outgoing;

/// How often an agent says that it is there.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long an agent is kept waiting for a leader. It gives a controller up after 10 s.
const ELECTION: Duration = Duration::from_secs(5);
/// A session without a word for this long has ended. Longer than the longest pause between an agent's attempts to
/// connect (10 s), so that an outage of the controllers does not make hosts look lost.
pub const SILENCE: Duration = Duration::from_secs(15);

/// The hosts that are in touch with this replica. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    replica: Replica,
    sealer: Arc<Sealer>,
    /// Host to its newest session here.
    sessions: Mutex<BTreeMap<String, Newest>>,
    /// Counts all sessions, so that no number is given twice.
    opened: AtomicU64,
}

/// A host's newest session: its number, and the way to the agent.
struct Newest(u64, Outgoing);

impl Fleet {
    /// On `node` and `replica`.
    pub fn new(node: Node, replica: Replica, sealer: Arc<Sealer>) -> Fleet {
        Fleet {
            inner: Arc::new(Inner {
                node,
                replica,
                sealer,
                sessions: Mutex::default(),
                opened: AtomicU64::new(0),
            }),
        }
    }

    /// The gRPC service agents dial.
    pub fn server(&self) -> FleetServer<Fleet> {
        FleetServer::new(self.clone())
    }

    /// Whether a host has a session here.
    pub fn in_touch(&self, host: &str) -> bool {
        self.sessions().contains_key(host)
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<String, Newest>> {
        self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many hosts have a session here.
    pub fn session_count(&self) -> usize {
        self.sessions().len()
    }

    /// Asks the agent of `host` to dial back for a console. False when it is not in touch with this replica, or does
    /// not listen; nothing else is waited for.
    pub fn ask_for_console(&self, host: &str, asked: OpenConsole) -> bool {
        let message = ControllerMessage { message: Some(ControllerSays::OpenConsole(asked)) };
        match self.sessions().get(host) {
            Some(Newest(_, outgoing)) => outgoing.try_send(Ok(message)).is_ok(),
            None => false,
        }
    }

    /// Registers a session; the newest of a host wins.
    fn open(&self, host: &str, outgoing: &Outgoing) -> Open {
        let number = self.inner.opened.fetch_add(1, Ordering::Relaxed);
        let before = self.sessions().insert(host.to_owned(), Newest(number, outgoing.clone()));
        Open { fleet: self.clone(), host: host.to_owned(), number, takes_over: before.is_some() }
    }

    /// Waits until State has what is in this replica's log: what a leader before it was told, and what earlier sessions here put
    /// there. By an older State a report that is news could look known.
    async fn caught_up(&self) -> Result<(), Status> {
        let Some(last) = self.inner.node.status().last_log_index else { return Ok(()) };
        let applied = self.inner.node.wait_applied(last, Instant::now() + ELECTION).await;
        applied.map_err(|error| Status::unavailable(error.to_string()))
    }

    /// Puts a command of the control plane itself into the log; what is proposed first comes first.
    fn propose(&self, command: Command) -> impl Future<Output = Result<(), Status>> + Send + use<> {
        let proposed = propose_as_system(&self.inner.node, command);
        async move {
            let outcome = proposed.await.map_err(|error| Status::unavailable(error.to_string()))?;
            match &*outcome {
                Ok(Answer::Done | Answer::Accepted | Answer::Put { .. }) => Ok(()),
                Err(refusal) => Err(Status::failed_precondition(refusal.detail.clone())),
            }
        }
    }

    /// Waits while nobody leads, for a while: an agent that is sent away meanwhile comes again and again, and later than need be.
    async fn leader_is_known(&self) {
        let mut leadership = self.inner.node.leadership();
        let known = leadership.wait_for(|now| now.leader.is_some());
        // Whatever comes of it, there is an answer.
        let _ = tokio::time::timeout(ELECTION, known).await;
    }

    fn leader_address(&self) -> String {
        self.inner.node.leader().map(|(_, address)| address).unwrap_or_default()
    }
}

/// A session that is registered; however its task ends, the host is then in touch no more.
struct Open {
    fleet: Fleet,
    host: String,
    number: u64,
    /// Another session of the host had not ended yet.
    takes_over: bool,
}

impl Open {
    fn is_newest(&self) -> bool {
        self.fleet.sessions().get(&self.host).is_some_and(|newest| newest.0 == self.number)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut sessions = self.fleet.sessions();
        if sessions.get(&self.host).is_some_and(|newest| newest.0 == self.number) {
            sessions.remove(&self.host);
        }
    }
}

#[tonic::async_trait]
impl FleetRpc for Fleet {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<ControllerMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let host = rempart_identity::require_host(&request)?;
        let shown = rempart_identity::peer::certificate(&request);
        let shown = shown.ok_or_else(|| Status::unauthenticated("a session needs a certificate"))?;
        let (sender, receiver) = mpsc::channel(64);
        let (fleet, incoming) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            fleet.leader_is_known().await;
            if fleet.inner.node.is_leader() {
                return session::run(fleet, host, shown, incoming, sender).await;
            }
            let redirect = NotLeader { leader_address: fleet.leader_address() };
            let message = ControllerMessage { message: Some(ControllerSays::NotLeader(redirect)) };
            // The channel has room: this is its first message.
            let _ = sender.try_send(Ok(message));
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
