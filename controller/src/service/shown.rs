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
//! A text has one place, by the uid of its object; another one of that place takes it. So no more is kept than there are
//! places, however much is listed. Not kept: what holds a secret in clear, what is long, what somebody sees
//! under a name of their own.

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

/// Texts that are kept.
const PLACES: usize = 16_384;
/// Longest text that is kept: with all places taken by such, 64 MiB.
const LONGEST_BYTES: usize = 4096;

/// JSON text, made here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Json(Bytes);

impl Json {
    /// Of a value.
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

/// The texts of a replica.
pub(super) struct Shown(Box<[Mutex<Option<Kept>>]>);

impl Shown {
    pub(super) fn new() -> Shown {
        Shown((0..PLACES).map(|_| Mutex::default()).collect())
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
        let mut place = None;
        if object.urn.tenant == tenant {
            let index = object.uid.as_u128() as usize % PLACES;
            let kept = self.0[index].lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(kept) = &*kept
                && Arc::ptr_eq(&kept.object, object)
                && kept.circumstances == circumstances
            {
                return Ok(Json(kept.text.clone()));
            }
            place = Some(index);
        }
        let asked = match place {
            Some(_) => Cow::Borrowed(&*object.urn),
            None => Cow::Owned(Urn { tenant: tenant.to_owned(), ..(*object.urn).clone() }),
        };
        let opened = opened(sealer, object)?;
        let json = Json::of(&view_in(state, &opened, &asked, show, circumstances.clone()))?;
        if let (Some(index), Cow::Borrowed(_)) = (place, opened)
            && json.0.len() <= LONGEST_BYTES
        {
            let kept = Kept { object: object.clone(), circumstances, text: json.0.clone() };
            *self.0[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
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
