//! The agent's side of the conversation with the controllers: it dials, and keeps dialling.
//!
//! ```text
//!   next controller -> connect -> Hello -> Welcome -> { Desired -> ledger -> bell
//!         ^                |                            Observed (what changed), Heartbeat }
//!         |  back-off      | NotLeader(address): that one next
//!         +----------------+---- lost, refused, silent, stale
//! ```
//!
//! Nothing is remembered between sessions but the ledger's stamp: each begins with the whole observation and
//! expects the whole desired state. A controller that vanished or hangs is noticed by HTTP/2 keepalive within
//! `identity::KEEPALIVE_INTERVAL` + `identity::KEEPALIVE_TIMEOUT`, or by the kernel before that
//! (`rempart_identity::VANISHED_WITHIN`); one that answers but no longer reads or acknowledges reports, after
//! [`ACKNOWLEDGE_WITHIN`].
//!
//! What never happens: a session's end stops a guest; controllers are dialled in a tight loop; more than
//! [`UNACKNOWLEDGED_MAX`] reports are under way (they wait, and the newest of each object replaces older ones).

use crate::console::Consoles;
use crate::desired::wire as door;
use crate::execute::SharedLedger;
use crate::ledger::{Gone, LedgerError};
use crate::reconcile::Observations;
use crate::report::{self, Observation};
use crate::stop::Stop;
use rempart_proto::agent::v1 as wire;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::Streaming;

mod dial;
pub mod introduction;
#[cfg(test)]
mod tests;

pub use dial::run;
use introduction::Introduction;

/// How long a controller may take from the first message to its Welcome.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(60);
const UNACKNOWLEDGED_MAX: usize = 8;
/// How long what can wait waits for other news, to be one entry of the controllers' log with it.
const TOGETHER_WITHIN: Duration = Duration::from_millis(100);
/// Largest message a controller may send: a whole desired state with the user data of every guest on a host.
pub const MAX_DESIRED_BYTES: usize = 64 << 20;
const OUTGOING_MESSAGES: usize = 16;
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(5);
const HEARTBEAT_BOUNDS_S: std::ops::RangeInclusive<u32> = 1..=60;

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The controller is not the leader; it may know who is.
    NotLeader(Option<String>),
    /// The connection was refused or lost, or the controller fell silent.
    Lost(String),
    /// The controller offers what the ledger refuses: it lags behind, or is of another cluster.
    Stale(String),
    /// The hypervisor answers now and did not when the agent introduced itself.
    IntroduceAgain,
    /// The agent stops.
    Stopped,
}

/// What a session works with.
#[derive(Clone)]
pub struct Context {
    /// Says who this host is; asked anew for each session.
    pub introduction: Arc<Introduction>,
    /// Where desired state goes.
    pub ledger: SharedLedger,
    /// Rung after it went there.
    pub bell: Arc<Notify>,
    /// What there is to report.
    pub observations: Observations,
    /// Shows guests' consoles.
    pub consoles: Consoles,
    /// Rings when the agent stops.
    pub stop: Stop,
}

/// A session that was welcomed.
struct Session {
    context: Context,
    cluster_id: String,
    outgoing: mpsc::Sender<wire::AgentMessage>,
    /// What this controller was told.
    told: Option<Arc<Observation>>,
    sequence: u64,
    /// When it is told what has waited for more.
    tell_at: Option<Instant>,
    /// Reports under way.
    unacknowledged: VecDeque<Underway>,
    /// A desired state on its way to the disk; the next one waits in the stream meanwhile.
    accepting: Option<JoinHandle<Result<(), End>>>,
    introduced_hypervisor: bool,
}

/// A report that was sent.
struct Underway {
    sequence: u64,
    sent: Instant,
    /// What it says to be gone.
    gone: Vec<Gone>,
}

impl Session {
    /// Converses until the end. `incoming` has delivered its Welcome already.
    async fn converse(
        mut self,
        mut incoming: Streaming<wire::ControllerMessage>,
        heartbeat: Duration,
    ) -> End {
        let mut observations = self.context.observations.clone();
        let mut heartbeats = tokio::time::interval(heartbeat);
        heartbeats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What is there already counts as news.
        observations.mark_changed();
        loop {
            let may_report = self.unacknowledged.len() < UNACKNOWLEDGED_MAX;
            let step = tokio::select! {
                message = incoming.message(), if self.accepting.is_none() => match message {
                    Ok(Some(message)) => self.hear(message),
                    Ok(None) => Err(End::Lost("the controller closed the session".into())),
                    Err(status) => Err(End::Lost(status.to_string())),
                },
                accepted = accepted(&mut self.accepting) => accepted,
                news = observations.changed(), if may_report => match news {
                    Ok(()) => {
                        let now = observations.borrow_and_update().clone();
                        self.tell_in_time(now).await
                    }
                    Err(_) => Err(End::Stopped),
                },
                () = at(self.tell_at), if may_report => {
                    let now = observations.borrow_and_update().clone();
                    self.tell(now).await
                },
                _ = heartbeats.tick() => self.beat().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    fn hear(&mut self, message: wire::ControllerMessage) -> Result<(), End> {
        use wire::controller_message::Message;
        match message.message {
            Some(Message::Desired(desired)) => {
                let offered = desired.stamp.as_ref().map(|stamp| stamp.cluster_id.as_str());
                if offered != Some(&self.cluster_id) {
                    return Err(End::Stale(format!("welcomed by {}, sent {offered:?}", self.cluster_id)));
                }
                let (ledger, bell) = (self.context.ledger.clone(), self.context.bell.clone());
                self.accepting = Some(tokio::task::spawn_blocking(move || accept(&ledger, &bell, desired)));
                Ok(())
            }
            Some(Message::Acknowledged(wire::Acknowledged { sequence })) => {
                let mut gone = Vec::new();
                while let Some(report) =
                    self.unacknowledged.pop_front_if(|report| report.sequence <= sequence)
                {
                    gone.extend(report.gone);
                }
                if !gone.is_empty() {
                    let (ledger, bell) = (self.context.ledger.clone(), self.context.bell.clone());
                    // Nobody waits for it: lost with the process, it is done again when a session begins.
                    tokio::task::spawn_blocking(move || {
                        ledger.lock().close(&gone);
                        bell.notify_one();
                    });
                }
                Ok(())
            }
            Some(Message::NotLeader(not_leader)) => Err(End::not_leader(not_leader)),
            Some(Message::OpenConsole(asked)) => {
                self.context.consoles.open(asked);
                Ok(())
            }
            // That it came is what it says: a connection that is heard is not asked.
            Some(Message::Heartbeat(_)) => Ok(()),
            Some(Message::Welcome(_)) => Err(End::Lost("a second Welcome".into())),
            None => {
                tracing::debug!("a message of a kind this agent does not know; ignored");
                Ok(())
            }
        }
    }

    /// Tells `now`, or lets it wait for what is about to follow.
    async fn tell_in_time(&mut self, now: Option<Arc<Observation>>) -> Result<(), End> {
        if let (Some(told), Some(now)) = (&self.told, &now)
            && report::can_wait(told, now)
        {
            self.tell_at.get_or_insert_with(|| Instant::now() + TOGETHER_WITHIN);
            return Ok(());
        }
        self.tell(now).await
    }

    async fn tell(&mut self, now: Option<Arc<Observation>>) -> Result<(), End> {
        let Some(now) = now else { return Ok(()) };
        if now.hypervisor.available && !self.introduced_hypervisor && self.can_introduce().await {
            return Err(End::IntroduceAgain);
        }
        for mut observed in report::difference(self.told.as_deref(), &now) {
            self.sequence += 1;
            observed.sequence = self.sequence;
            let gone = report::gone(&observed);
            self.unacknowledged.push_back(Underway { sequence: self.sequence, sent: Instant::now(), gone });
            self.send(wire::agent_message::Message::Observed(observed)).await?;
        }
        (self.told, self.tell_at) = (Some(now), None);
        Ok(())
    }

    /// Whether a new Hello would say more than the last. Listing domains may work where the survey does not; a new
    /// session for that would end as the last one did, without end.
    async fn can_introduce(&self) -> bool {
        let introduction = self.context.introduction.clone();
        let survey = tokio::task::spawn_blocking(move || introduction.hypervisor.survey().is_ok());
        survey.await.unwrap_or(false)
    }

    async fn beat(&mut self) -> Result<(), End> {
        if let Some(Underway { sequence, sent, .. }) = self.unacknowledged.front()
            && sent.elapsed() > ACKNOWLEDGE_WITHIN
        {
            return Err(End::Lost(format!("report {sequence} was not acknowledged")));
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.send(wire::agent_message::Message::Heartbeat(wire::Heartbeat { unix_ms })).await
    }

    async fn send(&self, message: wire::agent_message::Message) -> Result<(), End> {
        let message = wire::AgentMessage { message: Some(message) };
        match tokio::time::timeout(ACKNOWLEDGE_WITHIN, self.outgoing.send(message)).await {
            Ok(sent) => sent.map_err(|_| End::Lost("the stream is closed".into())),
            Err(_) => Err(End::Lost("the controller does not read what it is told".into())),
        }
    }
}

impl End {
    fn not_leader(message: wire::NotLeader) -> Self {
        let address = message.leader_address;
        Self::NotLeader((!address.is_empty()).then_some(address))
    }
}

/// Waits for a moment; for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits for the desired state under way to be on disk; for ever if there is none.
async fn accepted(accepting: &mut Option<JoinHandle<Result<(), End>>>) -> Result<(), End> {
    let Some(handle) = accepting else { return std::future::pending().await };
    let outcome = handle.await;
    *accepting = None;
    outcome.unwrap_or_else(|error| Err(End::Lost(format!("accepting desired state failed: {error}"))))
}

/// Takes a desired state into the ledger and rings. Blocks.
fn accept(ledger: &SharedLedger, bell: &Notify, message: wire::Desired) -> Result<(), End> {
    let asked = message.tell_everything;
    let desired = door::desired(message).map_err(End::Stale)?;
    for invalid in &desired.invalid {
        tracing::error!(object = ?invalid.object, why = invalid.why, "an object was refused at the door");
    }
    let (stamp, whole) = (desired.stamp.clone(), desired.whole);
    let outcome = {
        let mut ledger = ledger.lock();
        let outcome = ledger.accept(desired);
        if outcome.is_ok() {
            ledger.ask_for_everything(asked);
        }
        outcome
    };
    match outcome {
        Ok(accepted) => {
            let (changed, outdated) = (accepted.changed.len(), accepted.outdated.len());
            tracing::info!(index = stamp.applied_index, whole, changed, outdated, "desired state accepted");
            for object in accepted.outdated {
                tracing::warn!(%object, "older than what the ledger holds; refused");
            }
            bell.notify_one();
            Ok(())
        }
        Err(error @ LedgerError::Refused { .. }) => Err(End::Stale(error.to_string())),
        Err(error) => {
            // Part of it may be in.
            bell.notify_one();
            Err(End::Lost(error.to_string()))
        }
    }
}
