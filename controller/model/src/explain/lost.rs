//! References whose target has gone, where the reference did not hold it.
//!
//! Computed when shown: once something of that name is there again, nothing is said any more.

use super::Explanation;
use crate::kinds::Strength;
use crate::object::Object;
use crate::state::State;

/// How many of them are named.
const MOST_NAMED: usize = 5;

/// What `object` names that does not exist.
pub(super) fn explain(state: &State, object: &Object) -> Option<Explanation> {
    let links = object.spec.links();
    let mut lost = links
        .iter()
        // What a SKU gave stays in force: only an instance that waits for it misses it, and says so by itself.
        .filter(|link| {
            matches!(link.strength, Strength::AtPut | Strength::Weak) && !link.kind.info().catalogue
        })
        .filter_map(|link| {
            let target = state.target(object, link).ok()?;
            state.get(&target).is_none().then(|| format!("{}: {target} does not exist", link.pointer))
        });
    let some: Vec<_> = lost.by_ref().take(MOST_NAMED).collect();
    if some.is_empty() {
        return None;
    }
    let more = if lost.next().is_some() { "; and more" } else { "" };
    let words = format!("{}{more}. It counts again once there is one of that name.", some.join("; "));
    Some(Explanation::new("ReferenceLost", words.clone(), words))
}
