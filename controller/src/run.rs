//! A controller, from its settings to its clean end.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rempart_identity::Identity as Machine;
use rempart_proto::raft::v1::leader_server::LeaderServer;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tonic::service::interceptor::{InterceptedService, InterceptorLayer};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Status};

use crate::authority::{Audience, Authority};
use crate::config::{Cluster, Run};
use crate::fleet::Fleet;
use crate::raft::{self, Node, PeerCredential};
use crate::reconcile::{self, Founding};
use crate::replica::{Applier, Replica};
use crate::service::{Service, Settings as ServiceSettings};
use crate::store::{self, Identity, Source, embedded, projection};
use crate::{http, service};

/// A peer's token lives this long; a new one is signed for every call, so clocks may differ by about as much.
const PEER_TOKEN_LIFETIME: Duration = Duration::from_secs(300);

/// Runs a controller until SIGTERM or SIGINT, or until it cannot go on.
///
/// # Errors
/// What kept it from starting, or from going on.
pub async fn run(settings: Run) -> anyhow::Result<()> {
    let members = settings.members().map_err(|why| anyhow!(why))?;
    let cluster = read_cluster(&settings)?;
    let authority = Arc::new(Authority::open(&settings.cluster_dir.join("issuer.key"))?);
    fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("creating data directory {}", settings.data_dir.display()))?;

    // Listeners first: a port that is taken is said before anything is touched.
    let http_listener = listen(settings.http_listen, "the REST API", "--http-listen").await?;
    let internal_listener = listen(settings.internal_listen, "peers and agents", "--internal-listen").await?;

    let store = Arc::new(open_store(&settings, &cluster).await?);
    let loaded = store.load().await?;
    let applied = loaded.mark.as_ref().map(|mark| mark.applied_index);
    tracing::info!(resources = loaded.resources.len(), applied_index = applied, "State loaded from Postgres");
    let projection =
        Arc::new(projection::Projection::start(store.clone(), applied, projection::Limits::default()));
    let (applier, replica) = Applier::new(loaded, projection.clone())?;

    let credential = peer_credential(authority.clone(), settings.replica_id);
    let raft_settings = raft::Settings {
        timing: settings.timing(),
        ..raft::Settings::new(settings.replica_id, settings.data_dir.join("log"))
    };
    let token = credential.clone();
    let node = Node::start(raft_settings, applier, move || token.token()).await?;
    let fleet = Fleet::new(node.clone(), replica.clone(), authority.clone());
    let public_url =
        settings.public_url.clone().unwrap_or_else(|| format!("http://{}", settings.http_listen));
    let public_url = public_url.trim_end_matches('/').to_owned();
    let service = Service::new(
        node.clone(),
        replica.clone(),
        projection.pressure(),
        credential,
        ServiceSettings { public_url: public_url.clone(), operators: settings.operators.clone() },
    );

    let (stop, stopping) = watch::channel(false);
    let (serving, serves) = watch::channel(false);
    let probing = tokio::spawn(probe(service.clone(), serving));
    let internal = serve_internal(
        internal_listener,
        node.clone(),
        service.clone(),
        fleet.clone(),
        authority.clone(),
        stopping.clone(),
    );
    let app = http::router(http::Settings {
        authority,
        service: service.clone(),
        statuses: settings.status_table,
        public_url,
        ready: Arc::new(readiness(serves, projection.clone(), replica.clone())),
    });
    let served = axum::serve(http_listener, app).with_graceful_shutdown(stopped(stopping.clone()));
    let mut http_task = tokio::spawn(async move { served.await });
    let mut internal_task = tokio::spawn(internal);
    node.initialize_if_empty(members);
    let founding = Founding {
        cluster_id: cluster.cluster_id,
        region: cluster.region.clone(),
        zones: cluster.zones.clone(),
    };
    let reconciling = tokio::spawn(reconcile::run(node.clone(), replica, fleet, founding));
    tracing::info!(replica_id = settings.replica_id, http = %settings.http_listen, internal = %settings.internal_listen, "serving");

    let ended = tokio::select! {
        () = signalled() => Ok(()),
        why = node.failed() => Err(anyhow!("consensus cannot go on: {why}")),
        why = projection_failed(&projection) => Err(anyhow!("Postgres cannot go on: {why}")),
        result = &mut http_task => Err(anyhow!("the REST listener ended: {result:?}")),
        result = &mut internal_task => Err(anyhow!("the internal listener ended: {result:?}")),
    };
    tracing::info!("stopping");
    // Hand over first: the others then serve what arrives while this one goes.
    node.stop().await;
    stop.send_replace(true);
    reconciling.abort();
    probing.abort();
    for task in [("REST", http_task.abort_handle()), ("internal", internal_task.abort_handle())] {
        let grace = tokio::time::sleep(Duration::from_secs(2));
        tokio::pin!(grace);
        while !task.1.is_finished() {
            tokio::select! {
                () = &mut grace => { task.1.abort(); break; }
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
        tracing::debug!(listener = task.0, "closed");
    }
    if let Err(error) = projection.stop(Duration::from_secs(20)).await {
        tracing::warn!(%error, "not everything reached Postgres; it is applied again from the log at the next start");
    }
    store.close().await;
    ended
}

fn read_cluster(settings: &Run) -> anyhow::Result<Cluster> {
    let path = settings.cluster_dir.join("cluster.json");
    let text = fs::read(&path).with_context(|| {
        format!("reading {}; make a cluster with `rempart-controller init`", path.display())
    })?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not what `init` wrote", path.display()))
}

async fn listen(address: std::net::SocketAddr, purpose: &str, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("listening on {address} for {purpose}; free that address, or choose another with {flag}")
    })
}

async fn open_store(settings: &Run, cluster: &Cluster) -> anyhow::Result<store::Store> {
    let source = match &settings.database_url {
        Some(database_url) => Source::External { database_url: database_url.clone() },
        None => {
            let mut own = embedded::Settings::new(&settings.data_dir);
            own.os_user.clone_from(&settings.postgres_user);
            Source::Embedded(own)
        }
    };
    let identity = Identity { cluster_id: cluster.cluster_id, replica_id: settings.replica_id };
    Ok(store::open(&source, identity).await?)
}

fn peer_credential(authority: Arc<Authority>, replica_id: u64) -> Arc<dyn PeerCredential> {
    let subject = replica_id.to_string();
    Arc::new(move || {
        authority.issue(Audience::Peer, &subject, PEER_TOKEN_LIFETIME).unwrap_or_else(|error| {
            tracing::error!(%error, "signing a peer token");
            String::new()
        })
    })
}

/// The listener for peers and agents: both gRPC, each with its own audience of tokens.
async fn serve_internal(
    listener: TcpListener,
    node: Node,
    service: Service,
    fleet: Fleet,
    authority: Arc<Authority>,
    stopping: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    // Until connections carry certificates: the token says who calls. Services ask `rempart_identity::identity`.
    let known = move |mut request: Request<()>| -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let peer = authority.verify_header(Audience::Peer, header).ok().and_then(|id| id.parse().ok());
        let host = || authority.verify_header(Audience::Fleet, header).ok();
        if let Some(identity) = peer.map(Machine::Controller).or_else(|| host().map(Machine::Host)) {
            request.extensions_mut().insert(identity);
        }
        Ok(request)
    };
    let check = |request: Request<()>| -> Result<Request<()>, Status> {
        rempart_identity::require_controller(&request)?;
        Ok(request)
    };
    let leader: LeaderServer<_> = service.leader_server();
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(2)))
        .http2_keepalive_timeout(Some(Duration::from_secs(4)))
        .tcp_nodelay(true)
        .layer(InterceptorLayer::new(known))
        .add_service(InterceptedService::new(raft::services(node), check))
        .add_service(InterceptedService::new(leader, check))
        .add_service(fleet.server())
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped(stopping))
        .await
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn signalled() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn projection_failed(projection: &projection::Projection) -> String {
    let mut health = projection.health();
    let failed = health.wait_for(|health| matches!(health, projection::Health::Failed { .. })).await;
    match failed.as_deref() {
        Ok(projection::Health::Failed { why }) => why.to_string(),
        _ => "the projection ended".to_owned(),
    }
}

/// Asks again and again whether this replica could serve. Not when somebody asks for readiness: who asks is not known,
/// and the question costs every replica something.
async fn probe(service: Service, serving: watch::Sender<bool>) {
    loop {
        let serves = service.serves(Duration::from_secs(1)).await;
        serving.send_replace(serves);
        tokio::time::sleep(Duration::from_millis(if serves { 1000 } else { 100 })).await;
    }
}

/// Ready: the cluster is founded, a leader with a quorum is reached, and Postgres takes rows.
fn readiness(
    serves: watch::Receiver<bool>,
    projection: Arc<projection::Projection>,
    replica: Replica,
) -> impl Fn() -> Result<(), String> + Send + Sync {
    move || {
        if !*serves.borrow() {
            return Err(service::Fault::NoLeader.to_string());
        }
        if replica.state().core().cluster_id.is_none() {
            return Err("the cluster is not founded yet".to_owned());
        }
        match &*projection.health().borrow() {
            projection::Health::Working => Ok(()),
            // Who asks is not known; where and why is in the log.
            projection::Health::Degraded { .. } => {
                Err("Postgres is away; what is applied waits for it".to_owned())
            }
            projection::Health::Failed { .. } | projection::Health::Stopped => {
                Err("this controller is stopping".to_owned())
            }
        }
    }
}
