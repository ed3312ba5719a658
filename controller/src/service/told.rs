//! What is told about resources besides themselves: where one stands; and what is ordered about orphans.

use rempart_api::Urn;
use rempart_api::fleet::Repair;
use rempart_model::{Audience, Command, LeftoverAction, LeftoverCommand, ReleaseCommand, State};
use uuid::Uuid;

use super::call::Reply;
use super::error::ServiceError;
use super::shown::Json;

/// Where a resource stands, by what this installation makes of deadlines.
pub(super) fn standing(
    state: &State,
    urn: &Urn,
    operator: bool,
    deadline_percent: u64,
) -> Result<Reply, ServiceError> {
    let object = state.get_visible(urn).ok_or_else(|| ServiceError::not_found(urn))?;
    let audience = Audience { operator, deadline_percent };
    Ok(Reply::Document(Json::of(&rempart_model::standing(state, object, urn, audience))?))
}

/// A repair of one of those.
pub(super) fn repair(host: &str, uid: Uuid, repair: Repair) -> Command {
    let host = host.to_owned();
    let leftover = |host, action| Command::Leftover(LeftoverCommand { host, uid, action });
    match repair {
        Repair::Quarantine => leftover(host, LeftoverAction::Quarantine),
        Repair::Remove => leftover(host, LeftoverAction::Remove),
        Repair::Release => Command::Release(ReleaseCommand { host, uid }),
    }
}
