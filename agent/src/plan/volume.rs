//! Steps of one volume.

use super::{Action, Claim, Input, ObjectPlan, Obstacle, Progress};
use crate::desired::{Presence, Volume};
use crate::disk::image::ImageState;
use crate::disk::volume::VolumeFile;
use crate::vm::Domain;
use crate::world::VolumeState;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub(super) fn plan(input: Input<'_>, volume: &Volume) -> ObjectPlan {
    let state = input.world.volumes.get(&volume.uid);
    if let Some(plan) = drop_captures(input, volume) {
        return plan;
    }
    match (volume.presence, state) {
        (Presence::Absent, None) => ObjectPlan::idle(Progress::Reached),
        (Presence::Absent, Some(_)) => delete(input, volume),
        (Presence::Present, None) => create(input, volume),
        (Presence::Present, Some(VolumeState::Unreadable(why))) => {
            ObjectPlan::blocked(Obstacle::VolumeUnreadable(why.clone()))
        }
        (Presence::Present, Some(VolumeState::File(file))) => match fault(input, volume, file) {
            None => capture(input, volume),
            Some(Fault::TooSmall) => grow(input, volume),
            Some(Fault::Obstacle(obstacle)) => ObjectPlan::blocked(obstacle),
        },
    }
}

/// Whether a guest may be started on the volume.
pub(super) fn is_ready(input: Input<'_>, volume: Uuid) -> bool {
    stands(input, volume, |fault| fault.is_none())
}

/// Whether a guest may run on the volume: one that has yet to grow is no reason to call the guest's disks missing.
pub(super) fn is_usable(input: Input<'_>, volume: Uuid) -> bool {
    stands(input, volume, |fault| !matches!(fault, Some(Fault::Obstacle(_))))
}

fn stands(input: Input<'_>, volume: Uuid, good: impl FnOnce(Option<Fault>) -> bool) -> bool {
    let Some(record) = input.ledger.volumes.get(&volume) else { return false };
    record.volume.presence == Presence::Present
        && match input.world.volumes.get(&volume) {
            Some(VolumeState::File(file)) => good(fault(input, &record.volume, file)),
            _ => false,
        }
}

enum Fault {
    TooSmall,
    Obstacle(Obstacle),
}

fn fault(input: Input<'_>, volume: &Volume, file: &VolumeFile) -> Option<Fault> {
    let base =
        volume.source.as_ref().map(|blob| (input.host.images.file(blob), blob.format.name().to_owned()));
    if file.base != base {
        return Some(Fault::Obstacle(Obstacle::VolumeMismatch));
    }
    match file.virtual_size_bytes.cmp(&volume.size_bytes) {
        std::cmp::Ordering::Less => Some(Fault::TooSmall),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(Fault::Obstacle(Obstacle::ShrinkRefused)),
    }
}

/// Whether the volume had a file: a guest was defined on it as it is desired now, and that comes after its volumes. None
/// where that cannot be told.
fn had_file(input: Input<'_>, volume: Uuid) -> Option<bool> {
    let users = input.ledger.users(volume).filter_map(|uid| Some((uid, input.ledger.instances.get(&uid)?)));
    let users = users.filter(|(_, record)| {
        record.listed
            && record.instance.presence == Presence::Present
            && record.instance.volumes().any(|used| used == volume)
    });
    for (uid, record) in users {
        let Some(domains) = &input.world.domains else {
            // Who has no power record was never defined.
            if input.ledger.power.contains_key(&uid) {
                return None;
            }
            continue;
        };
        let defined = domains.get(&uid).and_then(|domain| domain.definition.clone());
        if defined.is_some() && defined == super::guest(&input.host.data, record).map(|guest| guest.digest())
        {
            return Some(true);
        }
    }
    Some(false)
}

fn create(input: Input<'_>, volume: &Volume) -> ObjectPlan {
    match had_file(input, volume.uid) {
        Some(false) => {}
        Some(true) => return ObjectPlan::blocked(Obstacle::VolumeLost),
        None => return ObjectPlan::idle(Progress::Unknown),
    }
    let mut actions = Vec::new();
    let mut claims = BTreeSet::from([Claim::Volume(volume.uid)]);
    if let Some(blob) = &volume.source {
        match input.world.images.get(blob) {
            Some(ImageState::Verified) => {}
            Some(ImageState::Unverified) => {
                actions.push(Action::VerifyBase(blob.clone()));
                claims.insert(Claim::Image(blob.sha256.clone()));
            }
            Some(ImageState::Missing | ImageState::Refused) | None => {
                // The volume is not claimed: it may be wanted no more long before a large image is here.
                let claims = [Claim::Image(blob.sha256.clone())].into();
                return ObjectPlan::new(vec![Action::FetchImage(blob.clone())], claims);
            }
        }
    }
    actions.push(Action::CreateVolume {
        volume: volume.uid,
        size_bytes: volume.size_bytes,
        base: volume.source.clone(),
    });
    ObjectPlan::new(actions, claims)
}

fn grow(input: Input<'_>, volume: &Volume) -> ObjectPlan {
    let Some(domains) = &input.world.domains else { return ObjectPlan::idle(Progress::Unknown) };
    match users(input, domains, volume.uid) {
        Users { running: Some(instance), .. } => ObjectPlan::new(
            vec![Action::GrowRunning { instance, volume: volume.uid, size_bytes: volume.size_bytes }],
            [Claim::Volume(volume.uid), Claim::Instance(instance)].into(),
        ),
        Users { perhaps: true, .. } => ObjectPlan::blocked(Obstacle::UnexpectedDomain),
        _ => ObjectPlan::new(
            vec![Action::GrowVolume { volume: volume.uid, size_bytes: volume.size_bytes }],
            [Claim::Volume(volume.uid)].into(),
        ),
    }
}

/// The volume is as it should be, whatever becomes of its copy.
fn capture(input: Input<'_>, volume: &Volume) -> ObjectPlan {
    let Some(image) = volume.capture else { return ObjectPlan::idle(Progress::Reached) };
    let copied = input.world.captures.get(&volume.uid).is_some_and(|images| images.contains(&image));
    let (action, claim) = if copied {
        // A guest may be started meanwhile: the volume itself is not needed any more.
        let send = Action::SendCapture { volume: volume.uid, epoch: volume.epoch, image };
        (send, Claim::Captures(volume.uid))
    } else {
        let quiet = input.world.domains.as_ref().is_some_and(|domains| {
            let users = users(input, domains, volume.uid);
            users.running.is_none() && !users.perhaps
        });
        if !quiet {
            return ObjectPlan::idle(Progress::Reached);
        }
        (Action::CaptureVolume { volume: volume.uid, image }, Claim::Volume(volume.uid))
    };
    ObjectPlan { progress: Progress::Reached, ..ObjectPlan::new(vec![action], [claim].into()) }
}

/// Copies of the volume that are not, or no longer, asked for.
fn drop_captures(input: Input<'_>, volume: &Volume) -> Option<ObjectPlan> {
    let asked = volume.capture.filter(|_| volume.presence == Presence::Present);
    let images = input.world.captures.get(&volume.uid)?;
    let actions: Vec<_> = images
        .iter()
        .filter(|image| Some(**image) != asked)
        .map(|image| Action::DropCapture { volume: volume.uid, image: *image })
        .collect();
    (!actions.is_empty()).then(|| ObjectPlan::new(actions, [Claim::Captures(volume.uid)].into()))
}

fn delete(input: Input<'_>, volume: &Volume) -> ObjectPlan {
    let Some(domains) = &input.world.domains else { return ObjectPlan::idle(Progress::Unknown) };
    match users(input, domains, volume.uid) {
        Users { staying: true, .. } => ObjectPlan::blocked(Obstacle::VolumeInUse),
        Users { perhaps: true, .. } => ObjectPlan::blocked(Obstacle::UnexpectedDomain),
        Users { leaving: true, .. } => ObjectPlan::idle(Progress::Working),
        _ => ObjectPlan::new(vec![Action::DeleteVolume(volume.uid)], [Claim::Volume(volume.uid)].into()),
    }
}

/// Which sorts of domains use a volume.
#[derive(Default)]
struct Users {
    /// A running one.
    running: Option<Uuid>,
    /// One that is to stay on this host.
    staying: bool,
    /// One that is on its way out.
    leaving: bool,
    /// A domain of ours of which the ledger knows nothing: it might.
    perhaps: bool,
}

fn users(input: Input<'_>, domains: &BTreeMap<Uuid, Domain>, volume: Uuid) -> Users {
    let mut users = Users::default();
    for (uid, domain) in domains {
        let Some(record) = input.ledger.instances.get(uid) else {
            users.perhaps |= domain.definition.is_some();
            continue;
        };
        let current = || super::guest(&input.host.data, record).map(|guest| guest.digest());
        let uses = record.instance.volumes().any(|used| used == volume)
            || record.former_volumes.contains(&volume) && domain.definition != current();
        if uses {
            if domain.running {
                users.running = Some(*uid);
            }
            let leaving = record.instance.presence == Presence::Absent;
            users.staying |= !leaving;
            users.leaving |= leaving;
        }
    }
    users
}
