//! A cluster to break.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rempart_identity::{Ca, Credentials, Identity, Key, accept, peer, require_controller};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tonic::{
    Request, Status,
    service::interceptor::{InterceptedService, InterceptorLayer},
    transport::Server,
};

use super::machine::Journal;
use crate::raft::{Limits, Node, Proposal, ProposeError, Settings, Timing, services};

/// How long any fact may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `fact` is there.
pub(super) async fn eventually<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(fact) = fact() {
            return fact;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn proposal(text: impl ToString) -> Proposal {
    Proposal(Bytes::from(text.to_string()))
}

/// A replica that runs.
struct Running {
    node: Node,
    hang_up: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

pub(super) struct Cluster {
    dir: TempDir,
    pub(super) timing: Timing,
    pub(super) limits: Limits,
    pub(super) addresses: BTreeMap<u64, String>,
    journals: BTreeMap<u64, Journal>,
    running: BTreeMap<u64, Running>,
    cut_off: BTreeMap<u64, Arc<AtomicBool>>,
    /// If there are any, every connection to a replica goes through one.
    doors: Option<BTreeMap<u64, JoinHandle<()>>>,
    ca: Ca,
}

/// Passes connections on to `inner`. Aborted, it takes them all with it, and the next ones are refused.
async fn door(listener: TcpListener, inner: SocketAddr) {
    let mut open = JoinSet::new();
    while let Ok((mut outside, _)) = listener.accept().await {
        open.spawn(async move {
            let mut inside = TcpStream::connect(inner).await?;
            copy_bidirectional(&mut outside, &mut inside).await
        });
    }
}

/// What a replica shows its peers.
pub(super) fn credentials(ca: &Ca, id: u64) -> Credentials {
    let key = Key::generate().unwrap();
    let certificate = ca.sign_own(&Identity::Controller(id), &key, Duration::from_secs(3600)).unwrap();
    Credentials::new(ca.certificate().clone(), certificate, &key).unwrap()
}

/// Credentials for a replica that talks to nobody.
pub(super) fn stranger() -> Credentials {
    credentials(&Ca::create("another").unwrap(), 1)
}

impl Cluster {
    /// `size` replicas with addresses, none of them running.
    pub(super) async fn new(size: u64) -> Self {
        let mut addresses = BTreeMap::new();
        let mut reserved = Vec::new();
        for id in 1..=size {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.insert(id, listener.local_addr().unwrap().to_string());
            reserved.push(listener);
        }
        let timing = Timing { propose_timeout: Duration::from_secs(5), ..Timing::default() };
        let journals = (1..=size).map(|id| (id, Journal::default())).collect();
        let cut_off = (1..=size).map(|id| (id, Arc::default())).collect();
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::create("test").unwrap();
        let limits = Limits::default();
        Self { dir, timing, limits, addresses, journals, running: BTreeMap::new(), cut_off, doors: None, ca }
    }

    /// `size` replicas that run and have become a cluster.
    pub(super) async fn founded(size: u64) -> Self {
        let mut cluster = Self::new(size).await;
        cluster.begin().await;
        cluster
    }

    /// As [`Cluster::founded`], and no test lives to see that a leader's silence is too long.
    pub(super) async fn founded_without_timeouts(size: u64, with_doors: bool) -> Self {
        let mut cluster = Self::new(size).await;
        cluster.timing.silence_max = PATIENCE * 4;
        cluster.timing.silence_min = PATIENCE * 3;
        cluster.doors = with_doors.then(BTreeMap::new);
        cluster.begin().await;
        cluster
    }

    async fn begin(&mut self) {
        for id in self.addresses.keys().copied().collect::<Vec<_>>() {
            self.start(id).await;
        }
        self.whole().await;
    }

    /// Closes every connection to a replica that runs, and refuses others.
    pub(super) async fn close_door(&mut self, id: u64) {
        let door = self.doors.as_mut().unwrap().remove(&id).unwrap();
        door.abort();
        assert!(door.await.unwrap_err().is_cancelled());
    }

    /// Waits until every running replica knows all members as voters and the same leader.
    pub(super) async fn whole(&self) {
        let all: Vec<u64> = self.addresses.keys().copied().collect();
        eventually("every replica is a voter", || {
            let whole = self.running.keys().all(|id| {
                let status = self.node(*id).status();
                let voters = &status.members.voters;
                voters.len() == 1
                    && voters[0].iter().copied().eq(all.iter().copied())
                    && status.leader.is_some()
            });
            whole.then_some(())
        })
        .await;
    }

    pub(super) async fn start(&mut self, id: u64) {
        let (timing, limits) = (self.timing.clone(), self.limits.clone());
        let settings = Settings { timing, limits, ..Settings::new(id, self.log_dir(id)) };
        let cut_off = Arc::clone(&self.cut_off[&id]);
        let all = self.cut_off.clone();
        let check = move |request: Request<()>| {
            let from = require_controller(&request)?;
            match all[&from].load(Ordering::Relaxed) || cut_off.load(Ordering::Relaxed) {
                true => Err(Status::unauthenticated("cut off")),
                false => Ok(request),
            }
        };
        let credentials = credentials(&self.ca, id);
        let node = Node::start(settings, self.journals[&id].clone(), credentials.clone()).await.unwrap();
        let mut listener = TcpListener::bind(&self.addresses[&id]).await.unwrap();
        if let Some(doors) = &mut self.doors {
            let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = inner.local_addr().unwrap();
            doors.insert(id, tokio::spawn(door(std::mem::replace(&mut listener, inner), address)));
        }
        let (hang_up, hung_up) = oneshot::channel();
        let service = InterceptedService::new(services(node.clone()), check);
        let served = tokio::spawn(async move {
            let incoming = accept(listener, &credentials).unwrap();
            let hung_up = async { hung_up.await.unwrap_or_default() };
            Server::builder()
                .layer(InterceptorLayer::new(|request| Ok(peer::admit(request, |_| Ok(())))))
                .add_service(service)
                .serve_with_incoming_shutdown(incoming, hung_up)
                .await
                .unwrap();
        });
        node.initialize_if_empty(self.addresses.clone(), || false);
        self.running.insert(id, Running { node, hang_up, served });
    }

    /// Stops a replica in good order.
    pub(super) async fn stop(&mut self, id: u64) {
        let Running { node, hang_up, served } = self.running.remove(&id).unwrap();
        node.stop().await;
        hang_up.send(()).unwrap();
        served.await.unwrap();
    }

    /// Stops a replica without a word to the others.
    pub(super) async fn kill(&mut self, id: u64) {
        let Running { node, hang_up, served } = self.running.remove(&id).unwrap();
        hang_up.send(()).unwrap();
        node.stop_abruptly().await;
        served.await.unwrap();
    }

    /// Takes a stopped replica's log.
    pub(super) fn wipe_log(&self, id: u64) {
        std::fs::remove_dir_all(self.log_dir(id)).unwrap();
    }

    /// Takes all that a stopped replica had.
    pub(super) fn wipe(&self, id: u64) {
        self.wipe_log(id);
        self.journals[&id].forget_after(0);
    }

    /// Cuts a replica off from its peers, or joins it again.
    pub(super) fn cut_off(&self, id: u64, cut_off: bool) {
        self.cut_off[&id].store(cut_off, Ordering::Relaxed);
    }

    pub(super) fn log_dir(&self, id: u64) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub(super) fn node(&self, id: u64) -> &Node {
        &self.running[&id].node
    }

    pub(super) fn journal(&self, id: u64) -> &Journal {
        &self.journals[&id]
    }

    /// Waits for a leader that is not `but`, nor cut off.
    pub(super) async fn leader_but(&self, but: u64) -> u64 {
        eventually("someone leads", || {
            let mut leaders =
                self.running.iter().filter(|(_, replica)| replica.node.is_leader()).map(|(id, _)| *id);
            leaders.find(|id| *id != but && !self.cut_off[id].load(Ordering::Relaxed))
        })
        .await
    }

    pub(super) async fn leader(&self) -> u64 {
        self.leader_but(0).await
    }

    /// Proposes to whoever leads until it is accepted. Only for proposals of which a second copy does no harm.
    pub(super) async fn write(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leader = self.leader().await;
            match self.node(leader).propose(proposal(text)).await {
                Ok(_) => return,
                Err(ProposeError::NotLeader { .. } | ProposeError::Unknown) => {}
                Err(error) => panic!("{error}"),
            }
            assert!(Instant::now() < deadline, "nobody accepts {text}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until all running replicas have applied the same proposals, `expected` among them as the last.
    pub(super) async fn agree(&self, expected: &str) -> Vec<(u64, Bytes)> {
        eventually("all replicas agree", || {
            let journals: Vec<_> = self.running.keys().map(|id| self.journals[id].published()).collect();
            let last = journals[0].last()?;
            (last.1 == expected && journals.iter().all(|journal| *journal == journals[0]))
                .then(|| journals[0].clone())
        })
        .await
    }
}
