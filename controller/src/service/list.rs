//! Pages of a collection, by name.

use rempart_api::{ListMetadata, ResourceList, Urn};
use rempart_model::placement::Verdicts;
use rempart_model::{Presentation, SHARED_TENANT, State, view_of};

use super::call::Page;
use super::error::ServiceError;
use super::opened;
use crate::pki::Sealer;

/// One page. Reads no more of the collection than it shows.
pub(super) fn list(
    state: &State,
    from: &Urn,
    page: &Page,
    show: Presentation<'_>,
    sealer: &Sealer,
) -> Result<ResourceList, ServiceError> {
    if let Some(parent) = from.parent()
        && state.get(&parent).is_none()
    {
        return Err(ServiceError::not_found(&parent));
    }
    // Many that wait for the same are explained at the cost of one.
    let verdicts = Verdicts::default();
    let show = Presentation { verdicts: Some(&verdicts), ..show };
    let start = Urn { name: page.after.clone().unwrap_or_default(), ..from.clone() };
    let beyond = |name: &str| page.after.as_deref().is_none_or(|after| name > after);
    let own = state.collection(&start).filter(|object| beyond(&object.urn.name));
    let shared_start = Urn { tenant: SHARED_TENANT.to_owned(), ..start.clone() };
    let aliased = from.kind.info().catalogue && from.tenant != SHARED_TENANT;
    let shared = aliased.then(|| state.collection(&shared_start).filter(|object| beyond(&object.urn.name)));

    // Two runs sorted by name, merged; the tenant's own entry hides a shared one of the same name.
    let mut own = own.peekable();
    let mut shared = shared.into_iter().flatten().peekable();
    let mut items = Vec::new();
    let mut more = false;
    loop {
        let next = match (own.peek(), shared.peek()) {
            (None, None) => break,
            (Some(_), None) => own.next(),
            (None, Some(_)) => shared.next(),
            (Some(mine), Some(theirs)) if mine.urn.name <= theirs.urn.name => {
                if mine.urn.name == theirs.urn.name {
                    shared.next();
                }
                own.next()
            }
            _ => shared.next(),
        };
        let Some(object) = next else { break };
        if items.len() == page.limit {
            more = true;
            break;
        }
        let asked = Urn { name: object.urn.name.clone(), ..from.clone() };
        items.push(view_of(state, &*opened(sealer, object)?, &asked, show));
    }
    let last = items.last().map(|item| item.metadata.name.clone());
    let info = from.kind.info();
    let resource = match from.network.as_str() {
        "" => info.collection.to_owned(),
        network => format!("networks/{network}/{}", info.collection),
    };
    Ok(ResourceList {
        items,
        metadata: ListMetadata {
            provider: info.provider.id().to_owned(),
            resource,
            verb: show.verb.to_owned(),
            skip_token: last.filter(|_| more),
        },
    })
}
