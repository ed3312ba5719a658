//! What the rows in Postgres are made of.

use rempart_api::Urn;
use rempart_model::{Command, Envelope, Object, Outcome, ReplicaIntent};

use super::to_text;
use crate::store::{AuditRow, ResourceKey, ResourceRow};

pub(super) fn key_of(urn: &Urn) -> ResourceKey {
    ResourceKey {
        kind: urn.kind.info().name.into(),
        tenant: urn.tenant.clone(),
        workspace: urn.workspace.clone(),
        network: urn.network.clone(),
        name: urn.name.clone(),
    }
}

pub(super) fn row_of(object: &Object) -> ResourceRow {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    ResourceRow {
        key: key_of(&object.urn),
        uid: object.uid,
        resource_version: signed(object.resource_version),
        changed_index: signed(object.changed_index),
        created_at_ms: object.created_at.unix_ms(),
        modified_at_ms: object.modified_at.unix_ms(),
        deleted_at_ms: object.deleted_at.map(|at| at.unix_ms()),
        body: to_text(object),
    }
}

/// Of the objects that one entry says to be overdue, how many the history names; each has it in its row.
const EXPIRED_NAMED: usize = 16;

/// The row of history an entry leaves. Routine reports of hosts leave none: they are observations, not acts.
pub(super) fn audit_row(index: u64, envelope: &Envelope, outcome: &Outcome, at_ms: i64) -> Option<AuditRow> {
    let (action, subject) = match &envelope.command {
        Command::Found(founding) => ("found", founding.cluster_id.to_string()),
        Command::Put(put) => ("put", put.urn.to_string()),
        Command::Delete(delete) => ("delete", delete.urn.to_string()),
        Command::Power(power) => match power.action {
            rempart_model::PowerAction::Start => ("start", power.urn.to_string()),
            rempart_model::PowerAction::Stop => ("stop", power.urn.to_string()),
            rempart_model::PowerAction::Restart => ("restart", power.urn.to_string()),
        },
        Command::Fill(fill) => ("fill", fill.urn.to_string()),
        Command::Enrol(enrol) => ("enrol", enrol.host.clone()),
        Command::Redeem(redeem) => {
            let what_for = redeem.urn.as_ref().map(|urn| format!(": {urn}")).unwrap_or_default();
            ("redeem", format!("{}{what_for}", redeem.purpose))
        }
        Command::Host(host) => match host.action {
            rempart_model::HostAction::Cordon => ("cordon", host.urn.to_string()),
            rempart_model::HostAction::Uncordon => ("uncordon", host.urn.to_string()),
            rempart_model::HostAction::Revoke => ("revoke", host.urn.to_string()),
        },
        Command::Place(place) => ("place", place.uid.to_string()),
        Command::Capture(capture) => ("capture", capture.image.to_string()),
        Command::WindDown(command) => ("wind-down", command.tenant.clone()),
        Command::Replica(command) => {
            let action = match &command.intent {
                ReplicaIntent::Join { .. } => "join",
                ReplicaIntent::Leave => "leave",
            };
            (action, format!("controller {}", command.replica_id))
        }
        Command::Leftover(order) => (order.action.name(), format!("{}/{}", order.host, order.uid)),
        Command::Release(release) => ("release", format!("{}/{}", release.host, release.uid)),
        Command::Expire(expire) => {
            let some = expire
                .objects
                .iter()
                .take(EXPIRED_NAMED)
                .map(|one| format!("{} {}", one.step.info().name, one.uid));
            let some = some.collect::<Vec<_>>().join(", ");
            let more = expire.objects.len().saturating_sub(EXPIRED_NAMED);
            ("expire", if more > 0 { format!("{some} and {more} more") } else { some })
        }
        Command::HostUnreachable(host) => ("host-unreachable", host.host.clone()),
        Command::Upgrade(upgrade) => ("upgrade", format!("cluster version {}", upgrade.version)),
        Command::Compare(compare) => ("compare", compare.host.clone()),
        Command::Resume(resume) if resume.without.is_empty() => ("resume", "cluster".to_owned()),
        Command::Resume(resume) => ("resume", format!("cluster without {}", resume.without.join(", "))),
        Command::HostSeen(_) | Command::Report(_) | Command::Digest(_) => return None,
    };
    let told = match outcome {
        Ok(_) => serde_json::json!({ "accepted": true }),
        Err(refusal) => serde_json::json!({ "accepted": false, "refusal": refusal }),
    };
    Some(AuditRow {
        log_index: i64::try_from(index).unwrap_or(i64::MAX),
        ordinal: 0,
        at_ms,
        request_id: envelope.request_id,
        actor: envelope.actor.clone(),
        action: action.to_owned(),
        subject,
        outcome: told.to_string(),
    })
}
