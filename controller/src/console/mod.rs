//! Consoles of instances: asked for at any replica, opened there as a WebSocket, carried by the leader.
//!
//! ```text
//!   client == WebSocket ==> this replica == Relay.Attach ==> Broker on the leader <== Console.Serve == agent ── guest
//!                               (if this one leads: no relay)
//! ```
//!
//! What always holds: a console opens by a token only, once, within a minute, for one incarnation of one instance; the
//! token is never logged; nothing here keeps a console open over a change of leaders (who watches asks for a new one).
//! Deliberately absent: the WebSocket itself (`http::console`), and what the bytes mean.

mod broker;
mod callbacks;
mod refused;
mod server;
mod slots;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use rempart_api::Urn;
use rempart_api::compute::PowerState;
use rempart_api::console::{ConsoleAccess, ConsoleKind, path};
use rempart_proto::console::v1::attach::What;
use rempart_proto::console::v1::frame::Frame as Says;
use rempart_proto::console::v1::relay_client::RelayClient;
use rempart_proto::console::v1::{Attach, Close, Frame, Reason, SerialLog};
use rempart_proto::console::{FRAMES_WAITING, Receiver, Sender, close};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

pub use broker::Line;
pub use refused::Refused;
pub use server::Server;
pub use slots::{PER_CALLER, PER_INSTANCE};

use crate::auth::Authority;
use crate::fleet::Fleet;
use crate::pki::Peers;
use crate::raft::Node;
use crate::replica::Replica;
use crate::service::{Caller, Service};
use broker::Broker;

/// How long a token holds at most.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// How long an election may take before a caller hears of it.
const LEADER_WITHIN: Duration = Duration::from_secs(5);
/// How long the leader may take. It gives the host 10 s.
const ATTACH_WITHIN: Duration = Duration::from_secs(20);
/// How long a whole serial log may take.
const LOG_WITHIN: Duration = Duration::from_secs(30);

/// The consoles, on one replica. Cheap to clone.
#[derive(Clone)]
pub struct Consoles {
    broker: Broker,
    peers: Peers,
    settings: Settings,
}

/// What the installation decides.
#[derive(Clone)]
pub struct Settings {
    /// Outside base URL, without a trailing slash.
    pub public_url: String,
    /// How long a token holds; [`TOKEN_LIFETIME`] at most.
    pub token_lifetime: Duration,
    /// True once this replica stops.
    pub stopping: watch::Receiver<bool>,
}

impl Consoles {
    /// On `node` and `replica`.
    pub fn new(
        node: Node,
        replica: Replica,
        service: Service,
        fleet: Fleet,
        authority: Arc<Authority>,
        peers: Peers,
        settings: Settings,
    ) -> Consoles {
        Consoles { broker: Broker::new(node, replica, service, fleet, authority), peers, settings }
    }

    /// The gRPC side, for the listener between machines.
    pub fn server(&self) -> Server {
        Server(self.broker.clone())
    }

    /// True once this replica stops.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.settings.stopping.clone()
    }

    /// A token for a console of a running instance.
    ///
    /// # Errors
    /// The caller does not own the tenant, the instance is not there, or is off.
    pub async fn grant(
        &self,
        caller: Caller,
        urn: &Urn,
        kind: ConsoleKind,
    ) -> Result<ConsoleAccess, Refused> {
        self.broker.service.check_right(Uuid::now_v7(), caller.clone(), broker::right(urn)).await?;
        let state = self.broker.replica.state();
        let uid = state.get(urn).map(|instance| instance.uid).ok_or_else(|| broker::not_found(urn))?;
        if broker::whereabouts(&state, urn, uid)?.1 == PowerState::Off {
            return Err(Refused::off(urn));
        }
        let lifetime = self.settings.token_lifetime.min(TOKEN_LIFETIME);
        let (token, expires_at) = token::issue(&self.broker.authority, &caller, urn, uid, kind, lifetime)
            .map_err(Refused::Internal)?;
        // http becomes ws, https wss.
        let base = self.settings.public_url.replacen("http", "ws", 1);
        Ok(ConsoleAccess { url: format!("{base}{}", path(urn, kind)), token, expires_at })
    }

    /// Opens the console a token is for, which must be this one.
    ///
    /// # Errors
    /// The token is not good, the instance is off or has too many consoles, its host or the leader is away.
    pub async fn open(&self, urn: &Urn, kind: ConsoleKind, token: &str) -> Result<Line, Refused> {
        // The leader verifies it again; here garbage ends before it costs anybody else something.
        let shown = token::verify(&self.broker.authority, token).map_err(Refused::Token)?;
        if shown.claims.urn() != *urn || shown.claims.kind != kind {
            let words = "the token is for another console; ask for one for this";
            return Err(Refused::Forbidden(words.to_owned()));
        }
        self.attach(What::Token(token.to_owned())).await
    }

    /// The end of an instance's serial log.
    ///
    /// # Errors
    /// The caller does not own the tenant, the instance is not there or never had a host, its host or the leader is away.
    pub async fn log(&self, caller: Caller, urn: &Urn, tail_bytes: u32) -> Result<Vec<u8>, Refused> {
        self.broker.service.check_right(Uuid::now_v7(), caller.clone(), broker::right(urn)).await?;
        let asked = SerialLog {
            subject: caller.subject,
            tenant: urn.tenant.clone(),
            workspace: urn.workspace.clone(),
            instance: urn.name.clone(),
            tail_bytes,
        };
        let line = self.attach(What::SerialLog(asked)).await?;
        let reading = async {
            let (_sender, mut receiver, hearing) = line.take_up();
            let hearing = tokio::spawn(hearing);
            let mut log = Vec::new();
            while let Some(bytes) = receiver.next().await {
                log.extend_from_slice(&bytes);
                if log.len() > usize::try_from(tail_bytes).unwrap_or(usize::MAX) {
                    return Err(Refused::Internal(
                        "the agent sent more of a log than was asked for".to_owned(),
                    ));
                }
            }
            match hearing.await {
                Ok(why) if why.reason() == Reason::Done => Ok(log),
                _ => Err(Refused::host_away()),
            }
        };
        timeout(LOG_WITHIN, reading).await.unwrap_or_else(|_| Err(Refused::host_away()))
    }

    /// Once: a token that was used up by an attempt whose answer was lost is gone.
    async fn attach(&self, what: What) -> Result<Line, Refused> {
        let node = &self.broker.node;
        let deadline = Instant::now() + LEADER_WITHIN;
        let mut leadership = node.leadership();
        let (leader, address) = loop {
            if node.is_leader() {
                return self.broker.open(what).await;
            }
            leadership.mark_unchanged();
            if let Some(leader) = node.leader() {
                break leader;
            }
            timeout_at(deadline, leadership.changed())
                .await
                .map_err(|_| Refused::unavailable())?
                .map_err(|_| Refused::unavailable())?;
        };
        let connection =
            self.peers.at(leader, &address).map_err(|error| Refused::Internal(error.to_string()))?;
        let (to, frames) = mpsc::channel(FRAMES_WAITING);
        let first = Frame { frame: Some(Says::Attach(Attach { what: Some(what) })) };
        to.send(first).await.map_err(|_| Refused::unavailable())?;
        let mut relay = RelayClient::new(connection);
        let answer = timeout(ATTACH_WITHIN, relay.attach(ReceiverStream::new(frames))).await;
        let from = answer.map_err(|_| Refused::unavailable())?.map_err(Refused::from)?.into_inner();
        Ok(Line { to, from: Box::pin(from) })
    }
}

impl Line {
    /// Takes it up at this end: what to send with, what comes, and why it ended once nothing more does. The leader never
    /// goes without a word, unless it is lost.
    pub fn take_up(self) -> (Sender, Receiver, impl Future<Output = Close> + Send + 'static) {
        let (sender, receiver, hearing) = rempart_proto::console::end(self.to, self.from);
        let lost = || close(Reason::LeaderChanged, "the leading controller was lost; ask for a new console");
        (sender, receiver, async move { hearing.await.0.unwrap_or_else(lost) })
    }
}
