//! One at a time: PUT to active, start to on. Looked at every [`PAUSE`], at a replica that does not lead if there is one.

use std::time::{Duration, Instant};

use super::number;
use super::plane::Plane;
use super::table::{Round, Table, percentile_ms};
use super::wire::Wire;
use super::work::{self, DELETE, DELETE_VOLUMES, PUT_VOLUMES};

/// Between two looks. Without it, whoever looks and whoever answers take a core from those at work.
const PAUSE: Duration = Duration::from_micros(300);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// `BENCH_ONE` (200) is how many of them a round has.
pub(crate) async fn figures(plane: &Plane, rounds: usize, table: &mut Table) {
    let count = number("BENCH_ONE", 200);
    let requests = &plane.requests;
    let leader = plane.cluster.leader(&plane.operators).await;
    // Counted from 0: the one after it.
    let mut wire = Wire::open(requests.address(leader)).await;
    let (mut actives, mut ons) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let prefix = format!("o{round}");
        work::all(plane, PUT_VOLUMES, &prefix, count, 1).await;
        let clock = plane.clock();
        clock.settled().await;
        let clock = plane.clock();
        let (mut active, mut on) = (Vec::new(), Vec::new());
        for number in 0..count {
            let name = work::name(&prefix, number);
            let begin = Instant::now();
            wire.ask(&requests.put_instance(&name)).await.expect(&[201], &name);
            until(&mut wire, &requests.get_instance(&name), begin, |state, _| state == "active").await;
            active.push(begin.elapsed());
        }
        let others_percent = clock.stop().others_percent;
        actives.push(round_of(&mut active, others_percent));
        let clock = plane.clock();
        for number in 0..count {
            let name = work::name(&prefix, number);
            let begin = Instant::now();
            wire.ask(&requests.start_instance(&name)).await.expect(&[202], &name);
            let is_on = |state: &str, power: Option<&str>| state == "active" && power == Some("on");
            until(&mut wire, &requests.get_instance(&name), begin, is_on).await;
            on.push(begin.elapsed());
        }
        ons.push(round_of(&mut on, clock.stop().others_percent));
        work::all(plane, DELETE, &prefix, count, 8).await;
        work::all(plane, DELETE_VOLUMES, &prefix, count, 8).await;
    }
    let size = format!("{}, {count} one at a time", plane.size());
    table.add("one: PUT instance to active", &size, &actives);
    table.add("one: POST start to on", &size, &ons);
}

async fn until(wire: &mut Wire, get: &[u8], begin: Instant, good: impl Fn(&str, Option<&str>) -> bool) {
    loop {
        let answer = wire.ask(get).await;
        let seen = answer.seen();
        if good(&seen.state, seen.power_state.as_deref()) {
            return;
        }
        let fails = seen.state == "error" || begin.elapsed() > PATIENCE;
        assert!(!fails, "after {:?}: {}", begin.elapsed(), answer.text());
        // Nothing else is to be done here meanwhile, and a timer of the runtime counts whole milliseconds.
        std::thread::sleep(PAUSE);
    }
}

fn round_of(times: &mut [Duration], others_percent: f64) -> Round {
    let figures = [("p50 ms", 50), ("p90 ms", 90), ("p99 ms", 99)];
    let figures = figures.map(|(name, percent)| (name, percentile_ms(times, percent))).to_vec();
    Round { figures, others_percent }
}
