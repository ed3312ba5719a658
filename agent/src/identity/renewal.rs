//! Gets this host its next certificate when half of the last one's time is over, from whichever controller leads. One that
//! has expired is renewed as well: it may do nothing else.

use std::time::Duration;

use rempart_identity::Certificate;
use rempart_proto::enrol::v1::RenewRequest;
use rempart_proto::enrol::v1::enrolment_client::EnrolmentClient;
use rempart_proto::enrol::v1::renew_response::Outcome;
use tonic::Code;

use super::controllers::Controllers;
use super::keeper::HostIdentity;
use crate::stop::Stop;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A machine that slept wakes up with timers that did not: the clock is looked at this often.
const LOOK: Duration = Duration::from_secs(600);

/// Renews until the agent stops.
pub async fn run(identity: HostIdentity, controllers: Controllers, stop: Stop) {
    let mut pause = FIRST_PAUSE;
    loop {
        let due = identity.credentials.certificate().until_renewal();
        if !due.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(due.min(LOOK)) => continue,
                () = stop.wait() => return,
            }
        }
        let renewed = tokio::select! {
            renewed = renew(&controllers) => renewed,
            () = stop.wait() => return,
        };
        let taken = match renewed {
            Ok(certificate) => {
                let identity = identity.clone();
                let taken = tokio::task::spawn_blocking(move || identity.renew(certificate)).await;
                taken
                    .map_err(|error| error.to_string())
                    .and_then(|taken| taken.map_err(|error| error.to_string()))
            }
            Err(why) => Err(why),
        };
        match taken {
            Ok(()) => {
                tracing::info!("this host has a new certificate");
                pause = FIRST_PAUSE;
            }
            Err(why) => {
                let remaining_s = identity.credentials.certificate().remaining().as_secs();
                tracing::warn!(why, remaining_s, "this host's certificate was not renewed; trying again");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.wait() => return,
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Asks one controller after the other, and the leader as soon as one of them names it.
async fn renew(controllers: &Controllers) -> Result<Certificate, String> {
    let mut last = "no controller is configured".to_owned();
    for address in controllers.addresses() {
        let mut address = address.clone();
        // A follower names the leader, which may have just lost that office.
        for _ in 0..2 {
            match ask(controllers, &address).await {
                Ok(Outcome::Certificate(der)) => {
                    return Certificate::read(&der.into()).map_err(|error| error.to_string());
                }
                Ok(Outcome::NotLeader(there)) => {
                    last = format!("{address} does not lead");
                    if there.leader_address.is_empty() {
                        break;
                    }
                    address = there.leader_address;
                }
                Err(why) => {
                    last = format!("{address}: {why}");
                    break;
                }
            }
        }
    }
    Err(last)
}

async fn ask(controllers: &Controllers, address: &str) -> Result<Outcome, String> {
    let connection = controllers.at(address).await.map_err(|error| error.to_string())?;
    let mut client = EnrolmentClient::new(connection);
    let answer = tokio::time::timeout(ANSWER_WITHIN, client.renew(RenewRequest {})).await;
    let answer = answer.map_err(|_| "no answer in time".to_owned())?;
    let answer = answer.map_err(|status| match status.code() {
        Code::PermissionDenied => format!("refused: {}", status.message()),
        _ => status.message().to_owned(),
    })?;
    answer.into_inner().outcome.ok_or_else(|| "an empty answer".to_owned())
}
