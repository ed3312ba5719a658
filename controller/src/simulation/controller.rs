//! One controller: the production replica (consensus, machine, projection, service, reconcilers) on a runtime of its own, whose
//! clock moves when the world lets it. A crash drops that runtime with everything on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rempart_identity::{Ca, Credentials, Identity, Key};
use rempart_proto::raft::v1::raft_server::RaftServer;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, advance, sleep_until};
use tonic::codegen::Service as _;
use uuid::Uuid;

use crate::pki::{Peers, Sealer};
use crate::raft::simulated::{self, Pause};
use crate::raft::{Limits, Node, RaftService, Settings, services};
use crate::reconcile::{self, Founding};
use crate::replica::{Applier, Quarantine, Replica, read};
use crate::service::{Keeping, Service};
use crate::store::projection::{self, Health, Projection};
use crate::store::simulated::{Connection, Memory, Pace};

use super::clients;
use super::digest::Digest;
use super::ledger::Ledger;
use super::machine::Watched;
use super::network::{Content, HOLD, Network, Packet, Whole, request};

/// See the module.
pub(super) struct Controller {
    pub(super) id: u64,
    // Before what its tasks hold on to.
    runtime: Runtime,
    pub(super) node: Node,
    pub(super) replica: Replica,
    service: Service,
    server: RaftServer<RaftService>,
    projection: Arc<Projection>,
    network: Network,
    ledger: Ledger,
    /// When its clock began, and how far it has come.
    begun: Instant,
    lived_us: u64,
    /// A thousandth of how much faster its clock goes.
    pub(super) drift: i64,
    /// When it was last scheduled before a pause.
    pub(super) asleep_since_ms: u64,
    failed: Arc<Mutex<Option<String>>>,
    /// Calls that others hold open, by who and number.
    held: BTreeMap<(u64, u64), AbortHandle>,
    stopping: Option<JoinHandle<()>>,
    pub(super) digest: Digest,
    /// The entry that its database had when it started.
    pub(super) resumed: Option<u64>,
    /// It was not looked at yet in this life.
    pub(super) is_new: bool,
    /// What of it was looked at last.
    pub(super) seen_index: Option<u64>,
    pub(super) seen_commits: u64,
    pub(super) snapshot_index: Option<u64>,
}

/// What every controller of a run shares.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) ledger: Ledger,
    pub(super) network: Network,
    pub(super) members: BTreeMap<u64, String>,
}

struct Halves;

impl Pace for Halves {
    async fn half(&self) {
        simulated::pause(Pause::Postgres).await;
    }

    fn breaks(&self) -> bool {
        simulated::breaks()
    }
}

/// Nobody looks at them: calls go through the simulation.
fn credentials() -> Credentials {
    static MADE: OnceLock<Credentials> = OnceLock::new();
    let make = || {
        let (ca, key) = (Ca::create("simulated").unwrap(), Key::generate().unwrap());
        let own = ca.sign_own(&Identity::Controller(1), &key, Duration::from_secs(3600)).unwrap();
        Credentials::new(ca.certificate().clone(), own, &key).unwrap()
    };
    MADE.get_or_init(make).clone()
}

/// Small, so that files are full and snapshots due within a run.
fn limits() -> Limits {
    Limits {
        tail_bytes: 8 << 10,
        segment_bytes: 16 << 10,
        snapshot_after_bytes: 48 << 10,
        keep_bytes: 8 << 10,
        ..Limits::default()
    }
}

/// Who the cluster is.
fn founding() -> Founding {
    Founding { cluster_id: Uuid::from_u128(1), region: "eu-1".to_owned(), zones: vec!["a".to_owned()] }
}

impl Controller {
    /// Starts on what disk and database hold.
    pub(super) fn start(
        id: u64,
        log_dir: std::path::PathBuf,
        memory: &Memory,
        common: &Common,
    ) -> Result<Controller, String> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let Common { ledger, network, members } = common.clone();
        let failed = Arc::new(Mutex::new(None));
        let noting = failed.clone();
        let memory = memory.clone();
        let resumed = memory.tables().mark.as_ref().map(|mark| mark.applied_index);
        let (node, replica, service, projection, begun) = runtime.block_on(async {
            let loaded = memory.load();
            let applied = loaded.mark.as_ref().map(|mark| mark.applied_index);
            ledger.pages().machines.insert(id, applied.unwrap_or_default());
            let keeper = Arc::new(Connection { memory, pace: Halves });
            // Nobody may block the one thread there is: the queue is never full.
            let bounds = projection::Limits { full_bytes: usize::MAX, ..projection::Limits::default() };
            let projection = Arc::new(Projection::to(keeper, applied, bounds));
            let quarantine = Quarantine::of(log_dir.parent().unwrap_or(&log_dir));
            let (applier, replica) = Applier::new(loaded.read(read), projection.clone(), quarantine)
                .map_err(|error| error.to_string())?;
            let settings = Settings { limits: limits(), ..Settings::new(id, log_dir) };
            let machine = Watched { id, applier, ledger: ledger.clone() };
            let node = Node::start(settings, machine, credentials()).await;
            let node = node.map_err(|error| error.to_string())?;
            let reading = replica.clone();
            if members.contains_key(&id) {
                let over = move || reading.state().core().cluster_id.is_some();
                node.initialize_if_empty(members.clone(), over);
            }
            let service = serve(&node, &replica, &projection, members, id)?;
            let reconciling = reconcile::run_without_sessions(node.clone(), replica.clone(), founding(), 100);
            tokio::spawn(reconciling);
            let (watched, mut health) = (node.clone(), projection.health());
            tokio::spawn(async move {
                let lost = async {
                    let ended = health.wait_for(|health| matches!(health, Health::Failed { .. })).await;
                    format!("the projection ended: {:?}", ended.map(|health| health.clone()))
                };
                let why = tokio::select! {
                    biased;
                    why = watched.failed() => why,
                    why = lost => why,
                };
                *noting.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            });
            Ok::<_, String>((node, replica, service, projection, Instant::now()))
        })?;
        Ok(Controller {
            id,
            server: services(node.clone()),
            runtime,
            node,
            replica,
            service,
            projection,
            network,
            ledger: common.ledger.clone(),
            begun,
            lived_us: 0,
            drift: 0,
            asleep_since_ms: 0,
            failed,
            held: BTreeMap::new(),
            stopping: None,
            digest: Digest::default(),
            resumed,
            is_new: true,
            seen_index: None,
            seen_commits: 0,
            snapshot_index: None,
        })
    }

    /// Lives on for so many milliseconds of the world's, with what has arrived.
    pub(super) fn live(&mut self, ms: u64, arrived: Vec<Packet>) {
        self.lived_us += ms * (1000 + self.drift).unsigned_abs();
        let until = self.begun + Duration::from_micros(self.lived_us);
        let Controller { id, runtime, node, replica, service, server, network, ledger, held, .. } = self;
        let id = *id;
        runtime.block_on(async {
            for Packet { from, content, .. } in arrived {
                let network = network.clone();
                match content {
                    Content::Call { call, path, bytes, cut } => {
                        let mut server = server.clone();
                        let is_held = path == HOLD;
                        let answering = tokio::spawn(async move {
                            let Ok(answer) = server.call(request(&path, bytes, cut)).await;
                            let content = Content::Returned { call, answer: Whole::pack(answer).await };
                            network.send(Packet { from: id, to: from, content });
                        });
                        if is_held {
                            held.insert((from, call), answering.abort_handle());
                        }
                    }
                    Content::HungUp { call } => {
                        if let Some(held) = held.remove(&(from, call)) {
                            held.abort();
                        }
                    }
                    Content::Returned { call, answer } => network.returned(id, call, answer),
                    Content::Ask { call, question } => {
                        let (node, replica, service) = (node.clone(), replica.clone(), service.clone());
                        let ledger = ledger.clone();
                        tokio::spawn(async move {
                            let us = (&node, &replica, &service);
                            let reply = clients::answer(us, question, &ledger).await;
                            network.send(Packet {
                                from: id,
                                to: from,
                                content: Content::Told { call, reply },
                            });
                        });
                    }
                    Content::Told { .. } => {}
                }
            }
            sleep_until(until).await;
        });
    }

    /// It was not scheduled for so long: its clock jumps.
    pub(super) fn wake_after(&mut self, ms: u64) {
        self.lived_us += ms * 1000;
        self.runtime.block_on(advance(Duration::from_millis(ms)));
    }

    /// Begins to stop in good order.
    pub(super) fn begin_to_stop(&mut self) {
        let (node, projection) = (self.node.clone(), self.projection.clone());
        self.stopping = Some(self.runtime.spawn(async move {
            node.stop().await;
            // What is not flushed is applied again from the log.
            let _ = projection.stop(Duration::from_secs(2)).await;
        }));
    }

    /// Begins to hand over leadership.
    pub(super) fn begin_to_hand_over(&self) {
        let node = self.node.clone();
        self.runtime.spawn(async move { node.transfer_leadership().await });
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopping.as_ref().is_some_and(JoinHandle::is_finished)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// What it takes to be durable in its database.
    pub(super) fn flushed(&self) -> Option<u64> {
        *self.projection.flushed().borrow()
    }

    /// Why it cannot go on.
    pub(super) fn failure(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    node: &Node,
    replica: &Replica,
    projection: &Projection,
    members: BTreeMap<u64, String>,
    id: u64,
) -> Result<Service, String> {
    let keeping =
        Keeping { flushed: projection.flushed(), missing_history: tokio::sync::watch::channel(0).1 };
    let settings = crate::service::Settings {
        public_url: "http://api".to_owned(),
        operators: vec!["operator".to_owned()],
        deadline_percent: 100,
        cluster_version_limit: rempart_model::ClusterVersion::NEWEST,
    };
    let (peers, sealer) = (Peers::new(id, members, credentials()), Arc::new(Sealer::new(&[7; 32])?));
    Ok(Service::new(node.clone(), replica.clone(), projection.pressure(), peers, sealer, keeping, settings))
}
