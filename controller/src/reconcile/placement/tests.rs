use rempart_api::fleet::{HostReport, HypervisorHealth, Virtualization};
use rempart_api::{Kind, StringMap, Timestamp};
use rempart_model::{
    DeleteCommand, ENVELOPE_FORMAT, Envelope, Founding, HostSeen, PutCommand, ReportCommand, Spec,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

/// A State, and what leads to it.
#[derive(Default)]
struct World {
    state: State,
}

impl World {
    /// A region with a size, a workspace, and `waiting` instances named by `name`.
    fn new(waiting: std::ops::Range<u32>, name: impl Fn(u32) -> String) -> World {
        let mut world = World::default();
        let zones = vec!["a".to_owned()];
        let cluster_id = Uuid::from_u128(1);
        let shared = world.put_command(Urn::global(Kind::Tenant, "public"), json!({"owners": ["operator"]}));
        world.apply(Command::Found(Founding {
            cluster_id,
            region: "eu-1".into(),
            zones,
            catalogue: vec![shared],
        }));
        world.put(Urn::tenant(Kind::InstanceSku, "public", "s"), json!({"vCPU": 1, "ram": 1}));
        let storage = json!({"iops": 1, "minVolumeSize": 1, "type": "local-durable"});
        world.put(Urn::tenant(Kind::StorageSku, "public", "s"), storage);
        world.put(Urn::global(Kind::Tenant, "t"), json!({"owners": ["alice"]}));
        world.put(Urn::tenant(Kind::Workspace, "t", "w"), json!({}));
        for number in waiting {
            let name = name(number);
            world.put(
                Urn::workspace(Kind::BlockStorage, "t", "w", &name),
                json!({"sizeGB": 1, "skuRef": "s"}),
            );
            let spec = json!({"skuRef": "s", "zone": "a", "bootVolume": {"deviceRef": name}});
            world.put(Urn::workspace(Kind::Instance, "t", "w", &name), spec);
        }
        world
    }

    fn apply(&mut self, command: Command) {
        let index = self.state.applied_index() + 1;
        let envelope = Envelope {
            format: ENVELOPE_FORMAT,
            request_id: Uuid::from_u128(u128::from(index) << 64),
            actor: "system".into(),
            trace: None,
            time: Timestamp::from_unix_ms(1_800_000_000_000),
            command,
        };
        self.state.apply(index, &envelope).outcome.unwrap();
    }

    fn put_command(&self, urn: Urn, spec: Value) -> PutCommand {
        PutCommand {
            spec: Spec::parse(urn.kind, &spec).unwrap(),
            urn,
            if_unmodified_since: None,
            labels: StringMap::new(),
            annotations: StringMap::new(),
            extensions: StringMap::new(),
            uid: Uuid::from_u128(u128::from(self.state.applied_index()) + 10),
            host: None,
        }
    }

    fn put(&mut self, urn: Urn, spec: Value) {
        let put = self.put_command(urn, spec);
        self.apply(Command::Put(Box::new(put)));
    }

    /// Host `h` has so much memory.
    fn host(&mut self, memory_gib: u64) {
        let report = HostReport {
            vcpus: 1024,
            memory_mib: memory_gib << 10,
            virtualization: Virtualization { uefi: true, ..Virtualization::default() },
            hypervisor: HypervisorHealth { available: true, ..HypervisorHealth::default() },
            ..HostReport::default()
        };
        self.apply(Command::HostSeen(Box::new(HostSeen {
            host: "h".into(),
            uid: Uuid::from_u128(3),
            zone: "a".into(),
            report,
            at: None,
            key_sha256: None,
        })));
    }

    /// Names placed until nothing fits any more, and how often others had their turn meanwhile.
    fn settle(&mut self, sweeps: &mut Sweeps) -> (Vec<String>, usize) {
        let (mut placed, mut pauses) = (Vec::new(), 0);
        while sweeps.are_due(&self.state) {
            match sweeps.next(&self.state) {
                Step::Place(place) => {
                    placed.push(self.state.by_uid(place.uid).unwrap().urn.name.clone());
                    self.apply(Command::Place(place));
                }
                Step::Pause => pauses += 1,
                Step::Done => {}
            }
        }
        (placed, pauses)
    }

    /// An instance goes, from the host as well.
    fn remove(&mut self, name: &str) {
        let urn = Urn::workspace(Kind::Instance, "t", "w", name);
        self.apply(Command::Delete(DeleteCommand { urn: urn.clone(), if_unmodified_since: None }));
        let object = self.state.get(&urn).unwrap().clone();
        let Some(rempart_model::DesiredObject::Instance(desired)) = self.state.desired(&object) else {
            panic!("it is placed");
        };
        let gone = rempart_model::ObjectReport::Instance(rempart_model::InstanceReport {
            uid: desired.uid,
            generation: desired.generation,
            epoch: desired.epoch,
            present: false,
            failure: None,
            running: false,
            power_generation: 0,
            off_cause: None,
        });
        self.apply(Command::Report(ReportCommand { host: "h".into(), objects: vec![gone] }));
    }
}

fn letters(number: u32) -> String {
    char::from(b'a' + u8::try_from(number).unwrap()).to_string()
}

#[test]
fn nothing_is_looked_at_until_room_may_have_appeared() {
    let mut world = World::new(0..2, letters);
    let mut sweeps = Sweeps::default();
    assert_eq!(world.settle(&mut sweeps).0, Vec::<String>::new());
    world.put(Urn::tenant(Kind::Workspace, "t", "other"), json!({}));
    assert!(!sweeps.are_due(&world.state), "a workspace makes no room");
    world.host(1);
    assert!(sweeps.are_due(&world.state));
    assert_eq!(world.settle(&mut sweeps).0, ["a"]);
    assert!(!sweeps.are_due(&world.state), "what was placed made none");
}

#[test]
fn everybody_gets_a_turn() {
    let mut world = World::new(0..4, letters);
    let mut sweeps = Sweeps::default();
    world.host(1);
    assert_eq!(world.settle(&mut sweeps).0, ["a"]);
    world.remove("a");
    assert_eq!(world.settle(&mut sweeps).0, ["b"], "and not the first name again");
    world.remove("b");
    world.host(2);
    assert_eq!(world.settle(&mut sweeps).0, ["c", "d"]);
}

#[test]
fn many_that_wait_are_gone_through_in_slices() {
    let mut world = World::new(0..300, |number| format!("i{number:03}"));
    let mut sweeps = Sweeps::default();
    let (placed, pauses) = world.settle(&mut sweeps);
    assert_eq!((placed.len(), pauses), (0, 2));
    world.host(300);
    assert_eq!(world.settle(&mut sweeps).0.len(), 300);
}
