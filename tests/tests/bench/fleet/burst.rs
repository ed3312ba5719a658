//! As many PUTs of instances at once as there are connections: until all are active.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rempart_tests::instance;
use serde_json::Value;
use tokio::sync::Barrier;

use super::number;
use super::plane::Plane;
use super::table::{Round, Table, percentile_ms};
use super::wire::Wire;
use super::work::{self, DELETE, DELETE_VOLUMES, PUT_VOLUMES};

/// Pause of who was told to come back.
const AGAIN: Duration = Duration::from_millis(500);
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// `BENCH_BURST` (10000) is how many.
pub(crate) async fn figures(plane: &mut Plane, table: &mut Table) {
    let count = number("BENCH_BURST", 10_000);
    work::all(plane, PUT_VOLUMES, "b", count, 32).await;
    plane.clock().settled().await;
    // All are connected before the first of them asks.
    let start = Arc::new(Barrier::new(count + 1));
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let (requests, start) = (plane.requests.clone(), start.clone());
            tokio::spawn(async move {
                let mut wire = Wire::open(requests.address(number)).await;
                let request = requests.put_instance(&work::name("b", number));
                start.wait().await;
                let begin = Instant::now();
                let mut refused = 0;
                loop {
                    let answer = wire.ask(&request).await;
                    if answer.status != 503 {
                        // A second try may find what came of the first.
                        answer.expect(if refused == 0 { &[201] } else { &[200, 201] }, "a PUT of a burst");
                        return (begin.elapsed(), refused);
                    }
                    refused += 1;
                    tokio::time::sleep(AGAIN).await;
                }
            })
        })
        .collect();
    let clock = plane.clock();
    start.wait().await;
    let begin = Instant::now();
    let (mut times, mut refused) = (Vec::new(), 0);
    for task in tasks {
        let (time, again) = task.await.expect("it ends well");
        times.push(time);
        refused += again;
    }
    let accepted = begin.elapsed();
    all_active(plane, count, begin).await;
    let active = begin.elapsed();
    let taken = clock.stop();
    let figures = vec![
        ("all accepted s", accepted.as_secs_f64()),
        ("all active s", active.as_secs_f64()),
        ("PUT p50 ms", percentile_ms(&mut times, 50)),
        ("p99 ms", percentile_ms(&mut times, 99)),
        ("told to come back", f64::from(refused)),
    ];
    let size = format!("{}, {count} PUTs at once", plane.size());
    table.add("burst", &size, &[Round { figures, others_percent: taken.others_percent }]);
    work::all(plane, DELETE, "b", count, 32).await;
    work::all(plane, DELETE_VOLUMES, "b", count, 32).await;
}

/// Looks at the hosts until they have all domains, which costs controllers nothing, and then at all instances.
async fn all_active(plane: &mut Plane, count: usize, begin: Instant) {
    loop {
        let mut domains = 0;
        for fleet in &mut plane.fleets {
            domains += fleet.look().await.expect("it runs").domains;
        }
        if domains >= count {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{domains} of {count} domains after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let alice = plane.cluster.client(1, "alice").expect("a client");
    loop {
        let views = alice.list_all(&instance(""), None).await.expect("a list");
        let state = |status: &Option<Value>| status.as_ref().map(|status| status["state"].clone());
        let other = views.iter().find(|view| state(&view.status) != Some(Value::from("active")));
        match other {
            None if views.len() >= count => return,
            other => assert!(begin.elapsed() < PATIENCE, "{} of {count}; {other:?}", views.len()),
        }
    }
}
