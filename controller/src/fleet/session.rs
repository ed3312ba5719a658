//! One agent's session, from its Hello to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rempart_api::fleet::{HostReport, Virtualization};
use rempart_api::{Kind, Urn};
use rempart_identity::Certificate;
use rempart_model::{Command, CompareCommand, DesiredObject, Detail, HostSeen, Object, ReportCommand, State};
use rempart_proto::agent::v1::agent_message::Message as AgentSays;
use rempart_proto::agent::v1::controller_message::Message as ControllerSays;
use rempart_proto::agent::v1::{
    Acknowledged, AgentMessage, ControllerMessage, Desired, Everything, Heartbeat, Hello, LeftoverOrders,
    NotLeader, Observed, Stamp, Welcome,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Status, Streaming};
use tracing::Instrument as _;
use uuid::Uuid;

use super::sent::Sent;
use super::under_way::UnderWay;
use super::{Fleet, HEARTBEAT, Open, SILENCE, wire};

/// A report is at most some 6 KiB (its failure's words are bounded), an entry 2 MiB.
const REPORTS_PER_ENTRY: usize = 200;

/// Messages to an agent.
pub(super) type Outgoing = mpsc::Sender<Result<ControllerMessage, Status>>;

/// Runs a session until the agent, the connection or this replica's leadership goes.
pub(super) async fn run(
    fleet: Fleet,
    host: String,
    shown: Arc<Certificate>,
    mut incoming: Streaming<AgentMessage>,
    outgoing: Outgoing,
) {
    let span = tracing::info_span!("session", host = %host);
    let open = fleet.open(&host, &outgoing);
    let result = serve(&fleet, &host, &shown, &open, &mut incoming, &outgoing).instrument(span.clone()).await;
    drop(open);
    span.in_scope(|| match result {
        Ok(why) => tracing::info!(why, "session ended"),
        Err(status) => {
            tracing::warn!(error = %status.message(), "session ended");
            // Best effort: the agent may be gone.
            let _ = outgoing.try_send(Err(status));
        }
    });
}

async fn serve(
    fleet: &Fleet,
    host: &str,
    shown: &Certificate,
    open: &Open,
    incoming: &mut Streaming<AgentMessage>,
    outgoing: &Outgoing,
) -> Result<&'static str, Status> {
    let first = timeout(SILENCE, incoming.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no Hello; the session must begin with one"))??;
    let Some(AgentMessage { message: Some(AgentSays::Hello(hello)) }) = first else {
        return Err(Status::invalid_argument("the session must begin with a Hello"));
    };
    if let Some(told) = &hello.ledger {
        let core = fleet.inner.replica.state().core().clone();
        let ours = core.cluster_id.map(|id| id.to_string()).unwrap_or_default();
        if told.cluster_id == ours && told.incarnation > core.incarnation {
            let words = format!(
                "host {host:?} has been told things by incarnation {} of this cluster, and this controller is of incarnation {}: it \
                 was restored from a backup since; stop this controller if it is of the cluster before, or restore once more with \
                 --incarnation {}",
                told.incarnation,
                core.incarnation,
                told.incarnation + 1
            );
            return Err(Status::failed_precondition(words));
        }
    }
    if hello.host != host {
        let words = format!("the credential is for host {host:?}, the Hello for {:?}", hello.host);
        return Err(Status::permission_denied(words));
    }
    fleet.caught_up().await?;
    let (before, leftovers) =
        match fleet.inner.replica.state().get(&Urn::global(Kind::Host, host)).map(|host| &host.detail) {
            Some(Detail::Host(detail)) => {
                (detail.report.virtualization.clone(), detail.report.leftovers.clone())
            }
            _ => {
                let reason = "not known yet: the hypervisor has not answered".to_owned();
                (Virtualization { reason, ..Virtualization::default() }, Vec::new())
            }
        };
    if outgoing.is_closed() {
        // It gave up while it waited for its turn: an entry for it would hold up those that still wait.
        return Ok("the agent left before it was welcomed");
    }
    // What it had it has until it says otherwise: orders about it stand.
    let mut known = HostReport { leftovers, ..wire::host_report(&hello, &before)? };
    // Behind whatever the session that it takes over from has proposed.
    see(fleet, &hello, shown, known.clone(), open.takes_over).await?;
    tracing::info!(boot_id = hello.boot_id, "host in touch");

    // Listen before reading State, so that no change falls between.
    let changes = fleet.inner.replica.host_changes(host);
    let state = fleet.inner.replica.state();
    let cluster_id = state.core().cluster_id.map(|id| id.to_string()).unwrap_or_default();
    let heartbeat_seconds = u32::try_from(HEARTBEAT.as_secs()).unwrap_or(5);
    send(outgoing, ControllerSays::Welcome(Welcome { cluster_id, heartbeat_seconds })).await?;
    let mut ordered = orders(&state, host);
    let mut sent = Sent::default();
    let mut opening = Opening::of(fleet, &state);
    let first = match opening.is_awaited() {
        true => question(&state),
        false => everything(fleet, &state, host, &ordered, &mut sent)?,
    };
    send(outgoing, ControllerSays::Desired(first)).await?;

    let mut leadership = fleet.inner.node.leadership();
    let mut last_word = Instant::now();
    let mut under_way = UnderWay::default();
    loop {
        tokio::select! {
            message = timeout_at(last_word + SILENCE, incoming.message()), if under_way.has_room() => {
                let Ok(message) = message else { return Ok("the agent fell silent") };
                let Some(message) = message? else { return Ok("the agent left") };
                last_word = Instant::now();
                match message.message {
                    Some(AgentSays::Observed(observed)) => {
                        take(fleet, &hello, shown, &mut known, &mut under_way, observed, outgoing).await?;
                    }
                    Some(AgentSays::Heartbeat(_)) => answer_beat(outgoing),
                    None => {}
                    Some(AgentSays::Hello(_)) => {
                        // What it said before counts.
                        while !under_way.is_empty() {
                            acknowledge(outgoing, under_way.next().await?).await?;
                        }
                        return Err(Status::invalid_argument("a second Hello"));
                    }
                }
            }
            taken_in = under_way.next() => acknowledge(outgoing, taken_in?).await?,
            () = opening.opened() => {
                drop(changes.take());
                let state = fleet.inner.replica.state();
                ordered = orders(&state, host);
                let whole = everything(fleet, &state, host, &ordered, &mut sent)?;
                send(outgoing, ControllerSays::Desired(whole)).await?;
            }
            () = changes.rung() => {
                let changed = changes.take();
                let state = fleet.inner.replica.state();
                // A host that was revoked, or enrolled anew elsewhere, changed: its bell has rung.
                crate::pki::judge(&state, shown).map_err(Status::permission_denied)?;
                // Somebody found it silent just before this session began, which needed no entry of its own.
                if changed.iter().any(|urn| urn.kind == Kind::Host) && !is_reachable(&state, host) {
                    see(fleet, &hello, shown, known.clone(), false).await?;
                }
                if opening.is_awaited() {
                    continue;
                }
                let mut desired = difference(fleet, &state, host, &changed, &mut sent)?;
                let now_ordered = orders(&state, host);
                if now_ordered != ordered {
                    desired.orders = Some(now_ordered.clone());
                    ordered = now_ordered;
                }
                if !desired.volumes.is_empty() || !desired.instances.is_empty() || desired.orders.is_some() {
                    log_requests(&desired);
                    send(outgoing, ControllerSays::Desired(desired)).await?;
                }
            }
            _ = leadership.changed() => {
                if !fleet.inner.node.is_leader() {
                    let redirect = NotLeader { leader_address: fleet.leader_address() };
                    send(outgoing, ControllerSays::NotLeader(redirect)).await?;
                    return Ok("this replica does not lead any more");
                }
            }
        }
        if !open.is_newest() {
            return Ok("a newer session of the same host took over");
        }
    }
}

/// Says whose requests go to the agent.
fn log_requests(desired: &Desired) {
    let volumes = desired.volumes.iter().map(|volume| ("volume", &volume.uid, &volume.request_id));
    let instances = desired.instances.iter().map(|guest| ("instance", &guest.uid, &guest.request_id));
    for (kind, uid, request_id) in volumes.chain(instances) {
        tracing::info!(request_id, kind, uid, "sent to the agent");
    }
}

/// A slow agent holds up its own session, and no longer than this.
async fn send(outgoing: &Outgoing, message: ControllerSays) -> Result<(), Status> {
    let message = ControllerMessage { message: Some(message) };
    match timeout(Duration::from_secs(10), outgoing.send(Ok(message))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Status::cancelled("the agent closed the session")),
        Err(_) => Err(Status::deadline_exceeded("the agent does not read")),
    }
}

/// Says that this replica is there. An agent that has other messages to read, so many that there is no room, hears it by those.
fn answer_beat(outgoing: &Outgoing) {
    let unix_ms = crate::replica::now().unix_ms();
    let _ = outgoing
        .try_send(Ok(ControllerMessage { message: Some(ControllerSays::Heartbeat(Heartbeat { unix_ms })) }));
}

fn is_reachable(state: &State, host: &str) -> bool {
    let object = state.get(&Urn::global(Kind::Host, host));
    object.is_some_and(|host| matches!(&host.detail, Detail::Host(detail) if detail.reachable))
}

/// Puts into the log what the host is, if that is news or if it has to be there `anyway`.
async fn see(
    fleet: &Fleet,
    hello: &Hello,
    shown: &Certificate,
    report: HostReport,
    anyway: bool,
) -> Result<(), Status> {
    let seen = HostSeen {
        host: hello.host.clone(),
        uid: Uuid::now_v7(),
        zone: hello.zone.clone(),
        report,
        at: Some(crate::replica::now()),
        key_sha256: Some(shown.key_sha256.clone()),
    };
    if !anyway && fleet.inner.replica.state().knows_host(&seen) {
        return Ok(());
    }
    fleet.propose(Command::HostSeen(Box::new(seen))).await
}

/// Takes in what the agent observed: puts it into the log behind what the agent said before, and acknowledges it once all of
/// it is applied.
async fn take(
    fleet: &Fleet,
    hello: &Hello,
    shown: &Certificate,
    known: &mut HostReport,
    under_way: &mut UnderWay,
    observed: Observed,
    outgoing: &Outgoing,
) -> Result<(), Status> {
    let mut report = known.clone();
    if let Some(health) = &observed.hypervisor {
        report.hypervisor = wire::health(health);
    }
    if let Some(unexpected) = &observed.unexpected {
        report.unexpected_domains = wire::unexpected(unexpected);
    }
    if let Some(leftovers) = observed.leftovers.clone() {
        report.leftovers = wire::leftovers(leftovers);
    }
    if report != *known {
        see(fleet, hello, shown, report.clone(), false).await?;
        *known = report;
    }
    if let Some(everything) = &observed.everything {
        compare(fleet, &hello.host, everything).await?;
    }
    metrics::counter!("rempart_reports_total").increment(1);
    let sequence = observed.sequence;
    let objects = wire::reports(observed)?;
    // In pieces: an entry has a size limit, and failures may be wordy.
    for piece in objects.chunks(REPORTS_PER_ENTRY) {
        let report = ReportCommand { host: hello.host.clone(), objects: piece.to_vec() };
        let is_news = || fleet.inner.replica.state().report_changes_anything(&report);
        // What State has already needs no entry: an agent repeats itself at every turn. State may have something else by the
        // time that what is under way is applied.
        let mut news = is_news();
        while !news && !under_way.is_empty() {
            acknowledge(outgoing, under_way.next().await?).await?;
            news = is_news();
        }
        if news {
            under_way.piece(fleet.propose(Command::Report(report)));
        }
    }
    under_way.end(sequence);
    Ok(())
}

/// Says that a report is taken in, if all of one is.
async fn acknowledge(outgoing: &Outgoing, taken_in: Option<u64>) -> Result<(), Status> {
    match taken_in {
        Some(sequence) => send(outgoing, ControllerSays::Acknowledged(Acknowledged { sequence })).await,
        None => Ok(()),
    }
}

/// A restored cluster is compared with what a host has. What was seen before the host knew of this incarnation does not count:
/// somebody else could still have told it something.
async fn compare(fleet: &Fleet, host: &str, everything: &Everything) -> Result<(), Status> {
    let state = fleet.inner.replica.state();
    let told = everything.ledger.as_ref().map_or(0, |stamp| stamp.incarnation);
    if state.read_only().is_none() || told != state.core().incarnation {
        return Ok(());
    }
    let compare = CompareCommand { host: host.to_owned(), things: wire::things(everything)? };
    tracing::info!(things = compare.things.len(), "the host has said what it has");
    fleet.propose(Command::Compare(Box::new(compare))).await
}

/// What operators ordered of the host, beside what is desired of it.
fn orders(state: &State, host: &str) -> LeftoverOrders {
    match state.get(&Urn::global(Kind::Host, host)).map(|host| &host.detail) {
        Some(Detail::Host(detail)) => wire::orders(&detail.orders),
        _ => LeftoverOrders::default(),
    }
}

fn stamp(state: &State) -> Stamp {
    let core = state.core();
    Stamp {
        cluster_id: core.cluster_id.map(|id| id.to_string()).unwrap_or_default(),
        incarnation: core.incarnation,
        applied_index: state.applied_index(),
    }
}

fn everything(
    fleet: &Fleet,
    state: &State,
    host: &str,
    orders: &LeftoverOrders,
    sent: &mut Sent,
) -> Result<Desired, Status> {
    *sent = Sent::default();
    let whole = Desired { whole: true, orders: Some(orders.clone()), ..nothing(state) };
    compile(fleet, state, state.on_host(host), whole, sent)
}

/// To a host of a restored cluster that is read-only: nothing is desired anew, and nothing said of what was desired before. The
/// stamp alone tells it that no other incarnation counts any more.
fn question(state: &State) -> Desired {
    Desired { tell_everything: true, ..nothing(state) }
}

/// The opening of a restored cluster, which turns a session into an ordinary one.
struct Opening(Option<watch::Receiver<Arc<State>>>);

impl Opening {
    fn of(fleet: &Fleet, state: &State) -> Opening {
        Opening(state.read_only().is_some().then(|| fleet.inner.replica.watch()))
    }

    fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// Resolves once, when the cluster is open; never if it was.
    async fn opened(&mut self) {
        match &mut self.0 {
            Some(states) => {
                // It ends with this replica, as all sessions do.
                let _ = states.wait_for(|state| state.read_only().is_none()).await;
                self.0 = None;
            }
            None => std::future::pending().await,
        }
    }
}

/// What is desired of this host's objects that changed, unless it is what the agent was told last.
fn difference(
    fleet: &Fleet,
    state: &State,
    host: &str,
    changed: &BTreeSet<Arc<Urn>>,
    sent: &mut Sent,
) -> Result<Desired, Status> {
    let (here, elsewhere) = looked_up(state, host, changed);
    elsewhere.into_iter().for_each(|urn| sent.forget(urn));
    compile(fleet, state, here.into_iter(), nothing(state), sent)
}

/// Objects of this host by these names, and the names that have none. By the time it is looked up, a name may be that of another
/// object, on another host.
fn looked_up<'a>(
    state: &'a State,
    host: &str,
    changed: &'a BTreeSet<Arc<Urn>>,
) -> (Vec<&'a Arc<Object>>, Vec<&'a Urn>) {
    let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
    for urn in changed {
        let is_here = |object: &&Arc<Object>| object.placement().is_some_and(|place| place.host == host);
        match state.get(urn).filter(is_here) {
            Some(object) => here.push(object),
            None => elsewhere.push(&**urn),
        }
    }
    (here, elsewhere)
}

/// As of `state`, of no object.
fn nothing(state: &State) -> Desired {
    Desired { stamp: Some(stamp(state)), ..Desired::default() }
}

/// Adds what is desired of these objects and was not told, with their secrets in clear: a guest reads them.
fn compile<'a>(
    fleet: &Fleet,
    state: &State,
    objects: impl Iterator<Item = &'a Arc<Object>>,
    mut desired: Desired,
    sent: &mut Sent,
) -> Result<Desired, Status> {
    for object in objects {
        let object =
            fleet.inner.sealer.open(object).map_err(|closed| Status::internal(closed.to_string()))?;
        match state.desired(&object) {
            Some(DesiredObject::Volume(volume)) => {
                let volume = wire::volume(volume);
                if sent.is_news(&object.urn, &volume) {
                    desired.volumes.push(volume);
                }
            }
            Some(DesiredObject::Instance(instance)) => {
                let instance = wire::instance(*instance);
                if sent.is_news(&object.urn, &instance) {
                    desired.instances.push(instance);
                }
            }
            None => sent.forget(&object.urn),
        }
    }
    Ok(desired)
}

#[cfg(test)]
mod tests;
