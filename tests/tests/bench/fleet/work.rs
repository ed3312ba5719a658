//! Clients that ask for much and look little: each issues the newer before it looks at its oldest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::plane::{Plane, Requests};
use super::wire::{Answer, Wire};

/// What is asked for, and how one sees that it came to be.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub(crate) ask: fn(&Requests, &str) -> Vec<u8>,
    pub(crate) taken: &'static [u16],
    /// None: an answer is all there is to it.
    pub(crate) look: Option<fn(&Requests, &str) -> Vec<u8>>,
    pub(crate) is_done: fn(&Answer<'_>) -> bool,
}

pub(crate) const PUT_VOLUMES: Job =
    Job { ask: Requests::put_volume, taken: &[201], look: None, is_done: |_| true };
pub(crate) const CREATE: Job = Job {
    ask: Requests::put_instance,
    taken: &[201],
    look: Some(Requests::get_instance),
    is_done: |answer| {
        let state = answer.seen().state;
        assert_ne!(state, "error", "{}", answer.text());
        state == "active"
    },
};
pub(crate) const DELETE: Job = Job {
    ask: Requests::delete_instance,
    taken: &[202],
    look: Some(Requests::get_instance),
    is_done: is_gone,
};
pub(crate) const DELETE_VOLUMES: Job =
    Job { ask: Requests::delete_volume, taken: &[202], look: Some(Requests::get_volume), is_done: is_gone };
/// Looks alone.
pub(crate) const GET: Job = Job { ask: Requests::get_instance, taken: &[200], look: None, is_done: |_| true };

fn is_gone(answer: &Answer<'_>) -> bool {
    answer.expect(&[200, 404], "a look at what is being deleted");
    answer.status == 404
}

/// Outstanding of one client, at first and at most. Where the oldest is not done yet when it is looked at, there were too few
/// newer ones.
const WINDOW: std::ops::RangeInclusive<usize> = 8..=64;
/// Between two looks at the oldest when no newer one may be issued.
const PAUSE: Duration = Duration::from_millis(10);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What came of it.
pub(crate) struct Done {
    /// From the first request until the last was seen to be done.
    pub(crate) lasted: Duration,
    /// How often clients looked.
    pub(crate) looks: usize,
}

/// The name of number `number`.
pub(crate) fn name(prefix: &str, number: usize) -> String {
    format!("{prefix}-{number}")
}

/// Lets `clients` do so many of one job.
pub(crate) async fn all(plane: &Plane, job: Job, prefix: &str, count: usize, clients: usize) -> Done {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..clients.min(count))
        .map(|client| {
            let (requests, prefix) = (plane.requests.clone(), prefix.to_owned());
            tokio::spawn(async move {
                let mut worker = Worker::new(job, requests, client).await;
                for number in (client..count).step_by(clients) {
                    worker.issue(name(&prefix, number)).await;
                }
                worker.finish().await
            })
        })
        .collect();
    let mut looks = 0;
    for task in tasks {
        looks += task.await.expect("it ends well");
    }
    Done { lasted: begin.elapsed(), looks }
}

struct Worker {
    job: Job,
    requests: Arc<Requests>,
    wire: Wire,
    outstanding: VecDeque<(String, Instant)>,
    width: usize,
    looks: usize,
}

impl Worker {
    async fn new(job: Job, requests: Arc<Requests>, client: usize) -> Worker {
        let wire = Wire::open(requests.address(client)).await;
        Worker { job, requests, wire, outstanding: VecDeque::new(), width: *WINDOW.start(), looks: 0 }
    }

    async fn issue(&mut self, name: String) {
        let answer = self.wire.ask(&(self.job.ask)(&self.requests, &name)).await;
        answer.expect(self.job.taken, &name);
        if self.job.look.is_none() {
            return;
        }
        self.outstanding.push_back((name, Instant::now()));
        while self.outstanding.len() >= self.width && !self.look().await {
            if self.width < *WINDOW.end() {
                self.width = (self.width * 2).min(*WINDOW.end());
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Looks at the oldest; whether that one is done, and no more outstanding.
    async fn look(&mut self) -> bool {
        let (Some(look), Some((name, since))) = (self.job.look, self.outstanding.front()) else {
            return true;
        };
        self.looks += 1;
        let answer = self.wire.ask(&look(&self.requests, name)).await;
        let done = (self.job.is_done)(&answer);
        assert!(done || since.elapsed() < PATIENCE, "{name} after {PATIENCE:?}: {}", answer.text());
        if done {
            self.outstanding.pop_front();
        }
        done
    }

    async fn finish(mut self) -> usize {
        while !self.outstanding.is_empty() {
            if !self.look().await {
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.looks
    }
}
