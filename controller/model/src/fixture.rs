//! A small cloud to test with.

mod specs;

use rempart_api::fleet::HostReport;
use rempart_api::{Kind, StringMap, Timestamp, Urn};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use self::specs::*;
use crate::answer::{Answer, Outcome};
use crate::command::{
    Command, DeleteCommand, EnrolCommand, Founding, HostAction, HostCommand, HostName, HostSeen,
    InstanceReport, ObjectReport, PlaceCommand, PowerAction, PowerCommand, PutCommand, ReportCommand,
    TokenUse,
};
use crate::kinds::Spec;
use crate::object::{Detail, InstanceDetail, Object};
use crate::placement;
use crate::restored::Restored;
use crate::state::State;
use crate::{Envelope, Explanation, explain};

/// A State and the log that leads to it. Every entry passes through its bytes, is admitted first, and is followed by
/// [`State::check`].
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) clock: i64,
    /// Who asks; at first `alice`, who owns tenant `t1`.
    pub(crate) actor: String,
    minted: u128,
}

pub(crate) const START: i64 = 1_800_000_000_000;
/// The backup that a restored world is of.
pub(crate) const BACKUP: Uuid = Uuid::from_u128(0xbac0);

impl World {
    /// A State without history.
    pub(crate) fn blank() -> World {
        World { state: State::default(), clock: START, actor: "alice".into(), minted: 0 }
    }

    /// A founded region `eu-1` with zones `a` and `b`, the shared catalogue, tenant `t1` with workspace `w1`, no host.
    pub(crate) fn hostless() -> World {
        let mut world = World::blank();
        let shared = world.put_command(&Urn::global(Kind::Tenant, "public"), json!({"owners": ["operator"]}));
        let founding = Founding { catalogue: vec![shared], ..founding("eu-1", &["a", "b"]) };
        world.done(Command::Found(founding));
        world.created(&Urn::tenant(Kind::InstanceSku, "public", "seca.dxs"), json!({"vCPU": 1, "ram": 1}));
        world.created(
            &Urn::tenant(Kind::StorageSku, "public", "rd100"),
            json!({"iops": 100, "minVolumeSize": 1, "type": "local-durable"}),
        );
        world.created(
            &Urn::tenant(Kind::NetworkSku, "public", "n1k"),
            json!({"bandwidth": 1000, "packets": 10_000}),
        );
        world.created(&Urn::global(Kind::Tenant, "t1"), json!({"owners": ["alice"]}));
        world.created(&workspace("w1"), json!({}));
        world
    }

    /// The same, with host `h1` in zone `a`.
    pub(crate) fn new() -> World {
        let mut world = World::hostless();
        world.join("h1", "a", host_report());
        world
    }

    /// The same, with volume `boot` and instance `vm` placed on `h1`, which has not reported yet.
    pub(crate) fn with_instance() -> World {
        let mut world = World::new();
        world.created(&volume("boot"), volume_spec(1));
        world.created(&instance("vm"), instance_spec("boot"));
        world
    }

    /// The same, after the host's first report.
    pub(crate) fn with_active_instance() -> World {
        let mut world = World::with_instance();
        world.report("h1");
        assert_eq!(world.history(&instance("vm")), "active creating pending");
        world
    }

    /// The same, and running.
    pub(crate) fn with_running_instance() -> World {
        let mut world = World::with_active_instance();
        world.start(&instance("vm")).unwrap();
        world.report("h1");
        assert_eq!(world.power_state(&instance("vm")), "on");
        world
    }

    /// No host; network `net` (10.0.0.0/16, fd00::/56) with route table `rt` and subnet `s` (10.0.1.0/29, fd00::/64) in
    /// zone `a`.
    pub(crate) fn with_subnet() -> World {
        let mut world = World::hostless();
        let cidr = json!({"ipv4": "10.0.0.0/16", "ipv6": "fd00::/56"});
        world.created(&network("net"), json!({"cidr": cidr, "skuRef": "n1k"}));
        world.created(&in_net(Kind::RouteTable, "rt"), routes_to("instances/later"));
        let cidr = json!({"ipv4": "10.0.1.0/29", "ipv6": "fd00::/64"});
        world.created(&in_net(Kind::Subnet, "s"), subnet_spec(cidr));
        world
    }

    pub(crate) fn envelope(&mut self, command: Command) -> Envelope {
        self.minted += 1;
        self.clock += 1000;
        Envelope {
            format: crate::ENVELOPE_FORMAT,
            request_id: Uuid::from_u128(self.minted << 64),
            actor: self.actor.clone(),
            trace: None,
            time: Timestamp::from_unix_ms(self.clock),
            command,
        }
    }

    pub(crate) fn apply_envelope(&mut self, envelope: &Envelope) -> crate::Applied {
        let decoded = Envelope::decode(&envelope.encode()).unwrap();
        assert_eq!(&decoded, envelope);
        let before = self.rows();
        let admitted = self.state.admit(&decoded);
        assert_eq!(self.rows(), before, "admission changed something");
        let applied = self.state.apply(self.state.applied_index() + 1, &decoded);
        assert_eq!(applied.outcome, admitted, "admission promised something else");
        assert!(applied.outcome.is_ok() || self.rows() == before, "a refusal changed something");
        self.state.check();
        applied
    }

    pub(crate) fn apply(&mut self, command: Command) -> Outcome {
        let envelope = self.envelope(command);
        self.apply_envelope(&envelope).outcome
    }

    pub(crate) fn done(&mut self, command: Command) {
        assert_eq!(self.apply(command), Ok(Answer::Done));
    }

    /// Every object as stored.
    pub(crate) fn rows(&self) -> Vec<String> {
        self.state.objects().map(|object| serde_json::to_string(object).unwrap()).collect()
    }

    pub(crate) fn put_command(&mut self, urn: &Urn, spec: Value) -> PutCommand {
        self.minted += 1;
        PutCommand {
            urn: urn.clone(),
            if_unmodified_since: None,
            labels: StringMap::new(),
            annotations: StringMap::new(),
            extensions: StringMap::new(),
            spec: Spec::parse(urn.kind, &spec).unwrap(),
            uid: Uuid::from_u128(self.minted),
            host: None,
        }
    }

    /// PUT as the leader proposes it: with a host for an instance, if one fits.
    pub(crate) fn put(&mut self, urn: &Urn, spec: Value) -> Outcome {
        let mut put = self.put_command(urn, spec);
        let probe = self.envelope(Command::Put(Box::new(put.clone())));
        if let Ok(Answer::Put { object, .. }) = self.state.admit(&probe)
            && object.urn.kind == Kind::Instance
        {
            put.host = placement::choose(&self.state, &object);
        }
        self.apply(Command::Put(Box::new(put)))
    }

    pub(crate) fn put_at_version(&mut self, urn: &Urn, spec: Value, version: u64) -> Outcome {
        let put = PutCommand { if_unmodified_since: Some(version), ..self.put_command(urn, spec) };
        self.apply(Command::Put(Box::new(put)))
    }

    pub(crate) fn created(&mut self, urn: &Urn, spec: Value) {
        let outcome = self.put(urn, spec);
        assert!(matches!(outcome, Ok(Answer::Put { created: true, .. })), "{urn}: {outcome:?}");
    }

    pub(crate) fn updated(&mut self, urn: &Urn, spec: Value) {
        let outcome = self.put(urn, spec);
        assert!(matches!(outcome, Ok(Answer::Put { created: false, .. })), "{urn}: {outcome:?}");
    }

    pub(crate) fn delete(&mut self, urn: &Urn) -> Outcome {
        self.apply(Command::Delete(DeleteCommand { urn: urn.clone(), if_unmodified_since: None }))
    }

    pub(crate) fn deleted(&mut self, urn: &Urn) {
        assert_eq!(self.delete(urn), Ok(Answer::Accepted), "{urn}");
    }

    pub(crate) fn power(&mut self, urn: &Urn, action: PowerAction) -> Outcome {
        self.apply(Command::Power(PowerCommand { urn: urn.clone(), if_unmodified_since: None, action }))
    }

    pub(crate) fn start(&mut self, urn: &Urn) -> Outcome {
        self.power(urn, PowerAction::Start)
    }

    pub(crate) fn stop(&mut self, urn: &Urn) -> Outcome {
        self.power(urn, PowerAction::Stop)
    }

    pub(crate) fn restart(&mut self, urn: &Urn) -> Outcome {
        self.power(urn, PowerAction::Restart)
    }

    pub(crate) fn join(&mut self, host: &str, zone: &str, report: HostReport) {
        self.minted += 1;
        let uid = Uuid::from_u128(self.minted);
        self.done(Command::HostSeen(Box::new(HostSeen {
            host: host.into(),
            uid,
            zone: zone.into(),
            report,
            at: None,
            key_sha256: None,
        })));
    }

    /// A token, good for so many seconds.
    pub(crate) fn token(&mut self, seconds: i64) -> TokenUse {
        self.minted += 1;
        TokenUse {
            id: Uuid::from_u128(self.minted),
            expires_at: Timestamp::from_unix_ms(self.clock + seconds * 1000),
        }
    }

    /// A machine with key `digit` joins as `host`.
    pub(crate) fn enrol(&mut self, host: &str, digit: char, zone: Option<&str>) -> Outcome {
        let token = self.token(60);
        self.apply(Command::Enrol(EnrolCommand {
            host: host.into(),
            uid: token.id,
            zone: zone.map(str::to_owned),
            key_sha256: digit.to_string().repeat(64),
            token,
        }))
    }

    /// A host introduces itself under key `digit`.
    pub(crate) fn introduce(&mut self, host: &str, digit: char, zone: &str) -> Outcome {
        self.minted += 1;
        self.apply(Command::HostSeen(Box::new(HostSeen {
            host: host.into(),
            uid: Uuid::from_u128(self.minted),
            zone: zone.into(),
            report: host_report(),
            at: Some(Timestamp::from_unix_ms(self.clock)),
            key_sha256: Some(digit.to_string().repeat(64)),
        })))
    }

    pub(crate) fn host_action(&mut self, host: &str, action: HostAction) -> Outcome {
        let urn = Urn::global(Kind::Host, host);
        self.apply(Command::Host(HostCommand { urn, if_unmodified_since: None, action }))
    }

    /// The leader has not heard from a host for too long.
    pub(crate) fn lose(&mut self, host: &str) {
        self.done(Command::HostUnreachable(HostName { host: host.into(), changed_index: None }));
    }

    /// Becomes what was restored from `backup`.
    pub(crate) fn restore(&mut self, backup: &State) {
        self.clock += 10_000;
        let from = Restored {
            backup_id: BACKUP,
            taken_at: backup.core().clock,
            taken_index: backup.applied_index(),
            restored_at: Timestamp::from_unix_ms(self.clock),
            first_replica_id: 7,
            opened_at: None,
            hosts: [].into(),
        };
        self.state = backup.restored(from, backup.core().incarnation + 1);
        self.state.check();
    }

    pub(crate) fn place(&mut self, urn: &Urn, host: &str) -> Outcome {
        let uid = self.get(urn).uid;
        self.apply(Command::Place(PlaceCommand { uid, host: host.into() }))
    }

    /// What an honest host that did everything says.
    pub(crate) fn honest(&self, host: &str) -> Vec<ObjectReport> {
        self.state.on_host(host).filter_map(|object| self.state.desired(object)).map(realised).collect()
    }

    /// An honest host did everything it should, and says so.
    pub(crate) fn report(&mut self, host: &str) {
        let objects = self.honest(host);
        self.say(host, objects);
    }

    pub(crate) fn say(&mut self, host: &str, objects: Vec<ObjectReport>) {
        self.done(Command::Report(ReportCommand { host: host.into(), objects }));
    }

    /// What an honest host says of one instance, made different by `change`.
    pub(crate) fn say_of(&mut self, urn: &Urn, change: impl FnOnce(&mut InstanceReport)) {
        let object = self.get(urn).clone();
        let mut report = instance_report(&self.state, &object);
        change(&mut report);
        let host = object.placement().unwrap().host.clone();
        self.say(&host, vec![ObjectReport::Instance(report)]);
    }

    pub(crate) fn get(&self, urn: &Urn) -> &Object {
        self.state.get(urn).unwrap_or_else(|| panic!("{urn} does not exist"))
    }

    pub(crate) fn gone(&self, urn: &Urn) -> bool {
        self.state.get(urn).is_none()
    }

    pub(crate) fn detail(&self, urn: &Urn) -> &InstanceDetail {
        match &self.get(urn).detail {
            Detail::Instance(instance) => instance,
            other => panic!("{urn} is no instance: {other:?}"),
        }
    }

    /// States entered, newest first.
    pub(crate) fn history(&self, urn: &Urn) -> String {
        let phases = self.get(urn).status.conditions.iter().map(|condition| word(condition.state));
        phases.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn version(&self, urn: &Urn) -> u64 {
        self.get(urn).resource_version
    }

    pub(crate) fn power_state(&self, urn: &Urn) -> String {
        self.status(urn)["powerState"].as_str().unwrap().to_owned()
    }

    pub(crate) fn status(&self, urn: &Urn) -> Value {
        let show = crate::Presentation {
            public_url: "http://x",
            providers: &[],
            verb: "GET",
            operator: false,
            verdicts: None,
        };
        crate::view(&self.state, self.get(urn), show).status.unwrap()
    }

    pub(crate) fn why(&self, urn: &Urn) -> Option<Explanation> {
        explain(&self.state, self.get(urn), &placement::Verdicts::default())
    }
}
