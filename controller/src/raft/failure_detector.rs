//! Noticing at once that the leader's process has ended, instead of after its silence.
//!
//! Every replica holds a call open to every other one. When a process ends, however it ends, its kernel closes what it had
//! open: the calls end. Whoever held one dials again at once, and if nobody listens there any more, and the one that is gone led,
//! gives up its own lease for that leader and stands for election by pre-vote.
//!
//! ```text
//!   call to P ends --dial--> taken, or no answer: nothing is known; the timeouts judge
//!                    |
//!                    '-----> refused --P led, and holds no call to this replica--> lease dropped, pre-vote
//!                               ^                                                        |
//!                               '------- again, later and later, while the term is P's --'
//! ```
//!
//! This decides when an election begins, never who wins it: votes, terms, logs and pre-vote are Raft's.
//!
//! # Invariants
//!
//! - Only a refusal counts, by every place the address stands for. A peer that sleeps, is cut off, or answers with an error is
//!   none.
//! - Not while the leader holds a call open to this replica: it lives, whatever became of its listener.
//! - A leader is deposed only if a majority has seen all this: the others keep their lease for it and refuse the pre-vote.
//! - One leadership is given up once, for [`Node::silence_max`] at most, and no other within [`AGAIN`]: whatever the network
//!   does, there is no storm of elections.
//!
//! # Deliberately absent
//!
//! - Any meaning for learners, or before there is a leader: then the timeouts are all there is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::select_all;
use openraft::{async_runtime::watch::WatchReceiver, raft::TransferLeaderRequest};
use tokio::time::{Instant, sleep};

use super::{Node, engine::Vote};

/// How long to wait before dialling again, at first: a listener may close a moment after the connections did.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// And at most: it doubles.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How much later each further voter stands, so that the first has won or lost by then.
const TURN: Duration = Duration::from_millis(20);

/// How long a leadership that follows one that was given up is left to the timeouts.
const AGAIN: Duration = Duration::from_secs(1);

/// Whose calls are open to this replica. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Holders(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    begun: u64,
    /// The newest call of each peer: an older one is of a connection whose end was not heard yet.
    newest: BTreeMap<u64, u64>,
}

impl Holders {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of `peer` that is open until this is dropped.
    pub(super) fn hold(&self, peer: u64) -> Hold {
        let mut held = self.held();
        held.begun += 1;
        let number = held.begun;
        held.newest.insert(peer, number);
        Hold { holders: self.clone(), peer, number }
    }

    pub(super) fn is_held_by(&self, peer: u64) -> bool {
        self.held().newest.contains_key(&peer)
    }
}

/// An open call.
#[derive(Debug)]
pub(super) struct Hold {
    holders: Holders,
    peer: u64,
    number: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.holders.held();
        if held.newest.get(&self.peer) == Some(&self.number) {
            held.newest.remove(&self.peer);
        }
    }
}

/// The last leadership that this replica gave up before its time, and since when.
type GivenUp = Mutex<Option<(Vote, Instant)>>;

/// Holds a call to every other member, as members come and go, and acts on how they end.
pub(super) async fn run(node: Node) {
    let mut members = node.members();
    let given_up = GivenUp::default();
    let mut lines = BTreeMap::new();
    loop {
        let mut wanted = members.borrow_and_update().addresses.clone();
        wanted.remove(&node.replica_id());
        lines.retain(|(id, address), _| wanted.get(id) == Some(address));
        for (id, address) in wanted {
            lines
                .entry((id, address.clone()))
                .or_insert_with(|| Box::pin(hold(node.clone(), &given_up, id, address)));
        }
        let ended = async {
            match lines.is_empty() {
                true => std::future::pending().await,
                false => select_all(lines.values_mut()).await,
            }
        };
        tokio::select! {
            biased;
            changed = members.changed() => if changed.is_err() { return },
            _ = ended => return,
        }
    }
}

/// Holds one call after the other to `peer`. Ends with consensus.
async fn hold(node: Node, given_up: &GivenUp, peer: u64, address: String) {
    let mut pause = PAUSE_MIN;
    loop {
        let begun = Instant::now();
        let refused = node.network().peer(peer, &address).hold().await;
        if begun.elapsed() >= PAUSE_MAX {
            pause = PAUSE_MIN;
            continue;
        }
        if refused && stand(&node, given_up, peer).await.is_err() {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// `peer` refuses connections: if it led, stands for election as soon as it is this replica's turn.
async fn stand(node: &Node, given_up: &GivenUp, peer: u64) -> Result<(), String> {
    let (vote, turn) = {
        let reports = node.raft().server_metrics();
        let report = reports.borrow_watched();
        // The highest id first: among candidates of one term, and with equal logs, it would win.
        let mut order: Vec<u64> = report.membership_config.voter_ids().filter(|id| *id != peer).collect();
        order.sort_unstable_by(|one, other| other.cmp(one));
        let turn = order.iter().position(|id| *id == node.replica_id());
        let led = report.current_leader == Some(peer) && report.vote.committed;
        let (true, Some(turn)) = (led, turn) else { return Ok(()) };
        (report.vote, u32::try_from(turn).unwrap_or(u32::MAX))
    };
    if node.holders().is_held_by(peer) {
        return Ok(());
    }
    let Some((since, is_news)) = give_up(given_up, vote, node.silence_max()) else { return Ok(()) };
    if is_news {
        tracing::info!(
            replica = node.replica_id(),
            leader = peer,
            term = vote.leader_id.term,
            "the leader's process has ended: standing for election"
        );
    }
    // A hand-over to somebody else: what it does here is to drop the lease, if this is still the vote.
    let gone = TransferLeaderRequest::new(vote, peer, None);
    node.raft().handle_transfer_leader(gone).await.map_err(|fatal| fatal.to_string())?.ok();
    if since.elapsed() >= TURN.saturating_mul(turn) {
        #[cfg(test)]
        super::simulated::met("election before any timeout");
        node.raft().trigger().elect(true).await.map_err(|fatal| fatal.to_string())?;
    }
    Ok(())
}

/// Since when the leadership of `vote` is given up, and whether that is new; none if it is not to be, any more or yet.
fn give_up(given_up: &GivenUp, vote: Vote, within: Duration) -> Option<(Instant, bool)> {
    let mut given_up = given_up.lock().unwrap_or_else(PoisonError::into_inner);
    match *given_up {
        Some((last, since)) if last == vote => (since.elapsed() < within).then_some((since, false)),
        Some((_, since)) if since.elapsed() < AGAIN => None,
        _ => Some((given_up.insert((vote, Instant::now())).1, true)),
    }
}

#[cfg(test)]
mod tests;
