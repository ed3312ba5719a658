//! The world: who lives, step by step, and the faults that befall them.
//!
//! ```text
//!   found, set up ──> faults, as the seed has them, under load ──> heal: everybody is back ──> all that was asked for is true
//!        └────────────────── after every step of 10 ms: the invariants ──────────────────┘
//! ```

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rempart_api::{Kind, Timestamp, Urn};
use rempart_identity::Lane;
use rempart_model::{Command, ReplicaCommand, ReplicaIntent};
use serde_json::json;
use tonic::body::Body;

use crate::raft::simulated::{self, Answer, Lot, Pause, Surroundings};
use crate::store::simulated::Memory;

use super::clients::{Client, Question, script};
use super::controller::{Common, Controller};
use super::disk::Disks;
use super::faults::Fate;
use super::hosts::Host;
use super::invariants::{Memories, check_history};
use super::ledger::Ledger;
use super::lots::{Lots, hash};
use super::network::{Content, Network, OUTSIDE, Packet};

/// A step.
pub(super) const STEP_MS: u64 = 10;
/// How long founding and setting up may take.
const BEGINNING_MS: u64 = 40_000;
/// How long the faults last.
const FAULTS_MS: u64 = 20_000;
/// How long clients go on after them.
const AFTER_MS: u64 = 4_000;
/// How long after that everything may take to be as asked for.
const END_MS: u64 = 90_000;
const CLIENTS: u64 = 3;
const HOSTS: u64 = 2;

/// How a replica goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// Its machine closes its connections, and refuses new ones.
    Process,
    /// Its machine, too: nobody says anything.
    Machine,
}

/// What the controllers stand on.
pub(super) struct Ground {
    network: Network,
    pub(super) now_ms: Cell<u64>,
    /// Whose turn it is.
    turn: Cell<u64>,
    lots: RefCell<BTreeMap<(u64, u64), Lots>>,
    seed: u64,
    /// How far a wall clock is off.
    pub(super) skew_ms: RefCell<BTreeMap<u64, i64>>,
    /// Whose disk takes how long for an fsync, at most.
    pub(super) slow_ms: RefCell<BTreeMap<u64, u64>>,
    /// Whether connections to databases break.
    pub(super) breaks: Cell<bool>,
}

impl Ground {
    /// Of whose turn it is, for one use.
    fn with_lots<T>(&self, what_for: impl Hash, draw: impl FnOnce(&mut Lots) -> T) -> T {
        let (turn, what_for) = (self.turn.get(), hash(what_for));
        let mut all = self.lots.borrow_mut();
        draw(all.entry((turn, what_for)).or_insert_with(|| Lots::of(self.seed, (turn, what_for))))
    }
}

impl Surroundings for Ground {
    fn duration(&self, what: Pause) -> Duration {
        let slow_ms = self.slow_ms.borrow().get(&self.turn.get()).copied().unwrap_or(6);
        Duration::from_millis(self.with_lots(what, |lots| match what {
            Pause::Fsync => lots.between(0, slow_ms),
            Pause::Apply | Pause::Disk => lots.between(0, 2),
            Pause::Postgres => lots.between(1, 30),
        }))
    }

    fn now(&self) -> Timestamp {
        let skew = self.skew_ms.borrow().get(&self.turn.get()).copied().unwrap_or_default();
        let since = i64::try_from(self.now_ms.get()).unwrap_or_default();
        Timestamp::from_unix_ms(1_800_000_000_000 + since + skew)
    }

    fn draw(&self, what_for: Lot) -> u64 {
        self.with_lots(what_for, Lots::draw)
    }

    fn breaks(&self) -> bool {
        self.breaks.get() && self.with_lots("breaks", |lots| lots.permille(20))
    }

    fn met(&self, what: &'static str) {
        self.network.met(what);
    }

    fn call(&self, to: u64, lane: Lane, path: String, body: Body) -> Answer {
        self.network.call(self.turn.get(), to, lane, path, body)
    }
}

/// See the module.
pub(super) struct World {
    pub(super) ledger: Ledger,
    pub(super) network: Network,
    pub(super) ground: Rc<Ground>,
    pub(super) disks: Disks,
    pub(super) lots: Lots,
    pub(super) controllers: BTreeMap<u64, Controller>,
    pub(super) memories: BTreeMap<u64, Memory>,
    /// Who is down, and until when.
    pub(super) down: BTreeMap<u64, u64>,
    /// Who is not scheduled, and until when.
    pub(super) paused: BTreeMap<u64, u64>,
    /// Who left for good, or is to.
    pub(super) left: BTreeSet<u64>,
    pub(super) hosts: Vec<Host>,
    clients: Vec<Client>,
    watched: Memories,
    common: Common,
    wants: bool,
    /// Whose disk was full: they may stop by themselves.
    pub(super) excused: BTreeSet<u64>,
    /// What operators asked of controllers, until it is done.
    pub(super) orders: Vec<Command>,
    orders_asked: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        // Before the ground they stand on.
        self.controllers.clear();
        simulated::surround(None);
    }
}

impl World {
    pub(super) fn new(seed: u64, ledger: &Ledger) -> io::Result<World> {
        let network = Network::new(seed, ledger.clone());
        let ground = Rc::new(Ground {
            network: network.clone(),
            now_ms: Cell::new(0),
            turn: Cell::new(0),
            lots: RefCell::default(),
            seed,
            skew_ms: RefCell::default(),
            slow_ms: RefCell::default(),
            breaks: Cell::new(false),
        });
        simulated::surround(Some(ground.clone()));
        let members: BTreeMap<u64, String> = (1..=3).map(|id| (id, address(id))).collect();
        let common = Common { ledger: ledger.clone(), network: network.clone(), members };
        let mut scripts: Vec<_> = (0..CLIENTS).map(|_| Vec::new()).collect();
        scripts[0] = script();
        for number in 1..=HOSTS {
            let overcommit = json!({"vcpuPercent": 150, "memoryPercent": 100, "diskPercent": 100});
            let host = Urn::global(Kind::Host, format!("h{number}").as_str());
            scripts[0].push((host, json!({"zone": "a", "overcommit": overcommit}), true));
        }
        let clients = scripts.into_iter().zip(OUTSIDE..).map(|(script, at)| Client::new(at, seed, script));
        let clients = clients.chain([Client::reader(OUTSIDE + CLIENTS, seed)]).collect();
        let hosts = (1..=HOSTS).map(|at| Host::new(OUTSIDE + 50 + at, seed, format!("h{at}"))).collect();
        Ok(World {
            ledger: ledger.clone(),
            network,
            ground,
            disks: Disks::new(ledger.clone())?,
            lots: Lots::of(seed, "world"),
            controllers: BTreeMap::new(),
            memories: BTreeMap::new(),
            down: (1..=3).map(|id| (id, 0)).collect(),
            paused: BTreeMap::new(),
            left: BTreeSet::new(),
            hosts,
            clients,
            watched: Memories::default(),
            common,
            wants: false,
            excused: BTreeSet::new(),
            orders: Vec::new(),
            orders_asked: 0,
        })
    }

    /// One life, from founding to rest. Ends early at the first violation.
    pub(super) fn live(&mut self) {
        if !self.until(BEGINNING_MS, |world| world.clients.iter().all(Client::is_set_up)) {
            return self.ledger.violated(|| "nobody could set up anything".to_owned());
        }
        self.tell("set up");
        self.wants = true;
        let mut fate = Fate::new(&mut self.lots);
        let end_ms = self.now_ms() + FAULTS_MS;
        while self.now_ms() < end_ms && self.ledger.violation().is_none() {
            fate.strike(self);
            self.step();
        }
        fate.relent(self);
        self.tell("healed");
        self.until(AFTER_MS, |_| false);
        self.wants = false;
        let settled = self.until(END_MS, |world| world.unsettled().is_none());
        if !settled {
            let why = self.unsettled().unwrap_or_default();
            self.ledger.violated(|| format!("{END_MS} ms after the faults: {why}"));
        }
        self.watched.newest.check();
        check_history(&self.memories, &self.ledger);
        self.tell("at rest");
    }

    fn until(&mut self, within_ms: u64, reached: impl Fn(&World) -> bool) -> bool {
        let end_ms = self.now_ms() + within_ms;
        while self.now_ms() < end_ms {
            if self.ledger.violation().is_some() || reached(&*self) {
                return true;
            }
            self.step();
        }
        false
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.ground.now_ms.get()
    }

    pub(super) fn tell(&self, what: &str) {
        self.ledger.tell(self.now_ms(), || what.to_owned());
    }

    /// Who is to be in the end.
    fn members(&self) -> Vec<u64> {
        self.memories.keys().copied().filter(|id| !self.left.contains(id)).collect()
    }

    fn step(&mut self) {
        let now_ms = self.now_ms() + STEP_MS;
        self.ground.now_ms.set(now_ms);
        self.network.set_now(now_ms);
        self.start_who_is_due();
        self.paused.retain(|id, until_ms| match *until_ms > now_ms {
            true => true,
            false => {
                if let Some(controller) = self.controllers.get_mut(id) {
                    self.ground.turn.set(*id);
                    controller
                        .wake_after(self.ground.now_ms.get().saturating_sub(controller.asleep_since_ms));
                }
                false
            }
        });
        for (id, controller) in &mut self.controllers {
            if self.paused.contains_key(id) {
                continue;
            }
            self.ground.turn.set(*id);
            controller.live(STEP_MS, self.network.arrived(*id));
        }
        // Who is to leave may still lead.
        let members: Vec<u64> = self.memories.keys().copied().collect();
        for client in &mut self.clients {
            client.live(now_ms, &members, &self.network, &self.ledger, self.wants);
        }
        for host in &mut self.hosts {
            host.live(now_ms, &members, &self.network, &self.ledger);
        }
        self.operate(now_ms, &members);
        self.look();
    }

    fn look(&mut self) {
        for (id, controller) in &mut self.controllers {
            self.ground.turn.set(*id);
            if let Some(memory) = self.memories.get(id) {
                self.watched.look(controller, memory, &self.ledger);
            }
        }
        self.watched.look_at_hosts(&self.hosts, &self.ledger);
        let ended: Vec<u64> =
            self.controllers.values().filter(|one| one.has_stopped()).map(|one| one.id).collect();
        for id in ended {
            self.tell(&format!("{id} has stopped"));
            self.crash(id, 500, Death::Process);
        }
        let failed: Vec<_> = self
            .controllers
            .values()
            .filter(|one| !one.is_stopping())
            .filter_map(|one| Some((one.id, one.failure()?)))
            .collect();
        for (id, why) in failed {
            let excused = self.excused.contains(&id) || self.left.contains(&id);
            self.ledger.check(excused, || format!("replica {id} stopped by itself: {why}"));
            self.tell(&format!("{id} failed"));
            self.crash(id, 1_000, Death::Process);
        }
    }

    fn start_who_is_due(&mut self) {
        let now_ms = self.now_ms();
        let due: Vec<u64> = self.down.iter().filter(|(_, at)| **at <= now_ms).map(|(id, _)| *id).collect();
        for id in due {
            self.ground.turn.set(id);
            let memory = self.memories.entry(id).or_default().clone();
            match Controller::start(id, self.disks.log_dir(id), &memory, &self.common) {
                Ok(mut controller) => {
                    controller.drift = i64::try_from(self.lots.below(21)).unwrap_or_default() - 10;
                    self.tell(&format!("{id} runs"));
                    // What is left of an earlier life.
                    self.network.hang_up(id);
                    self.network.refuse(id, false);
                    self.controllers.insert(id, controller);
                    self.down.remove(&id);
                    if !self.disks.is_full(id) {
                        self.excused.remove(&id);
                    }
                }
                Err(why) => {
                    let excused = self.excused.contains(&id);
                    self.ledger.check(excused, || format!("replica {id} does not start: {why}"));
                    self.down.insert(id, now_ms + 1_000);
                }
            }
        }
    }

    /// A replica is gone from one moment to the next, and comes back after a while.
    pub(super) fn crash(&mut self, id: u64, back_after_ms: u64, death: Death) {
        self.ground.turn.set(id);
        if self.controllers.remove(&id).is_none() {
            return;
        }
        if death == Death::Process {
            self.network.refuse(id, true);
            self.network.hang_up(id);
        }
        self.network.forget(id);
        self.paused.remove(&id);
        if let Err(error) = self.disks.crash(id, &mut self.lots) {
            self.ledger.violated(|| format!("the simulated disk of {id}: {error}"));
        }
        if !self.left.contains(&id) {
            self.down.insert(id, self.now_ms() + back_after_ms);
        }
    }

    /// Another controller is installed, and an operator wants it to take part.
    pub(super) fn join(&mut self, id: u64) {
        self.down.insert(id, self.now_ms());
        self.memories.insert(id, Memory::default());
        let intent = ReplicaIntent::Join { address: address(id) };
        self.orders.push(Command::Replica(ReplicaCommand { replica_id: id, intent }));
    }

    /// An operator wants a controller to leave.
    pub(super) fn leave(&mut self, id: u64) {
        self.left.insert(id);
        self.orders.push(Command::Replica(ReplicaCommand { replica_id: id, intent: ReplicaIntent::Leave }));
    }

    /// An operator repeats each order until it was heard.
    fn operate(&mut self, now_ms: u64, members: &[u64]) {
        let place = OUTSIDE + 99;
        for packet in self.network.arrived(place) {
            let Content::Told { call, reply } = packet.content else { continue };
            let heard = matches!(reply, super::clients::Reply::Done(_) | super::clients::Reply::Refused(_));
            if call == self.orders_asked && heard && !self.orders.is_empty() {
                self.orders.remove(0);
                // The network may tell it twice, and the next order has not been heard.
                self.orders_asked = u64::MAX;
            }
        }
        if now_ms.is_multiple_of(500)
            && let Some(order) = self.orders.first()
        {
            self.orders_asked = now_ms;
            let question = Question::Propose(Box::new(order.clone()));
            let to = self.lots.pick(members).copied().unwrap_or(1);
            let content = Content::Ask { call: now_ms, question };
            self.network.send(Packet { from: place, to, content });
        }
    }

    /// What is not yet as it was asked to be.
    fn unsettled(&self) -> Option<String> {
        if !self.orders.is_empty() || !self.clients.iter().all(Client::is_idle) {
            return Some("somebody waits for an answer".to_owned());
        }
        let newest = self.watched.newest.applied_index();
        let acknowledged = self.ledger.pages().acknowledged;
        if newest < acknowledged {
            return Some(format!("{acknowledged} was acknowledged, and nobody has more than {newest}"));
        }
        let members: BTreeSet<u64> = self.members().into_iter().collect();
        for id in &members {
            let Some(controller) = self.controllers.get(id) else { return Some(format!("{id} is down")) };
            let applied = controller.replica.state().applied_index();
            if applied != newest {
                return Some(format!("replica {id} has {applied} of {newest}"));
            }
            let mark =
                self.memories.get(id).and_then(|memory| Some(memory.tables().mark.as_ref()?.applied_index));
            if mark != Some(newest) {
                return Some(format!("the database of {id} has {mark:?} of {newest}"));
            }
            let voters = controller.node.status().members.voters;
            if voters.len() != 1 || voters[0] != members {
                return Some(format!("on {id} the voters are {voters:?}, to be {members:?}"));
            }
        }
        self.watched.unsettled(&self.hosts)
    }
}

fn address(id: u64) -> String {
    format!("c{id}:7080")
}
