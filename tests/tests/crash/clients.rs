//! Clients that write down what they ask and what they are told.
//!
//! What an answer means is decided here, as `ARCHITECTURE.md` and the problems' words have it:
//!
//! | answer | outcome |
//! |---|---|
//! | 2xx; 404 of what may be missing; 412 `precondition-failed` where a condition was set | known |
//! | 412 `resource-conflict`, "was written by this request and has been deleted since" | known: it was written |
//! | 503 whose words are "may or may not take effect" | unknown |
//! | any other 503 | refused for certain |
//! | no connection | nothing was asked: not in the history |
//! | a connection that ends, half an answer, no patience left | unknown |
//! | anything else | unknown, and the run fails |

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rempart_api::{Kind, Timestamp, Urn};
use rempart_tests::history::{Action, Moment, Operation, Outcome, View};
use rempart_tests::{Cluster, Dice, until_some};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use uuid::Uuid;

/// How many there are.
pub(crate) const CLIENTS: usize = 14;

/// How many of them wait for one replica at most: the others go on while it sleeps.
const AT_ONE_REPLICA: usize = 6;

/// How many objects a round has. Fresh ones each: what is unknown of one round troubles no other.
const KEYS: usize = 5;

/// Longer than the service's own.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everybody's work, and what came of it.
pub(crate) struct Load {
    http: reqwest::Client,
    urls: Vec<String>,
    token: String,
    began: Instant,
    numbers: AtomicU64,
    round: AtomicUsize,
    stop: AtomicBool,
    under_way: [AtomicUsize; 3],
    operations: Mutex<Vec<Operation>>,
    versions: Mutex<BTreeMap<String, u64>>,
    odd: Mutex<Vec<String>>,
}

/// The object behind a key: of a kind that no host has to do with, so that it is there, or gone, when that is answered.
pub(crate) fn urn(key: &str) -> Urn {
    Urn::workspace(Kind::SecurityGroup, "acme", "w", key)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panicked")
}

impl Load {
    /// As alice, at all replicas.
    pub(crate) fn new(cluster: &Cluster) -> Arc<Load> {
        let http = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build();
        Arc::new(Load {
            http: http.expect("a client"),
            urls: (1..=3).map(|id| cluster.layout.url(id)).collect(),
            token: cluster.layout.token("alice").expect("a token"),
            began: Instant::now(),
            numbers: AtomicU64::new(1),
            round: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            under_way: Default::default(),
            operations: Mutex::default(),
            versions: Mutex::default(),
            odd: Mutex::default(),
        })
    }

    /// Sets all clients to work.
    pub(crate) fn start(self: &Arc<Load>, dice: &mut Dice) -> Vec<tokio::task::JoinHandle<()>> {
        let client = |client| {
            let (load, dice) = (self.clone(), Dice::new(dice.roll(usize::MAX) as u64));
            tokio::spawn(async move { load.work(client, dice).await })
        };
        (1..=CLIENTS).map(client).collect()
    }

    /// From now on clients leave the objects of earlier rounds alone.
    pub(crate) fn next_round(&self) {
        self.round.fetch_add(1, Ordering::Relaxed);
    }

    /// Clients finish what is under way.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Moment {
        u64::try_from(self.began.elapsed().as_nanos()).expect("some hundred years")
    }

    /// All operations so far, in the order of their ends.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        locked(&self.operations).clone()
    }

    /// Answers that nobody should get.
    pub(crate) fn odd(&self) -> Vec<String> {
        locked(&self.odd).clone()
    }

    /// Waits until so many writes invoked after `since` took effect; the end of the first of them.
    pub(crate) async fn written(&self, since: Moment, count: usize) -> Moment {
        until_some("writes to be accepted", Duration::from_secs(60), || async {
            let operations = locked(&self.operations);
            let new = operations.iter().filter(|one| one.invoked >= since && one.took_effect());
            let ends: Vec<Moment> = new.map(|one| one.completed).collect();
            match ends.iter().min() {
                Some(first) if ends.len() >= count => Ok(*first),
                _ => Err(format!("{} of {count}; the last end: {:?}", ends.len(), operations.last())),
            }
        })
        .await
    }

    /// Waits until so many calls wait for an answer of this replica.
    pub(crate) async fn waiting(&self, replica: usize, count: usize) {
        until_some(&format!("calls to wait at replica {replica}"), Duration::from_secs(60), || async {
            let waiting = self.under_way[replica - 1].load(Ordering::Relaxed);
            if waiting >= count { Ok(()) } else { Err(format!("{waiting} do")) }
        })
        .await;
    }

    /// Waits until somebody who called after `since` was told that this is not a good time.
    pub(crate) async fn turned_away(&self, since: Moment) {
        until_some("somebody to be turned away", Duration::from_secs(60), || async {
            let operations = locked(&self.operations);
            let told = |one: &&Operation| {
                let unsaid = matches!(one.outcome, Outcome::Unknown | Outcome::Refused);
                one.invoked >= since && unsaid && one.request_id.is_some()
            };
            operations.iter().find(told).map(drop).ok_or_else(|| format!("{:?}", operations.last()))
        })
        .await;
    }

    /// The keys that clients use now.
    pub(crate) fn keys(&self) -> Vec<String> {
        let round = self.round.load(Ordering::Relaxed);
        (0..KEYS).map(|key| format!("r{round}-{key}")).collect()
    }

    async fn work(&self, client: usize, mut dice: Dice) {
        while !self.stop.load(Ordering::Relaxed) {
            let key = dice.pick(&self.keys());
            let action = self.something(&key, &mut dice);
            // Now and then somebody hangs up, with the call wherever it is.
            let hasty = dice.once_in(40).then(|| Duration::from_millis(dice.roll(25) as u64));
            let replica = 1 + dice.roll(3);
            let free = self.under_way[replica - 1].load(Ordering::Relaxed) < AT_ONE_REPLICA;
            let asked = free && self.call(client, replica, &key, action, hasty).await;
            if !asked {
                let replica = self.listening(&mut dice).await;
                self.call(client, replica, &key, action, hasty).await;
            }
        }
    }

    fn something(&self, key: &str, dice: &mut Dice) -> Action {
        let known = locked(&self.versions).get(key).copied();
        // Rarely one that is not the last.
        let if_version = known.map(|version| if dice.once_in(5) { version + 1 } else { version });
        dice.weighed(&[
            (9, Action::Get),
            (6, Action::Put { if_version: None }),
            (4, Action::Put { if_version }),
            (1, Action::Delete { if_version: None }),
            (1, Action::Delete { if_version }),
        ])
    }

    /// A replica that takes connections and calls.
    async fn listening(&self, dice: &mut Dice) -> usize {
        let first = dice.roll(3);
        until_some("a replica that takes calls", Duration::from_secs(120), || async {
            for turn in 0..3 {
                let place = (first + turn) % 3;
                let free = self.under_way[place].load(Ordering::Relaxed) < AT_ONE_REPLICA;
                let address = self.urls[place].trim_start_matches("http://");
                if free && TcpStream::connect(address).await.is_ok() {
                    return Ok(place + 1);
                }
            }
            Err("none does".to_owned())
        })
        .await
    }

    /// Asks, waits for the answer and writes both down. Whether there was somebody to ask.
    pub(crate) async fn call(
        &self,
        client: usize,
        replica: usize,
        key: &str,
        action: Action,
        hasty: Option<Duration>,
    ) -> bool {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (method, if_version) = match action {
            Action::Put { if_version } => (Method::PUT, if_version),
            Action::Get => (Method::GET, None),
            Action::Delete { if_version } => (Method::DELETE, if_version),
        };
        let mut request = self.http.request(method.clone(), self.url(replica, key)).bearer_auth(&self.token);
        if method == Method::PUT {
            request = request.json(&json!({ "annotations": { "value": number.to_string() }, "spec": {} }));
        }
        if let Some(version) = if_version {
            request = request.header("if-unmodified-since", version);
        }
        self.under_way[replica - 1].fetch_add(1, Ordering::Relaxed);
        let invoked = self.now();
        let answer = tokio::time::timeout(hasty.unwrap_or(PATIENCE), async {
            let response = request.send().await?;
            read(response).await
        })
        .await;
        let completed = self.now();
        self.under_way[replica - 1].fetch_sub(1, Ordering::Relaxed);
        let (outcome, request_id) = match answer {
            Ok(Err(error)) if error.is_connect() => return false,
            Ok(Err(_)) | Err(_) => (Outcome::Unknown, None),
            Ok(Ok(answer)) => {
                let outcome = outcome(number, action, &answer).unwrap_or_else(|| {
                    locked(&self.odd).push(format!("{method} {key} at replica {replica}: {answer:?}"));
                    Outcome::Unknown
                });
                (outcome, answer.request_id)
            }
        };
        let key = key.to_owned();
        self.learn(&key, outcome);
        let operation =
            Operation { number, client, replica, key, action, invoked, completed, outcome, request_id };
        locked(&self.operations).push(operation);
        true
    }

    fn learn(&self, key: &str, outcome: Outcome) {
        let mut versions = locked(&self.versions);
        match outcome {
            Outcome::Written { view, .. } | Outcome::Found(view) => {
                versions.insert(key.to_owned(), view.version);
            }
            Outcome::Deleted | Outcome::Missing => {
                versions.remove(key);
            }
            _ => {}
        }
    }

    /// What a replica shows of a key without asking anybody.
    pub(crate) async fn stale(&self, replica: usize, key: &str) -> Option<View> {
        let request = self.http.get(self.url(replica, key)).bearer_auth(&self.token);
        let response = request.header("rempart-consistency", "stale").send().await.expect("it runs");
        let answer = read(response).await.expect("an answer");
        match outcome(0, Action::Get, &answer) {
            Some(Outcome::Found(view)) => Some(view),
            Some(Outcome::Missing) => None,
            _ => panic!("a stale read of {key} at replica {replica}: {answer:?}"),
        }
    }

    fn url(&self, replica: usize, key: &str) -> String {
        let urn = urn(key);
        format!("{}/providers/{}/v1/{}", self.urls[replica - 1], urn.kind.info().provider.name(), urn.path())
    }
}

/// An answer that came whole.
#[derive(Debug)]
struct Answer {
    status: u16,
    request_id: Option<Uuid>,
    body: Value,
}

async fn read(response: Response) -> Result<Answer, reqwest::Error> {
    let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    let (status, request_id) = (response.status().as_u16(), id.and_then(|id| id.parse().ok()));
    let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
    Ok(Answer { status, request_id, body })
}

/// What an answer says of the call; none: nobody should get it.
fn outcome(number: u64, action: Action, answer: &Answer) -> Option<Outcome> {
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    let class = answer.body["type"].as_str().and_then(|class| class.rsplit('/').next()).unwrap_or_default();
    let created = answer.status == 201;
    Some(match (action, answer.status, class) {
        (Action::Put { .. }, 200 | 201, _) => {
            let view = view(&answer.body)?;
            if view.value == number {
                Outcome::Written { created, view }
            } else {
                Outcome::Repeated { created: Some(created), view: Some(view) }
            }
        }
        (Action::Get, 200, _) => Outcome::Found(view(&answer.body)?),
        (Action::Delete { .. }, 202, _) => Outcome::Deleted,
        (Action::Get | Action::Delete { .. }, 404, "resource-not-found") => Outcome::Missing,
        (
            Action::Put { if_version: Some(_) } | Action::Delete { if_version: Some(_) },
            412,
            "precondition-failed",
        ) => Outcome::ConditionFailed,
        (Action::Put { .. }, 412, "resource-conflict") if detail.contains("has been deleted since") => {
            Outcome::Repeated { created: None, view: None }
        }
        (_, 503, _) if detail.contains("may or may not take effect") => Outcome::Unknown,
        (_, 503, _) => Outcome::Refused,
        _ => return None,
    })
}

fn view(body: &Value) -> Option<View> {
    let created: Timestamp = serde_json::from_value(body["metadata"]["createdAt"].clone()).ok()?;
    Some(View {
        version: body["metadata"]["resourceVersion"].as_u64()?,
        value: body["annotations"]["value"].as_str()?.parse().ok()?,
        created_ms: created.unix_ms(),
    })
}
