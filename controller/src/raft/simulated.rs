//! What a simulation puts in place of the machine a replica runs on: its clock, its lots, its lines to others, and how
//! long its disk takes. Tests only; everything is asked of the thread's [`Surroundings`], and without any of them tests run on
//! the real machine.

mod watch;

use std::{
    cell::RefCell,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use openraft::{OptionalSend, impls::TokioRuntime};
use rempart_api::Timestamp;
use rempart_identity::Lane;
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
    transport::Channel,
};
use uuid::Uuid;

/// What takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pause {
    /// From the first entry of a group to the end of its fsync.
    Fsync,
    /// A run of `apply`, or a snapshot.
    Apply,
    /// A look at a file.
    Disk,
    /// Half of a transaction.
    Postgres,
}

/// What a number is drawn for. Each has lots of its own: the order in which tasks draw them is not always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lot {
    /// openraft's timeouts.
    Consensus,
    /// Identifiers.
    Identifier,
}

/// An answer under way.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Status>> + Send>>;

/// A simulated world, as seen by the replica whose turn it is.
pub(crate) trait Surroundings {
    /// How long something takes this time.
    fn duration(&self, what: Pause) -> Duration;
    /// The clock on the wall.
    fn now(&self) -> Timestamp;
    /// A number never drawn before, for one of the uses there are.
    fn draw(&self, what_for: Lot) -> u64;
    /// Whether a connection breaks this time.
    fn breaks(&self) -> bool;
    /// Something happened that a run is worth for.
    fn met(&self, what: &'static str);
    /// Sends a call to replica `to`.
    fn call(&self, to: u64, lane: Lane, path: String, body: Body) -> Answer;
}

thread_local! {
    static SURROUNDINGS: RefCell<Option<Rc<dyn Surroundings>>> = const { RefCell::new(None) };
}

/// From now on, on this thread.
pub(crate) fn surround(with: Option<Rc<dyn Surroundings>>) {
    SURROUNDINGS.set(with);
}

fn surroundings() -> Option<Rc<dyn Surroundings>> {
    SURROUNDINGS.with_borrow(Clone::clone)
}

/// Whether this thread is in a simulation.
pub(crate) fn is_on() -> bool {
    SURROUNDINGS.with_borrow(Option::is_some)
}

/// The simulated time.
pub(crate) fn now() -> Option<Timestamp> {
    surroundings().map(|world| world.now())
}

/// A simulated identifier.
pub(crate) fn mint() -> Option<Uuid> {
    let world = surroundings()?;
    Some(Uuid::from_u64_pair(world.draw(Lot::Identifier), world.draw(Lot::Identifier)))
}

/// Whether a simulated connection breaks this time.
pub(crate) fn breaks() -> bool {
    surroundings().is_some_and(|world| world.breaks())
}

/// Has a simulation count that something happened.
pub(crate) fn met(what: &'static str) {
    if let Some(world) = surroundings() {
        world.met(what);
    }
}

/// Lets the simulated time pass that something takes.
pub(crate) async fn pause(what: Pause) {
    let duration = surroundings().map(|world| world.duration(what));
    if let Some(duration) = duration {
        tokio::time::sleep(duration).await;
    }
}

/// Lets a simulated moment pass.
pub(crate) async fn moment() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// tokio, with lots that a simulation can draw.
#[derive(Debug)]
pub(crate) struct Seeded;

impl openraft::AsyncRuntime for Seeded {
    type JoinError = <TokioRuntime as openraft::AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as openraft::AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as openraft::AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as openraft::AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as openraft::AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        <TokioRuntime as openraft::AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = rand::rngs::SmallRng;
    type Mpsc = <TokioRuntime as openraft::AsyncRuntime>::Mpsc;
    type Watch = watch::Watch;
    type Oneshot = <TokioRuntime as openraft::AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as openraft::AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        let seed =
            surroundings().map_or_else(|| Uuid::new_v4().as_u64_pair().0, |world| world.draw(Lot::Consensus));
        rand::SeedableRng::seed_from_u64(seed)
    }

    fn new(_threads: usize) -> Self {
        Self
    }

    fn block_on<F: Future<Output = T>, T>(&mut self, future: F) -> T {
        tokio::runtime::Handle::current().block_on(future)
    }
}

/// What carries calls to a peer: a connection, or a simulation of one.
#[derive(Clone)]
pub(crate) enum Carrier {
    /// gRPC.
    Channel(Channel),
    /// To this replica.
    Simulated(u64, Lane),
}

impl Carrier {
    /// A line to `target` in the simulation, if there is one.
    pub(super) fn simulated(target: u64, lane: Lane) -> Option<Self> {
        is_on().then_some(Self::Simulated(target, lane))
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier")
    }
}

impl Service<http::Request<Body>> for Carrier {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        match self {
            Self::Channel(channel) => {
                channel.poll_ready(context).map_err(|error| Status::from_error(error.into()))
            }
            Self::Simulated(..) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        match self {
            Self::Channel(channel) => {
                let answer = channel.call(request);
                Box::pin(async move { answer.await.map_err(|error| Status::from_error(error.into())) })
            }
            Self::Simulated(to, lane) => {
                let path = request.uri().path().to_owned();
                match surroundings() {
                    Some(world) => world.call(*to, *lane, path, request.into_body()),
                    None => Box::pin(async { Err(Status::unavailable("the simulation is over")) }),
                }
            }
        }
    }
}
