//! What the API does: authorise, admit, propose, view. Knows nothing of HTTP and nothing of hosts.
//!
//! ```text
//!   write:  authorise -> admit (apply on a throw-away copy) -> propose -> view
//!           on a follower: passed to the leader, once, with the same request id until its outcome is known
//!   read:   ReadIndex from the leader -> wait until applied here -> authorise -> view
//! ```

mod accounts;
mod authorise;
mod call;
mod cluster;
mod error;
mod forward;
mod list;
mod pressure;
mod reading;
mod restored;
mod rounds;
mod shown;
mod told;
mod trace;
mod upload;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rempart_api::{Kind, Phase, Provider, Urn, console, standing};
use rempart_model::{
    Answer, ClusterVersion, Command, DeleteCommand, Envelope, FillCommand, HostCommand, Outcome,
    PowerCommand, Presentation, PutCommand, State, circumstances, view_in,
};
use rempart_proto::raft::v1::leader_server::LeaderServer;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

pub use authorise::Caller;
pub use call::{Body, Call, Deleted, Page, Reply, Request};
pub use cluster::{ClusterCall, ClusterReply, ClusterRequest, Keeping};
pub use error::{Fault, ServiceError};
pub use list::selector::Selector;
pub use shown::Json;
pub use trace::traceparent;
pub use upload::UploadTarget;

use crate::pki::{Peers, Sealer};
use crate::raft::{Node, Proposal, ProposeError, SeeError};
use crate::replica::{Pressure, Replica, mint, now};
use forward::Forwarder;
use rounds::Rounds;
use shown::{Shown, opened};

/// Providers advertised in the region document: those of resources, and those that have none.
static ADVERTISED: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let without_resources = [rempart_api::cluster::PROVIDER, console::PROVIDER, standing::PROVIDER];
    Provider::ALL.into_iter().map(Provider::name).chain(without_resources).collect()
});

/// How long a call may take before its caller hears that the outcome is unknown. Covers an election.
const PATIENCE: Duration = Duration::from_secs(12);

/// The API's logic on one replica. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    replica: Replica,
    forwarder: Forwarder,
    sealer: Arc<Sealer>,
    pressure: tokio::sync::watch::Receiver<Pressure>,
    settings: Settings,
    keeping: Keeping,
    lists: list::Lists,
    shown: Arc<Shown>,
    /// What reads have to wait for.
    read_indexes: Rounds<Result<u64, ServiceError>>,
    /// When this replica last knew that it had caught up with all others.
    caught_up_at: Mutex<Option<Instant>>,
    /// Newest term in which this replica led and had caught up with what earlier leaders acknowledged.
    caught_up_term: AtomicU64,
}

/// What the installation decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Outside base URL, without a trailing slash.
    pub public_url: String,
    /// Subjects who operate the installation.
    pub operators: Vec<String>,
    /// How long what is on its way may take, in percent.
    pub deadline_percent: u64,
    /// How far this controller lets the cluster version go up.
    pub cluster_version_limit: ClusterVersion,
}

impl Service {
    /// On `node` and `replica`, reaching the leader among `peers`, and sealing secrets on their way into the log.
    pub fn new(
        node: Node,
        replica: Replica,
        pressure: tokio::sync::watch::Receiver<Pressure>,
        peers: Peers,
        sealer: Arc<Sealer>,
        keeping: Keeping,
        settings: Settings,
    ) -> Service {
        let forwarder = Forwarder::new(peers);
        let shown = Arc::new(Shown::new());
        Service {
            inner: Arc::new(Inner {
                node,
                replica,
                forwarder,
                sealer,
                pressure,
                settings,
                keeping,
                lists: list::Lists::new(shown.clone()),
                shown,
                read_indexes: Rounds::new(),
                caught_up_at: Mutex::new(None),
                caught_up_term: AtomicU64::new(0),
            }),
        }
    }

    /// The gRPC side of forwarding, for the listener between replicas.
    pub fn leader_server(&self) -> LeaderServer<forward::LeaderService> {
        forward::server(self.clone())
    }

    /// Answers one authenticated call, on whichever replica it arrived.
    ///
    /// # Errors
    /// A refusal of the core, a missing right, or a fault of ours that says whether a retry helps.
    pub async fn call(&self, request: Request) -> Result<Reply, ServiceError> {
        let deadline = Instant::now() + PATIENCE;
        if !request.call.is_write() {
            self.catch_up(deadline).await?;
            return self.read(&self.inner.replica.state(), &request, deadline).await;
        }
        // Once an attempt may have reached the log, only an answer of the core tells that it has not.
        let mut doubt = false;
        loop {
            // One attempt: here if this replica leads, else on the leader.
            let attempt = async {
                if self.inner.node.is_leader() {
                    return self.write(&request).await;
                }
                let Some((leader, address)) = self.inner.node.leader() else {
                    return Err(ServiceError::Fault(Fault::NoLeader));
                };
                self.while_it_leads(leader, self.inner.forwarder.execute(leader, &address, &request)).await
            };
            let mut leadership = self.inner.node.leadership();
            leadership.mark_unchanged();
            match timeout_at(deadline, attempt).await {
                Err(_) => return Err(ServiceError::Fault(Fault::OutcomeUnknown)),
                // The request id makes the repetition harmless whatever became of the attempt.
                Ok(Err(ServiceError::Fault(fault)))
                    if fault.helps_to_retry() && Instant::now() < deadline =>
                {
                    tracing::debug!(request_id = %request.id, %fault, "trying again");
                    doubt |= fault.leaves_doubt();
                    let pause = Duration::from_millis(100);
                    let _ = tokio::time::timeout(pause, leadership.changed()).await;
                }
                Ok(Err(ServiceError::Fault(fault))) if doubt || fault.leaves_doubt() => {
                    tracing::debug!(request_id = %request.id, %fault, "given up");
                    return Err(ServiceError::Fault(Fault::OutcomeUnknown));
                }
                Ok(result) => return result,
            }
        }
    }

    /// Whether a subject is one of the operators.
    pub fn is_operator(&self, subject: &str) -> bool {
        self.inner.settings.operators.iter().any(|operator| operator == subject)
    }

    /// Name of the region this installation serves.
    pub fn region(&self) -> String {
        self.inner.replica.state().core().region.clone()
    }

    /// Whether `caller` may make `call`, without making it.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or a fault.
    pub async fn check_right(&self, id: Uuid, caller: Caller, call: Call) -> Result<(), ServiceError> {
        self.catch_up(Instant::now() + PATIENCE).await?;
        let request = Request { id, trace: None, caller, call, alias: None };
        self.authorise(&self.inner.replica.state(), &request).map(|_| ())
    }

    /// Whether a caller may still do what they were let do before, by the State of this replica.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or [`ServiceError::Revoked`].
    pub fn may_still(&self, caller: &Caller, call: &Call) -> Result<(), ServiceError> {
        let state = self.inner.replica.state();
        authorise::authorise(&state, caller, call).map(drop)
    }

    /// Whether a read would be answered within this time: a leader is there, has a quorum, and this replica keeps up.
    pub async fn serves(&self, within: Duration) -> bool {
        self.catch_up(Instant::now() + within).await.is_ok()
    }

    /// A call that a follower passed on: executed here or not at all.
    pub(crate) async fn execute_as_leader(&self, request: &Request) -> Result<Reply, ServiceError> {
        if !self.inner.node.is_leader() {
            return Err(ServiceError::Fault(Fault::NoLeader));
        }
        self.write(request).await
    }

    /// What `leader` answers, unless another one takes over first: a machine that lost its power does not even hang up.
    async fn while_it_leads<T>(
        &self,
        leader: u64,
        answer: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        let mut leadership = self.inner.node.leadership();
        let term = leadership.borrow().term;
        let replaced =
            leadership.wait_for(|now| now.term > term && now.leader.is_some_and(|id| id != leader));
        tokio::select! {
            answer = answer => answer,
            Ok(_) = replaced => Err(ServiceError::Fault(Fault::LeaderUnreachable)),
        }
    }

    /// A new leader may not have applied all that earlier ones acknowledged. What it has not seen it must not refuse for:
    /// once a term, it waits until it has. After that its own State is ahead of every answer.
    async fn catch_up_as_leader(&self) -> Result<(), ServiceError> {
        let term = self.inner.node.leadership().borrow().term;
        if self.inner.caught_up_term.load(Ordering::Acquire) != term {
            self.see_everything().await?;
            self.inner.caught_up_term.store(term, Ordering::Release);
        }
        if self.inner.replica.state().core().cluster_id.is_none() {
            return Err(ServiceError::Fault(Fault::NotFounded));
        }
        Ok(())
    }

    /// Returns once a quorum has said that this replica leads, and everything acknowledged before is in its State.
    async fn see_everything(&self) -> Result<(), ServiceError> {
        let seen = self.inner.node.see_everything(Instant::now() + PATIENCE).await;
        seen.map_err(|error| match error {
            SeeError::Late => ServiceError::Fault(Fault::Behind),
            // Of a proposal it would mean doubt; nothing was proposed.
            SeeError::Leads(ProposeError::Unknown) => ServiceError::Fault(Fault::NoLeader),
            SeeError::Leads(other) => other.into(),
        })
    }

    async fn read(&self, state: &State, request: &Request, deadline: Instant) -> Result<Reply, ServiceError> {
        let operator = self.authorise(state, request)?;
        match &request.call {
            Call::Get { urn } => {
                let object = state.get_visible(urn).ok_or_else(|| ServiceError::not_found(urn))?;
                let show = self.presentation("GET", operator);
                let tenant = request.tenant();
                let view = self.inner.shown.text(state, object, tenant, show, &self.inner.sealer)?;
                Ok(Reply::Resource { created: false, view })
            }
            Call::Explain { urn } => {
                told::standing(state, urn, operator, self.inner.settings.deadline_percent)
            }
            Call::Orphans { .. } => Ok(Reply::Orphans(Box::new(rempart_model::orphans(state)))),
            Call::List { from, page } => {
                let show = || self.presentation("GET", operator);
                let lists = &self.inner.lists;
                let allowed = authorise::seen(state, &request.caller, from);
                let query = list::Query { from, tenant: request.tenant(), page, allowed };
                let list = lists.list(state, &query, &show, &self.inner.sealer, deadline);
                list.await.map(Reply::List)
            }
            _ => Err(ServiceError::Fault(Fault::Internal("a write was taken for a read".to_owned()))),
        }
    }

    async fn write(&self, request: &Request) -> Result<Reply, ServiceError> {
        // Rows wait for Postgres: those who write wait with them, so that the queue's hard bound is not reached.
        pressure::ease(self.inner.pressure.clone()).await.map_err(ServiceError::Fault)?;
        self.catch_up_as_leader().await?;
        let admitted = match self.admit(request) {
            // No entry would show that a refusal was stale: this replica may have been replaced as the leader without
            // knowing. What it accepts instead is judged once more when it is applied.
            Err(ServiceError::Refused(_) | ServiceError::Forbidden | ServiceError::Revoked) => {
                self.see_everything().await?;
                self.admit(request)
            }
            other => other,
        };
        let (envelope, operator) = admitted?;
        let outcome = self.inner.node.propose(Proposal(envelope.encode().into())).await?;
        self.reply(&outcome, request, operator)
    }

    /// Whether the caller may, and whether the core would accept it as State is now. What is refused would be refused
    /// when applied, unless an entry on its way changes that: then the caller raced with another and either answer is
    /// right. A recorded answer comes back through the log.
    fn admit(&self, request: &Request) -> Result<(Envelope, bool), ServiceError> {
        let state = self.inner.replica.state();
        let operator = self.authorise(&state, request)?;
        let mut envelope = Envelope {
            format: rempart_model::ENVELOPE_FORMAT,
            request_id: request.id,
            actor: request.caller.subject.clone(),
            // Every request of the API has one: the model notes requests by it.
            trace: Some(traceparent(request.trace.as_deref(), request.id)),
            time: now(),
            command: self.command(&state, request)?,
        };
        let answer = state.admit(&envelope)?;
        if let Command::Put(put) = &mut envelope.command {
            rempart_model::placement::check_architecture(&state, put)?;
            // Verified when applied. One that no longer fits then is no refusal: the instance waits.
            put.host = propose_host(&state, &answer);
        }
        Ok((envelope, operator))
    }

    fn reply(&self, outcome: &Outcome, request: &Request, operator: bool) -> Result<Reply, ServiceError> {
        match outcome {
            Ok(Answer::Put { created, object }) => {
                let state = self.inner.replica.state();
                let show = self.presentation("PUT", operator);
                // As this PUT left it; explanations look at the State as it is now.
                let opened = opened(&self.inner.sealer, object)?;
                let asked = Urn { tenant: request.tenant().to_owned(), ..(*object.urn).clone() };
                let view = view_in(&state, &opened, &asked, show, circumstances(&state, object, show));
                let view = Json::of(&view)?;
                Ok(Reply::Resource { created: *created, view })
            }
            Ok(Answer::Accepted | Answer::Done) => {
                tracing::debug!(request_id = %request.id, "accepted");
                Ok(Reply::Accepted)
            }
            Err(refusal) => Err(refusal.clone().into()),
        }
    }

    fn command(&self, state: &State, request: &Request) -> Result<Command, ServiceError> {
        Ok(match &request.call {
            Call::Put { urn, if_unmodified_since, body } => {
                let mut put = PutCommand {
                    urn: urn.clone(),
                    if_unmodified_since: *if_unmodified_since,
                    labels: body.labels.clone(),
                    annotations: body.annotations.clone(),
                    extensions: body.extensions.clone(),
                    spec: body.spec.clone(),
                    uid: mint(),
                    host: None,
                };
                // Once, here: a call that is passed on or tried again carries its secrets in clear, below TLS.
                put.spec.check_clear_secrets()?;
                rempart_model::check_references(state, &put)?;
                self.inner.sealer.seal(&put.urn, &mut put.spec);
                Command::Put(Box::new(put))
            }
            Call::Delete { urn, if_unmodified_since } => {
                Command::Delete(DeleteCommand { urn: urn.clone(), if_unmodified_since: *if_unmodified_since })
            }
            Call::Power { urn, if_unmodified_since, action } => Command::Power(PowerCommand {
                urn: urn.clone(),
                if_unmodified_since: *if_unmodified_since,
                action: *action,
            }),
            Call::Host { urn, if_unmodified_since, action } => Command::Host(HostCommand {
                urn: urn.clone(),
                if_unmodified_since: *if_unmodified_since,
                action: *action,
            }),
            Call::Repair { host, uid, repair } => told::repair(&host.name, *uid, *repair),
            Call::Fill { urn, content, .. } => {
                Command::Fill(FillCommand { urn: urn.clone(), content: content.clone() })
            }
            Call::Get { .. } | Call::Explain { .. } | Call::Orphans { .. } | Call::List { .. } => {
                return Err(ServiceError::Fault(Fault::Internal("a read was taken for a write".to_owned())));
            }
        })
    }

    fn presentation<'a>(&'a self, verb: &'a str, operator: bool) -> Presentation<'a> {
        Presentation {
            public_url: &self.inner.settings.public_url,
            providers: &ADVERTISED,
            verb,
            operator,
            verdicts: None,
        }
    }

    fn authorise(&self, state: &State, request: &Request) -> Result<bool, ServiceError> {
        authorise::authorise(state, &request.caller, &request.call)
    }
}

/// The host for what a PUT would make, if that is an instance that needs one.
fn propose_host(state: &State, answer: &Answer) -> Option<String> {
    match answer {
        Answer::Put { created: true, object }
            if object.urn.kind == Kind::Instance && object.status.state == Phase::Pending =>
        {
            rempart_model::placement::choose(state, object)
        }
        _ => None,
    }
}

impl From<ProposeError> for ServiceError {
    fn from(error: ProposeError) -> ServiceError {
        ServiceError::Fault(match error {
            ProposeError::NotLeader { .. } => Fault::NoLeader,
            ProposeError::Unknown => Fault::LeadershipLost,
            ProposeError::Overloaded => Fault::Overloaded,
            ProposeError::TooLarge { bytes } => Fault::TooLarge { bytes },
            ProposeError::Stopped => Fault::Stopping,
        })
    }
}

impl ServiceError {
    fn not_found(urn: &Urn) -> ServiceError {
        ServiceError::Refused(rempart_model::Refusal {
            class: rempart_model::RefusalClass::NotFound,
            detail: format!("{urn} does not exist"),
            sources: Vec::new(),
        })
    }
}
