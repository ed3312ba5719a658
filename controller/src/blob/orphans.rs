//! Blobs without a row, and rows without their blob: what `rempart fleet orphans` lists of the controllers.
//!
//! ```text
//!   State of the replica that is asked ──┐
//!   own disk against it ─────────────────┼──> judged together
//!   disks of the others, as they say ────┘
//! ```
//!
//! Every replica knows its own disk alone, so all are asked, each by its own State once that has what ours has. Who does not
//! answer is named, and nothing is concluded from the silence.
//!
//! Absent on purpose: orders. `tend.rs` removes and fetches by itself; here is told when, and what keeps it from that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rempart_api::fleet::{BlobOrphan, BlobOrphanClass, BlobOrphans, NotAsked};
use rempart_api::storage::BlobSpec;
use rempart_api::{Kind, Timestamp};
use rempart_model::State;
use rempart_proto::blob::v1::blobs_client::BlobsClient;
use rempart_proto::blob::v1::{CompareRequest, CompareResponse, Lacking, Unneeded};
use tokio::time::{Instant, timeout};
use tonic::Code;

use super::spread::words;
use super::tend::content;
use super::{BlobError, BlobName, Blobs};
use crate::replica::now;

/// Most that are listed; and that one replica says of the blobs that it has.
const MOST: usize = 1000;
/// Most that one replica says it lacks. With the longest trouble a message of them is below the 4 MiB that may come.
const MOST_LACKING: usize = 10_000;
const LONGEST_TROUBLE: usize = 200;
/// Rows that are named of one blob.
const MOST_NAMED: usize = 20;
/// How long another replica may take to answer; it waits for its State, and lists its directory.
const WITHIN: Duration = Duration::from_secs(5);

/// What one replica says, or why it says nothing.
type Said = Result<CompareResponse, String>;

impl Blobs {
    /// What is in the wrong place, by this replica's State as it is now. The others are asked if `ask`.
    pub async fn orphans(&self, ask: bool) -> BlobOrphans {
        let state = self.inner.replica.state();
        let index = state.applied_index();
        let others = self.inner.peers.others().into_iter().map(|id| async move {
            let said =
                if ask { self.ask(id, index).await } else { Err("a stale read asks nobody".to_owned()) };
            (id, said)
        });
        let own = async {
            let own = self.compare_own(state.clone()).await;
            (self.inner.node.replica_id(), own.map_err(|error| error.to_string()))
        };
        let (own, others) = futures_util::future::join(own, futures_util::future::join_all(others)).await;
        let said: BTreeMap<u64, Said> = others.into_iter().chain([own]).collect();
        let judged = tokio::task::spawn_blocking(move || judge(&Rows::of(&state), &said, now()));
        judged.await.unwrap_or_default()
    }

    async fn ask(&self, id: u64, applied_index: u64) -> Said {
        let connection = self.inner.peers.to(id).ok_or("its address is not known")?;
        let mut client = BlobsClient::new(connection);
        let answer = timeout(WITHIN, client.compare(CompareRequest { applied_index })).await;
        let answer = answer.map_err(|_| format!("no answer within {} s", WITHIN.as_secs()))?;
        answer.map(tonic::Response::into_inner).map_err(|status| match status.code() {
            Code::Unimplemented => "its program is of an older release, which cannot be asked".to_owned(),
            _ => words(&status),
        })
    }

    /// Where this replica's disk differs from a State.
    ///
    /// # Errors
    /// When its directory cannot be read.
    pub(super) async fn compare_own(&self, state: Arc<State>) -> Result<CompareResponse, BlobError> {
        let store = self.inner.store.clone();
        let looked = tokio::task::spawn_blocking(move || Ok((super::tend::referred(&state), store.list()?)));
        let (referred, here) = looked.await.map_err(|error| BlobError::Io {
            what: "looking at the blobs".to_owned(),
            error: std::io::Error::other(error),
        })??;
        let wanted = self.inner.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (memory, now, grace) = (self.memory(), Instant::now(), self.inner.grace);
        let unneeded = here.iter().filter(|(name, _)| !referred.contains_key(name)).map(|(name, bytes)| {
            let idle = memory.idle.get(name);
            let stays_for = match (idle, wanted.get(name)) {
                (Some(idle), _) => grace.saturating_sub(now - idle.since),
                // Its grace begins when nobody has asked for it for as long.
                (None, Some(at)) => grace.saturating_mul(2).saturating_sub(now - *at),
                (None, None) => grace,
            };
            Unneeded {
                name: name.to_string(),
                size_bytes: *bytes,
                known_for_ms: idle.map(|idle| ms(now - idle.since)),
                stays_for_ms: ms(stays_for),
                trouble: idle.map(|idle| short(&idle.trouble)).unwrap_or_default(),
            }
        });
        let lacks = |(name, blob): &(&BlobName, &BlobSpec)| here.get(name) != Some(&blob.size_bytes);
        let lacking = referred.iter().filter(lacks).map(|(name, _)| {
            let missing = memory.missing.get(name);
            Lacking {
                name: name.to_string(),
                known_for_ms: missing.map(|missing| ms(now - missing.since)),
                trouble: missing.map(|missing| short(&missing.trouble)).unwrap_or_default(),
            }
        });
        let (unneeded, more_unneeded) = first(MOST, unneeded);
        let (lacking, more_lacking) = first(MOST_LACKING, lacking);
        Ok(CompareResponse { unneeded, lacking, more_unneeded, more_lacking })
    }
}

fn first<T>(most: usize, all: impl Iterator<Item = T>) -> (Vec<T>, bool) {
    let mut some: Vec<T> = all.take(most + 1).collect();
    let more = some.len() > most;
    some.truncate(most);
    (some, more)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST_TROUBLE).collect()
}

/// Blobs that State refers to: how many bytes each has, and by which rows.
#[derive(Default)]
struct Rows(BTreeMap<String, (u64, Vec<String>)>);

impl Rows {
    fn of(state: &State) -> Rows {
        let mut rows = Rows::default();
        for object in [Kind::Image, Kind::BlockStorage].into_iter().flat_map(|kind| state.of_kind(kind)) {
            let Some(blob) = content(&object.detail) else { continue };
            let Some(name) = BlobName::of(blob) else { continue };
            let row = rows.0.entry(name.to_string()).or_insert_with(|| (blob.size_bytes, Vec::new()));
            if row.1.len() < MOST_NAMED {
                row.1.push(object.urn.to_string());
            }
        }
        rows
    }
}

/// What follows from what replicas said.
fn judge(rows: &Rows, said: &BTreeMap<u64, Said>, now: Timestamp) -> BlobOrphans {
    let not_asked: Vec<NotAsked> = said
        .iter()
        .filter_map(|(id, said)| Some(NotAsked { controller: *id, why: said.as_ref().err()?.clone() }))
        .collect();
    let heard: BTreeMap<u64, &CompareResponse> =
        said.iter().filter_map(|(id, said)| Some((*id, said.as_ref().ok()?))).collect();
    let silent: Vec<u64> = not_asked.iter().map(|one| one.controller).collect();
    let mut more = heard.values().any(|said| said.more_unneeded || said.more_lacking);
    // Of names after the last that one could say, it is not known whether that one has them.
    let cut = heard.values().filter(|said| said.more_lacking).filter_map(|said| said.lacking.last());
    let horizon = cut.map(|last| last.name.as_str()).min();
    let mut lacking = BTreeMap::<&str, BTreeMap<u64, &Lacking>>::new();
    for (id, said) in &heard {
        for one in said.lacking.iter().filter(|one| horizon.is_none_or(|last| one.name.as_str() <= last)) {
            lacking.entry(&one.name).or_default().insert(*id, one);
        }
    }
    let mut items = Vec::new();
    for (name, lacks) in &lacking {
        // One whose State is ahead of ours may speak of what we know nothing of yet.
        let Some((bytes, references)) = rows.0.get(*name) else { continue };
        let with_rows =
            |orphan: BlobOrphan| BlobOrphan { bytes: *bytes, references: references.clone(), ..orphan };
        let has: Vec<u64> = heard.keys().copied().filter(|id| !lacks.contains_key(id)).collect();
        if has.is_empty() {
            items.push(with_rows(lost(name, lacks, &silent, now)));
        } else {
            items.extend(lacks.iter().map(|(id, one)| with_rows(missing(*id, one, &has, now))));
        }
    }
    for (id, said) in &heard {
        let unneeded = said.unneeded.iter().filter(|one| !rows.0.contains_key(&one.name));
        items.extend(unneeded.map(|one| unneeded_one(*id, one, now)));
    }
    items.sort_by(|one, other| {
        (one.class, &one.name, one.controller).cmp(&(other.class, &other.name, other.controller))
    });
    more |= items.len() > MOST;
    items.truncate(MOST);
    BlobOrphans { items, more, not_asked }
}

fn orphan(name: &str, class: BlobOrphanClass, known_for_ms: Option<u64>, now: Timestamp) -> BlobOrphan {
    BlobOrphan {
        name: name.to_owned(),
        class,
        controller: None,
        bytes: 0,
        since: known_for_ms.map(|ms| at(now, -i64::try_from(ms).unwrap_or(i64::MAX))),
        goes_at: None,
        references: Vec::new(),
        message: String::new(),
    }
}

fn at(now: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_add(ms))
}

fn lost(name: &str, lacks: &BTreeMap<u64, &Lacking>, silent: &[u64], now: Timestamp) -> BlobOrphan {
    let asked = list(lacks.keys());
    let others = match silent {
        [] => String::new(),
        silent => {
            format!(" Not asked: {}. If one of those has it, it heals when that one is back.", list(silent))
        }
    };
    // Since the last of them lost it.
    let known_for_ms = lacks.values().filter_map(|one| one.known_for_ms).min();
    BlobOrphan {
        message: format!(
            "Controllers that were asked, and do not have it: {asked}.{others} Put its file, of this digest, among the blobs of any \
             controller (DATA_DIR/blobs/{name}), from a copy or from the images of a host that has a volume of it, and the others \
             take it from there; or send the same bytes to a new volume (rempart image upload, under a new name). Or have deleted what \
             refers to it."
        ),
        ..orphan(name, BlobOrphanClass::Lost, known_for_ms, now)
    }
}

fn missing(id: u64, one: &Lacking, has: &[u64], now: Timestamp) -> BlobOrphan {
    let trouble = match one.trouble.as_str() {
        "" => String::new(),
        trouble => format!(" The last try failed: {trouble}. It tries again at least once a minute."),
    };
    BlobOrphan {
        controller: Some(id),
        message: format!(
            "Controller {id} takes it, by itself, from one that has it: {}.{trouble}",
            list(has)
        ),
        ..orphan(&one.name, BlobOrphanClass::Missing, one.known_for_ms, now)
    }
}

fn unneeded_one(id: u64, one: &Unneeded, now: Timestamp) -> BlobOrphan {
    let goes_at = at(now, i64::try_from(one.stays_for_ms).unwrap_or(i64::MAX));
    let message = match (one.trouble.as_str(), one.known_for_ms) {
        ("", Some(_)) => {
            format!(
                "No volume or image refers to it. Controller {id} removes it by itself, soon after {goes_at}."
            )
        }
        ("", None) => format!(
            "No volume or image refers to it; it came, or was asked for, lately, as for an upload under way. Controller {id} removes \
             it by itself, soon after {goes_at}, if nothing refers to it by then."
        ),
        (trouble, _) => format!(
            "No volume or image refers to it. It should have gone, and controller {id} could not remove it: {trouble}. It tries \
             again every few seconds."
        ),
    };
    BlobOrphan {
        controller: Some(id),
        bytes: one.size_bytes,
        goes_at: Some(goes_at),
        message,
        ..orphan(&one.name, BlobOrphanClass::Unneeded, one.known_for_ms, now)
    }
}

fn list<'a>(ids: impl IntoIterator<Item = &'a u64>) -> String {
    let ids: BTreeSet<u64> = ids.into_iter().copied().collect();
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
