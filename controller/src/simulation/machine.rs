//! The production machine ([`Applier`]), watched.

use std::io;

use crate::raft::{Committed, Frozen, Machine, Payload, Position, Response};
use crate::replica::Applier;

use super::ledger::Ledger;

/// See the module.
pub(super) struct Watched {
    pub(super) id: u64,
    pub(super) applier: Applier,
    pub(super) ledger: Ledger,
}

impl Machine for Watched {
    fn resume(&self) -> Option<Position> {
        self.applier.resume()
    }

    fn apply(&mut self, entry: Committed<'_>) -> io::Result<Response> {
        let response = self.applier.apply(entry)?;
        let proposal = match entry.payload {
            Payload::Proposal(bytes) => Some(&**bytes),
            Payload::Blank | Payload::Membership(_) => None,
        };
        self.ledger.applied(self.id, entry.index, proposal, response.0.as_deref());
        Ok(response)
    }

    fn batch_applied(&mut self) {
        self.applier.batch_applied();
    }

    fn freeze(&mut self) -> Box<dyn Frozen> {
        self.ledger.count("snapshot begun");
        self.applier.freeze()
    }

    async fn install(&mut self, position: &Position, content: &mut (dyn io::Read + Send)) -> io::Result<()> {
        self.ledger.pages().machines.insert(self.id, position.index());
        self.ledger.count("snapshot installed");
        self.applier.install(position, content).await
    }
}
