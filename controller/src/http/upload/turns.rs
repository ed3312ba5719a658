//! Whose turn it is to send: few at a time, and no tenant has them all.
//!
//! What always holds: a turn ends with the upload it was taken for, however that ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Uploads that a replica takes at a time.
const ALL: usize = 16;
/// Of these, the most for one tenant.
const OF_A_TENANT: usize = 4;

/// Why there is no turn now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Busy {
    /// The tenant has all it can have.
    Tenant,
    /// Nobody gets one.
    All,
}

/// Uploads under way, by tenant.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<String, usize>>);

impl Turns {
    /// A turn for `tenant`, until it is dropped.
    pub(super) fn take(&self, tenant: &str) -> Result<Turn<'_>, Busy> {
        let mut taken = self.taken();
        let all: usize = taken.values().sum();
        let own = taken.get(tenant).copied().unwrap_or_default();
        if own >= OF_A_TENANT {
            return Err(Busy::Tenant);
        }
        if all >= ALL {
            return Err(Busy::All);
        }
        taken.insert(tenant.to_owned(), own + 1);
        Ok(Turn { turns: self, tenant: tenant.to_owned() })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn. Dropped, it is another's.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    tenant: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.taken();
        if let Some(own) = taken.get_mut(&self.tenant) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_its_share_and_no_more() {
        let turns = Turns::default();
        let mut own: Vec<_> = (0..OF_A_TENANT).map(|_| turns.take("a").expect("its share")).collect();
        assert_eq!(turns.take("a").err(), Some(Busy::Tenant));
        drop(own.pop());
        own.push(turns.take("a").expect("one is free again"));
        let others: Vec<_> = ["b", "c", "d"]
            .iter()
            .flat_map(|tenant| (0..OF_A_TENANT).map(|_| turns.take(tenant).expect("its share")))
            .collect();
        assert_eq!(turns.take("e").err(), Some(Busy::All));
        assert_eq!(turns.take("a").err(), Some(Busy::Tenant), "it hears of its own first");
        drop(others);
        drop(own);
        assert!(turns.taken().is_empty(), "who has none is not remembered");
    }
}
