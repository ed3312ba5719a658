//! Memory (proportional share): of idle controllers, for each agent in touch, for each object.

use rempart_tests::family;

use super::number;
use super::plane::Plane;
use super::table::{Round, Table};
use super::work::{self, PUT_VOLUMES};
use crate::pss_kib;

/// Of the processes of a plane, in KiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// All controllers.
    controllers: u64,
    /// The largest of them.
    largest: u64,
    postgres: u64,
    fleet: u64,
}

fn look(plane: &Plane) -> Memory {
    let roots = plane.cluster.controllers.iter().map(|controller| controller.daemon.pid());
    let (mut own, mut postgres) = (Vec::new(), 0);
    for root in roots {
        own.push(pss_kib(&[root]));
        postgres += pss_kib(&family(root).split_off(1));
    }
    Memory {
        controllers: own.iter().sum(),
        largest: own.iter().copied().max().unwrap_or(0),
        postgres,
        fleet: pss_kib(&plane.fleet_pids()),
    }
}

/// Controllers that have nothing to do and nothing to keep.
pub(crate) fn idle(plane: &Plane, table: &mut Table) -> Memory {
    let empty = look(plane);
    let replicas = plane.replicas() as f64;
    let figures = vec![
        ("MiB: a controller", empty.controllers as f64 / 1024.0 / replicas),
        ("its Postgres", empty.postgres as f64 / 1024.0 / replicas),
    ];
    table.add("memory: idle", &plane.size(), &[Round { figures, others_percent: 0.0 }]);
    empty
}

/// `BENCH_MEMORY_OBJECTS` (20000) volumes are made.
pub(crate) async fn figures(plane: &Plane, empty: Memory, table: &mut Table) {
    plane.clock().settled().await;
    let (hosts, with_fleet) = (plane.hosts() as f64, look(plane));
    let figures = vec![
        ("KiB each: at the leader", with_fleet.largest.saturating_sub(empty.largest) as f64 / hosts),
        ("at the agents' own process", with_fleet.fleet as f64 / hosts),
    ];
    table.add("memory: agents", &plane.size(), &[Round { figures, others_percent: 0.0 }]);
    let count = number("BENCH_MEMORY_OBJECTS", 20_000);
    work::all(plane, PUT_VOLUMES, "p", count, 32).await;
    plane.clock().settled().await;
    let with_objects = look(plane);
    let more = with_objects.controllers.saturating_sub(with_fleet.controllers) as f64;
    let each = more / plane.replicas() as f64 / count as f64;
    let figures = vec![("KiB each, at each controller", each)];
    table.add("memory: objects", &format!("{count} volumes"), &[Round { figures, others_percent: 0.0 }]);
}
