//! The log, the State it leads to, and what has to hold after each entry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rempart_api::{Kind, Phase, Timestamp, Urn};
use rempart_model::{
    Answer, Applied, Change, Command, DesiredObject, Detail, ENVELOPE_FORMAT, Envelope, HardwareDisk, Object,
    ObjectReport, OffCause, Outcome, PowerAction, Presentation, Recorded, State, circumstances, view,
};
use uuid::Uuid;

use crate::hosts;

/// Views are compared after every so manieth entry: all of them is much to write.
const SHOWN_EVERY: usize = 16;

/// What is kept of a view for as long as its circumstances are the same would be made the same again.
fn check_views(before: &State, after: &State) {
    for operator in [false, true] {
        let show =
            Presentation { public_url: "http://api", providers: &[], verb: "GET", operator, verdicts: None };
        let same =
            |object: &&Arc<Object>| before.get(&object.urn).is_some_and(|old| Arc::ptr_eq(old, object));
        for object in after.objects().filter(same) {
            if circumstances(before, object, show) == circumstances(after, object, show) {
                assert_eq!(view(before, object, show), view(after, object, show));
            }
        }
    }
}

/// A consumer of changes, like the one that writes Postgres: it never looks into the State.
#[derive(Clone, Default)]
struct Projection {
    objects: BTreeMap<Urn, Arc<Object>>,
    answers: BTreeMap<u64, (Uuid, Recorded)>,
}

impl Projection {
    fn take(&mut self, index: u64, request_id: Uuid, applied: &Applied) {
        for change in &applied.changes {
            let before = match &change.after {
                Some(after) => self.objects.insert((*change.urn).clone(), after.clone()),
                None => self.objects.remove(&change.urn),
            };
            assert_eq!(before, change.before, "{}: before", change.urn);
        }
        if let Some(recorded) = &applied.recorded {
            self.answers.insert(index, (request_id, recorded.clone()));
        }
        if let Some(dropped) = applied.dropped_answers_to {
            self.answers.retain(|index, _| *index > dropped);
        }
    }
}

/// What is kept in Postgres of a State, as text.
struct Snapshot {
    entries: usize,
    core: String,
    index: u64,
    objects: Vec<String>,
    answers: Vec<(Uuid, u64, String)>,
}

/// An entry as replicas see it: none for one without a command.
type Entry = Option<Vec<u8>>;

/// See the module.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) state: State,
    /// What it began with: nothing, or what was restored.
    base: State,
    entries: Vec<Entry>,
    answered: Vec<String>,
    projection: Projection,
    desired: BTreeMap<Uuid, DesiredObject>,
    snapshot: Option<Snapshot>,
    accepted: BTreeMap<&'static str, usize>,
    clock: i64,
    /// One-time tokens that were used.
    used: BTreeSet<Uuid>,
}

impl Log {
    /// What the proposer's clock shows.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000 + self.clock)
    }

    fn next_index(&self) -> u64 {
        self.base.applied_index() + self.entries.len() as u64 + 1
    }

    /// The log of before is lost; this is what was restored.
    pub(crate) fn begin_anew(&mut self, state: State) {
        self.entries.clear();
        self.answered.clear();
        self.snapshot = None;
        let objects = state.objects().map(|object| ((*object.urn).clone(), object.clone())).collect();
        let answers = state.answers().map(|(id, index, recorded)| (index, (id, recorded.clone()))).collect();
        self.projection = Projection { objects, answers };
        (self.base, self.state) = (state.clone(), state);
        self.check_desired_anew();
    }

    /// Makes an entry of a command, `later` milliseconds after the last one (or before).
    pub(crate) fn envelope(&mut self, later: i64, command: Command) -> Envelope {
        self.clock += later;
        Envelope {
            format: ENVELOPE_FORMAT,
            request_id: Uuid::from_u128(u128::from(self.next_index()) << 64),
            actor: "alice".into(),
            trace: None,
            time: self.now(),
            command,
        }
    }

    /// Time passes, or runs back.
    pub(crate) fn pass(&mut self, milliseconds: i64) {
        self.clock += milliseconds;
    }

    /// Entry number `back` from the end, to be proposed once more.
    pub(crate) fn earlier(&self, back: usize) -> Option<Envelope> {
        let position = self.entries.len().checked_sub(back + 1)?;
        self.entries[position].as_ref().and_then(|bytes| Envelope::decode(bytes).ok())
    }

    /// An entry without a command.
    pub(crate) fn skip(&mut self) {
        let index = self.next_index();
        self.entries.push(None);
        self.answered.push(String::new());
        self.state.skip(index);
    }

    /// Applies an entry and checks everything that has to hold.
    pub(crate) fn apply(&mut self, envelope: &Envelope) -> Outcome {
        let bytes = envelope.encode();
        let before: Vec<Arc<Object>> = self.state.objects().cloned().collect();
        let state_before = self.state.clone();
        let admitted = self.state.admit(envelope);
        let index = self.next_index();
        let (applied, answered) = step(&mut self.state, index, &bytes);
        self.entries.push(Some(bytes));
        self.answered.push(answered);
        assert_eq!(admitted, applied.outcome, "admission promised something else");
        self.state.check();
        if applied.outcome.is_err() || applied.repeated {
            assert!(applied.changes.is_empty());
            assert!(self.state.objects().zip(&before).all(|(after, before)| Arc::ptr_eq(after, before)));
            assert_eq!(self.state.objects().count(), before.len());
            assert_eq!(self.state.core().redeemed, state_before.core().redeemed);
        }
        self.check_tokens(envelope, &applied);
        // What is real is real, however little room there is.
        if !matches!(envelope.command, Command::Compare(_)) {
            hosts::check_placements(&state_before, &self.state, &applied.changes);
        }
        self.projection.take(index, envelope.request_id, &applied);
        assert!(
            self.state.objects().eq(self.projection.objects.values()),
            "the changes are not what changed"
        );
        self.check_versions(envelope, &applied);
        self.check_desired(&applied.changes);
        if self.entries.len().is_multiple_of(SHOWN_EVERY) {
            check_views(&state_before, &self.state);
        }
        self.count(envelope, &applied);
        applied.outcome
    }

    /// A token works once, whatever is done with it, restarted or not.
    fn check_tokens(&mut self, envelope: &Envelope, applied: &Applied) {
        let token = match &envelope.command {
            Command::Enrol(enrol) => &enrol.token,
            Command::Redeem(redeem) => &redeem.token,
            _ => return,
        };
        if applied.outcome.is_ok() && !applied.repeated {
            assert!(token.expires_at > self.state.core().clock, "an expired token was taken");
            assert!(self.used.insert(token.id), "a token worked twice");
        } else if !applied.repeated && self.used.contains(&token.id) {
            self.note("used token refused");
        }
    }

    /// Versions are the requests' alone, one per request; times follow them.
    fn check_versions(&self, envelope: &Envelope, applied: &Applied) {
        let target = match &envelope.command {
            Command::Put(put) => Some(&put.urn),
            Command::Delete(delete) => Some(&delete.urn),
            Command::Power(power) => Some(&power.urn),
            Command::Fill(fill) => Some(&fill.urn),
            Command::Host(host) => Some(&host.urn),
            _ => None,
        };
        for change in &applied.changes {
            let (Some(before), Some(after)) = (&change.before, &change.after) else { continue };
            assert_eq!((before.uid, before.created_at), (after.uid, after.created_at), "{}", change.urn);
            let raised = after.resource_version - before.resource_version;
            // It stands for requests that nobody made one by one.
            let stands_in = matches!(envelope.command, Command::WindDown(_)) && raised == 1;
            let asked = Some(&*change.urn) == target || stands_in;
            assert_eq!(raised, u64::from(asked), "{}: its version", change.urn);
            assert!(
                raised == 1 || after.modified_at == before.modified_at,
                "{}: modified by nobody",
                change.urn
            );
            if let (Some(before), Some(after)) = (before.placement(), after.placement()) {
                assert_eq!(before, after, "{} moved", change.urn);
            }
            if let (Some(before), Some(after)) = (disks(before), disks(after)) {
                let stays = |disk: &&HardwareDisk| after.iter().any(|other| other.volume == disk.volume);
                assert!(
                    before.iter().filter(stays).all(|disk| after.contains(disk)),
                    "{}: a slot changed",
                    change.urn
                );
            }
            if wants_to_run(before) && !wants_to_run(after) {
                assert!(
                    may_stop(&envelope.command, after),
                    "{} is to be off, and nobody wished so",
                    change.urn
                );
            }
        }
    }

    /// Who drives the hosts hears of changes only: none may change what is desired in silence.
    fn check_desired(&mut self, changes: &[Change]) {
        let now = self.desired_now();
        let heard = |uid: &Uuid| {
            changes
                .iter()
                .any(|change| [&change.before, &change.after].into_iter().flatten().any(|it| it.uid == *uid))
        };
        for uid in now.keys().chain(self.desired.keys()) {
            assert!(
                now.get(uid) == self.desired.get(uid) || heard(uid),
                "{uid} is desired differently, in silence"
            );
        }
        self.desired = now;
    }

    fn desired_now(&self) -> BTreeMap<Uuid, DesiredObject> {
        let state = &self.state;
        state
            .objects()
            .filter_map(|object| state.desired(object).map(|desired| (object.uid, desired)))
            .collect()
    }

    fn check_desired_anew(&mut self) {
        self.state.check();
        self.desired = self.desired_now();
    }

    fn count(&mut self, envelope: &Envelope, applied: &Applied) {
        let mut note = |what| *self.accepted.entry(what).or_default() += 1;
        match (&applied.outcome, &envelope.command) {
            _ if applied.repeated => note("repeated"),
            (Err(refusal), _) => {
                note("refused");
                for (words, what) in REFUSALS {
                    if refusal.detail.contains(words) {
                        note(what);
                    }
                }
            }
            (Ok(Answer::Put { created, object }), _) => match (created, object.urn.kind) {
                (true, Kind::Instance) => note("put created instance"),
                (false, Kind::Instance) => note("put updated instance"),
                (true, _) => note("put created"),
                (false, _) => note("put updated"),
            },
            (Ok(_), Command::Found(_)) => note("found"),
            (Ok(_), Command::Put(_)) => {}
            (Ok(_), Command::Delete(delete)) if delete.urn.kind == Kind::Host => note("host removed"),
            (Ok(_), Command::Delete(_)) => note("delete"),
            (Ok(_), Command::Power(power)) => note(match power.action {
                PowerAction::Start => "start",
                PowerAction::Stop => "stop",
                PowerAction::Restart => "restart",
            }),
            (Ok(_), Command::Fill(_)) => note("fill"),
            (Ok(_), Command::Place(_)) => note("place"),
            (Ok(_), Command::HostSeen(_)) => note("host seen"),
            (Ok(_), Command::HostUnreachable(_)) => note("host unreachable"),
            (Ok(_), Command::Enrol(_)) => note("enrol"),
            (Ok(_), Command::Redeem(_)) => note("redeem"),
            (Ok(_), Command::Capture(_)) => note("capture"),
            (Ok(_), Command::Host(_)) => note("host action"),
            (Ok(_), Command::WindDown(_)) => note("wind down"),
            (Ok(_), Command::Replica(_)) => note("replica"),
            (Ok(_), Command::Upgrade(_)) => note("upgrade"),
            (Ok(_), Command::Digest(_)) => note("digest"),
            (Ok(_), Command::Leftover(_)) => note("leftover ordered"),
            (Ok(_), Command::Release(_)) => note("released"),
            (Ok(_), Command::Compare(_)) => note("compared"),
            (Ok(_), Command::Resume(_)) => note("resumed"),
            (Ok(_), Command::Expire(expire)) => {
                for change in &applied.changes {
                    let after = change.after.as_ref().map(|after| after.status.state);
                    let failed = after == Some(Phase::Error)
                        && change.before.as_ref().is_some_and(|before| before.status.state != Phase::Error);
                    note(if failed { "expired and failed" } else { "expired and told" });
                }
                if applied.changes.len() < expire.objects.len() {
                    note("expired too late");
                }
            }
            (Ok(_), Command::Report(_)) if applied.changes.is_empty() => note("report that was dropped"),
            (Ok(_), Command::Report(_)) => note("report that changed something"),
        }
        for change in &applied.changes {
            match (&change.before, &change.after) {
                (Some(before), None) if before.is_deleting() => note("gone after its deletion"),
                (Some(before), Some(after))
                    if before.status.state == Phase::Error && after.status.state == Phase::Active =>
                {
                    note("failed and healed");
                }
                (Some(before), Some(after)) if before.overdue.is_some() && after.overdue.is_none() => {
                    note("overdue no more");
                }
                _ => {}
            }
        }
    }

    /// Something happened outside the log that a run should have seen.
    pub(crate) fn note(&mut self, what: &'static str) {
        *self.accepted.entry(what).or_default() += 1;
    }

    /// What was accepted so far, by sort.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = (&'static str, usize)> + '_ {
        self.accepted.iter().map(|(what, count)| (*what, *count))
    }

    /// Keeps what Postgres would hold now.
    pub(crate) fn take_snapshot(&mut self) {
        let objects = self.projection.objects.values();
        let answers = self.projection.answers.iter();
        self.snapshot = Some(Snapshot {
            entries: self.entries.len(),
            core: json(self.state.core()),
            index: self.state.applied_index(),
            objects: objects.map(|object| json(&**object)).collect(),
            answers: answers.map(|(index, (id, recorded))| (*id, *index, json(recorded))).collect(),
        });
    }

    /// The same log on another replica gives the same bytes and the same answers.
    pub(crate) fn check_replay(&self) {
        self.check_from(self.base.clone(), 0);
    }

    /// A replica that starts from what Postgres held, and reads the rest of the log, ends where the others are.
    pub(crate) fn check_restore(&self) {
        let Some(snapshot) = &self.snapshot else { return };
        let objects: Vec<Object> = snapshot.objects.iter().map(|text| parsed(text)).collect();
        let answers: Vec<(Uuid, u64, Recorded)> =
            snapshot.answers.iter().map(|(id, index, text)| (*id, *index, parsed(text))).collect();
        let state = State::load(parsed(&snapshot.core), snapshot.index, objects, answers);
        state.check();
        self.check_from(state, snapshot.entries);
    }

    fn check_from(&self, mut state: State, position: usize) {
        for (entry, expected) in self.entries.iter().zip(&self.answered).skip(position) {
            let index = state.applied_index() + 1;
            match entry {
                None => state.skip(index),
                Some(bytes) => assert_eq!(step(&mut state, index, bytes).1, *expected, "entry {index}"),
            }
        }
        state.check();
        assert_eq!(rows(&state), rows(&self.state));
    }
}

/// Refusals that a run should have seen, by their words.
const REFUSALS: [(&str, &str); 9] = [
    (": in it stand ", "zone held"),
    ("; this would make", "quota reached"),
    ("in use; release one", "subnet exhausted"),
    ("no public", "pool exhausted"),
    ("is used by", "held by a user"),
    ("still holds", "held by a child"),
    (" is in use by ", "address taken"),
    ("overlaps with", "blocks overlap"),
    ("is attached to", "attached elsewhere"),
];

fn disks(object: &Object) -> Option<&[HardwareDisk]> {
    match &object.detail {
        Detail::Instance(instance) => instance.hardware.as_ref().map(|hardware| hardware.disks.as_slice()),
        _ => None,
    }
}

fn wants_to_run(object: &Object) -> bool {
    matches!(&object.detail, Detail::Instance(instance) if instance.power.on)
}

/// A stop, a deletion, or the guest's own will that its host vouches for.
fn may_stop(command: &Command, object: &Object) -> bool {
    match command {
        Command::Power(power) => power.action == PowerAction::Stop,
        Command::Delete(_) | Command::WindDown(_) => true,
        // Off already, for a reason its host knows, or gone.
        Command::Compare(compare) => {
            !compare.things.iter().any(|thing| thing.uid == object.uid && thing.running)
        }
        Command::Report(report) => report.objects.iter().any(|said| {
            matches!(said, ObjectReport::Instance(said) if said.uid == object.uid
                && matches!(said.off_cause, Some(OffCause::Guest | OffCause::Crashed)))
        }),
        _ => false,
    }
}

fn step(state: &mut State, index: u64, bytes: &[u8]) -> (Applied, String) {
    let envelope = Envelope::decode(bytes).unwrap();
    assert_eq!(envelope.encode(), bytes);
    let applied = state.apply(index, &envelope);
    let text = format!("{applied:?}");
    (applied, text)
}

fn rows(state: &State) -> Vec<String> {
    std::iter::once(json(state.core())).chain(state.objects().map(|object| json(&**object))).collect()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}
