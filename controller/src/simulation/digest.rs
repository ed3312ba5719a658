//! A number for a whole State, from memory or from what a keeper holds of it: equal if every row is.

use std::collections::BTreeMap;
use std::sync::Arc;

use rempart_api::Urn;
use rempart_model::{Object, State};
use uuid::Uuid;

use crate::store::simulated::Tables;

use super::lots::hash;

/// The digest of a replica's newest State. Keeps what it hashed before: little changes from one State to the next.
#[derive(Default)]
pub(super) struct Digest {
    objects: BTreeMap<Arc<Urn>, (Arc<Object>, u64)>,
    answers: BTreeMap<Uuid, (u64, u64)>,
}

impl Digest {
    pub(super) fn of(&mut self, state: &State) -> u64 {
        let (mut sum, mut objects) = (0_u64, BTreeMap::new());
        for object in state.objects() {
            let known = self.objects.remove(&object.urn).filter(|(known, _)| Arc::ptr_eq(known, object));
            let row = known.map_or_else(|| row(&object.urn, &text(&**object)), |(_, row)| row);
            sum = sum.wrapping_add(row);
            objects.insert(object.urn.clone(), (object.clone(), row));
        }
        self.objects = objects;
        let mut answers = BTreeMap::new();
        for (request_id, index, recorded) in state.answers() {
            let known = self.answers.remove(&request_id).filter(|(known, _)| *known == index);
            let row = known.map_or_else(|| answer(request_id, index, &text(recorded)), |(_, row)| row);
            sum = sum.wrapping_add(row);
            answers.insert(request_id, (index, row));
        }
        self.answers = answers;
        sum.wrapping_add(hash(value(state.core()).to_string()))
    }
}

/// The digest of the State that `tables` hold.
pub(super) fn of_tables(tables: &Tables) -> Option<u64> {
    let core = hash(tables.mark.as_ref()?.core.to_string());
    let resources = tables.resources.iter().map(|(key, kept)| {
        let place = (&*key.kind, &key.tenant, &key.workspace, &key.network, &key.name);
        hash((place, &kept.body))
    });
    let answers = tables.answers.iter().map(|(id, (index, text))| answer(*id, *index, text));
    Some(resources.chain(answers).fold(core, u64::wrapping_add))
}

fn row(urn: &Urn, body: &String) -> u64 {
    let place = (urn.kind.info().name, &urn.tenant, &urn.workspace, &urn.network, &urn.name);
    hash((place, body))
}

fn answer(request_id: Uuid, index: u64, text: &str) -> u64 {
    hash((request_id.as_u128(), index, text))
}

fn text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn value<T: serde::Serialize>(of: &T) -> serde_json::Value {
    serde_json::to_value(of).unwrap_or_default()
}
