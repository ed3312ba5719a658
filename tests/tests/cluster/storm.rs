//! Replicas are killed, at moments and in an order a seed decides, while clients write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rempart_tests::until_some;
use reqwest::Method;
use uuid::Uuid;

use crate::bench::{Bench, Caller, bench, history, no_panics, volume, volume_body};

const WRITERS: usize = 4;
const VOLUMES: usize = 3;
const ROUNDS: usize = 6;
const HURRY: Duration = Duration::from_millis(8);

/// What became of one attempt to write.
#[derive(Debug, Clone)]
enum Outcome {
    Acknowledged {
        version: u64,
        created: bool,
        created_at: String,
    },
    /// 503, with its words.
    Unsure(String),
    /// No answer at all.
    Silence,
}

#[derive(Debug, Clone)]
struct Attempt {
    name: String,
    mark: String,
    began: Instant,
    ended: Instant,
    request_id: Option<Uuid>,
    outcome: Outcome,
}

type Attempts = Arc<Mutex<Vec<Attempt>>>;

/// Good enough to choose victims, and the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn seed() -> u64 {
    match std::env::var("REMPART_SEED") {
        Ok(seed) => seed.parse().expect("REMPART_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").subsec_nanos().into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kills() {
    let seed = seed();
    eprintln!("seed: REMPART_SEED={seed}");
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bench = bench().await;
    let (attempts, stop) = (Attempts::default(), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let task = write(bench.caller("alice"), writer, attempts.clone(), stop.clone());
            tokio::spawn(task)
        })
        .collect();
    let mut gaps = Vec::new();
    for round in 0..ROUNDS {
        let enough = 20 + dice.roll(40);
        acknowledged_since(&attempts, Instant::now(), enough).await;
        let leader = bench.leader().await;
        // Every other time the leader, else anyone.
        let victim = if round % 2 == 0 { leader } else { usize::try_from(dice.roll(3)).expect("small") + 1 };
        let killed = Instant::now();
        bench.cluster.kill(victim);
        let back = acknowledged_since(&attempts, killed, 1).await - killed;
        eprintln!(
            "round {round}: killed {victim}{}, written again after {back:?}",
            if victim == leader { ", which led" } else { "" }
        );
        if victim == leader {
            gaps.push(back);
        }
        acknowledged_since(&attempts, killed, dice.roll(60)).await;
        bench.restart(victim).await;
    }
    gaps.sort_unstable();
    eprintln!(
        "next accepted write after the death of a leader: median {:?} of {gaps:?}",
        gaps[gaps.len() / 2]
    );
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("nothing was answered that should not be");
    }
    let attempts = attempts.lock().expect("nobody panicked").clone();
    judge(&bench, &attempts).await;
    no_panics(&bench);
}

/// Waits until `count` writes begun after `since` are acknowledged; returns when the first of them was.
async fn acknowledged_since(attempts: &Attempts, since: Instant, count: u64) -> Instant {
    until_some("writes to be acknowledged", Duration::from_secs(30), || async {
        let attempts = attempts.lock().expect("nobody panicked");
        let good = attempts
            .iter()
            .filter(|one| one.began >= since && matches!(one.outcome, Outcome::Acknowledged { .. }));
        let ends: Vec<Instant> = good.map(|one| one.ended).collect();
        match ends.iter().min() {
            Some(first) if ends.len() as u64 >= count => Ok(*first),
            _ => Err(format!("{} of them; the last attempt: {:?}", ends.len(), attempts.last())),
        }
    })
    .await
}

/// Writes to its own volumes, over and over; the same thing again at the next replica when it is not acknowledged.
async fn write(alice: Caller, writer: usize, attempts: Attempts, stop: Arc<AtomicBool>) {
    let mut replica = writer % 3;
    // Of each volume the number in its name, and the version it has for sure: None after an attempt whose end is not
    // known.
    let mut volumes = [(0, Some(0_u64)); VOLUMES];
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let (generation, known) = &mut volumes[number % VOLUMES];
        let (name, mark) = (format!("storm-{writer}-{}-{generation}", number % VOLUMES), number.to_string());
        loop {
            // With a precondition where it can be met, so that a repetition within the cluster would show.
            let condition = known.filter(|version| *version > 0 && number % 2 == 0);
            let began = Instant::now();
            let (urn, body) = (volume(&name), volume_body(&mark));
            let asked = alice.call(replica % 3 + 1, Method::PUT, &urn, Some(&body), condition);
            // Now and then it hangs up, with the call wherever it is.
            let patience = if number.is_multiple_of(11) && replica.is_multiple_of(2) {
                HURRY
            } else {
                Duration::from_secs(30)
            };
            let answer = tokio::time::timeout(patience, asked).await;
            let (request_id, outcome) = match answer {
                Ok(Ok(answer)) if answer.status == 503 => {
                    (answer.request_id, Outcome::Unsure(answer.detail().to_owned()))
                }
                Ok(Ok(answer)) => {
                    // Whatever dies, a right stays a right and a volume a volume.
                    assert!(
                        matches!(answer.status, 200 | 201),
                        "writing {name} (if {condition:?}, known {known:?}): {answer:?}"
                    );
                    let created = answer.status == 201;
                    let (version, created_at) = (answer.version(), answer.created_at());
                    assert_eq!(answer.body["annotations"]["mark"], mark.as_str(), "{answer:?}");
                    (answer.request_id, Outcome::Acknowledged { version, created, created_at })
                }
                Ok(Err(_)) | Err(_) => (None, Outcome::Silence),
            };
            let attempt = Attempt {
                name: name.clone(),
                mark: mark.clone(),
                began,
                ended: Instant::now(),
                request_id,
                outcome: outcome.clone(),
            };
            attempts.lock().expect("nobody panicked").push(attempt);
            if let Outcome::Acknowledged { version, .. } = outcome {
                match known {
                    Some(known) => *known = version,
                    // What was not answered may still be on its way; the next volume begins without doubt.
                    None => (*generation, *known) = (*generation + 1, Some(0)),
                }
                break;
            }
            *known = None;
            replica += 1;
            // A dead replica refuses at once; do not spin.
            tokio::task::yield_now().await;
        }
    }
}

/// Holds what was answered against the history and against what every replica shows.
async fn judge(bench: &Bench, attempts: &[Attempt]) {
    let alice = bench.caller("alice");
    let last = alice.insist(1, Method::PUT, &volume("last"), Some(&volume_body("last"))).await;
    let rows = history(bench, last.request_id.expect("an id")).await;
    let ids: BTreeSet<Uuid> = rows.iter().map(|row| row.request_id).collect();
    assert_eq!(ids.len(), rows.len(), "a request is in the history twice");
    let mut writes: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.accepted && row.action == "put") {
        writes.entry(row.subject.clone()).or_default().push(row.request_id);
    }
    let by_id: BTreeMap<Uuid, &Attempt> =
        attempts.iter().filter_map(|attempt| Some((attempt.request_id?, attempt))).collect();
    let (mut acknowledged, mut unsure, mut silent, mut unsure_but_made) = (0, 0, 0, 0);
    let mut births: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for attempt in attempts {
        let made = &writes[&volume(&attempt.name).to_string()];
        let place = attempt.request_id.and_then(|id| made.iter().position(|other| *other == id));
        match &attempt.outcome {
            Outcome::Acknowledged { version, created, created_at } => {
                acknowledged += 1;
                let place = place.unwrap_or_else(|| panic!("acknowledged and lost: {attempt:?}"));
                assert_eq!(*version, place as u64 + 1, "{attempt:?} is write number {}", place + 1);
                assert_eq!(*created, place == 0, "{attempt:?}");
                births.entry(&attempt.name).or_default().insert(created_at);
            }
            Outcome::Unsure(words) => {
                unsure += 1;
                if place.is_some() {
                    unsure_but_made += 1;
                    assert!(
                        words.contains("may or may not"),
                        "refused with {words:?} and yet made: {attempt:?}"
                    );
                }
            }
            Outcome::Silence => silent += 1,
        }
    }
    eprintln!(
        "{acknowledged} writes acknowledged, {unsure} answered 503 (of which {unsure_but_made} were made), \
         {silent} not answered"
    );
    assert!(acknowledged > 200, "hardly anything was exercised");
    for (name, births) in births {
        assert_eq!(births.len(), 1, "{name} was created more than once: {births:?}");
        let made = &writes[&volume(name).to_string()];
        let marks: BTreeSet<&str> =
            attempts.iter().filter(|one| one.name == name).map(|one| one.mark.as_str()).collect();
        for replica in 1..=3 {
            let found = alice.get(replica, &volume(name)).await.expect("an answer");
            assert_eq!(found.version(), made.len() as u64, "{name} via {replica}");
            let mark = found.body["annotations"]["mark"].as_str().expect("a mark");
            match made.last().and_then(|id| by_id.get(id)) {
                Some(attempt) => assert_eq!(mark, attempt.mark, "{name} via {replica}"),
                // Its client never heard its id.
                None => assert!(marks.contains(mark), "{name} via {replica}: {mark}"),
            }
        }
    }
}
