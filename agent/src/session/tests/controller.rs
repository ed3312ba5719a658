//! A controller in this process: welcomes agents or sends them on, hands out what the test pushes, acknowledges.

use crate::identity::tests::credentials;
use crate::plan::tests::{INSTANCE, VOLUME};
use crate::stop::{Stop, Stopper};
use rempart_identity::peer::certificate;
use rempart_identity::{Identity, accept};
use rempart_proto::agent::v1 as wire;
use rempart_proto::agent::v1::fleet_server::{Fleet, FleetServer};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use wire::agent_message::Message as FromAgent;
use wire::controller_message::Message as FromController;

const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Controller {
    pub(super) address: String,
    heard: mpsc::UnboundedReceiver<wire::AgentMessage>,
    pushed: watch::Sender<Option<wire::Desired>>,
    stopper: Stopper,
    caller: Arc<Mutex<Option<Identity>>>,
    task: JoinHandle<()>,
}

impl Controller {
    /// Starts one that leads, or one that says who does.
    pub(super) async fn start(leader: Option<String>) -> Self {
        Self::start_at("127.0.0.1:0", leader).await
    }

    pub(super) async fn start_at(address: &str, leader: Option<String>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (hearing, heard) = mpsc::unbounded_channel();
        let (pushed, pushes) = watch::channel(None);
        let (stopper, stop) = Stopper::new();
        let caller = Arc::new(Mutex::new(None));
        let service = Service { leader, hearing, pushes, stop: stop.clone(), caller: caller.clone() };
        let server = tonic::transport::Server::builder().add_service(FleetServer::new(service));
        let task = tokio::spawn(async move {
            let connections = accept(listener, &credentials(&Identity::Controller(1))).unwrap();
            server.serve_with_incoming_shutdown(connections, stop.wait()).await.unwrap();
        });
        Self { address, heard, pushed, stopper, caller, task }
    }

    /// Sends this to every present and later session.
    pub(super) fn push(&self, desired: wire::Desired) {
        self.pushed.send_replace(Some(desired));
    }

    /// Whose certificate the last session showed.
    pub(super) fn caller(&self) -> Option<Identity> {
        self.caller.lock().unwrap().clone()
    }

    async fn hear<T>(&mut self, matching: impl Fn(FromAgent) -> Option<T>) -> T {
        let heard = async {
            loop {
                let message = self.heard.recv().await.expect("the server ended");
                if let Some(found) = message.message.and_then(&matching) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.expect("never heard")
    }

    pub(super) async fn hello(&mut self) -> wire::Hello {
        self.hear(|message| if let FromAgent::Hello(hello) = message { Some(hello) } else { None }).await
    }

    pub(super) async fn reported(&mut self, expected: impl Fn(&wire::Observed) -> bool) {
        self.hear(|message| match message {
            FromAgent::Observed(observed) if expected(&observed) => Some(()),
            _ => None,
        })
        .await;
    }

    pub(super) async fn end(self) {
        self.stopper.stop();
        self.task.await.unwrap();
    }
}

struct Service {
    leader: Option<String>,
    hearing: mpsc::UnboundedSender<wire::AgentMessage>,
    pushes: watch::Receiver<Option<wire::Desired>>,
    stop: Stop,
    caller: Arc<Mutex<Option<Identity>>>,
}

#[tonic::async_trait]
impl Fleet for Service {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<wire::ControllerMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        *self.caller.lock().unwrap() = certificate(&request).map(|shown| shown.identity.clone());
        let mut agent = request.into_inner();
        let (answers, stream) = mpsc::channel(16);
        let (hearing, leader) = (self.hearing.clone(), self.leader.clone());
        let (mut pushes, stop) = (self.pushes.clone(), self.stop.clone());
        tokio::spawn(async move {
            let answer = |message| answers.send(Ok(wire::ControllerMessage { message: Some(message) }));
            // The Hello.
            let Some(Ok(hello)) = agent.next().await else { return };
            let _ = hearing.send(hello);
            if let Some(leader_address) = leader {
                let _ = answer(FromController::NotLeader(wire::NotLeader { leader_address })).await;
                return;
            }
            let welcome = wire::Welcome { cluster_id: "cluster".into(), heartbeat_seconds: 1 };
            let _ = answer(FromController::Welcome(welcome)).await;
            pushes.mark_changed();
            loop {
                tokio::select! {
                    Ok(()) = pushes.changed() => {
                        let desired = pushes.borrow_and_update().clone();
                        if let Some(desired) = desired {
                            let _ = answer(FromController::Desired(desired)).await;
                        }
                    }
                    message = agent.next() => {
                        let Some(Ok(message)) = message else { return };
                        if let Some(FromAgent::Observed(observed)) = &message.message {
                            let sequence = observed.sequence;
                            let _ = answer(FromController::Acknowledged(wire::Acknowledged { sequence })).await;
                        }
                        let _ = hearing.send(message);
                    }
                    () = stop.wait() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// A connection that can go dead without a word, as when a cable is pulled.
pub(super) struct Wire {
    pub(super) address: String,
    cut: Stopper,
}

impl Wire {
    pub(super) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cut, is_cut) = Stopper::new();
        let target = target.to_owned();
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut far = TcpStream::connect(&target).await.unwrap();
                let is_cut = is_cut.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        () = is_cut.wait() => {
                            // Both ends stay open and hear nothing more.
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        Self { address, cut }
    }

    pub(super) fn cut(&self) {
        self.cut.stop();
    }
}

/// A blank volume and an instance on it; `generation` is that of power, and the index of the state.
pub(super) fn desired(generation: u64, on: bool) -> wire::Desired {
    let hardware = wire::Hardware {
        machine: "pc-q35-7.2".into(),
        cpu_model: "Nehalem".into(),
        firmware: wire::Firmware::Bios.into(),
        vcpus: 1,
        memory_mib: 256,
        disks: vec![wire::Disk { volume_uid: VOLUME.to_string(), slot: 0, serial: "root".into() }],
        nics: vec![],
    };
    wire::Desired {
        stamp: Some(wire::Stamp { cluster_id: "cluster".into(), incarnation: 1, applied_index: generation }),
        orders: None,
        tell_everything: false,
        whole: true,
        volumes: vec![wire::Volume {
            uid: VOLUME.to_string(),
            generation: 1,
            epoch: 1,
            presence: wire::Presence::Present.into(),
            size_bytes: 8 << 20,
            source: None,
            request_id: String::new(),
            capture_image_uid: String::new(),
        }],
        instances: vec![wire::Instance {
            uid: INSTANCE.to_string(),
            generation: 1,
            epoch: 1,
            presence: wire::Presence::Present.into(),
            hardware: Some(hardware),
            seed: Some(wire::Seed { hostname: "web-1".into(), ..wire::Seed::default() }),
            power: Some(wire::Power { on, generation, restart: false }),
            request_id: String::new(),
        }],
    }
}
