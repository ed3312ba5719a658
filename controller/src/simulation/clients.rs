//! Clients: they ask for things by few names, again and again with the same request id until they are answered or lose patience,
//! and remember what they were told.

use std::collections::BTreeMap;

use rempart_api::{Kind, StringMap, Urn};
use rempart_model::{Command, DesiredObject, PowerAction, ReportCommand, Spec};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use crate::auth::Proof;
use crate::raft::{Ballot, Node, ProposeError};
use crate::replica::{Replica, propose_as_system};
use crate::service::{Body, Call, Caller, Request, Service, ServiceError};

use super::ledger::Ledger;
use super::lots::Lots;
use super::network::{Content, Network, Packet, Place};

/// What is asked of a controller.
#[derive(Clone)]
pub(super) enum Question {
    /// A write, passed on to who leads.
    Execute(Box<Request>),
    /// How far a read has to look; for another replica that had voted so, or for the asked one.
    Read { partner: Option<(u64, Ballot)> },
    /// What it voted last.
    Ballot,
    /// What it reads once it is that far.
    See { index: u64 },
    /// A command of the control plane or its operator.
    Propose(Box<Command>),
    /// What a host observed.
    Report(ReportCommand),
    /// What a host has to do.
    Desired { host: String },
}

/// What is desired of a host, and as of which incarnation and entry.
pub(super) type Desired = ((u64, u64), Vec<DesiredObject>);

/// What is answered.
#[derive(Clone)]
pub(super) enum Reply {
    /// Ask somebody else.
    NotLeader,
    /// Nobody can know.
    Doubt,
    /// Done; the version of what was written, if it has one.
    Done(Option<u64>),
    /// Refused.
    Refused(String),
    /// How far a read has to look.
    Index(u64),
    /// The index of the State that a read saw.
    Read(u64),
    /// What it voted last.
    Ballot(Ballot),
    /// See [`Desired`].
    Desired(Desired),
}

/// The controller's side.
pub(super) async fn answer(
    (node, replica, service): (&Node, &Replica, &Service),
    question: Question,
    ledger: &Ledger,
) -> Reply {
    match question {
        Question::Execute(request) => match service.execute_as_leader(&request).await {
            Ok(reply) => {
                ledger.published(request.id, replica.state().applied_index());
                Reply::Done(version(&reply))
            }
            Err(ServiceError::Fault(fault)) if fault.leaves_doubt() => Reply::Doubt,
            Err(ServiceError::Fault(_)) => Reply::NotLeader,
            Err(refused) => Reply::Refused(refused.to_string()),
        },
        Question::Ballot => node.voted().map_or(Reply::NotLeader, Reply::Ballot),
        Question::Read { partner: Some((partner, voted)) } => {
            let asked_others = node.leads_with(partner, voted).is_none();
            match service.read_index_for(partner, voted).await {
                Ok(index) => {
                    ledger.count(if asked_others { "read for another" } else { "read with a partner" });
                    Reply::Index(index)
                }
                Err(_) => Reply::NotLeader,
            }
        }
        Question::Read { partner: None } => {
            let Ok(index) = service.read_index_as_leader().await else { return Reply::NotLeader };
            see((node, replica), index).await
        }
        Question::See { index } => see((node, replica), index).await,
        Question::Propose(command) => propose(node, *command).await,
        Question::Report(report) => {
            if !node.is_leader() {
                return Reply::NotLeader;
            }
            if !replica.state().report_changes_anything(&report) {
                return Reply::Done(None);
            }
            propose(node, Command::Report(report)).await
        }
        Question::Desired { host } => {
            if !node.is_leader() {
                return Reply::NotLeader;
            }
            let state = replica.state();
            let stamp = (state.core().incarnation, state.applied_index());
            let desired = state.on_host(&host).filter_map(|object| state.desired(object)).collect();
            Reply::Desired((stamp, desired))
        }
    }
}

async fn see((node, replica): (&Node, &Replica), index: u64) -> Reply {
    match node.wait_applied(index, Instant::now() + Duration::from_secs(5)).await {
        Ok(()) => Reply::Read(replica.state().applied_index()),
        Err(_) => Reply::Doubt,
    }
}

async fn propose(node: &Node, command: Command) -> Reply {
    match propose_as_system(node, command).await {
        Ok(outcome) => match &*outcome {
            Ok(_) => Reply::Done(None),
            Err(refusal) => Reply::Refused(refusal.detail.clone()),
        },
        Err(ProposeError::Unknown) => Reply::Doubt,
        Err(_) => Reply::NotLeader,
    }
}

fn version(reply: &crate::service::Reply) -> Option<u64> {
    let crate::service::Reply::Resource { view, .. } = reply else { return None };
    let view: Value = serde_json::from_slice(&view.clone().bytes()).ok()?;
    view["metadata"]["resourceVersion"].as_u64()
}

/// How long a client waits for one answer, and for all of them.
const ATTEMPT_MS: u64 = 2_000;
const PATIENCE_MS: u64 = 12_000;

/// What a client is waiting for.
struct Wish {
    request: Request,
    since_ms: u64,
    asked_ms: u64,
    call: u64,
    /// When it began everybody had been told of entries up to here.
    acknowledged: u64,
    reads: Option<Reading>,
}

impl Wish {
    /// A read looks at what everybody had been told of when it began.
    fn check(&self, what: &str, replica: u64, index: u64, ledger: &Ledger) {
        let told = self.acknowledged;
        ledger.check(index >= told, || {
            format!("replica {replica} {what} the state of {index}; of {told} somebody had been told before")
        });
    }
}

/// How far a read is.
#[derive(Clone, Copy)]
enum Reading {
    /// It is asked of who leads, and seen there.
    AtLeader,
    /// It goes through a replica that does not lead, as the service's reads do there: what that has voted comes first,
    Through,
    /// then the index, from who leads,
    Index(u64, Ballot),
    /// and then it is seen at the replica.
    See(u64),
}

impl Reading {
    /// Where it begins again.
    fn again(self) -> Reading {
        match self {
            Reading::AtLeader => Reading::AtLeader,
            Reading::Through | Reading::Index(..) | Reading::See(..) => Reading::Through,
        }
    }
}

/// One client. It wants one thing after the other.
pub(super) struct Client {
    place: Place,
    lots: Lots,
    wish: Option<Wish>,
    next_ms: u64,
    calls: u64,
    guess: u64,
    /// It does nothing but read, at replicas that need not lead.
    only_reads: bool,
    /// What it does first, in order.
    script: Vec<(Urn, Value, bool)>,
    versions: BTreeMap<Urn, u64>,
}

impl Client {
    pub(super) fn new(place: Place, seed: u64, script: Vec<(Urn, Value, bool)>) -> Client {
        let lots = Lots::of(seed, ("client", place));
        let script = script.into_iter().rev().collect();
        let versions = BTreeMap::new();
        Client {
            place,
            lots,
            wish: None,
            next_ms: 0,
            calls: 0,
            guess: 1,
            only_reads: false,
            script,
            versions,
        }
    }

    /// One that does nothing but read, at replicas that need not lead.
    pub(super) fn reader(place: Place, seed: u64) -> Client {
        Client { only_reads: true, ..Client::new(place, seed, Vec::new()) }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.wish.is_none()
    }

    /// Whether it has done what it was to do first.
    pub(super) fn is_set_up(&self) -> bool {
        self.script.is_empty()
    }

    pub(super) fn live(
        &mut self,
        now_ms: u64,
        members: &[u64],
        network: &Network,
        ledger: &Ledger,
        wants: bool,
    ) {
        for packet in network.arrived(self.place) {
            if let Content::Told { call, reply } = packet.content {
                self.hear(now_ms, (packet.from, members), (call, reply), network, ledger);
            }
        }
        if let Some(wish) = &self.wish
            && now_ms >= wish.since_ms + PATIENCE_MS
        {
            ledger.count("given up");
            self.wish = None;
            self.next_ms = now_ms;
        }
        match self.wish.as_ref().map(|wish| now_ms >= wish.asked_ms + ATTEMPT_MS) {
            Some(true) => {
                ledger.count("asked again");
                if let Some(wish) = &mut self.wish {
                    wish.reads = wish.reads.map(Reading::again);
                }
                self.guess = self.lots.pick(members).copied().unwrap_or(1);
                self.ask(now_ms, network);
            }
            None if now_ms >= self.next_ms && (wants || !self.script.is_empty()) => {
                self.wish(now_ms, ledger);
                if self.wish.as_ref().is_some_and(|wish| wish.reads.is_some()) {
                    // Whoever does not lead has to say so.
                    self.guess = self.lots.pick(members).copied().unwrap_or(1);
                }
                self.ask(now_ms, network);
            }
            Some(false) | None => {}
        }
    }

    fn hear(
        &mut self,
        now_ms: u64,
        (from, members): (u64, &[u64]),
        (call, reply): (u64, Reply),
        network: &Network,
        ledger: &Ledger,
    ) {
        let Some(wish) = self.wish.as_mut().filter(|wish| wish.call == call) else { return };
        let id = wish.request.id;
        match reply {
            Reply::NotLeader | Reply::Doubt | Reply::Desired(_) => {
                // Tried again with the next, soon.
                wish.asked_ms = now_ms.saturating_sub(ATTEMPT_MS - 100);
                return;
            }
            Reply::Ballot(voted) => {
                wish.reads = Some(Reading::Index(from, voted));
                // It may not know yet that who led does not any more.
                let others: Vec<_> =
                    members.iter().copied().filter(|id| ![from, voted.candidate].contains(id)).collect();
                let another = self.lots.pick(&others).copied().filter(|_| self.lots.permille(500));
                self.guess = another.unwrap_or(voted.candidate);
                self.ask(now_ms, network);
                return;
            }
            Reply::Index(index) => {
                wish.check("says to look at", from, index, ledger);
                if let Some(Reading::Index(partner, _)) = wish.reads {
                    wish.reads = Some(Reading::See(index));
                    self.guess = partner;
                    self.ask(now_ms, network);
                }
                return;
            }
            Reply::Done(version) => {
                ledger.acknowledged(id);
                ledger.count("acknowledged");
                let urn = wish.request.call.urn().clone();
                if let Some(version) = version {
                    self.versions.insert(urn, version);
                }
                self.script.pop();
            }
            Reply::Read(index) => {
                ledger.count("read");
                wish.check("saw", from, index, ledger);
                // Who reads after this must not see less.
                let mut pages = ledger.pages();
                pages.acknowledged = pages.acknowledged.max(index);
            }
            Reply::Refused(why) => {
                ledger.count("refused");
                if !self.script.is_empty() {
                    ledger.violated(|| format!("{:?}: {why}", wish.request.call.urn()));
                }
            }
        }
        self.guess = from;
        self.wish = None;
        self.next_ms = now_ms + self.lots.between(0, if self.only_reads { 20 } else { 150 });
    }

    fn ask(&mut self, now_ms: u64, network: &Network) {
        self.calls += 1;
        let Some(wish) = &mut self.wish else { return };
        (wish.call, wish.asked_ms) = (self.calls, now_ms);
        let question = match wish.reads {
            None => Question::Execute(Box::new(wish.request.clone())),
            Some(Reading::AtLeader) => Question::Read { partner: None },
            Some(Reading::Through) => Question::Ballot,
            Some(Reading::Index(partner, voted)) => Question::Read { partner: Some((partner, voted)) },
            Some(Reading::See(index)) => Question::See { index },
        };
        let content = Content::Ask { call: wish.call, question };
        network.send(Packet { from: self.place, to: self.guess, content });
    }

    fn wish(&mut self, now_ms: u64, ledger: &Ledger) {
        let id = Uuid::from_u64_pair(self.lots.draw(), self.lots.draw());
        let (call, reads, operates) = match self.script.last() {
            Some((urn, spec, operates)) => (put(urn.clone(), spec, None), false, *operates),
            None => {
                let (call, reads) = self.any_call();
                (call, reads, false)
            }
        };
        let subject = if operates { "operator" } else { "alice" };
        let caller = Caller { subject: subject.to_owned(), proof: Proof::default(), operates };
        let request = Request { id, trace: None, caller, call, alias: None };
        let acknowledged = ledger.pages().acknowledged;
        let reads = reads.then(|| {
            if self.only_reads || self.lots.permille(500) { Reading::Through } else { Reading::AtLeader }
        });
        self.wish = Some(Wish { request, since_ms: now_ms, asked_ms: now_ms, call: 0, acknowledged, reads });
    }

    fn any_call(&mut self) -> (Call, bool) {
        let (kind, name) = self.any_name();
        let urn = Urn::workspace(kind, "t1", "w1", &name);
        let version = self.versions.get(&urn).copied().filter(|_| self.lots.permille(300));
        let if_unmodified_since = version.map(|version| version - version.min(self.lots.below(8) / 7));
        if self.only_reads {
            return (Call::Get { urn }, true);
        }
        let call = match self.lots.below(100) {
            0..12 => return (Call::Get { urn }, true),
            12..34 => Call::Delete { urn, if_unmodified_since: if_unmodified_since.filter(|at| at % 2 == 0) },
            34..54 => {
                let urn = Urn::workspace(Kind::Instance, "t1", "w1", &format!("i{}", self.lots.below(4)));
                let actions = [PowerAction::Start, PowerAction::Stop, PowerAction::Restart];
                let action = self.lots.pick(&actions).copied().unwrap_or(PowerAction::Start);
                Call::Power { urn, if_unmodified_since: None, action }
            }
            _ => {
                let spec = self.any_spec(kind, &name);
                put(urn, &spec, if_unmodified_since)
            }
        };
        (call, false)
    }

    fn any_name(&mut self) -> (Kind, String) {
        let number = self.lots.below(4);
        match self.lots.below(10) {
            0..4 => (Kind::Instance, format!("i{number}")),
            4..7 => (Kind::BlockStorage, format!("v{}", self.lots.below(6))),
            7..9 => (Kind::Nic, format!("n{number}")),
            _ => (Kind::PublicIp, format!("p{}", number % 3)),
        }
    }

    fn any_spec(&mut self, kind: Kind, name: &str) -> Value {
        let number = name.get(1..).and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
        match kind {
            Kind::Instance => {
                let boot = if self.lots.permille(800) { number } else { self.lots.below(6) };
                let sku =
                    self.lots.pick(&["seca.d2xs", "seca.dxs", "seca.ds"]).copied().unwrap_or("seca.d2xs");
                let mut spec =
                    json!({"skuRef": sku, "zone": "a", "bootVolume": {"deviceRef": format!("v{boot}")}});
                if self.lots.permille(300) {
                    spec["userData"] = json!(format!("#{}", self.lots.below(4)));
                }
                spec
            }
            Kind::BlockStorage => json!({"sizeGB": self.lots.between(1, 3), "skuRef": "seca.le500"}),
            Kind::Nic => json!({"subnetRef": "networks/n/subnets/s"}),
            _ => json!({"version": "IPv4"}),
        }
    }
}

fn put(urn: Urn, spec: &Value, if_unmodified_since: Option<u64>) -> Call {
    let spec = Spec::parse(urn.kind, spec).unwrap();
    let (labels, annotations, extensions) = (StringMap::new(), StringMap::new(), StringMap::new());
    let body = Box::new(Body { labels, annotations, extensions, spec });
    Call::Put { urn, if_unmodified_since, body }
}

/// What a run begins with: a tenant with quotas, a network, a pool of public addresses.
pub(super) fn script() -> Vec<(Urn, Value, bool)> {
    let quota =
        json!({"instances": 4, "vCPU": 6, "volumes": 5, "storageGB": 10, "publicIps": 2, "addresses": 4});
    let here = |kind, name| Urn::workspace(kind, "t1", "w1", name);
    let mut script = vec![
        (Urn::global(Kind::Tenant, "t1"), json!({"owners": ["alice"], "quota": quota}), true),
        (Urn::global(Kind::AddressPool, "p"), json!({"blocks": ["203.0.113.0/30"]}), true),
        (Urn::tenant(Kind::Workspace, "t1", "w1"), json!({}), false),
        (here(Kind::Network, "n"), json!({"cidr": {"ipv4": "10.0.0.0/16"}, "skuRef": "seca.n1k"}), false),
        (
            Urn::network(Kind::RouteTable, "t1", "w1", "n", "r"),
            json!({"routes": [{"destinationCidrBlock": "0.0.0.0/0", "targetRef": "instances/i0"}]}),
            false,
        ),
        (
            Urn::network(Kind::Subnet, "t1", "w1", "n", "s"),
            json!({"cidr": {"ipv4": "10.0.1.0/28"}, "zone": "a", "routeTableRef": "r"}),
            false,
        ),
    ];
    for volume in ["v0", "v1", "v2"] {
        script.push((here(Kind::BlockStorage, volume), json!({"sizeGB": 1, "skuRef": "seca.le500"}), false));
    }
    script
}
