//! What has lasted too long: said, and where that is what it means, said to have failed. Nothing is undone by it.

use rempart_api::Phase;

use super::Tx;
use crate::answer::{Answer, Outcome};
use crate::command::{ExpireCommand, Expired};
use crate::object::Object;
use crate::transition::{Overdue, overdue, stand};

impl Tx {
    /// Says it of every object that is still where it was judged to be.
    pub(super) fn expire(&mut self, command: &ExpireCommand) -> Outcome {
        for expired in &command.objects {
            if let Some(object) = self.still_there(expired) {
                self.say_overdue(object, expired);
            }
        }
        Ok(Answer::Done)
    }

    fn still_there(&self, judged: &Expired) -> Option<Object> {
        let object = self.state.by_uid(judged.uid)?;
        let now = stand(&self.state, object)?;
        let same = now.step == judged.step
            && now.since == judged.since
            && object.resource_version == judged.resource_version
            && object.host_generation() == judged.host_generation;
        (same && overdue(&self.state, object).is_none()).then(|| (**object).clone())
    }

    fn say_overdue(&mut self, mut object: Object, expired: &Expired) {
        let &Expired { resource_version, host_generation, step, since, after_s, .. } = expired;
        let at = self.now;
        object.overdue =
            Some(Box::new(Overdue { step, since, at, after_s, resource_version, host_generation }));
        let fails = match object.status.state {
            Phase::Creating | Phase::Updating => step.fails(),
            // A guest that does not come back is not what it was said to be; one at which something else fails may well be.
            Phase::Active => step.has_failed(),
            Phase::Pending | Phase::Deleting | Phase::Error => false,
        };
        if fails {
            object.status.enter(Phase::Error, at);
        }
        self.write(object);
    }
}
