//! One replica's handle on consensus.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use openraft::{
    async_runtime::watch::WatchReceiver,
    errors::{ClientWriteError, ForwardToLeader},
};
use rempart_identity::Credentials;
use rempart_model::Outcome;
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    Leadership, MAX_PROPOSAL_BYTES, Machine, Members, Proposal, Response, Settings, Status, bootstrap,
    engine::{Raft, Reply, Types},
    error::{ProposeError, StartError, WaitError},
    failure_detector::{self, Holders},
    gather::{self, Proposed, Written},
    leadership,
    log_store::LogStore,
    log_tail::{Durable, LogTail, check_whole},
    network::Network,
    settings::Limits,
    snapshot::{self, Incoming, SnapshotDir, SnapshotFile},
    state_machine::StateMachine,
    workers::{Worker, off_thread},
};

/// What one permit of the queue stands for, in bytes: also what the smallest proposal takes.
const ROOM_BYTES: usize = 1024;

/// One replica's handle on consensus. Cheap to clone; all clones are the same replica.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    settings: Settings,
    raft: Raft,
    proposals: mpsc::UnboundedSender<Proposed>,
    log: Arc<LogTail>,
    snapshots: Arc<SnapshotDir>,
    incoming: Incoming,
    network: Network,
    holders: Holders,
    room: Arc<Semaphore>,
    applied: watch::Receiver<Option<u64>>,
    durable: watch::Receiver<Durable>,
    leadership: watch::Receiver<Leadership>,
    members: watch::Receiver<Members>,
    failed: watch::Receiver<Option<String>>,
    /// The lowest id of the members it was told of.
    founder: OnceLock<u64>,
    /// Whether the members are those it was told of, or others that an operator chose since.
    complete: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
    left: AtomicBool,
    threads: Mutex<Option<(Worker, Worker)>>,
}

impl Node {
    /// Opens the log, brings the machine up to what is known to be committed, and takes part from then on.
    ///
    /// `credentials` are what it shows its peers. Serve [`services`](super::services) for them. A replica whose log is empty waits to be added by a leader;
    /// see [`Node::initialize_if_empty`].
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left running.
    pub async fn start(
        settings: Settings,
        machine: impl Machine,
        credentials: Credentials,
    ) -> Result<Self, StartError> {
        let config = Arc::new(settings.timing.to_config()?);
        let (dir, limits) = (settings.log_dir.clone(), settings.limits.clone());
        let opened = off_thread(move || LogStore::open(&dir, &limits)).await;
        let (log, writer_thread) = opened
            .flatten()
            .map_err(|source| StartError::Log { dir: settings.log_dir.display().to_string(), source })?;
        let (durable, tail) = (log.durable(), log.tail());

        let at = settings.log_dir.join("snapshots");
        let opened = off_thread(move || SnapshotDir::open(&at).map(Arc::new)).await;
        let snapshots = opened.flatten().map_err(|source| StartError::Snapshots {
            dir: settings.log_dir.display().to_string(),
            source,
        })?;
        check_whole(&tail, machine.resume().as_ref(), snapshots.current().as_ref())?;

        let (applied_sender, applied) = watch::channel(None);
        let (machine, machine_thread) =
            StateMachine::start(machine, durable.clone(), applied_sender, Arc::clone(&snapshots))
                .map_err(StartError::Thread)?;
        let network = Network::new(
            settings.replica_id,
            settings.timing.append_timeout,
            credentials,
            Arc::clone(&snapshots),
        );
        let threads = (writer_thread, machine_thread);
        let raft = match Raft::new(settings.replica_id, config, network.clone(), log, machine).await {
            Ok(raft) => raft,
            Err(fatal) => {
                join(threads).await;
                return Err(StartError::Recovery(fatal.to_string()));
            }
        };

        let (leadership_sender, leadership) = watch::channel(Leadership::default());
        let (members_sender, members) = watch::channel(Members::default());
        let (failed_sender, failed) = watch::channel(None);
        let followed = raft.clone();
        tokio::spawn(async move {
            let why = leadership::follow(&followed, &leadership_sender, &members_sender).await;
            failed_sender.send_replace(Some(why));
        });

        let room = Arc::new(Semaphore::new(settings.limits.in_flight_bytes / ROOM_BYTES));
        let node = Self(Arc::new(Inner {
            settings,
            proposals: gather::start(raft.clone()),
            raft,
            log: tail,
            incoming: Incoming::new(Arc::clone(&snapshots)),
            snapshots,
            network,
            holders: Holders::default(),
            room,
            applied,
            durable,
            leadership,
            members,
            failed,
            founder: OnceLock::new(),
            complete: watch::Sender::new(false),
            stopping: watch::Sender::new(false),
            left: AtomicBool::new(false),
            threads: Mutex::new(Some(threads)),
        }));
        node.until_it_stops(|node| async move { snapshot::keep_short(&node).await });
        node.until_it_stops(failure_detector::run);
        Ok(node)
    }

    /// Has `work` done in the background until this replica stops.
    fn until_it_stops<F: Future<Output = ()> + Send + 'static>(&self, work: impl FnOnce(Self) -> F) {
        let (work, mut stopping) = (work(self.clone()), self.stopping());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = work => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
    }

    /// Founds the cluster of `members` (id and `host:port`), if that is this replica's to do: it is the lowest id, and
    /// no replica has anything in its log. Every replica is to call it with the same members at every start. Returns
    /// at once, and works in the background until the members are as given or the replica stops.
    ///
    /// `over` says whether, by what is applied here, the cluster was founded once: from then on its members are not
    /// those that it was founded with, but those that an operator chose.
    pub fn initialize_if_empty(
        &self,
        members: BTreeMap<u64, String>,
        over: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        if let Some((&founder, _)) = members.first_key_value() {
            self.0.founder.get_or_init(|| founder);
        }
        let node = self.clone();
        let mut stopping = self.0.stopping.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                complete = bootstrap::run(&node, &members, &over) => { node.0.complete.send_replace(complete); }
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
    }

    /// Resolves when all members of [`Node::initialize_if_empty`] take part. Until then the founder is a quorum by
    /// itself, and what it commits is on one disk: nothing should be acknowledged to anybody.
    pub async fn complete(&self) {
        // The sender lives as long as this node.
        let _ = self.0.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// Puts a command into the log; the future resolves when it is applied here. It is in line already when this returns: of
    /// two, the one that was proposed first comes first in the log, if it comes there.
    ///
    /// # Errors
    ///
    /// [`ProposeError`]; only after [`ProposeError::Unknown`] can the proposal be in the log. Giving up on the future is
    /// as good as `Unknown`.
    pub fn propose(
        &self,
        proposal: Proposal,
    ) -> impl Future<Output = Result<Arc<Outcome>, ProposeError>> + Send + use<> {
        let deadline = Instant::now() + self.0.settings.timing.propose_timeout;
        let queued = self.queue(proposal);
        async move {
            match timeout_at(deadline, queued?).await {
                Ok(Ok(Ok(written))) => {
                    let (Response(outcome), index) = (written.data, written.log_id.index);
                    outcome.ok_or_else(|| {
                        tracing::error!(index, "the machine gave no outcome for a proposal");
                        ProposeError::Unknown
                    })
                }
                Ok(Ok(Err(ClientWriteError::ForwardToLeader(forward)))) => Err(not_leader(forward)),
                // Discarded entries, of which another leader may have a copy; a stop before the answer, perhaps before openraft
                // had seen it; too long a wait.
                Ok(Ok(Err(_)) | Err(_)) | Err(_) => Err(ProposeError::Unknown),
            }
        }
    }

    /// Puts a proposal behind those that wait for openraft.
    fn queue(&self, proposal: Proposal) -> Result<oneshot::Receiver<Written>, ProposeError> {
        let bytes = proposal.0.len();
        if bytes > MAX_PROPOSAL_BYTES {
            return Err(ProposeError::TooLarge { bytes });
        }
        let permits =
            u32::try_from(bytes.div_ceil(ROOM_BYTES).max(1)).map_err(|_| ProposeError::Overloaded)?;
        let room =
            Arc::clone(&self.0.room).try_acquire_many_owned(permits).map_err(|_| ProposeError::Overloaded)?;
        if self.has_left() || self.0.failed.borrow().is_some() {
            return Err(ProposeError::Stopped);
        }
        let (answer, answered) = oneshot::channel();
        let asked = self.0.proposals.send((proposal, Reply::new(answer, room)));
        asked.map(|()| answered).map_err(|_| ProposeError::Stopped)
    }

    /// Waits until the entry `index` is applied here and its state published.
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    pub async fn wait_applied(&self, index: u64, deadline: Instant) -> Result<(), WaitError> {
        // Whoever waits with others is woken in an order that no seed decides.
        #[cfg(test)]
        while super::simulated::is_on() && self.applied_index() < Some(index) && Instant::now() < deadline {
            super::simulated::moment().await;
        }
        let mut applied = self.0.applied.clone();
        match timeout_at(deadline, applied.wait_for(|applied| *applied >= Some(index))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(WaitError::Stopped),
            Err(_) => Err(WaitError::Late),
        }
    }

    /// What proposals under way take of the queue, in bytes.
    #[must_use]
    pub fn in_flight_bytes(&self) -> usize {
        let free = self.0.room.available_permits() * ROOM_BYTES;
        self.0.settings.limits.in_flight_bytes.saturating_sub(free)
    }

    /// The index up to which this replica's published state contains the log.
    #[must_use]
    pub fn applied_index(&self) -> Option<u64> {
        *self.0.applied.borrow()
    }

    /// Who leads, and where it listens for its peers.
    #[must_use]
    pub fn leader(&self) -> Option<(u64, String)> {
        let reports = self.0.raft.server_metrics();
        let report = reports.borrow_watched();
        let leader = report.current_leader?;
        let address = report.membership_config.get_node(&leader)?.addr.clone();
        Some((leader, address))
    }

    /// Whether this replica leads; see [`Leadership::is_me`].
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0.leadership.borrow().is_me
    }

    /// Follows who leads.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.clone()
    }

    /// Follows who takes part, as the log of this replica says.
    #[must_use]
    pub fn members(&self) -> watch::Receiver<Members> {
        self.0.members.clone()
    }

    /// This replica's id.
    #[must_use]
    pub fn replica_id(&self) -> u64 {
        self.0.settings.replica_id
    }

    /// How this replica is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let durable = self.0.durable.borrow().clone();
        let snapshot = self.snapshot();
        Status {
            snapshot_index: snapshot.as_ref().map(|snapshot| snapshot.position().index()),
            snapshot_bytes: snapshot.as_ref().map_or(0, SnapshotFile::bytes),
            log_bytes: self.0.log.disk_bytes(),
            durable_end: durable.end,
            log_syncs: durable.syncs,
            applied_index: self.applied_index(),
            ..leadership::status(&self.0.raft)
        }
    }

    /// Resolves when consensus has stopped on this replica without being asked to, with the reason. The process should
    /// then end: what it serves is stale. Does not resolve after [`Node::stop`].
    pub async fn failed(&self) -> String {
        let mut failed = self.0.failed.clone();
        let why = failed.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        if *self.0.stopping.borrow() {
            std::future::pending::<()>().await;
        }
        why.unwrap_or_else(|| "consensus stopped".to_owned())
    }

    /// Leaves consensus in good order: hands over leadership if it has it and someone can take it, then stops and closes
    /// the log. Proposals still under way answer [`ProposeError::Unknown`]. Takes a second or two at most, unless the
    /// machine or the disk hangs. Stop serving [`services`](super::services) after it, not before: the successor needs
    /// this replica's vote. Calling it again does nothing more.
    pub async fn stop(&self) {
        if self.0.stopping.send_replace(true) {
            return;
        }
        if self.is_leader()
            && let Err(error) = self.transfer_leadership().await
        {
            tracing::info!(replica = self.replica_id(), %error, "stopping without a successor");
        }
        self.shut_down().await;
    }

    /// Stops as if the process had been killed, except that nothing is lost that was written.
    #[cfg(test)]
    pub(super) async fn stop_abruptly(&self) {
        self.0.stopping.send_replace(true);
        self.shut_down().await;
    }

    async fn shut_down(&self) {
        self.0.left.store(true, Ordering::Relaxed);
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::error!(replica = self.replica_id(), %error, "consensus did not end well");
        }
        let threads = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(threads) = threads {
            join(threads).await;
        }
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.0.raft
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.0.settings.limits
    }

    pub(super) fn incoming(&self) -> &Incoming {
        &self.0.incoming
    }

    /// The newest snapshot.
    pub(super) fn snapshot(&self) -> Option<SnapshotFile> {
        self.0.snapshots.current()
    }

    /// What the entries of `range` take on disk, in bytes.
    pub(super) fn log_bytes(&self, range: Range<u64>) -> u64 {
        self.0.log.bytes(range)
    }

    /// The first of the entries before `end` that take at most `bytes` together, counted from the last.
    pub(super) fn first_of_last_log_bytes(&self, bytes: u64, end: u64) -> u64 {
        self.0.log.first_of_last(bytes, end)
    }

    /// What it knows now of who leads; [`Node::leadership`] follows it.
    pub(super) fn known_leadership(&self) -> Leadership {
        *self.0.leadership.borrow()
    }

    pub(super) fn log(&self) -> &LogTail {
        &self.0.log
    }

    pub(super) fn propose_timeout(&self) -> Duration {
        self.0.settings.timing.propose_timeout
    }

    pub(super) fn network(&self) -> &Network {
        &self.0.network
    }

    /// Who holds a call open to this replica.
    pub(super) fn holders(&self) -> &Holders {
        &self.0.holders
    }

    /// Follows whether this replica is to stop.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    /// Whether consensus has been stopped here, so that peers need not ask any more.
    pub(super) fn has_left(&self) -> bool {
        self.0.left.load(Ordering::Relaxed)
    }

    /// The lowest id of the members it was told of: it alone founds the cluster.
    #[must_use]
    pub fn founder(&self) -> Option<u64> {
        self.0.founder.get().copied()
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.0.settings.timing.heartbeat
    }

    /// The longest silence of a leader after which somebody campaigns.
    pub(super) fn silence_max(&self) -> Duration {
        self.0.settings.timing.silence_max
    }
}

/// Waits for the threads, which end when openraft has dropped the log and the machine.
async fn join((writer, machine): (Worker, Worker)) {
    let (writer, machine) = (writer.join().await, machine.join().await);
    if !(writer && machine) {
        tracing::error!("a thread of consensus panicked");
    }
}

pub(super) fn not_leader(forward: ForwardToLeader<Types>) -> ProposeError {
    ProposeError::NotLeader { leader: forward.leader_id.zip(forward.leader_node.map(|node| node.addr)) }
}
