//! The network between replicas, clients and hosts: packets that are lost, late, doubled and overtaken, as the seed has it.
//!
//! What happens to a packet is drawn from the lots of its line: how often others were sent meanwhile does not matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use rempart_identity::Lane;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};

use super::clients::{Question, Reply};
use super::ledger::Ledger;
use super::lots::Lots;
use crate::raft::simulated::Answer;

/// A place that packets go to: a replica by its id; clients and hosts from [`OUTSIDE`] on.
pub(super) type Place = u64;
/// The first place that is no replica.
pub(super) const OUTSIDE: Place = 100;

/// A gRPC answer in one piece.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    headers: HeaderMap,
    bytes: Bytes,
    trailers: Option<HeaderMap>,
}

/// A call that is held open: its answer comes when an end is gone.
pub(super) const HOLD: &str = "/rempart.raft.v1.Raft/Hold";

/// What is in a packet.
#[derive(Clone)]
pub(super) enum Content {
    /// A call of consensus. Cut short: the line breaks after so many bytes.
    Call { call: u64, path: String, bytes: Bytes, cut: Option<usize> },
    /// The process that held a call open has ended.
    HungUp { call: u64 },
    /// Its answer.
    Returned { call: u64, answer: Result<Whole, Status> },
    /// A client, host or operator asks.
    Ask { call: u64, question: Question },
    /// They are answered.
    Told { call: u64, reply: Reply },
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Call { path, bytes, .. } => write!(f, "{path} ({} bytes)", bytes.len()),
            Content::HungUp { .. } => f.write_str("hung up"),
            Content::Returned { answer: Ok(whole), .. } => write!(f, "answer ({} bytes)", whole.bytes.len()),
            Content::Returned { answer: Err(status), .. } => write!(f, "{status}"),
            Content::Ask { .. } => f.write_str("ask"),
            Content::Told { .. } => f.write_str("told"),
        }
    }
}

/// Something under way.
#[derive(Clone)]
pub(super) struct Packet {
    pub(super) from: Place,
    pub(super) to: Place,
    pub(super) content: Content,
}

/// How bad the network is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    pub(super) lost_permille: u64,
    pub(super) doubled_permille: u64,
    /// Of all packets, so many take up to `delay_ms` more.
    pub(super) late_permille: u64,
    pub(super) delay_ms: u64,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Network(Arc<Mutex<Lines>>);

struct Lines {
    seed: u64,
    now_ms: u64,
    weather: Weather,
    cut: BTreeSet<(Place, Place)>,
    lots: BTreeMap<(Place, Place), Lots>,
    /// By when they arrive, where, from where, and in which order they were sent.
    under_way: BTreeMap<(u64, Place, Place, u64), Packet>,
    sent: BTreeMap<(Place, Place), u64>,
    /// Calls that wait for their answer, by caller and number.
    waiting: BTreeMap<(Place, u64), oneshot::Sender<Result<Whole, Status>>>,
    /// Those of them that are held open, and to whom.
    held: BTreeMap<(Place, u64), Place>,
    /// Where nobody listens, and the machine says so.
    refusing: BTreeSet<Place>,
    ledger: Ledger,
}

impl Network {
    pub(super) fn new(seed: u64, ledger: Ledger) -> Network {
        Network(Arc::new(Mutex::new(Lines {
            seed,
            now_ms: 0,
            weather: Weather::default(),
            cut: BTreeSet::new(),
            lots: BTreeMap::new(),
            under_way: BTreeMap::new(),
            sent: BTreeMap::new(),
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            refusing: BTreeSet::new(),
            ledger,
        })))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_now(&self, now_ms: u64) {
        self.lines().now_ms = now_ms;
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.lines().weather = weather;
    }

    /// From now on nothing gets from `from` to `to`; or it does again.
    pub(super) fn cut(&self, from: Place, to: Place, is_cut: bool) {
        let mut lines = self.lines();
        if is_cut {
            lines.cut.insert((from, to));
        } else {
            lines.cut.remove(&(from, to));
        }
    }

    /// Everything gets everywhere again.
    pub(super) fn heal(&self) {
        let mut lines = self.lines();
        lines.cut.clear();
        lines.weather = Weather::default();
    }

    pub(super) fn send(&self, packet: Packet) {
        self.lines().send(packet);
    }

    /// Something happened that a run is worth for.
    pub(super) fn met(&self, what: &'static str) {
        self.lines().ledger.count(what);
    }

    /// What has arrived at `place`, in order.
    pub(super) fn arrived(&self, place: Place) -> Vec<Packet> {
        let mut lines = self.lines();
        let now_ms = lines.now_ms;
        let due: Vec<_> = lines
            .under_way
            .range(..(now_ms + 1, 0, 0, 0))
            .filter(|((_, to, ..), _)| *to == place)
            .map(|(key, _)| *key)
            .collect();
        due.iter().filter_map(|key| lines.under_way.remove(key)).collect()
    }

    /// Nobody at `place` waits for anything any more.
    pub(super) fn forget(&self, place: Place) {
        let mut lines = self.lines();
        lines.waiting.retain(|(caller, _), _| *caller != place);
        lines.under_way.retain(|(_, to, ..), _| *to != place);
    }

    /// From now on connections to `place` are refused; or it takes them again.
    pub(super) fn refuse(&self, place: Place, refuses: bool) {
        let mut lines = self.lines();
        if refuses {
            lines.refusing.insert(place);
        } else {
            lines.refusing.remove(&place);
        }
    }

    /// What `place` held open, and others to it, ends, for all whom the news reaches.
    pub(super) fn hang_up(&self, place: Place) {
        let mut lines = self.lines();
        let held: Vec<_> = lines.held.iter().map(|((from, call), to)| (*from, *call, *to)).collect();
        for (from, call, to) in held.into_iter().filter(|(from, _, to)| *from == place || *to == place) {
            lines.held.remove(&(from, call));
            let (content, other) = if from == place {
                (Content::HungUp { call }, to)
            } else {
                (Content::Returned { call, answer: Err(Status::unavailable("the line broke")) }, from)
            };
            lines.send(Packet { from: place, to: other, content });
        }
    }

    /// An answer has arrived at the replica that called.
    pub(super) fn returned(&self, caller: Place, call: u64, answer: Result<Whole, Status>) {
        let mut lines = self.lines();
        lines.held.remove(&(caller, call));
        let waiting = lines.waiting.remove(&(caller, call));
        drop(lines);
        if let Some(waiting) = waiting {
            // The caller may have given up.
            let _ = waiting.send(answer);
        }
    }

    /// Sends a call and waits for its answer, which may never come.
    pub(super) fn call(&self, from: Place, to: Place, lane: Lane, path: String, body: Body) -> Answer {
        let network = self.clone();
        Box::pin(async move {
            let bytes = body.collect().await?.to_bytes();
            let (answer, answered) = oneshot::channel();
            network.lines().start(from, to, lane, path, bytes, answer);
            let whole = answered.await.map_err(|_| Status::unavailable("the line broke"))??;
            Ok(whole.unpack())
        })
    }
}

impl Lines {
    fn start(
        &mut self,
        from: Place,
        to: Place,
        lane: Lane,
        path: String,
        bytes: Bytes,
        answer: oneshot::Sender<Result<Whole, Status>>,
    ) {
        let number = self.sent.get(&(from, to)).copied().unwrap_or_default();
        let call = to << 40 | number;
        self.waiting.insert((from, call), answer);
        if path == HOLD {
            if self.refusing.contains(&to) && !self.cut.contains(&(from, to)) {
                let refused = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused)));
                let content = Content::Returned { call, answer: Err(refused) };
                // Counted as a call: the next one has another number.
                *self.sent.entry((from, to)).or_default() += 1;
                return self.send(Packet { from: to, to: from, content });
            }
            self.held.insert((from, call), to);
        }
        let breaks = lane == Lane::Snapshots && self.weather.lost_permille > 0 && {
            let lots = self.lots(from, to);
            lots.permille(200)
        };
        let cut = breaks.then(|| {
            let length = bytes.len() as u64;
            usize::try_from(self.lots(from, to).below(length.max(1))).unwrap_or_default()
        });
        if cut.is_some() {
            self.ledger.count("snapshot cut short");
        }
        self.send(Packet { from, to, content: Content::Call { call, path, bytes, cut } });
    }

    fn lots(&mut self, from: Place, to: Place) -> &mut Lots {
        let seed = self.seed;
        self.lots.entry((from, to)).or_insert_with(|| Lots::of(seed, ("line", from, to)))
    }

    fn send(&mut self, packet: Packet) {
        let (from, to, weather) = (packet.from, packet.to, self.weather);
        let sent = self.sent.entry((from, to)).or_default();
        *sent += 1;
        let number = *sent;
        let lots = self.lots(from, to);
        // Drawn whatever becomes of it, so that the lots of the next packet are the same.
        let (lost, doubled) = (lots.permille(weather.lost_permille), lots.permille(weather.doubled_permille));
        let (late, more) = (lots.permille(weather.late_permille), lots.between(1, weather.delay_ms.max(1)));
        let (first, second) = (lots.between(1, 8), lots.between(1, 400));
        if lost || self.cut.contains(&(from, to)) {
            self.ledger.count("packet lost");
            return;
        }
        let now_ms = self.now_ms;
        let due = now_ms + first + if late { more } else { 0 };
        let again = match packet.content {
            // A snapshot is a stream: it comes once or not at all.
            Content::Call { cut: Some(_), .. } | Content::Returned { .. } | Content::HungUp { .. } => false,
            Content::Call { ref path, .. } if path == HOLD => false,
            _ => doubled,
        };
        if again {
            self.ledger.count("packet doubled");
            self.under_way.insert((now_ms + second, to, from, number << 1 | 1), packet.clone());
        }
        if super::is_loud() {
            eprintln!("            {now_ms} -> {due}: {from} to {to}, {number}: {}", packet.content);
        }
        self.under_way.insert((due, to, from, number << 1), packet);
    }
}

impl Whole {
    /// Takes an answer as the server gave it.
    pub(super) async fn pack(response: Response<Body>) -> Result<Whole, Status> {
        let (parts, body) = response.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok(Whole { headers: parts.headers, bytes: collected.to_bytes(), trailers })
    }

    fn unpack(self) -> Response<Body> {
        let trailers = self.trailers.map(http_body::Frame::trailers);
        let frames = [Some(http_body::Frame::data(self.bytes)), trailers];
        let frames = frames.into_iter().flatten().map(Ok::<_, Status>);
        let mut response = Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
        *response.headers_mut() = self.headers;
        response
    }
}

/// A call as the server takes it.
pub(super) fn request(path: &str, bytes: Bytes, cut: Option<usize>) -> Request<Body> {
    let body = match cut {
        None => Body::new(Full::new(bytes)),
        Some(at) => {
            let frames = [
                Ok(http_body::Frame::data(bytes.slice(..at.min(bytes.len())))),
                Err(Status::unavailable("the line broke")),
            ];
            Body::new(StreamBody::new(futures::stream::iter(frames)))
        }
    };
    let mut request = Request::new(body);
    *request.method_mut() = tonic::codegen::http::Method::POST;
    if let Ok(path) = path.parse() {
        *request.uri_mut() = path;
    }
    let content = tonic::codegen::http::HeaderValue::from_static("application/grpc");
    request.headers_mut().insert("content-type", content);
    request
}
