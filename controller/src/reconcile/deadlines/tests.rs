use rempart_api::{Kind, Phase, StringMap, Timestamp, Urn};
use rempart_model::{ENVELOPE_FORMAT, Envelope, Founding, PutCommand, Spec, Step};
use serde_json::{Value, json};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A State with an instance that waits for a host.
struct World {
    state: State,
}

impl World {
    fn new() -> World {
        let mut world = World { state: State::default() };
        let shared = world.command(Urn::global(Kind::Tenant, "public"), json!({"owners": ["operator"]}));
        let zones = vec!["a".to_owned()];
        let founding = Founding {
            cluster_id: Uuid::from_u128(1),
            region: "eu-1".into(),
            zones,
            catalogue: vec![shared],
        };
        world.apply(Command::Found(founding));
        world.put(Urn::tenant(Kind::InstanceSku, "public", "s"), json!({"vCPU": 1, "ram": 1}));
        let storage = json!({"iops": 1, "minVolumeSize": 1, "type": "local-durable"});
        world.put(Urn::tenant(Kind::StorageSku, "public", "s"), storage);
        world.put(Urn::global(Kind::Tenant, "t"), json!({"owners": ["alice"]}));
        world.put(Urn::tenant(Kind::Workspace, "t", "w"), json!({}));
        world.put(Urn::workspace(Kind::BlockStorage, "t", "w", "v"), json!({"sizeGB": 1, "skuRef": "s"}));
        world.change(json!({}));
        world
    }

    fn change(&mut self, labels: Value) {
        let spec = json!({"skuRef": "s", "zone": "a", "bootVolume": {"deviceRef": "v"}});
        let mut put = self.command(Urn::workspace(Kind::Instance, "t", "w", "i"), spec);
        put.labels = serde_json::from_value(labels).unwrap();
        self.apply(Command::Put(Box::new(put)));
    }

    fn command(&self, urn: Urn, spec: Value) -> PutCommand {
        PutCommand {
            spec: Spec::parse(urn.kind, &spec).unwrap(),
            urn,
            if_unmodified_since: None,
            labels: StringMap::new(),
            annotations: StringMap::new(),
            extensions: StringMap::new(),
            uid: Uuid::from_u128(u128::from(self.state.applied_index()) + 2),
            host: None,
        }
    }

    fn put(&mut self, urn: Urn, spec: Value) {
        let put = self.command(urn, spec);
        self.apply(Command::Put(Box::new(put)));
    }

    fn apply(&mut self, command: Command) {
        let index = self.state.applied_index() + 1;
        let envelope = Envelope {
            format: ENVELOPE_FORMAT,
            request_id: Uuid::from_u128(u128::from(index) << 64),
            actor: "alice".into(),
            trace: None,
            time: Timestamp::from_unix_ms(1_800_000_000_000),
            command,
        };
        self.state.apply(index, &envelope).outcome.unwrap();
    }

    fn steps(&self, late: &[Expired]) -> Vec<Step> {
        late.iter().map(|late| late.step).collect()
    }
}

#[test]
fn what_stands_for_its_whole_time_is_late_once() {
    let mut world = World::new();
    let (mut watch, start) = (Watch::new(100), Instant::now());
    assert_eq!(watch.look(&world.state, start), []);
    assert_eq!(watch.look(&world.state, start + 10 * MINUTE - Duration::from_millis(1)), []);
    let late = watch.look(&world.state, start + 10 * MINUTE);
    assert_eq!(world.steps(&late), [Step::AwaitingHost]);
    assert_eq!(late[0].after_s, 600);
    assert_eq!(watch.look(&world.state, start + 11 * MINUTE), late, "until it is in the log");
    world.apply(Command::Expire(ExpireCommand { objects: late }));
    assert_eq!(watch.look(&world.state, start + 60 * MINUTE), []);
    let instance = world.state.under_way().next().unwrap();
    assert_eq!(instance.status.state, Phase::Pending);
}

#[test]
fn a_request_and_a_new_leader_begin_anew() {
    let mut world = World::new();
    let (mut watch, start) = (Watch::new(100), Instant::now());
    watch.look(&world.state, start);
    world.change(json!({"more": "patience"}));
    assert_eq!(watch.look(&world.state, start + 9 * MINUTE), []);
    assert_eq!(watch.look(&world.state, start + 18 * MINUTE), []);
    let mut next_leader = Watch::new(100);
    assert_eq!(next_leader.look(&world.state, start + 18 * MINUTE), []);
    assert_eq!(watch.look(&world.state, start + 19 * MINUTE).len(), 1);
    assert_eq!(next_leader.look(&world.state, start + 19 * MINUTE), []);
}

#[test]
fn an_installation_has_its_own_pace_and_nothing_is_kept_of_what_is_gone() {
    let mut world = World::new();
    let (mut hasty, start) = (Watch::new(1), Instant::now());
    hasty.look(&world.state, start);
    assert_eq!(hasty.look(&world.state, start + Duration::from_secs(6))[0].after_s, 6);
    let urn = Urn::workspace(Kind::Instance, "t", "w", "i");
    world.apply(Command::Delete(rempart_model::DeleteCommand { urn, if_unmodified_since: None }));
    assert_eq!(hasty.look(&world.state, start + MINUTE), []);
    assert!(hasty.seen.is_empty());
}
