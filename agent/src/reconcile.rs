//! The core: drives the host towards the ledger, whatever happened before.
//!
//! ```text
//!   bells (desired changed, a domain changed, a step ended, a timer) ring
//!     -> collect ended steps -> look at the host -> plan -> hand out steps -> publish what was observed -> sleep
//! ```
//!
//! A bell carries nothing but whom it rang for: every round looks afresh at them (`agenda`), and every `look_every` at the
//! whole ledger and host, so a lost or doubled bell costs at most one such interval. Steps of one object run in order, steps of different objects side by side; claims keep two
//! objects' steps from meeting on one volume or image. Steps that end while a round looks at the host keep their
//! claims until the next round, so that no step is planned from a look that was already old.
//!
//! What never happens: two steps for one object, volume or image at a time; a tight loop around a failing step.

use crate::desired::{Object, Presence};
use crate::execute::{ActionError, Executor};
use crate::ledger::Snapshot;
use crate::ledger::power::PowerStep;
use crate::leftovers::{self, Leftovers};
use crate::plan::{self, Action, Claim, ObjectPlan, Pressed, Progress};
use crate::report::{self, Observation};
use crate::stop::Stop;
use crate::vm::HypervisorError;
use crate::world::World;
use rempart_proto::agent::v1::HypervisorHealth;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

pub mod agenda;
mod cache;
mod retry;
#[cfg(test)]
pub(crate) mod tests;

use agenda::{Agenda, Scope, Sight};
use cache::{Cache, Look};
use retry::Retries;

/// Objects whose steps run at the same time.
const CONCURRENT_OBJECTS: usize = 8;
/// Images that are fetched at the same time. They wait for a network, and must not keep steps that do not.
const CONCURRENT_FETCHES: usize = 2;
/// From a look at everything to the next round at least: bells that ring meanwhile share it.
const GAP_AFTER_EVERYTHING: Duration = Duration::from_millis(20);
/// How long steps under way may take to end when the agent stops.
const FAREWELL: Duration = Duration::from_secs(20);

/// The newest observation; none until the host was looked at for the first time.
pub type Observations = watch::Receiver<Option<Arc<Observation>>>;

/// A power button that was pressed for a stop.
#[derive(Debug, Clone, Copy)]
struct Button {
    generation: u64,
    first: Instant,
    last: Instant,
}

/// The core of an agent.
pub struct Core {
    executor: Executor,
    bell: Arc<Notify>,
    published: watch::Sender<Option<Arc<Observation>>>,
    /// Steps under way, with what they hold.
    running: JoinSet<Ended>,
    claimed: BTreeSet<Claim>,
    retries: Retries,
    pressed: BTreeMap<Uuid, Button>,
    hypervisor: HypervisorHealth,
    /// Bounds how many objects' steps run side by side.
    turns: Arc<Semaphore>,
    /// Bounds how many images are fetched side by side.
    fetch_turns: Arc<Semaphore>,
    cache: Cache,
    leftovers: Leftovers,
    agenda: Agenda,
}

/// Steps of one object that ended.
struct Ended {
    object: Object,
    claims: BTreeSet<Claim>,
    outcome: Result<(), ActionError>,
}

impl Core {
    /// A core, the bell that tells it to look at the ledger again, and what it observes. It looks at the host every
    /// `look_every` even if nothing rings.
    pub fn new(executor: Executor, look_every: Duration) -> (Self, Arc<Notify>, Observations) {
        let bell = Arc::new(Notify::new());
        let (published, observations) = watch::channel(None);
        let image_grace = executor.image_grace;
        let core = Self {
            executor,
            bell: bell.clone(),
            published,
            running: JoinSet::new(),
            claimed: BTreeSet::new(),
            retries: Retries::default(),
            pressed: BTreeMap::new(),
            hypervisor: HypervisorHealth { available: true, reason: String::new(), since_unix_ms: unix_ms() },
            turns: Arc::new(Semaphore::new(CONCURRENT_OBJECTS)),
            fetch_turns: Arc::new(Semaphore::new(CONCURRENT_FETCHES)),
            cache: Cache::new(image_grace),
            leftovers: Leftovers::new(look_every),
            agenda: Agenda::new(look_every),
        };
        (core, bell, observations)
    }

    /// Runs until it is told to stop. Guests keep running.
    pub async fn run(mut self, stop: Stop) {
        let bell = self.bell.clone();
        let mut domains = self.executor.hypervisor.changes();
        let mut domains_ring = true;
        while !stop.is_set() {
            while let Some(ended) = self.running.try_join_next() {
                self.collect(ended);
            }
            let everything = self.round().await.then(tokio::time::Instant::now);
            let pause = self.agenda.pause(Instant::now());
            tokio::select! {
                () = bell.notified() => {}
                rang = domains.changed(), if domains_ring => domains_ring = rang.is_ok(),
                Some(ended) = self.running.join_next() => self.collect(ended),
                () = tokio::time::sleep(pause) => {}
                () = stop.wait() => break,
            }
            if let Some(ended) = everything {
                tokio::time::sleep_until(ended + GAP_AFTER_EVERYTHING).await;
            }
        }
        let farewell = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("steps were still under way; they are taken again at the next start");
        }
    }

    /// Looks, plans, hands out steps, publishes. Says whether it was a look at everything.
    async fn round(&mut self) -> bool {
        let now = Instant::now();
        let asked = self.agenda.take(now);
        let (executor, claimed) = (self.executor.clone(), self.claimed.clone());
        let looked = tokio::task::spawn_blocking(move || agenda::look(&executor, asked, &claimed)).await;
        let sight = match looked {
            Ok(Some(sight)) => sight,
            Ok(None) => return false,
            Err(error) => {
                tracing::error!(%error, "looking at the host failed");
                self.agenda.look_at_everything();
                return true;
            }
        };
        self.agenda.looked(&sight, now);
        let Sight { scope, ledger, world, error, .. } = sight;
        self.note_hypervisor(error);
        let pressed = self.pressed_at(&scope, &ledger, now);
        let input =
            plan::Input { ledger: &ledger, world: &world, host: &self.executor.host, pressed: &pressed };
        let mut plans = plan::plan(input);
        self.judge_absence(&ledger, &mut plans);
        self.retries.keep(|object, desired| {
            !scope.has(object)
                || desired.is_held_by(&ledger)
                    && plans.get(object).is_some_and(|plan| !plan.actions.is_empty())
        });
        for (object, plan) in &plans {
            let grace = plan.wake_after.into_iter().chain(self.retries.wait(object, now)).min();
            if let Some(at) = grace.and_then(|grace| now.checked_add(grace)) {
                self.agenda.due_at(*object, at);
            }
            self.hand_out(*object, plan, &ledger, now);
        }
        if scope.is_everything() {
            self.look_for_leftovers(&ledger, &world, now).await;
        }
        self.publish(&scope, &ledger, &world, &plans);
        if scope.is_everything() {
            self.drop_unneeded_images(&ledger, now).await;
        }
        self.forget_closed(&ledger, &plans).await;
        scope.is_everything()
    }

    /// What steps are at work on is not gone, though nothing was seen of it: they may be about to make it. Said to be gone, it
    /// would be forgotten, and then nobody would look for what they leave.
    fn judge_absence(&self, ledger: &Snapshot, plans: &mut BTreeMap<Object, ObjectPlan>) {
        for (object, plan) in plans {
            let presence = match object {
                Object::Volume(uid) => ledger.volumes.get(uid).map(|record| record.volume.presence),
                Object::Instance(uid) => ledger.instances.get(uid).map(|record| record.instance.presence),
            };
            let gone = plan.progress == Progress::Reached && presence != Some(Presence::Present);
            if gone && self.claimed.contains(&Claim::on(*object)) {
                plan.progress = Progress::Working;
            }
        }
    }

    /// Starts an object's steps unless they have to wait for another try, or for someone else's.
    fn hand_out(&mut self, object: Object, plan: &ObjectPlan, ledger: &Snapshot, now: Instant) {
        if plan.actions.is_empty() || self.retries.wait(&object, now).is_some() {
            return;
        }
        if !plan.claims.is_disjoint(&self.claimed) {
            return self.agenda.waits(object);
        }
        self.retries.attempt(object, ledger);
        for action in &plan.actions {
            // Counted from the attempt: a guest whose button cannot even be pressed is turned off all the same.
            if let Action::PressPowerButton(uid, generation) = action {
                let first = Button { generation: *generation, first: now, last: now };
                let button = self.pressed.entry(*uid).or_insert(first);
                *button =
                    if button.generation == *generation { Button { last: now, ..*button } } else { first };
            }
        }
        self.claimed.extend(plan.claims.iter().cloned());
        let executor = self.executor.clone();
        let (actions, claims) = (plan.actions.clone(), plan.claims.clone());
        let span = tracing::info_span!("steps", %object, request_id = tracing::field::Empty);
        if let Some(request_id) = request_of(object, ledger) {
            span.record("request_id", tracing::field::display(request_id));
        }
        let fetches = actions.iter().any(|action| matches!(action, Action::FetchImage(_)));
        let turns = if fetches { self.fetch_turns.clone() } else { self.turns.clone() };
        self.running.spawn(async move {
            // The semaphore is never closed; without a permit the steps would merely run unbounded.
            let _permit = turns.acquire_owned().await;
            let steps = move || span.in_scope(|| take_steps(&executor, &actions));
            let outcome = tokio::task::spawn_blocking(steps).await;
            let outcome = outcome.unwrap_or_else(|error| Err(ActionError::Panicked(error.to_string())));
            Ended { object, claims, outcome }
        });
    }

    fn collect(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        let Ended { object, claims, outcome } = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // Its claims stay: better an object that stands still than two at work on it.
                tracing::error!(%error, "a task of steps ended in a panic");
                return;
            }
        };
        self.claimed.retain(|claim| !claims.contains(claim));
        self.agenda.ended(object, &claims);
        match outcome {
            Ok(()) => self.retries.succeeded(&object),
            Err(error) => {
                tracing::warn!(%object, %error, "a step failed");
                self.retries.failed(&object, &error, Instant::now());
            }
        }
    }

    /// Drops images that no volume has needed for their grace. Nothing is fetched or made meanwhile that the ledger, as it
    /// was just read, does not hold; and what comes into it later finds its image gone and fetches it.
    async fn drop_unneeded_images(&mut self, ledger: &Snapshot, now: Instant) {
        if !self.cache.is_due(now) {
            return;
        }
        let (host, ledger) = (self.executor.host.clone(), ledger.clone());
        let looked = tokio::task::spawn_blocking(move || Look::at(&host, &ledger)).await;
        let unneeded = match looked {
            Ok(Ok(look)) => self.cache.unneeded(&look, now),
            Ok(Err(error)) => return tracing::warn!(%error, "images are not looked through; all stay"),
            Err(error) => return tracing::error!(%error, "looking through the images failed"),
        };
        for file in unneeded {
            match self.executor.host.images.remove(&file) {
                Ok(()) => tracing::info!(file = %file.display(), "removed an image that no volume needs"),
                Err(error) => tracing::warn!(%error, "removing an image"),
            }
        }
    }

    /// Looks for what nothing is desired of, and does what operators ordered about it.
    async fn look_for_leftovers(&mut self, ledger: &Snapshot, world: &World, now: Instant) {
        // Unknown is not empty: nothing is concluded from a hypervisor that does not answer.
        if world.domains.is_none() || !self.leftovers.is_due(&ledger.orders, now) {
            return;
        }
        let at_work = self.claimed.iter().filter_map(|claim| match claim {
            Claim::Instance(uid) | Claim::Volume(uid) | Claim::Captures(uid) => Some(*uid),
            Claim::Image(_) => None,
        });
        let (at_work, executor) = (at_work.collect(), self.executor.clone());
        let (ledger, world) = (ledger.clone(), world.clone());
        let looked = tokio::task::spawn_blocking(move || {
            leftovers::tidy(&executor.host, &ledger, &world, executor.hypervisor.as_ref(), &at_work)
        });
        match looked.await {
            Ok(Ok(found)) => self.leftovers.found = Some(found),
            Ok(Err(error)) => tracing::warn!(%error, "leftovers are not looked for"),
            Err(error) => tracing::error!(%error, "looking for leftovers failed"),
        }
    }

    fn note_hypervisor(&mut self, error: Option<HypervisorError>) {
        let reason = error.map(|error| error.to_string()).unwrap_or_default();
        let available = reason.is_empty();
        if available != self.hypervisor.available {
            self.hypervisor.since_unix_ms = unix_ms();
            if available {
                tracing::info!("the hypervisor service answers again");
                self.retries.hypervisor_is_back();
            } else {
                tracing::warn!(reason, "the hypervisor service does not answer; guests may well be running");
            }
        }
        self.hypervisor.available = available;
        self.hypervisor.reason = reason;
    }

    /// Buttons that were pressed for stops that are still under way.
    fn pressed_at(&mut self, scope: &Scope, ledger: &Snapshot, now: Instant) -> BTreeMap<Uuid, Pressed> {
        let claimed = &self.claimed;
        self.pressed.retain(|uid, _| {
            let unseen = !scope.has(&Object::Instance(*uid));
            let stopping = ledger.power.get(uid).is_some_and(|record| record.step == PowerStep::Stopping);
            unseen || stopping || claimed.contains(&Claim::Instance(*uid))
        });
        let ago = |at: &Instant| now.saturating_duration_since(*at);
        self.pressed
            .iter()
            .map(|(uid, button)| {
                let (ago, last_ago) = (ago(&button.first), ago(&button.last));
                (*uid, Pressed { generation: button.generation, ago, last_ago })
            })
            .collect()
    }

    fn publish(&self, scope: &Scope, ledger: &Snapshot, world: &World, plans: &BTreeMap<Object, ObjectPlan>) {
        let failures = self.retries.failures();
        self.published.send_if_modified(|last| {
            let before = last.clone().unwrap_or_default();
            let sources = report::Sources {
                scope,
                ledger,
                world,
                plans,
                failures: &failures,
                hypervisor: &self.hypervisor,
                leftovers: self.leftovers.found.as_ref(),
            };
            let observation = report::observe(&before, sources);
            let news = last.is_none() || observation != *before;
            if news {
                *last = Some(Arc::new(observation));
            }
            news
        });
    }

    /// Drops records of objects that are gone and that the controllers know to be gone.
    async fn forget_closed(&mut self, ledger: &Snapshot, plans: &BTreeMap<Object, ObjectPlan>) {
        let gone = |object: &Object| plans.get(object).is_none_or(|plan| plan.progress == Progress::Reached);
        let objects: Vec<Object> = ledger.closed.iter().copied().filter(gone).collect();
        if objects.is_empty() {
            return;
        }
        let (shared, bell) = (self.executor.ledger.clone(), self.bell.clone());
        let forgotten = tokio::task::spawn_blocking(move || {
            let mut ledger = shared.lock();
            for object in objects {
                match ledger.forget(object) {
                    Ok(()) => tracing::info!(%object, "gone and forgotten"),
                    Err(error) => tracing::warn!(%object, %error, "its record could not be removed"),
                }
            }
            // What was said of them is not said any more.
            bell.notify_one();
        });
        if let Err(error) = forgotten.await {
            tracing::error!(%error, "forgetting what is gone failed");
        }
    }
}

/// Takes steps in order up to the first that fails.
fn take_steps(executor: &Executor, actions: &[Action]) -> Result<(), ActionError> {
    for action in actions {
        let begun = Instant::now();
        let outcome = executor.run(action);
        tracing::info!(
            action = action.name(),
            ms = begun.elapsed().as_millis(),
            ok = outcome.is_ok(),
            "step"
        );
        let result = if outcome.is_ok() { "ok" } else { "failed" };
        metrics::counter!("rempart_agent_steps_total", "step" => action.name(), "outcome" => result)
            .increment(1);
        metrics::histogram!("rempart_agent_step_seconds", "step" => action.name())
            .record(begun.elapsed().as_secs_f64());
        outcome?;
    }
    Ok(())
}

/// The request that an object's steps are due to.
fn request_of(object: Object, ledger: &Snapshot) -> Option<Uuid> {
    match object {
        Object::Volume(uid) => ledger.volumes.get(&uid)?.volume.request_id,
        Object::Instance(uid) => ledger.instances.get(&uid)?.instance.request_id,
    }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
