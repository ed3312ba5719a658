//! What State knows by other keys than names, kept with every change of an object.

use std::sync::Arc;

use rempart_api::{Kind, Urn};
use uuid::Uuid;

use super::State;
use crate::kinds::Spec;
use crate::object::Object;
use crate::transition::may_be_under_way;

impl State {
    /// Keeps every index: `old` is in State no more, `new` is now. What both of them say alike is not touched: most changes of an
    /// object are of its status, which no index is about.
    pub(super) fn index(&mut self, old: Option<&Object>, new: Option<&Arc<Object>>) {
        let Some(urn) = new.map(|new| &new.urn).or(old.map(|old| &old.urn)) else { return };
        let (before, now) = (old.map(Entries::of), new.map(|new| Entries::of(new)));
        if before != now {
            if let Some(entries) = before {
                self.remove_entries(urn, &entries);
            }
            if let Some(entries) = now {
                self.add_entries(urn, &entries);
            }
        }
        // What an instance of the same spec refers to is the same; a NIC has its subnet beside its spec.
        let same_links = old.zip(new).is_some_and(|(old, new)| old.spec == new.spec) && urn.kind != Kind::Nic;
        if !same_links {
            for target in old.map(|old| self.strong_targets(old)).unwrap_or_default() {
                self.referrers.remove(&(Arc::new(target), urn.clone()));
            }
            for target in new.map(|new| self.strong_targets(new)).unwrap_or_default() {
                self.referrers.insert((Arc::new(target), urn.clone()));
            }
        }
        self.index_of_its_kind(old, new);
        if urn.kind == Kind::Host {
            self.keep_room(old, new.map(|new| &**new));
        }
        self.take_room(old, new);
        self.count(old, new.map(|new| &**new));
        self.count_child(urn, old, new.map(|new| &**new));
    }

    fn remove_entries(&mut self, urn: &Arc<Urn>, entries: &Entries<'_>) {
        self.by_uid.remove(&entries.uid);
        if let Some(host) = entries.host {
            self.placed.remove(&(host.to_owned(), urn.clone()));
        }
        if entries.waits {
            self.waiting.remove(urn);
        }
        if entries.under_way {
            self.under_way.remove(urn);
        }
    }

    fn add_entries(&mut self, urn: &Arc<Urn>, entries: &Entries<'_>) {
        self.by_uid.insert(entries.uid, urn.clone());
        if let Some(host) = entries.host {
            self.placed.insert((host.to_owned(), urn.clone()));
        }
        if entries.waits {
            self.waiting.insert(urn.clone());
        }
        if entries.under_way {
            self.under_way.insert(urn.clone());
        }
    }

    /// Indexes of what few kinds have.
    fn index_of_its_kind(&mut self, old: Option<&Object>, new: Option<&Arc<Object>>) {
        if let Some(old) = old {
            if let Spec::TokenRevocation(revocation) = &old.spec {
                self.revoked.remove(&(revocation.subject.clone(), old.urn.clone()));
            }
            self.take_back(old);
            for claim in old.claims() {
                self.claims.release(claim, &old.urn);
            }
            if old.urn.kind == Kind::Subnet {
                self.subnets.remove(&anywhere(&old.urn));
            }
        }
        if let Some(new) = new {
            if let Spec::TokenRevocation(revocation) = &new.spec {
                self.revoked.insert((revocation.subject.clone(), new.urn.clone()));
            }
            self.give(new);
            for claim in new.claims() {
                self.claims.take(claim, &new.urn);
            }
            if new.urn.kind == Kind::Subnet {
                self.subnets.insert(anywhere(&new.urn));
            }
        }
    }

    fn count_child(&mut self, urn: &Urn, old: Option<&Object>, new: Option<&Object>) {
        let share = |object: Option<&Object>| {
            (u64::from(object.is_some()), u64::from(object.is_some_and(|object| !object.is_deleting())))
        };
        let (before, now) = (share(old), share(new));
        if before == now {
            return;
        }
        let Some(parent) = urn.parent() else { return };
        let mut children = self.children.get(&parent).copied().unwrap_or_default();
        children.total = children.total + now.0 - before.0;
        children.live = children.live + now.1 - before.1;
        if children.total == 0 {
            self.children.remove(&parent);
        } else {
            self.children.insert(Arc::new(parent), children);
        }
    }
}

/// What an object has in the indexes by uid, by host and by what it waits for.
#[derive(PartialEq)]
struct Entries<'a> {
    uid: Uuid,
    host: Option<&'a str>,
    waits: bool,
    under_way: bool,
}

impl Entries<'_> {
    fn of(object: &Object) -> Entries<'_> {
        let placement = object.placement();
        Entries {
            uid: object.uid,
            host: placement.map(|placement| placement.host.as_str()),
            waits: object.urn.kind == Kind::Instance && placement.is_none() && !object.is_deleting(),
            under_way: may_be_under_way(object),
        }
    }
}

fn anywhere(subnet: &Urn) -> (Urn, String) {
    (Urn { network: String::new(), ..subnet.clone() }, subnet.network.clone())
}
