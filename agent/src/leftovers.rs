//! What lies in this agent's directories, or is defined by it, of which nothing is desired here: reported, and left alone
//! until an operator orders something about it.
//!
//! ```text
//!   leftover ── Quarantine ──> quarantine/<uid>/ volume.qcow2, seed.img, guest/, capture.<image>.qcow2; the domain undefined
//!            ── Remove ──────> gone; only of what lies in quarantine
//! ```
//!
//! What never happens: something is touched that the ledger knows, or whose domain runs, or that is not ours; a file is
//! deleted that was not moved aside before; anything is concluded while the hypervisor does not answer.

use crate::desired::Object;
use crate::desired::wire::Order;
use crate::disk::capture;
use crate::durable;
use crate::layout;
use crate::ledger::Snapshot;
use crate::vm::{Domain, Hypervisor};
use crate::world::{Host, World};
use rempart_proto::agent::v1 as wire;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;
use wire::LeftoverPart as Part;

#[cfg(test)]
mod tests;

/// Most that are reported.
const MOST: usize = 100;
/// Bytes on a disk are counted in these (`st_blocks`).
const BLOCK_BYTES: u64 = 512;

/// What was found at the last look.
#[derive(Debug)]
pub struct Leftovers {
    /// As it is reported; none before the first look.
    pub found: Option<Vec<wire::Leftover>>,
    every: Duration,
    next: Option<Instant>,
    /// The orders as of then.
    orders: BTreeMap<Uuid, Order>,
}

impl Leftovers {
    /// To be looked for every so often.
    pub fn new(every: Duration) -> Self {
        Self { found: None, every, next: None, orders: BTreeMap::new() }
    }

    /// Whether it is time to look, or something new was ordered; if so, it is not again for a while.
    pub fn is_due(&mut self, orders: &BTreeMap<Uuid, Order>, now: Instant) -> bool {
        let due = self.next.is_none_or(|next| next <= now) || self.orders != *orders;
        if due {
            self.next = Some(now + self.every);
            self.orders.clone_from(orders);
        }
        due
    }
}

/// Does what was ordered, and says what there is. Objects with steps `at_work` are left out. Blocks.
pub fn tidy(
    host: &Host,
    ledger: &Snapshot,
    world: &World,
    hypervisor: &dyn Hypervisor,
    at_work: &BTreeSet<Uuid>,
) -> io::Result<Vec<wire::Leftover>> {
    let Some(domains) = &world.domains else { return Ok(Vec::new()) };
    let known = |uid: &Uuid| at_work.contains(uid) || is_known(ledger, uid);
    let before = look(host, domains, known)?;
    let mut trouble = BTreeMap::new();
    for (uid, order) in &ledger.orders {
        let Some(parts) = before.get(uid) else { continue };
        match carry_out(host, hypervisor, *uid, *order, parts, domains.get(uid)) {
            Ok(()) => tracing::info!(%uid, ?order, "a leftover was dealt with, as ordered"),
            Err(error) => {
                tracing::warn!(%uid, ?order, %error, "a leftover could not be dealt with");
                trouble.insert(*uid, error.to_string());
            }
        }
    }
    let now = if ledger.orders.is_empty() {
        before
    } else {
        let domains = hypervisor.domains().map_err(io::Error::other)?;
        look(host, &domains.into_iter().map(|domain| (domain.uuid, domain)).collect(), known)?
    };
    Ok(now
        .into_iter()
        .take(MOST)
        .map(|(uid, found)| wire::Leftover {
            uid: uid.to_string(),
            parts: found.parts.into_iter().map(i32::from).collect(),
            bytes: found.bytes,
            running: found.running,
            trouble: trouble.remove(&uid).unwrap_or_default(),
        })
        .collect())
}

/// Whether anything is, or may be, desired of it here.
fn is_known(ledger: &Snapshot, uid: &Uuid) -> bool {
    let objects = [Object::Volume(*uid), Object::Instance(*uid)];
    ledger.volumes.get(uid).is_some_and(|record| record.listed)
        || ledger.instances.get(uid).is_some_and(|record| record.listed)
        || objects.iter().any(|object| ledger.damaged.contains(object) || ledger.invalid.contains_key(object))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    parts: Vec<Part>,
    bytes: u64,
    running: bool,
}

/// Everything here that is not `known`. Only names that this agent makes are looked at.
fn look(
    host: &Host,
    domains: &BTreeMap<Uuid, Domain>,
    known: impl Fn(&Uuid) -> bool,
) -> io::Result<BTreeMap<Uuid, Found>> {
    let data = &host.data;
    let mut all: BTreeMap<Uuid, Found> = BTreeMap::new();
    for domain in domains.values().filter(|domain| domain.definition.is_some() && !known(&domain.uuid)) {
        let found = all.entry(domain.uuid).or_default();
        found.parts.push(Part::Domain);
        found.running = domain.running;
    }
    let mut add = |uid: Uuid, part: Part, path: &Path| -> io::Result<()> {
        let found = all.entry(uid).or_default();
        if !found.parts.contains(&part) {
            found.parts.push(part);
        }
        found.bytes += bytes(path)?;
        Ok(())
    };
    for (directory, suffix, part) in [
        (data.volumes_dir(), ".qcow2", Part::Volume),
        (data.seeds_dir(), ".img", Part::Seed),
        (data.guests_dir(), "", Part::GuestDirectory),
    ] {
        for (uid, path) in named(&directory, suffix)? {
            if !known(&uid) {
                add(uid, part, &path)?;
            }
        }
    }
    for (volume, images) in capture::list(&data.captures_dir())? {
        for image in images.iter().filter(|_| !known(&volume)) {
            add(volume, Part::Capture, &data.capture_file(volume, *image))?;
        }
    }
    for (uid, path) in named(&data.quarantine_dir(), "")? {
        add(uid, Part::Quarantined, &path)?;
    }
    Ok(all)
}

/// What is named by a UUID and `suffix` there.
fn named(directory: &Path, suffix: &str) -> io::Result<Vec<(Uuid, PathBuf)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(suffix));
        let uid = stem.and_then(|stem| Some((stem, Uuid::try_parse(stem).ok()?)));
        // One spelling alone is made here.
        if let Some((_, uid)) = uid.filter(|(stem, uid)| *stem == uid.hyphenated().to_string()) {
            all.push((uid, entry.path()));
        }
    }
    Ok(all)
}

/// Room that a file, or a directory with what is directly in it, takes. What has gone meanwhile takes none.
fn bytes(path: &Path) -> io::Result<u64> {
    let blocks = |path: &Path| match fs::symlink_metadata(path) {
        Ok(metadata) => Ok((metadata.blocks() * BLOCK_BYTES, metadata.is_dir())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((0, false)),
        Err(error) => Err(error),
    };
    let (mut sum, is_directory) = blocks(path)?;
    if is_directory {
        for entry in fs::read_dir(path)? {
            sum += blocks(&entry?.path())?.0;
        }
    }
    Ok(sum)
}

fn carry_out(
    host: &Host,
    hypervisor: &dyn Hypervisor,
    uid: Uuid,
    order: Order,
    found: &Found,
    domain: Option<&Domain>,
) -> io::Result<()> {
    let aside = host.data.quarantine_of(uid);
    match order {
        Order::Remove => match fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => durable::sync_directory(&host.data.quarantine_dir()),
        },
        Order::Quarantine if domain.is_some_and(|domain| domain.running) => {
            Err(io::Error::other("its domain runs; shut it down first"))
        }
        Order::Quarantine if domain.is_some_and(|domain| domain.definition.is_none()) => {
            Err(io::Error::other("a domain of its UUID is there that is not ours"))
        }
        Order::Quarantine if found.parts == [Part::Quarantined] => Ok(()),
        Order::Quarantine => {
            layout::make_directory(&aside, 0o700).map_err(io::Error::other)?;
            durable::sync_directory(&host.data.quarantine_dir())?;
            let data = &host.data;
            move_aside(&data.volume_file(uid), &aside.join("volume.qcow2"))?;
            move_aside(&data.seed_file(uid), &aside.join("seed.img"))?;
            // Before the domain is forgotten: that would take its firmware variables along.
            move_aside(&data.run_dir(uid), &aside.join("guest"))?;
            let captures = capture::list(&data.captures_dir())?;
            for image in captures.get(&uid).into_iter().flatten() {
                let name = format!("capture.{}.qcow2", image.hyphenated());
                move_aside(&data.capture_file(uid, *image), &aside.join(name))?;
            }
            if domain.is_some() {
                hypervisor.undefine(uid).map_err(io::Error::other)?;
            }
            Ok(())
        }
    }
}

/// Nothing that lies there already is overwritten; what is not here is fine.
fn move_aside(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(io::Error::other(format!("moving {} aside: {errno}", from.display()))),
    }
    for directory in [to.parent(), from.parent()].into_iter().flatten() {
        durable::sync_directory(directory)?;
    }
    Ok(())
}
