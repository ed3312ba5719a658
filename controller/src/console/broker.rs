//! The leader's part: uses a token up, asks the guest's host for the console, and looks after it until its end.
//!
//! ```text
//!   token ── verified ── slot ── Redeem (log) ── State: same incarnation, still an owner, on ── OpenConsole to the host
//!       the host's agent dials back with the id ──> Line (frames to it, frames from it) ──> whoever asked
//! ```
//!
//! What always holds: bytes of a guest go to who was its owner when they opened the console and is still; an agent serves
//! only what its own host was asked for; when this replica leads no more, every console ends and says so. Deliberately
//! absent: buffers of its own beyond a few frames (the two ends count, see `rempart_proto::console`).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use rempart_api::compute::PowerState;
use rempart_api::console::ConsoleKind;
use rempart_api::{Kind, Urn};
use rempart_model::{Command, Detail, Envelope, PowerAction, RedeemCommand, State};
use rempart_proto::agent::v1::{ConsoleKind as WireKind, OpenConsole};
use rempart_proto::console::v1::attach::What;
use rempart_proto::console::v1::frame::Frame as Says;
use rempart_proto::console::v1::{Close, Frame, Reason, SerialLog};
use rempart_proto::console::{FRAMES_WAITING, close};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::callbacks::Callbacks;
use super::refused::Refused;
use super::slots::{Slot, Slots};
use super::token;
use crate::auth::{Authority, Proof};
use crate::fleet::Fleet;
use crate::raft::{Node, Proposal, ProposeError};
use crate::replica::{Replica, now};
use crate::service::{Call, Caller, Service, ServiceError};

/// How long a host's agent may take to dial back.
const DIAL_BACK_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked whether the caller may still see it.
const RIGHTS_INTERVAL: Duration = Duration::from_secs(5);

/// A console, at the end of who asked for it.
pub struct Line {
    /// Frames to the agent.
    pub to: mpsc::Sender<Frame>,
    /// Frames from it.
    pub from: Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Broker {
    pub(super) node: Node,
    pub(super) replica: Replica,
    pub(super) service: Service,
    pub(super) fleet: Fleet,
    pub(super) authority: Arc<Authority>,
    slots: Slots,
    callbacks: Callbacks<Served>,
}

/// What an agent dialled back with.
pub(super) struct Served {
    pub(super) refused: Option<Close>,
    pub(super) from_agent: Streaming<Frame>,
    pub(super) to_agent: mpsc::Sender<Frame>,
}

/// Whose console, and for whom.
#[derive(Clone)]
struct Seen {
    caller: Caller,
    urn: Urn,
    uid: Uuid,
}

impl Broker {
    pub(super) fn new(
        node: Node,
        replica: Replica,
        service: Service,
        fleet: Fleet,
        authority: Arc<Authority>,
    ) -> Broker {
        let (slots, callbacks) = (Slots::default(), Callbacks::default());
        Broker { node, replica, service, fleet, authority, slots, callbacks }
    }

    /// Opens what is asked for; only on the leader.
    pub(super) async fn open(&self, what: What) -> Result<Line, Refused> {
        if !self.node.is_leader() {
            return Err(Refused::unavailable());
        }
        match what {
            What::Token(shown) => self.console(&shown).await,
            What::SerialLog(asked) => self.log(asked).await,
        }
    }

    async fn console(&self, shown: &str) -> Result<Line, Refused> {
        let shown = token::verify(&self.authority, shown).map_err(Refused::Token)?;
        let (urn, uid, kind) = (shown.claims.urn(), shown.claims.uid, shown.claims.kind);
        // Before the token is used up: who has to close another console first may come back with it.
        let caller = shown.caller();
        let slot = self.slots.take(&caller.subject, Some(uid))?;
        self.redeem(&shown, &caller).await?;
        self.check_right(&caller, &urn).await?;
        let (host, power) = whereabouts(&self.replica.state(), &urn, uid)?;
        if power == PowerState::Off {
            return Err(Refused::off(&urn));
        }
        let kind = match kind {
            ConsoleKind::Serial => WireKind::Serial,
            ConsoleKind::Vnc => WireKind::Vnc,
        };
        self.ask(&host, Seen { caller, urn, uid }, kind, 0, slot).await
    }

    async fn log(&self, asked: SerialLog) -> Result<Line, Refused> {
        let urn = Urn::workspace(Kind::Instance, &asked.tenant, &asked.workspace, &asked.instance);
        let slot = self.slots.take(&asked.subject, None)?;
        // Whoever passed it on has authenticated it a moment ago.
        let operates = self.service.is_operator(&asked.subject);
        let caller = Caller { subject: asked.subject, proof: Proof::Foreign, operates };
        self.check_right(&caller, &urn).await?;
        let state = self.replica.state();
        let uid = state.get(&urn).map(|instance| instance.uid).ok_or_else(|| not_found(&urn))?;
        let (host, _) = whereabouts(&state, &urn, uid)?;
        let seen = Seen { caller, urn, uid };
        self.ask(&host, seen, WireKind::SerialLog, asked.tail_bytes, slot).await
    }

    /// Puts the use of a token into the log: it is the audit's row, too. Never repeated: a repetition that was answered
    /// from the log would let a token in twice.
    async fn redeem(&self, shown: &token::Shown, caller: &Caller) -> Result<(), Refused> {
        let envelope = Envelope {
            format: rempart_model::ENVELOPE_FORMAT,
            request_id: Uuid::now_v7(),
            actor: caller.subject.clone(),
            trace: None,
            time: now(),
            command: Command::Redeem(RedeemCommand {
                token: shown.to_use(),
                purpose: format!("console {}", shown.claims.kind),
                urn: Some(shown.claims.urn()),
            }),
        };
        match self.node.propose(Proposal(envelope.encode().into())).await {
            Ok(outcome) => match &*outcome {
                Ok(_) => Ok(()),
                Err(refusal) => Err(Refused::Token(refusal.detail.clone())),
            },
            Err(ProposeError::TooLarge { bytes }) => {
                Err(Refused::Internal(format!("an entry of {bytes} bytes")))
            }
            Err(_) => Err(Refused::unavailable()),
        }
    }

    async fn check_right(&self, caller: &Caller, urn: &Urn) -> Result<(), Refused> {
        // What the caller proved itself with was judged by the replica that was asked, or when the token was given.
        self.service.check_right(Uuid::now_v7(), caller.clone(), right(urn)).await.map_err(Refused::from)
    }

    async fn ask(
        &self,
        host: &str,
        seen: Seen,
        kind: WireKind,
        tail_bytes: u32,
        slot: Slot,
    ) -> Result<Line, Refused> {
        let mut leadership = self.node.leadership();
        leadership.mark_unchanged();
        let mut callback = self.callbacks.expect(host);
        let id = callback.id.as_bytes().to_vec();
        let open = OpenConsole { id, instance_uid: seen.uid.to_string(), kind: kind.into(), tail_bytes };
        if !self.fleet.ask_for_console(host, open) {
            return Err(Refused::host_away());
        }
        let served = timeout(DIAL_BACK_WITHIN, &mut callback.answer).await.ok().and_then(Result::ok);
        let served = served.ok_or_else(Refused::host_away)?;
        if let Some(refused) = served.refused {
            return Err(match refused.reason() {
                Reason::GuestOff => Refused::off(&seen.urn),
                Reason::Busy => Refused::TooMany(refused.detail),
                _ => Refused::Unavailable(refused.detail),
            });
        }
        tracing::info!(instance = %seen.urn, subject = seen.caller.subject, kind = ?kind, "console opened");
        let (to_viewer, from_agent) = mpsc::channel(FRAMES_WAITING);
        let to_agent = served.to_agent.clone();
        let broker = self.clone();
        tokio::spawn(async move {
            let why = broker.look_after(&seen, served.from_agent, &to_viewer, leadership).await;
            tracing::info!(instance = %seen.urn, subject = seen.caller.subject, reason = ?why.reason(), why = why.detail, "console closed");
            let last = Frame { frame: Some(Says::Close(why)) };
            // The agent may be gone; it notices by itself, too. The viewer reads always, or is gone.
            let _ = served.to_agent.try_send(last.clone());
            let _ = timeout(DIAL_BACK_WITHIN, to_viewer.send(last)).await;
            drop(slot);
        });
        Ok(Line { to: to_agent, from: Box::pin(ReceiverStream::new(from_agent).map(Ok)) })
    }

    /// Passes on what the agent sends until there is a reason to stop.
    async fn look_after(
        &self,
        seen: &Seen,
        mut from_agent: Streaming<Frame>,
        to_viewer: &mpsc::Sender<Frame>,
        mut leadership: tokio::sync::watch::Receiver<crate::raft::Leadership>,
    ) -> Close {
        let passing_on = async {
            loop {
                let frame = match from_agent.message().await {
                    Ok(Some(frame)) => frame,
                    Ok(None) | Err(_) => {
                        let words = "the connection to the instance's host broke; ask for a new console";
                        return close(Reason::HostLost, words);
                    }
                };
                if let Some(Says::Close(why)) = frame.frame {
                    return why;
                }
                if to_viewer.send(frame).await.is_err() {
                    return close(Reason::Done, "who watched it has gone");
                }
            }
        };
        let replaced = async {
            while self.node.is_leader() {
                if leadership.changed().await.is_err() {
                    break;
                }
            }
            close(Reason::LeaderChanged, "another controller leads now; ask for a new console")
        };
        let revoked = async {
            loop {
                sleep(RIGHTS_INTERVAL).await;
                if let Some(why) = self.no_longer(seen) {
                    return why;
                }
            }
        };
        tokio::select! {
            why = passing_on => why,
            why = replaced => why,
            why = revoked => why,
            () = to_viewer.closed() => close(Reason::Done, "who watched it has gone"),
        }
    }

    /// Why somebody may not see it any more.
    fn no_longer(&self, seen: &Seen) -> Option<Close> {
        if self.replica.state().get(&seen.urn).is_none_or(|instance| instance.uid != seen.uid) {
            return Some(close(Reason::GuestOff, "the instance was deleted"));
        }
        match self.service.may_still(&seen.caller, &right(&seen.urn)) {
            Ok(()) => None,
            Err(ServiceError::Revoked) => {
                Some(close(Reason::Revoked, "the token this console was asked for with was called back"))
            }
            Err(_) => Some(close(Reason::Revoked, "you have no right to this instance any more")),
        }
    }

    /// Takes what an agent dialled back with to who waits for it. `host` is the agent's, as authenticated.
    pub(super) fn serve(&self, host: &str, id: &[u8], served: Served) -> Result<(), Status> {
        if self.callbacks.answer(host, id, served) {
            return Ok(());
        }
        Err(Status::not_found("nobody waits for this console of this host any more"))
    }
}

/// What a caller must have the right to: who sits at the console may turn the instance off and on.
pub(super) fn right(urn: &Urn) -> Call {
    Call::Power { urn: urn.clone(), if_unmodified_since: None, action: PowerAction::Restart }
}

pub(super) fn not_found(urn: &Urn) -> Refused {
    Refused::NotFound(format!("{urn} does not exist"))
}

/// Host and power of an incarnation of an instance.
pub(super) fn whereabouts(state: &State, urn: &Urn, uid: Uuid) -> Result<(String, PowerState), Refused> {
    let instance = state.get(urn).ok_or_else(|| not_found(urn))?;
    if instance.uid != uid {
        let words = format!("{urn} was deleted and created again since; ask for a new console");
        return Err(Refused::Forbidden(words));
    }
    match (&instance.detail, instance.placement()) {
        (Detail::Instance(detail), Some(placement)) => Ok((placement.host.clone(), detail.power_state)),
        _ => Err(Refused::Conflict(format!(
            "{urn} has no host yet: it never ran, and has neither console nor log"
        ))),
    }
}
