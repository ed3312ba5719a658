//! Connections on which nothing is being answered, the longest idle first: where there is no room, it is theirs.
//!
//! Idle is a connection from its start, or from the end of an answer, to the end of the next request's head. Who sends half a
//! head and waits is idle, however often a byte arrives; who is being answered never is.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper::{Request, Response};
use tokio::sync::Notify;

/// The idle connections of a listener.
#[derive(Default)]
pub(super) struct Idle(Mutex<Turns>);

#[derive(Default)]
struct Turns {
    next: u64,
    /// By when they became idle.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Idle {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the one that is idle for the longest time give up. False if none is.
    pub(super) fn close_longest(&self) -> bool {
        let longest = self.turns().waiting.pop_first();
        longest.is_some_and(|(_, bell)| {
            bell.notify_one();
            true
        })
    }
}

/// A connection's place among them. It is idle at first.
pub(super) struct Seat {
    idle: Arc<Idle>,
    bell: Arc<Notify>,
    /// Where it stands among the idle; `None` while something is being answered.
    turn: Mutex<Option<u64>>,
}

impl Seat {
    pub(super) fn take(idle: &Arc<Idle>) -> Seat {
        let seat = Seat { idle: idle.clone(), bell: Arc::default(), turn: Mutex::default() };
        seat.rest();
        seat
    }

    /// Returns when it has to make room.
    pub(super) async fn given_up(&self) {
        self.bell.notified().await;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.turn().is_some()
    }

    fn turn(&self) -> MutexGuard<'_, Option<u64>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self) {
        let mut turns = self.idle.turns();
        let number = turns.next;
        turns.next += 1;
        turns.waiting.insert(number, self.bell.clone());
        *self.turn() = Some(number);
    }

    fn stir(&self) {
        let mut turns = self.idle.turns();
        if let Some(number) = self.turn().take() {
            turns.waiting.remove(&number);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.stir();
    }
}

/// While it lives, something is being answered.
struct Busy(Arc<Seat>);

impl Busy {
    fn with(seat: Arc<Seat>) -> Busy {
        seat.stir();
        Busy(seat)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.rest();
    }
}

/// `service`, noting on `seat` when something is being answered.
pub(super) fn noting<S, B>(service: S, seat: Arc<Seat>) -> Noting<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    Noting { service, seat }
}

/// See [`noting`].
pub(super) struct Noting<S> {
    service: S,
    seat: Arc<Seat>,
}

impl<S, B> Service<Request<Incoming>> for Noting<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body + Unpin,
{
    type Response = Response<Answer<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = Busy::with(self.seat.clone());
        let answering = self.service.call(request);
        Box::pin(async move {
            let response = answering.await?;
            Ok(response.map(|body| Answer { body, _busy: busy }))
        })
    }
}

/// An answer's body; until its end the connection is not idle.
pub(super) struct Answer<B> {
    body: B,
    _busy: Busy,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
