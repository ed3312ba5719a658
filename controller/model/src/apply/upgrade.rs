//! The cluster version goes up, one at a time; see `version.rs`.

use super::Tx;
use crate::answer::{Answer, Outcome};
use crate::command::{Command, UpgradeCommand};
use crate::refusal::Refusal;

impl Tx {
    pub(super) fn upgrade(&mut self, command: &UpgradeCommand) -> Outcome {
        let now = self.state.core.version;
        if command.version <= now {
            return Ok(Answer::Done);
        }
        if command.version != now.next() {
            return Err(Refusal::conflict(format!(
                "the cluster is at version {now}, and goes to version {} next, not to {}",
                now.next(),
                command.version
            )));
        }
        self.state.core.version = command.version;
        Ok(Answer::Done)
    }

    /// What a version brings is not done before State says so, whoever wrote it.
    pub(super) fn check_switched_on(&self, command: &Command) -> Result<(), Refusal> {
        let (now, since) = (self.state.core.version, command.since());
        if now >= since {
            return Ok(());
        }
        Err(Refusal::conflict(format!(
            "this needs cluster version {since}, and the cluster is at {now}: it goes up by itself once every controller runs \
             a release that knows it"
        )))
    }
}
