//! What the hosts of this process have, and which controllers they are in touch with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rempart_agent::disk::simulated::SimulatedDisks;
use rempart_agent::execute::SharedLedger;
use rempart_agent::identity::Controllers;
use rempart_agent::vm::Hypervisor as _;
use rempart_agent::vm::simulated::Simulated;
use serde::Serialize;

/// All hosts.
#[derive(Default)]
pub(crate) struct Crowd {
    members: Mutex<Vec<Member>>,
    /// Open sessions by the controller's address.
    sessions: Mutex<BTreeMap<String, usize>>,
}

/// What is looked at of one host.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) hypervisor: Arc<Simulated>,
    pub(crate) ledger: SharedLedger,
    pub(crate) disks: Arc<SimulatedDisks>,
}

/// What is on all hosts together.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Seen {
    hosts: usize,
    domains: usize,
    running: usize,
    /// What ledgers hold of instances and volumes.
    records: usize,
    /// Volumes, seeds and directories of guests.
    files: usize,
}

impl Crowd {
    pub(crate) fn add(&self, member: Member) {
        lock(&self.members).push(member);
    }

    /// Looks at all hosts. Blocks.
    pub(crate) fn look(&self) -> Seen {
        let members = lock(&self.members).clone();
        let mut seen = Seen { hosts: members.len(), ..Seen::default() };
        for Member { hypervisor, ledger, disks } in members {
            let domains = hypervisor.domains().unwrap_or_default();
            seen.domains += domains.len();
            seen.running += domains.iter().filter(|domain| domain.running).count();
            let ledger = ledger.lock().snapshot();
            seen.records += ledger.instances.len() + ledger.volumes.len();
            let content = disks.content();
            seen.files += content.volumes + content.seeds + content.run_dirs;
        }
        seen
    }

    /// Open sessions by the controller's address.
    pub(crate) fn sessions(&self) -> BTreeMap<String, usize> {
        lock(&self.sessions).clone()
    }

    /// Counts the session of one host, for as long as it has one.
    pub(crate) async fn follow(self: Arc<Self>, controllers: Controllers) {
        let mut leader = controllers.follow_leader();
        drop(controllers);
        let mut counted: Option<String> = None;
        loop {
            let now = leader.borrow_and_update().clone();
            if now != counted {
                let mut sessions = lock(&self.sessions);
                if let Some(count) = counted.as_ref().and_then(|address| sessions.get_mut(address)) {
                    *count -= 1;
                }
                if let Some(address) = &now {
                    *sessions.entry(address.clone()).or_default() += 1;
                }
                counted = now;
            }
            if leader.changed().await.is_err() {
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
