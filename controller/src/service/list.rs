//! Pages of a collection, by name.
//!
//! ```text
//!   token -> name after which to begin -> slices of the collection, in order -> texts -> token of the next page
//! ```
//!
//! What always holds: a page is of one State; it begins behind a name, so that what is created or deleted between two pages
//! neither repeats nor hides anything else; a page with a token is not empty (the official client stops at one that is).
//!
//! **Bounds.** A page looks at no more than [`SLICE`] objects (fewer of many labels, if the selector has many stars) once it has an item, however few its selector selects: then
//! it ends early, with a token. Only a page that would be empty goes on, slice by slice, to the first item or the end. One
//! such slice at a time is worked on in a replica, first come, first served, so that a search for what is not there takes no
//! more than its share, whoever repeats it.
//!
//! Nor does a page grow beyond [`PAGE_BYTES`] by more than an object (1 MiB), and others have their turn every [`TURN_BYTES`].
//!
//! Deliberately absent: an index of labels. It would make every write dearer and the State larger for what is a scan of
//! some milliseconds per 10,000 objects.

use std::sync::Arc;

use bytes::Bytes;
use rempart_api::{ListMetadata, Urn};
use rempart_model::placement::Verdicts;
use rempart_model::{Object, Presentation, SHARED_TENANT, Seen, State, system_roles};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::call::{Deleted, Page};
use super::error::{Fault, ServiceError};
use super::shown::{Json, Shown};
use crate::pki::Sealer;

pub(super) mod selector;
mod token;

/// Objects looked at in one go: fewer, where many patterns meet many labels.
const SLICE: usize = 10_000;
/// Looks at labels that cost as much as another object.
const LOOKS: usize = 8;
/// Text made in one go, in bytes.
const TURN_BYTES: usize = 256 << 10;
/// A page that has grown to this size ends there, with a token.
const PAGE_BYTES: usize = 8 << 20;

/// What lists need of a replica.
pub(super) struct Lists {
    /// For slices beyond a page's first.
    searches: Semaphore,
    shown: Arc<Shown>,
}

/// What is asked for.
pub(super) struct Query<'a> {
    /// The collection.
    pub(super) from: &'a Urn,
    /// Its tenant, by the name it is shown by.
    pub(super) tenant: &'a str,
    /// Which part of it.
    pub(super) page: &'a Page,
    /// What of it the caller may see.
    pub(super) allowed: Seen,
}

/// What was found.
struct Found {
    objects: Vec<Arc<Object>>,
    /// Name of the last object that was looked at; empty before the first.
    seen: String,
    /// There may be more behind it.
    more: bool,
}

impl Lists {
    pub(super) fn new(shown: Arc<Shown>) -> Lists {
        Lists { searches: Semaphore::new(1), shown }
    }

    /// One page.
    ///
    /// # Errors
    /// When the parent does not exist, the token is not of this list, or too many search at the same time.
    pub(super) async fn list<'a>(
        &self,
        state: &State,
        query: &Query<'_>,
        show: &(dyn Fn() -> Presentation<'a> + Sync),
        sealer: &Sealer,
        deadline: Instant,
    ) -> Result<Json, ServiceError> {
        let Query { from, page, .. } = *query;
        if let Some(parent) = from.parent()
            && state.get(&parent).is_none()
        {
            return Err(ServiceError::not_found(&parent));
        }
        let seen = match &page.skip_token {
            Some(token) => token::read(sealer, from, page, token)?,
            None => String::new(),
        };
        let mut found = Found { objects: Vec::new(), seen, more: true };
        slice(state, query, &mut found);
        while found.objects.is_empty() && found.more {
            let turn = timeout_at(deadline, self.searches.acquire()).await;
            let Ok(_turn) = turn else { return Err(ServiceError::Fault(Fault::ManySearches)) };
            slice(state, query, &mut found);
            tokio::task::yield_now().await;
        }
        let mut items = Vec::with_capacity(found.objects.len());
        let mut page_bytes = 0;
        while items.len() < found.objects.len() && page_bytes < PAGE_BYTES {
            if !items.is_empty() {
                tokio::task::yield_now().await;
            }
            let rest = &found.objects[items.len()..];
            page_bytes += self.show(state, query.tenant, rest, show(), sealer, &mut items)?;
        }
        if items.len() < found.objects.len() {
            found.objects.truncate(items.len());
            found.seen = found.objects.last().map(|last| last.urn.name.clone()).unwrap_or_default();
            found.more = true;
        }
        let info = from.kind.info();
        let resource = match from.network.as_str() {
            "" => info.collection.to_owned(),
            network => format!("networks/{network}/{}", info.collection),
        };
        let metadata = Json::of(&ListMetadata {
            provider: info.provider.id().to_owned(),
            resource,
            verb: show().verb.to_owned(),
            skip_token: found.more.then(|| token::write(sealer, from, page, &found.seen)),
        })?;
        let metadata = metadata.bytes();
        let bytes = items.iter().map(|item| item.len() + 1).sum::<usize>() + metadata.len() + 32;
        let mut text = Vec::with_capacity(bytes);
        text.extend_from_slice(br#"{"items":["#);
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                text.push(b',');
            }
            text.extend_from_slice(item);
        }
        text.extend_from_slice(br#"],"metadata":"#);
        text.extend_from_slice(&metadata);
        text.push(b'}');
        Ok(Json::written(text))
    }

    /// The texts of the first of these objects of one State, as a reader in `tenant` sees them: as many as are made in one go.
    /// Gives their size, in bytes.
    fn show(
        &self,
        state: &State,
        tenant: &str,
        objects: &[Arc<Object>],
        show: Presentation<'_>,
        sealer: &Sealer,
        items: &mut Vec<Bytes>,
    ) -> Result<usize, ServiceError> {
        // Many that wait for the same are explained at the cost of one.
        let verdicts = Verdicts::default();
        let show = Presentation { verdicts: Some(&verdicts), ..show };
        let mut bytes = 0;
        for object in objects {
            let text = self.shown.text(state, object, tenant, show, sealer)?.bytes();
            bytes += text.len();
            items.push(text);
            if bytes >= TURN_BYTES {
                break;
            }
        }
        Ok(bytes)
    }
}

/// Looks at objects behind `found.seen`: until the page is full, the collection ends, or it was enough for one go.
fn slice(state: &State, query: &Query<'_>, found: &mut Found) {
    let Query { from, page, .. } = *query;
    let start = Urn { name: found.seen.clone(), ..from.clone() };
    let shared_start = Urn { tenant: SHARED_TENANT.to_owned(), ..start.clone() };
    let aliased = from.kind.info().catalogue && from.tenant != SHARED_TENANT;
    let behind = |object: &&Arc<Object>| object.urn.name > start.name;
    let mut own = state.collection(&start).filter(behind).peekable();
    let shared = aliased.then(|| state.collection(&shared_start).filter(behind));
    let system = system_roles(&start).map(|role| -> &Arc<Object> { role }).filter(behind);
    let mut shared = shared.into_iter().flatten().chain(system).peekable();
    let mut seen = None;
    let mut cost = 0;
    while cost < SLICE {
        // Two runs sorted by name, merged; the tenant's own entry hides a shared one of the same name.
        let next = match (own.peek(), shared.peek()) {
            (Some(mine), Some(theirs)) if mine.urn.name == theirs.urn.name => {
                shared.next();
                own.next()
            }
            (Some(mine), Some(theirs)) if mine.urn.name > theirs.urn.name => shared.next(),
            (Some(_), _) => own.next(),
            (None, _) => shared.next(),
        };
        let Some(object) = next else {
            found.more = false;
            break;
        };
        cost += 1 + page.selector.as_ref().map_or(0, |selector| selector.looks(&object.labels) / LOOKS);
        if is_wanted(query, object) {
            // One more than fits: there is a next page, and it has an item.
            if found.objects.len() == page.limit {
                break;
            }
            found.objects.push(object.clone());
        }
        seen = Some(object);
    }
    if let Some(object) = seen {
        found.seen.clone_from(&object.urn.name);
    }
}

fn is_wanted(query: &Query<'_>, object: &Object) -> bool {
    let page = query.page;
    if let Seen::Only(names) = &query.allowed
        && !names.contains(&object.urn.name)
    {
        return false;
    }
    let by_deletion = match page.deleted {
        Deleted::Exclude | Deleted::Include => true,
        Deleted::Only => object.is_deleting(),
    };
    by_deletion && page.selector.as_ref().is_none_or(|selector| selector.matches(&object.labels))
}

#[cfg(test)]
mod tests;
