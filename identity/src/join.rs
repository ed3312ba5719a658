//! Joining a cluster with a token: the joiner's side, for controllers and hosts alike.
//!
//! ```text
//!   token: addresses, CA digest, secret ── connect (CA pinned) ── Enrol(secret, certificate request) ──> certificate
//!                                              ^    NotLeader(address): there      │ unavailable: again
//!                                              └───────────────────────────────────┘ refused: for good
//! ```
//!
//! What always holds: nothing is sent before the other end has proved to be a controller of the CA that the token
//! names; a certificate is taken only if it is for the key that asked.

use std::io;
use std::time::Duration;

use rempart_proto::enrol::v1::enrol_response::Outcome;
use rempart_proto::enrol::v1::enrolment_client::EnrolmentClient;
use rempart_proto::enrol::v1::{EnrolRequest, SealedKeys};
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use tonic::Code;

use crate::certificate::sha256_hex;
use crate::pool::connect_to_join;
use crate::{Certificate, IdentityError, JoinToken, Key};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// An enrolment is an entry in the log; an election may come between.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// What a joiner was given.
#[derive(Debug)]
pub struct Joined {
    /// Its certificate.
    pub certificate: Certificate,
    /// The cluster's CA.
    pub ca: CertificateDer<'static>,
    /// A controller's keys, sealed to it.
    pub keys: Option<SealedKeys>,
}

/// Why a machine did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The controllers refuse; asking again changes nothing.
    #[error("the controllers refuse: {0}")]
    Refused(String),
    /// They are not of the token's cluster.
    #[error("{0}")]
    Stranger(String),
    /// None of them answered in time.
    #[error("no controller took this machine in within {} s; the last said: {last}", within.as_secs())]
    Unanswered {
        /// How long was tried.
        within: Duration,
        /// The last obstacle.
        last: String,
    },
    /// A key or certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Joins with `token` and `key`: what was asked, and what was given. Tries again while no controller can take it in,
/// for `patience`.
///
/// # Errors
/// [`JoinError`].
pub async fn join(
    token: &JoinToken,
    key: &Key,
    exchange_key: Vec<u8>,
    patience: Duration,
) -> Result<(EnrolRequest, Joined), JoinError> {
    let request = EnrolRequest {
        token: token.secret.clone(),
        certificate_request: key.certificate_request()?,
        exchange_key,
    };
    let deadline = Instant::now() + patience;
    let (mut next, mut elsewhere) = (0, None);
    loop {
        let address: String = elsewhere.take().unwrap_or_else(|| {
            next += 1;
            token.controllers[(next - 1) % token.controllers.len()].clone()
        });
        let last = match ask(&address, token, &request).await? {
            Answer::Taken(outcome) => match outcome {
                Outcome::Enrolled(enrolled) => {
                    let ca = CertificateDer::from(enrolled.ca);
                    let certificate = Certificate::read(&enrolled.certificate.into())?;
                    if sha256_hex(&ca) != token.ca_sha256 || certificate.key_sha256 != key.sha256() {
                        let why = format!("{address} answered with a certificate that is not ours to use");
                        return Err(JoinError::Stranger(why));
                    }
                    return Ok((request, Joined { certificate, ca, keys: enrolled.keys }));
                }
                Outcome::NotLeader(there) => {
                    elsewhere = Some(there.leader_address).filter(|address| !address.is_empty());
                    format!("{address} does not lead, and names {elsewhere:?}")
                }
            },
            Answer::Later(why) => why,
        };
        if Instant::now() + PAUSE > deadline {
            return Err(JoinError::Unanswered { within: patience, last });
        }
        tracing::debug!(last, "not taken in yet");
        tokio::time::sleep(PAUSE).await;
    }
}

enum Answer {
    Taken(Outcome),
    Later(String),
}

async fn ask(address: &str, token: &JoinToken, request: &EnrolRequest) -> Result<Answer, JoinError> {
    let channel = match connect_to_join(address, &token.ca_sha256, CONNECT_WITHIN).await {
        Ok(channel) => channel,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(JoinError::Stranger(format!("{address}: {error}")));
        }
        Err(error) => return Ok(Answer::Later(format!("{address}: {error}"))),
    };
    let mut client = EnrolmentClient::new(channel);
    let answer = tokio::time::timeout(ANSWER_WITHIN, client.enrol(request.clone())).await;
    let Ok(answer) = answer else { return Ok(Answer::Later(format!("{address}: no answer in time"))) };
    match answer {
        Ok(answer) => match answer.into_inner().outcome {
            Some(outcome) => Ok(Answer::Taken(outcome)),
            None => Ok(Answer::Later(format!("{address} answered with nothing"))),
        },
        Err(status) if matches!(status.code(), Code::PermissionDenied | Code::InvalidArgument) => {
            Err(JoinError::Refused(status.message().to_owned()))
        }
        Err(status) => Ok(Answer::Later(format!("{address}: {}", status.message()))),
    }
}
