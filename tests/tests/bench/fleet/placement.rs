//! One decision where an instance goes, by itself: all filters, hosts with every mixture of room.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rempart_api::fleet::{HostReport, HypervisorHealth, Virtualization};
use rempart_api::{Kind, StringMap, Timestamp, Urn};
use rempart_model::{
    Command, ENVELOPE_FORMAT, Envelope, Founding, HostSeen, PutCommand, Spec, State, placement,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::numbers;
use super::table::{Round, Table};

/// Instances that are to be placed: sizes, zones and groups all mixed.
const INSTANCES: usize = 500;
/// How often each is decided upon.
const TIMES: usize = 20;

/// `BENCH_PLACEMENT_HOSTS` (10000,100000).
pub(crate) fn figures(table: &mut Table) {
    for hosts in numbers("BENCH_PLACEMENT_HOSTS", "10000,100000") {
        let world = World::new(hosts);
        let mut times = Vec::with_capacity(INSTANCES * TIMES);
        let mut placed = 0;
        for _ in 0..TIMES {
            for number in 0..INSTANCES {
                let instance = world.state.get(&instance(number)).expect("it was put");
                let begin = Instant::now();
                let host = black_box(placement::choose(&world.state, instance));
                times.push(begin.elapsed());
                placed += usize::from(host.is_some());
            }
        }
        times.sort_unstable();
        let us = |percent: usize| {
            let time: Duration = times[(times.len() - 1) * percent / 100];
            time.as_secs_f64() * 1e6
        };
        let figures = vec![
            ("p50 us", us(50)),
            ("p99 us", us(99)),
            ("max us", us(100)),
            ("of them found a host %", 100.0 * placed as f64 / times.len() as f64),
        ];
        let size = format!("{hosts} hosts, {INSTANCES} instances of all sorts, {TIMES} times each");
        table.add("placement: one decision", &size, &[Round { figures, others_percent: 0.0 }]);
    }
}

fn zone(number: usize) -> &'static str {
    if number.is_multiple_of(2) { "a" } else { "b" }
}

fn instance(number: usize) -> Urn {
    Urn::workspace(Kind::Instance, "t", "w", &format!("i{number}"))
}

/// A State, and the log that leads to it.
struct World {
    state: State,
    index: u64,
}

impl World {
    fn new(hosts: usize) -> World {
        let mut world = World { state: State::default(), index: 0 };
        let mut catalogue = vec![
            put(Urn::global(Kind::Tenant, "public"), &json!({"owners": ["operator"]})),
            put(
                Urn::tenant(Kind::StorageSku, "public", "s0"),
                &json!({"iops": 100, "type": "remote-durable", "minVolumeSize": 1}),
            ),
        ];
        for (name, vcpus, ram_gib) in [("small", 1, 1), ("medium", 8, 32), ("large", 32, 256)] {
            let urn = Urn::tenant(Kind::InstanceSku, "public", name);
            catalogue.push(put(urn, &json!({"vCPU": vcpus, "ram": ram_gib})));
        }
        let zones = vec!["a".to_owned(), "b".to_owned()];
        let founding = Founding { cluster_id: Uuid::now_v7(), region: "r".into(), zones, catalogue };
        world.apply(Command::Found(founding));
        world.put(Urn::global(Kind::Tenant, "t"), &json!({"owners": ["alice"]}));
        world.put(Urn::tenant(Kind::Workspace, "t", "w"), &json!({}));
        for number in 0..hosts {
            world.host(number);
        }
        for number in 0..INSTANCES {
            let volume = Urn::workspace(Kind::BlockStorage, "t", "w", &format!("v{number}"));
            world.put(volume, &json!({"sizeGB": 1 + number % 200, "skuRef": "s0"}));
            let sku = ["small", "medium", "large"][number % 3];
            let mut spec = json!({
                "skuRef": sku,
                "zone": zone(number),
                "bootVolume": {"deviceRef": format!("block-storages/v{number}")},
            });
            if number % 5 == 0 {
                spec["antiAffinityGroup"] = json!(format!("g{}", number % 50));
            }
            world.put(instance(number), &spec);
        }
        world
    }

    /// What a host has left of memory, CPUs and disk has nothing to do with each other.
    fn host(&mut self, number: usize) {
        let mixed = |salt: u64, most: u64| {
            let mixed = (number as u64 + 1).wrapping_mul(salt);
            (mixed ^ (mixed >> 29)) % most
        };
        let report = HostReport {
            vcpus: u32::try_from(mixed(0x9e37_79b9_7f4a_7c15, 65)).expect("below 65"),
            memory_mib: mixed(0xbf58_476d_1ce4_e5b9, 513) << 10,
            disk_mib: mixed(0x94d0_49bb_1331_11eb, 4097) << 10,
            virtualization: Virtualization { uefi: true, ..Virtualization::default() },
            hypervisor: HypervisorHealth { available: true, ..HypervisorHealth::default() },
            ..HostReport::default()
        };
        self.apply(Command::HostSeen(Box::new(HostSeen {
            host: format!("h{number}"),
            uid: Uuid::now_v7(),
            zone: zone(number).to_owned(),
            report,
            at: Some(Timestamp::from_unix_ms(1)),
            key_sha256: None,
        })));
    }

    fn put(&mut self, urn: Urn, spec: &Value) {
        let put = put(urn, spec);
        self.apply(Command::Put(Box::new(put)));
    }

    fn apply(&mut self, command: Command) {
        self.index += 1;
        let envelope = Envelope {
            format: ENVELOPE_FORMAT,
            request_id: Uuid::now_v7(),
            actor: "system".to_owned(),
            trace: None,
            time: Timestamp::from_unix_ms(i64::try_from(self.index).expect("few")),
            command,
        };
        self.state.apply(self.index, &envelope).outcome.expect("it is taken");
    }
}

fn put(urn: Urn, spec: &Value) -> PutCommand {
    PutCommand {
        spec: Spec::parse(urn.kind, spec).expect("a spec"),
        urn,
        if_unmodified_since: None,
        labels: StringMap::new(),
        annotations: StringMap::new(),
        extensions: StringMap::new(),
        uid: Uuid::now_v7(),
        host: None,
    }
}
