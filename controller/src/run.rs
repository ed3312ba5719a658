//! A controller, from its settings to its clean end.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures::StreamExt as _;
use rempart_daemon::http::TowerToHyperService;
use rempart_daemon::{signals, systemd};
use rempart_identity::{Accepted, WebTls, accept, peer};
use rempart_model::ClusterVersion;
use rempart_proto::raft::v1::history_server::HistoryServer;
use rempart_proto::raft::v1::leader_server::LeaderServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::{InterceptedService, InterceptorLayer};
use tonic::{Request, Status};

use crate::auth::Authenticator;
use crate::backup::Backups;
use crate::blob::{self, Blobs};
use crate::config::Run;
use crate::console::{self, Consoles};
use crate::fleet::Fleet;
use crate::http::Interface;
use crate::pki::{self, Cluster, ClusterDir, Enrolment, Peers};
use crate::raft::{self, Node};
use crate::reconcile::{self, Founding};
use crate::replica::{self, Applier, Quarantine, Replica};
use crate::service::{Keeping, Service, Settings as ServiceSettings};
use crate::store::{self, Identity, Source, projection};
use crate::telemetry::Telemetry;
use crate::{history, http, service};

/// Runs a controller until SIGTERM or SIGINT, or until it cannot go on.
///
/// # Errors
/// What kept it from starting, or from going on.
pub async fn run(settings: Run) -> anyhow::Result<()> {
    // First of all: a SIGTERM while this still starts is heard, too.
    let told = signals::listen().context("listening to signals")?;
    let members = settings.members().map_err(|why| anyhow!(why))?;
    let cluster_dir = ClusterDir::new(&settings.cluster_dir);
    let lifetime = Duration::from_secs(settings.certificates.certificate_lifetime_seconds);
    let keys = Arc::new(cluster_dir.open(lifetime)?);
    if keys.replica_id != settings.replica_id {
        return Err(anyhow!(
            "{} belongs to controller {}, and this is to be controller {}: join it with a token of its own",
            settings.cluster_dir.display(),
            keys.replica_id,
            settings.replica_id
        ));
    }
    let cluster = keys.cluster.clone();
    let peers = Peers::new(settings.replica_id, members.clone(), keys.credentials.clone());
    fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("creating data directory {}", settings.data_dir.display()))?;

    let quarantine = Quarantine::of(&settings.data_dir);
    quarantine.check().map_err(|why| anyhow!(why))?;

    let issuers = settings.oidc_issuers.clone().unwrap_or_default();
    let authenticator = Authenticator::new(keys.issuer.clone(), issuers)?;

    let web_tls = match (&settings.certificates.http_tls_cert, &settings.certificates.http_tls_key) {
        (Some(certificate), Some(key)) => {
            Some(WebTls::read(certificate, key).context("TLS of the REST API")?)
        }
        _ => None,
    };
    // Listeners first: a port that is taken is said before anything is touched.
    let http_listener = listen(settings.http_listen, "the REST API", "--http-listen").await?;
    let operator_listener = match settings.operator_listen {
        Some(address) => Some(listen(address, "operators", "--operator-listen").await?),
        None => None,
    };
    let internal_listener = listen(settings.internal_listen, "peers and agents", "--internal-listen").await?;

    let metrics = match settings.metrics_listen.0 {
        // Kept from here on: who counts before is not heard later either.
        Some(address) => Some((
            listen(address, "metrics", "--metrics-listen").await?,
            rempart_daemon::metrics::keep("rempart-controller", env!("CARGO_PKG_VERSION"))?,
        )),
        None => None,
    };

    let log_dir = settings.data_dir.join("log");
    let starting = async {
        let store = store_of(&settings, &cluster);
        // A new controller has nothing to read, and takes part while its Postgres is made: what it applies waits, and is in its log.
        if store.is_to_be_made() && !log_dir.exists() {
            return Ok((Arc::new(store), store::Loaded::default()));
        }
        store.ready().await?;
        let loaded = store.load_and_read(replica::read).await?;
        anyhow::Ok((Arc::new(store), loaded))
    };
    let (store, loaded) = tokio::select! {
        started = starting => started?,
        // The private Postgres stops with what is dropped here.
        () = told.to_end() => return not_started(),
    };
    let applied = loaded.mark.as_ref().map(|mark| mark.applied_index);
    let projection =
        Arc::new(projection::Projection::start(store.clone(), applied, projection::Limits::default()));
    let (applier, replica) = Applier::new(loaded, projection.clone(), quarantine)?;
    let resources = replica.state().object_count();
    tracing::info!(resources, applied_index = applied, "State loaded from Postgres");

    let raft_settings = raft::Settings {
        timing: settings.timing(),
        limits: settings.limits(),
        ..raft::Settings::new(settings.replica_id, log_dir)
    };
    let node = tokio::select! {
        started = Node::start(raft_settings, applier, keys.credentials.clone()) => started?,
        () = told.to_end() => {
            store.close().await;
            return not_started();
        }
    };
    let (missing, missing_history) = watch::channel(0);
    let following = tokio::spawn(follow_members(node.clone(), peers.clone()));
    let cluster_version_limit = settings.cluster_version_limit.unwrap_or(ClusterVersion::NEWEST);
    let fleet = Fleet::new(node.clone(), replica.clone(), keys.sealer.clone());
    let scheme = if web_tls.is_some() { "https" } else { "http" };
    let public_url =
        settings.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", settings.http_listen));
    let public_url = public_url.trim_end_matches('/').to_owned();
    let service = Service::new(
        node.clone(),
        replica.clone(),
        projection.pressure(),
        peers.clone(),
        keys.sealer.clone(),
        Keeping { flushed: projection.flushed(), missing_history },
        ServiceSettings {
            public_url: public_url.clone(),
            operators: settings.operators.clone(),
            deadline_percent: settings.deadline_percent,
            cluster_version_limit,
        },
    );

    let authenticator = Arc::new(authenticator.with_accounts(Arc::new(service.clone())));
    let enrolment =
        Enrolment::new(node.clone(), replica.clone(), peers.clone(), cluster_dir.clone(), keys.clone())?;
    let blob_settings = blob::Settings {
        dir: settings.data_dir.join("blobs"),
        floor_bytes: settings.blobs.blob_floor_bytes,
        grace: Duration::from_secs(settings.blobs.blob_grace_seconds),
    };
    let blobs = Blobs::open(blob_settings, peers.clone(), replica.clone(), node.clone(), service.clone())?;
    let uploads = http::Uploads::new(
        blobs.clone(),
        settings.blobs.upload_max_bytes,
        Duration::from_secs(settings.blobs.upload_idle_seconds),
    );

    let (stop, stopping) = watch::channel(false);
    let (serving, serves) = watch::channel(false);
    let history_peers = peers.clone();
    let consoles = Consoles::new(
        node.clone(),
        replica.clone(),
        service.clone(),
        fleet.clone(),
        keys.issuer.clone(),
        peers,
        console::Settings {
            public_url: public_url.clone(),
            token_lifetime: Duration::from_secs(settings.console_token_seconds),
            stopping: stopping.clone(),
        },
    );
    let probing = tokio::spawn(probe(service.clone(), serving));
    let services = Internal {
        node: node.clone(),
        service: service.clone(),
        fleet: fleet.clone(),
        blobs: blobs.clone(),
        consoles: consoles.server(),
        history: history::server(store.clone()),
        enrolment,
    };
    let connections = accept(internal_listener, &keys.credentials)?;
    let internal = serve_internal(services, replica.clone(), connections, stopping.clone());
    let audit_dir = settings.data_dir.join("audit");
    let refusals = http::Refusals::open(&audit_dir)
        .with_context(|| format!("opening the journal of refused calls in {}", audit_dir.display()))?;
    let backups = Backups::new(
        service.clone(),
        node.clone(),
        replica.clone(),
        store.clone(),
        projection.flushed(),
        (cluster_dir.clone(), keys.sealer.clone()),
    );
    let rest = Arc::new(http::Settings {
        authenticator: authenticator.clone(),
        service: service.clone(),
        backups,
        blobs: blobs.clone(),
        uploads,
        consoles,
        refusals,
        rates: http::Rates::new(settings.requests_per_second),
        statuses: settings.status_table,
        public_url,
        ready: Arc::new(readiness(serves, projection.clone(), replica.clone())),
    });
    let limits = |listener| rempart_daemon::http::Limits {
        connections: usize::try_from(settings.http_connections).unwrap_or(usize::MAX),
        ..rempart_daemon::http::Limits::new(listener)
    };
    let serve_rest = |listener, name, interface| {
        let app = TowerToHyperService::new(http::router(rest.clone(), interface));
        let (limits, stopping) = (limits(name), stopping.clone());
        match web_tls.clone() {
            Some(tls) => {
                let handshake = move |stream| tls.clone().accept(stream);
                tokio::spawn(rempart_daemon::http::serve_over(listener, limits, app, stopping, handshake))
            }
            None => tokio::spawn(rempart_daemon::http::serve(listener, limits, app, stopping)),
        }
    };
    let (mut http_task, mut operator_task) = match operator_listener {
        None => (serve_rest(http_listener, "rest", Interface::All), tokio::spawn(std::future::pending())),
        Some(listener) => (
            serve_rest(http_listener, "rest", Interface::Tenants),
            serve_rest(listener, "operators", Interface::Operators),
        ),
    };
    if let Some((listener, handle)) = metrics {
        let telemetry = Telemetry {
            node: node.clone(),
            replica: replica.clone(),
            projection: projection.clone(),
            fleet: fleet.clone(),
            counted: std::sync::Mutex::default(),
        };
        let look = move || telemetry.look();
        tokio::spawn(rempart_daemon::metrics::serve(listener, handle, look, stopping.clone()));
    }
    let mut internal_task = tokio::spawn(internal);
    let founded = replica.clone();
    node.initialize_if_empty(members, move || founded.state().core().cluster_id.is_some());
    let founding = Founding {
        cluster_id: cluster.cluster_id,
        region: cluster.region.clone(),
        zones: cluster.zones.clone(),
    };
    let tending = tokio::spawn(blobs.tend());
    let filling = tokio::spawn(history::fill(store.clone(), history_peers, missing));
    let keeping_keys = tokio::spawn(async move { authenticator.keep_keys().await });
    let renewing = tokio::spawn(pki::keep_certificate(cluster_dir, keys));
    let ask: reconcile::AskReplicas = {
        let service = service.clone();
        Arc::new(move || {
            let service = service.clone();
            Box::pin(async move { service.reports().await })
        })
    };
    let reconcile_settings = reconcile::Settings {
        deadline_percent: settings.deadline_percent,
        compare_every: Duration::from_secs(settings.compare_seconds),
        cluster_version_limit,
    };
    let reconciling =
        tokio::spawn(reconcile::run(node.clone(), replica, fleet, founding, ask, reconcile_settings));
    tracing::info!(replica_id = settings.replica_id, http = %settings.http_listen, internal = %settings.internal_listen, "serving");

    systemd::notify("READY=1");

    let ended = tokio::select! {
        () = told.to_end() => Ok(()),
        why = node.failed() => Err(anyhow!("consensus cannot go on: {why}")),
        why = projection_failed(&projection) => Err(anyhow!("Postgres cannot go on: {why}")),
        result = &mut http_task => Err(anyhow!("the REST listener ended: {result:?}")),
        result = &mut operator_task => Err(anyhow!("the operators' listener ended: {result:?}")),
        result = &mut internal_task => Err(anyhow!("the internal listener ended: {result:?}")),
    };
    tracing::info!("stopping");
    // Hand over first: the others then serve what arrives while this one goes.
    node.stop().await;
    stop.send_replace(true);
    reconciling.abort();
    tending.abort();
    filling.abort();
    following.abort();
    renewing.abort();
    keeping_keys.abort();
    probing.abort();
    if settings.operator_listen.is_none() {
        operator_task.abort();
    }
    let rest = [("REST", http_task.abort_handle()), ("operators", operator_task.abort_handle())];
    for task in rest.into_iter().chain([("internal", internal_task.abort_handle())]) {
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

async fn listen(address: std::net::SocketAddr, purpose: &str, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("listening on {address} for {purpose}; free that address, or choose another with {flag}")
    })
}

fn store_of(settings: &Run, cluster: &Cluster) -> store::Store {
    let Run { database_url, data_dir, postgres_user, .. } = settings;
    let source = Source::chosen(database_url.as_deref(), data_dir, postgres_user);
    let identity = Identity { cluster_id: cluster.cluster_id, replica_id: settings.replica_id };
    store::not_open(&source, identity)
}

/// Peers are those of the settings until the log says who takes part, and those of the log from then on.
async fn follow_members(node: Node, peers: Peers) {
    let mut members = node.members();
    loop {
        let addresses = members.borrow_and_update().addresses.clone();
        if addresses.contains_key(&node.replica_id()) {
            peers.are(addresses);
        }
        if members.changed().await.is_err() {
            return;
        }
    }
}

/// What answers on the listener for peers and agents.
struct Internal {
    node: Node,
    service: Service,
    fleet: Fleet,
    blobs: Blobs,
    consoles: console::Server,
    history: HistoryServer<history::Server>,
    enrolment: Enrolment,
}

/// The listener for peers and agents: gRPC over mutual TLS. Who calls is in the connection's certificate, and is judged by
/// State as it is at each call, and while it lasts; only enrolment answers those who have none in force.
async fn serve_internal(
    services: Internal,
    replica: Replica,
    connections: ReceiverStream<std::io::Result<Accepted>>,
    stopping: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let Internal { node, service, fleet, blobs, consoles, history, enrolment } = services;
    let admitting = replica.clone();
    let connections = connections
        .map(move |accepted| accepted.map(|connection| pki::while_admitted(connection, &admitting)));
    let known = move |request: Request<()>| -> Result<Request<()>, Status> {
        Ok(peer::admit(request, |shown| pki::judge(&replica.state(), shown)))
    };
    let check = |request: Request<()>| -> Result<Request<()>, Status> {
        rempart_identity::require_controller(&request)?;
        Ok(request)
    };
    let leader: LeaderServer<_> = service.leader_server();
    tonic::transport::Server::builder()
        // Whose machine went, the kernel notices. These are for a process that hangs in the middle of a download or a console; a
        // session, in which something is said each 5 s, is never asked.
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .layer(InterceptorLayer::new(known))
        .add_service(InterceptedService::new(raft::services(node), check))
        .add_service(InterceptedService::new(leader, check))
        .add_service(history)
        .add_service(fleet.server())
        .add_service(blobs.server())
        .add_service(consoles.for_agents())
        .add_service(consoles.for_replicas())
        .add_service(enrolment.server())
        .serve_with_incoming_shutdown(connections, stopped(stopping))
        .await
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Told to end before there was anything to end.
fn not_started() -> anyhow::Result<()> {
    tracing::info!("told to end while starting");
    Ok(())
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
