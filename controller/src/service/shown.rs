//! Objects as text, and the texts of those that were shown lately.
//!
//! ```text
//!   object, circumstances ── the same as those of the text kept for it? ── yes ──> that text
//!                                                                     └── no  ──> made anew, and kept in its stead
//! ```
//!
//! What is shown of an object follows from the object, which never changes (a change makes another one), from its
//! circumstances, and from what is fixed for a replica. So a text that is kept is never out of date, and nobody has to
//! tell when it would be.
//!
//! A text belongs on one shelf, by the uid of its object, and the oldest there makes room for it. So no more is kept than
//! the shelves hold, however much is listed; and as a shelf holds several, those of a page do not take each other's place.
//! Not kept: what holds a secret in clear, what is long, what somebody sees under a name of their own.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rempart_api::Urn;
use rempart_model::{Circumstances, Object, Presentation, State, circumstances, view_in};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::error::{Fault, ServiceError};
use crate::pki::Sealer;

/// Texts that are kept: so many shelves, and so many on each.
const SHELVES: usize = 4096;
const SHELF: usize = 4;
/// Longest text that is kept: with all shelves full of such, 64 MiB.
const LONGEST_BYTES: usize = 4096;

/// JSON text, made here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Json(Bytes);

impl Json {
    /// Of a value.
    ///
    /// # Errors
    /// A fault of ours: it cannot be written as JSON.
    pub(super) fn of(value: &impl Serialize) -> Result<Json, ServiceError> {
        let text = serde_json::to_vec(value);
        Ok(Json(text.map_err(|error| ServiceError::Fault(Fault::Internal(error.to_string())))?.into()))
    }

    /// Of what was written as such.
    pub(super) fn written(text: Vec<u8>) -> Json {
        Json(text.into())
    }

    /// The text.
    pub fn bytes(self) -> Bytes {
        self.0
    }
}

/// As what it says: a replica that passed a call on reads the leader's answer.
impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Json(String::from(Box::<str>::from(raw)).into()))
    }
}

struct Kept {
    object: Arc<Object>,
    circumstances: Circumstances,
    text: Bytes,
}

/// Texts whose objects' uids share a remainder, the youngest first.
#[derive(Default)]
struct Shelf([Option<Kept>; SHELF]);

impl Shelf {
    fn find(&self, object: &Arc<Object>, circumstances: &Circumstances) -> Option<Bytes> {
        let mut all = self.0.iter().flatten();
        let kept =
            all.find(|kept| Arc::ptr_eq(&kept.object, object) && kept.circumstances == *circumstances)?;
        Some(kept.text.clone())
    }

    /// In the place of what was kept of the same resource, or of the oldest.
    fn keep(&mut self, kept: Kept) {
        let same =
            |place: &Option<Kept>| place.as_ref().is_some_and(|other| other.object.uid == kept.object.uid);
        let place = self.0.iter().position(same).unwrap_or(SHELF - 1);
        self.0[..=place].rotate_right(1);
        self.0[0] = Some(kept);
    }
}

/// The texts of a replica.
pub(super) struct Shown(Box<[Mutex<Shelf>]>);

impl Shown {
    pub(super) fn new() -> Shown {
        Shown((0..SHELVES).map(|_| Mutex::default()).collect())
    }

    /// `object` of `state` as a reader in `tenant` sees it: the shared catalogue appears under their own.
    pub(super) fn text(
        &self,
        state: &State,
        object: &Arc<Object>,
        tenant: &str,
        show: Presentation<'_>,
        sealer: &Sealer,
    ) -> Result<Json, ServiceError> {
        let circumstances = circumstances(state, object, show);
        let mut shelf = None;
        if object.urn.tenant == tenant {
            let own = &self.0[object.uid.as_u128() as usize % SHELVES];
            let own = || own.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(text) = own().find(object, &circumstances) {
                return Ok(Json(text));
            }
            shelf = Some(own);
        }
        let asked = match shelf {
            Some(_) => Cow::Borrowed(&*object.urn),
            None => Cow::Owned(Urn { tenant: tenant.to_owned(), ..(*object.urn).clone() }),
        };
        let opened = opened(sealer, object)?;
        let json = Json::of(&view_in(state, &opened, &asked, show, circumstances.clone()))?;
        if let (Some(shelf), Cow::Borrowed(_)) = (shelf, opened)
            && json.0.len() <= LONGEST_BYTES
        {
            shelf().keep(Kept { object: object.clone(), circumstances, text: json.0.clone() });
        }
        Ok(json)
    }
}

/// The object as its owner and its operators see it: with its secrets in clear.
pub(super) fn opened<'a>(sealer: &Sealer, object: &'a Object) -> Result<Cow<'a, Object>, ServiceError> {
    sealer.open(object).map_err(|closed| ServiceError::Fault(Fault::Internal(closed.to_string())))
}

#[cfg(test)]
mod tests;
