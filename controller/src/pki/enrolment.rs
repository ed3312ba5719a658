//! Takes machines in: the only service that answers callers without a certificate, or with an expired one.
//!
//! ```text
//!   Enrol: token genuine, in force ── host ──────> Enrol (log) ──────────────────────┐
//!                                  └─ controller ─> Redeem (log), before there is    ├──> certificate
//!                                                   one the founder's file           ┘    (controller: keys)
//!   Renew: certificate, expired or not ── key is what State says, not revoked ───────────> certificate
//! ```
//!
//! What always holds: a certificate is signed after the token's use is on a quorum's disks; it names who the token was
//! made for, whatever the request says; Renew reads State as a linearizable read does, so that a revocation that was
//! acknowledged is seen. A host that asks again with the same key was taken in, and did not hear it: it is answered.

use std::io;
use std::sync::Arc;

use rempart_api::{Kind, Timestamp, Urn};
use rempart_identity::ca::Requested;
use rempart_identity::{Certificate, Identity, peer};
use rempart_model::{
    Command, EnrolCommand, Envelope, Outcome, RedeemCommand, ReplicaIntent, SHARED_TENANT, State, TokenUse,
};
use rempart_proto::enrol::v1::enrol_response::Outcome as EnrolOutcome;
use rempart_proto::enrol::v1::enrolment_server::{Enrolment as EnrolmentRpc, EnrolmentServer};
use rempart_proto::enrol::v1::renew_response::Outcome as RenewOutcome;
use rempart_proto::enrol::v1::{
    EnrolRequest, EnrolResponse, Enrolled, NotLeader, RenewRequest, RenewResponse,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::cluster_dir::{ClusterDir, Keys};
use super::founding_tokens::FoundingTokens;
use super::{Peers, judge, transfer};
use crate::auth::{Audience, OneTime};
use crate::raft::{Node, Proposal, ProposeError, SeeError};
use crate::replica::{Replica, now};

/// A request is a token and a certificate request: a few KiB.
const MAX_REQUEST_BYTES: usize = 64 << 10;
const READ_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Enrolment(Arc<Inner>);

struct Inner {
    node: Node,
    replica: Replica,
    peers: Peers,
    dir: ClusterDir,
    keys: Arc<Keys>,
    before_founding: FoundingTokens,
}

/// Where a call has to go instead.
struct Elsewhere(String);

impl Enrolment {
    /// On `node` and `replica`, for the cluster of `dir`.
    ///
    /// # Errors
    /// When the list of tokens used before founding cannot be read.
    pub fn new(
        node: Node,
        replica: Replica,
        peers: Peers,
        dir: ClusterDir,
        keys: Arc<Keys>,
    ) -> io::Result<Enrolment> {
        let before_founding = FoundingTokens::open(dir.path().join("used-tokens.json"))?;
        Ok(Enrolment(Arc::new(Inner { node, replica, peers, dir, keys, before_founding })))
    }

    /// The gRPC service joiners call.
    pub fn server(&self) -> EnrolmentServer<Enrolment> {
        EnrolmentServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST_BYTES)
    }

    fn leader(&self) -> Elsewhere {
        Elsewhere(self.0.node.leader().map(|(_, address)| address).unwrap_or_default())
    }

    fn sign(&self, identity: &Identity, requested: &Requested) -> Result<Certificate, Status> {
        let signed = self.0.keys.ca.sign(identity, requested, self.0.keys.lifetime);
        signed.map_err(|error| Status::internal(error.to_string()))
    }

    async fn propose(&self, command: Command) -> Result<Result<Arc<Outcome>, Elsewhere>, Status> {
        let envelope = Envelope {
            format: rempart_model::ENVELOPE_FORMAT,
            request_id: Uuid::now_v7(),
            actor: "enrolment".to_owned(),
            trace: None,
            time: now(),
            command,
        };
        match self.0.node.propose(Proposal(envelope.encode().into())).await {
            Ok(outcome) => Ok(Ok(outcome)),
            Err(ProposeError::NotLeader { .. }) => Ok(Err(self.leader())),
            Err(error) => Err(Status::unavailable(error.to_string())),
        }
    }

    async fn enrol_host(
        &self,
        host: &str,
        token: &OneTime,
        requested: &Requested,
    ) -> Result<Result<(), Elsewhere>, Status> {
        if !self.0.node.is_leader() {
            return Ok(Err(self.leader()));
        }
        let state = self.0.replica.state();
        if state.core().cluster_id.is_none() {
            return Err(Status::unavailable("the cluster is not founded yet"));
        }
        if is_enrolled(&state, host, &requested.key_sha256) {
            return Ok(Ok(()));
        }
        let enrol = EnrolCommand {
            host: host.to_owned(),
            uid: Uuid::now_v7(),
            zone: token.zone.clone(),
            key_sha256: requested.key_sha256.clone(),
            token: used(token),
        };
        Ok(match self.propose(Command::Enrol(enrol)).await? {
            Ok(outcome) => Ok(accepted(&outcome)?),
            Err(elsewhere) => Err(elsewhere),
        })
    }

    async fn enrol_controller(
        &self,
        replica_id: u64,
        token: &OneTime,
    ) -> Result<Result<(), Elsewhere>, Status> {
        let Inner { node, replica, peers, .. } = &*self.0;
        if replica_id == node.replica_id() {
            return Err(Status::permission_denied(format!(
                "this is controller {replica_id}; every replica has an id of its own"
            )));
        }
        let state = replica.state();
        let Some(founded_at) = founded_at(&state) else {
            if peers.address(replica_id).is_none() {
                return Err(Status::permission_denied(format!(
                    "controller {replica_id} is not among the replicas this controller was told of (peers), which found \
                     the cluster; others join when that is done"
                )));
            }
            if node.status().last_log_index.is_some() {
                return Err(Status::unavailable("the cluster is being founded; try again"));
            }
            return match node.founder() {
                Some(founder) if founder == node.replica_id() => {
                    let id = token.id;
                    let this = self.clone();
                    let used = tokio::task::spawn_blocking(move || this.0.before_founding.use_up(id)).await;
                    let used = used.map_err(|error| Status::internal(error.to_string()))?;
                    match used.map_err(|error| Status::internal(error.to_string()))? {
                        true => Ok(Ok(())),
                        false => Err(Status::permission_denied(
                            "this token was used before, and works once; ask for a new one",
                        )),
                    }
                }
                Some(founder) => Ok(Err(Elsewhere(peers.address(founder).unwrap_or_default()))),
                None => Err(Status::unavailable("this controller is starting; try again")),
            };
        };
        if state.core().replicas.get(&replica_id) == Some(&ReplicaIntent::Leave) {
            return Err(Status::permission_denied(format!(
                "controller {replica_id} was removed, and its id is not used again; ask for a token for another id"
            )));
        }
        if !node.is_leader() {
            return Ok(Err(self.leader()));
        }
        // What was used before there was a log is in one file only: none of that time works any more.
        if token.issued_at_ms < founded_at.unix_ms() {
            return Err(Status::permission_denied(
                "this token is older than the cluster's founding; ask for a new one",
            ));
        }
        let purpose = format!("join as controller {replica_id}");
        let redeem = RedeemCommand { token: used(token), purpose, urn: None };
        Ok(match self.propose(Command::Redeem(redeem)).await? {
            Ok(outcome) => Ok(accepted(&outcome)?),
            Err(elsewhere) => Err(elsewhere),
        })
    }

    async fn renewed(&self, shown: &Certificate) -> Result<Result<Certificate, Elsewhere>, Status> {
        let Identity::Host(host) = &shown.identity else {
            return Err(Status::permission_denied("controllers sign their own certificates"));
        };
        if !self.0.node.is_leader() {
            return Ok(Err(self.leader()));
        }
        match self.0.node.see_everything(Instant::now() + READ_WITHIN).await {
            Ok(()) => {}
            Err(SeeError::Leads(ProposeError::NotLeader { .. })) => return Ok(Err(self.leader())),
            Err(error) => return Err(Status::unavailable(error.to_string())),
        }
        judge(&self.0.replica.state(), shown).map_err(|why| {
            tracing::warn!(host, why, "a certificate was not renewed");
            Status::permission_denied(why)
        })?;
        let requested = Requested::from_certificate(shown);
        let requested = requested.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Ok(self.sign(&shown.identity, &requested)?))
    }
}

/// When the shared tenant was made: with the cluster, in its first entry.
fn founded_at(state: &State) -> Option<Timestamp> {
    state.core().cluster_id?;
    Some(state.get(&Urn::global(Kind::Tenant, SHARED_TENANT))?.created_at)
}

fn is_enrolled(state: &State, host: &str, key_sha256: &str) -> bool {
    let known = state.host_identity(host);
    known.is_some_and(|known| known.revoked_at.is_none() && known.key_sha256 == key_sha256)
}

fn used(token: &OneTime) -> TokenUse {
    TokenUse { id: token.id, expires_at: Timestamp::from_unix_ms(token.expires_at_ms) }
}

fn accepted(outcome: &Outcome) -> Result<(), Status> {
    match outcome {
        Ok(_) => Ok(()),
        Err(refusal) => Err(Status::permission_denied(refusal.detail.clone())),
    }
}

#[tonic::async_trait]
impl EnrolmentRpc for Enrolment {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let request = request.into_inner();
        let token = self.0.keys.issuer.verify_once(Audience::Join, &request.token);
        let token = token.map_err(Status::permission_denied)?;
        let identity: Identity = token.subject.parse().map_err(Status::permission_denied)?;
        let requested = Requested::read(&request.certificate_request);
        let requested = requested.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let taken = match &identity {
            Identity::Host(host) => self.enrol_host(host, &token, &requested).await?,
            Identity::Controller(id) => {
                // Before the token is used up.
                if transfer::seal(&request, b"", b"").is_none() {
                    let why =
                        "a controller's request needs an exchange key; join with `rempart-controller join`";
                    return Err(Status::invalid_argument(why));
                }
                self.enrol_controller(*id, &token).await?
            }
        };
        if let Err(Elsewhere(leader_address)) = taken {
            let outcome = EnrolOutcome::NotLeader(NotLeader { leader_address });
            return Ok(Response::new(EnrolResponse { outcome: Some(outcome) }));
        }
        let certificate = self.sign(&identity, &requested)?;
        let ca = self.0.keys.ca.certificate().to_vec();
        let keys = match &identity {
            Identity::Host(_) => None,
            Identity::Controller(_) => {
                let shared = self.0.dir.shared().map_err(|error| Status::internal(error.to_string()))?;
                let json =
                    serde_json::to_vec(&shared).map_err(|error| Status::internal(error.to_string()))?;
                transfer::seal(&request, &ca, &json)
            }
        };
        tracing::info!(%identity, token = %token.id, "a machine joined");
        let enrolled = Enrolled { certificate: certificate.der.to_vec(), ca, keys };
        Ok(Response::new(EnrolResponse { outcome: Some(EnrolOutcome::Enrolled(enrolled)) }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let shown = peer::certificate(&request);
        let shown =
            shown.ok_or_else(|| Status::unauthenticated("renewing needs the certificate to be renewed"))?;
        let outcome = match self.renewed(&shown).await? {
            Ok(certificate) => RenewOutcome::Certificate(certificate.der.to_vec()),
            Err(Elsewhere(leader_address)) => RenewOutcome::NotLeader(NotLeader { leader_address }),
        };
        Ok(Response::new(RenewResponse { outcome: Some(outcome) }))
    }
}
