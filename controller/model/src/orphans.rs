//! What exists on a host without a row, and rows without their thing: each with the repair that is safe.
//!
//! Computed from State when asked: what hosts have said is in their rows. What controllers have on their disks is in no State:
//! they are asked (`controller/src/blob/orphans.rs`).

use rempart_api::Kind;
use rempart_api::fleet::{BlobOrphans, Leftover, LeftoverPart, Orphan, OrphanClass, Orphans, Repair};

use crate::command::LeftoverAction;
use crate::object::{Detail, HostDetail, Object};
use crate::restored::{Compared, VOLUME_LOST};
use crate::state::State;

/// Most that are listed.
const MOST: usize = 1000;
/// What a host says when it has not what it had: stable words of the agent.
const LOST: [&str; 3] = [VOLUME_LOST, "VolumeUnreadable", "VolumeMismatch"];

/// All of them, host by host. Objects are looked at only where something can be wrong with them.
pub fn orphans(state: &State) -> Orphans {
    let of_hosts = state.of_kind(Kind::Host).flat_map(|host| match &host.detail {
        Detail::Host(detail) => on_host(state, &host.urn.name, detail),
        _ => Vec::new(),
    });
    let lost = state.under_way().filter_map(|object| lost(state, object));
    let mut items: Vec<_> = of_hosts.chain(lost).take(MOST + 1).collect();
    let more = items.len() > MOST;
    items.truncate(MOST);
    Orphans { items, more, blobs: BlobOrphans::default() }
}

fn on_host(state: &State, host: &str, detail: &HostDetail) -> Vec<Orphan> {
    let is_here = |object: &Object| object.placement().is_some_and(|placement| placement.host == host);
    // What has been bound there since is no orphan; the host says so with its next look.
    let bound = |left: &&Leftover| state.by_uid(left.uid).is_some_and(|object| is_here(object));
    let left = detail.report.leftovers.iter().filter(|left| !bound(left));
    let mut found: Vec<_> = left.map(|left| leftover(state, host, detail, left)).collect();
    let ours = |uuid: &str| detail.report.leftovers.iter().any(|left| left.uid.to_string() == uuid);
    let foreign = detail.report.unexpected_domains.iter().filter(|domain| !ours(&domain.uuid));
    found.extend(foreign.map(|domain| Orphan {
        running: domain.running,
        message: format!(
            "Domain {} was not made by an agent of this installation. It is left alone; look at it with virsh on \
             the host.",
            domain.name
        ),
        ..orphan(host, &domain.uuid, OrphanClass::ForeignDomain)
    }));
    if let Some(compared) = state.read_only().and_then(|restored| restored.hosts.get(host)) {
        found.extend(strangers(host, detail, compared));
    }
    if detail.is_revoked() {
        found.extend(state.on_host(host).take(MOST).map(|object| stranded(host, object)));
    }
    found
}

fn orphan(host: &str, uid: &str, class: OrphanClass) -> Orphan {
    Orphan {
        id: format!("{host}:{uid}"),
        class,
        host: host.to_owned(),
        reference: None,
        parts: Vec::new(),
        bytes: None,
        running: false,
        message: String::new(),
        repair: None,
        ordered: None,
    }
}

fn leftover(state: &State, host: &str, detail: &HostDetail, left: &Leftover) -> Orphan {
    let aside = left.parts.iter().all(|part| *part == LeftoverPart::Quarantined);
    let row = state.by_uid(left.uid);
    let ordered = detail.orders.get(&left.uid).map(|action| match action {
        LeftoverAction::Quarantine => Repair::Quarantine,
        LeftoverAction::Remove => Repair::Remove,
    });
    let class = if aside { OrphanClass::Quarantined } else { OrphanClass::Leftover };
    let (repair, mut message) = match row {
        Some(row) => {
            let words = "is its row, bound elsewhere or to no host: nothing is done here while there is one.";
            (None, format!("{} {words}", row.urn))
        }
        None if aside => (
            Some(Repair::Remove),
            "Moved aside into the agent's directory quarantine, from where you may take it back by hand; remove \
             deletes it."
                .to_owned(),
        ),
        None if left.running => (
            None,
            "There is no row of it, and its domain runs. Find out whose it is, and shut it down on the host first."
                .to_owned(),
        ),
        None => (
            Some(Repair::Quarantine),
            "There is no row of it. Quarantine moves its files aside and forgets its domain; nothing is deleted."
                .to_owned(),
        ),
    };
    if !left.trouble.is_empty() {
        message.push_str(&format!(" The last try failed: {}", left.trouble));
    }
    Orphan {
        reference: row.map(|row| row.urn.to_string()),
        parts: left.parts.clone(),
        bytes: Some(left.bytes),
        running: left.running,
        message,
        repair: repair.filter(|_| ordered.is_none()),
        ordered,
        ..orphan(host, &left.uid.to_string(), class)
    }
}

/// While a restored cluster is read-only, its hosts have been told nothing, so that what has no row is no leftover to them.
fn strangers<'a>(
    host: &'a str,
    detail: &'a HostDetail,
    compared: &'a Compared,
) -> impl Iterator<Item = Orphan> + 'a {
    let told = |uid| detail.report.leftovers.iter().any(|left| left.uid == uid);
    compared.strangers.iter().filter(move |stranger| !told(stranger.uid)).map(move |stranger| Orphan {
        running: stranger.running,
        message: "There is no row of it: it was made after the backup that this installation was restored from. It is left \
                  alone; it can be moved aside once the installation takes changes again."
            .to_owned(),
        ..orphan(host, &stranger.uid.to_string(), OrphanClass::Leftover)
    })
}

fn stranded(host: &str, object: &Object) -> Orphan {
    let (repair, words) = if object.is_deleting() {
        let words =
            "It is being deleted, and that host was revoked. If the host will not come back, release it.";
        (Some(Repair::Release), words)
    } else {
        let words = "It is bound to a host that was revoked. Enrol that again; or have this deleted, then release it.";
        (None, words)
    };
    Orphan {
        reference: Some(object.urn.to_string()),
        message: words.to_owned(),
        repair,
        ..orphan(host, &object.uid.to_string(), OrphanClass::HostRevoked)
    }
}

fn lost(state: &State, object: &Object) -> Option<Orphan> {
    let Detail::Volume(volume) = &object.detail else { return None };
    let host = &volume.placement.as_ref()?.host;
    let failure = volume.realised.failure.as_ref()?;
    let revoked = state.host_identity(host).is_some_and(|identity| identity.revoked_at.is_some());
    if revoked || !LOST.contains(&failure.reason.as_str()) {
        return None;
    }
    let message = if volume.gone {
        failure.message.clone()
    } else {
        format!(
            "The host says: {} {} Put the file back there, from a backup or from quarantine; or have it deleted with what \
             uses it. It is not made anew by itself.",
            failure.message, failure.detail
        )
    };
    Some(Orphan {
        reference: Some(object.urn.to_string()),
        message,
        ..orphan(host, &object.uid.to_string(), OrphanClass::Lost)
    })
}

#[cfg(test)]
mod tests;
