//! The leader dies (SIGKILL) with a fleet in touch: until all sessions are back, and what clients of the others feel meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::plane::{Plane, Requests};
use super::table::{Round, Table, percentile_ms};
use super::wire::Wire;

/// Clients that read and write in turn.
const CLIENTS: usize = 8;

/// What one client felt.
#[derive(Default)]
struct Felt {
    times: Vec<Duration>,
    refused: usize,
}

async fn client(requests: Arc<Requests>, number: usize, address: String, stop: Arc<AtomicBool>) -> Felt {
    let mut wire = Wire::open(&address).await;
    let mut felt = Felt::default();
    while !stop.load(Ordering::Relaxed) {
        let name = format!("l{number}-{}", felt.times.len() % 8);
        let begin = Instant::now();
        let request = match felt.times.len() % 2 {
            0 => requests.put_workspace(&name),
            _ => requests.list_volumes(),
        };
        let answer = wire.ask(&request).await;
        // A write whose outcome nobody knows, or that nobody could take in time, says so.
        answer.expect(&[200, 201, 503, 504], "a call while there is no leader");
        felt.refused += usize::from(answer.status >= 500);
        felt.times.push(begin.elapsed());
    }
    felt
}

pub(crate) async fn figures(plane: &mut Plane, rounds: usize, table: &mut Table) {
    let mut of_rounds = Vec::new();
    for _ in 0..rounds {
        let leader = plane.cluster.leader(&plane.operators).await;
        let lost = plane.cluster.layout.internal_address(leader);
        let others: Vec<String> = (1..=plane.replicas())
            .filter(|id| *id != leader)
            .map(|id| plane.requests.addresses[id - 1].clone())
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        plane.cluster.kill(leader);
        let killed = Instant::now();
        let clock = plane.clock();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let address = others[number % others.len()].clone();
                tokio::spawn(client(plane.requests.clone(), number, address, stop.clone()))
            })
            .collect();
        plane.in_touch(Some(&lost)).await;
        let back = killed.elapsed();
        let others_percent = clock.stop().others_percent;
        stop.store(true, Ordering::Relaxed);
        let (mut times, mut refused) = (Vec::new(), 0);
        for client in clients {
            let felt = client.await.expect("it ends well");
            times.extend(felt.times);
            refused += felt.refused;
        }
        let figures = vec![
            ("all sessions back s", back.as_secs_f64()),
            ("calls meanwhile: p50 ms", percentile_ms(&mut times, 50)),
            ("p99 ms", percentile_ms(&mut times, 99)),
            ("max ms", percentile_ms(&mut times, 100)),
            ("calls", times.len() as f64),
            ("refused for a while", refused as f64),
        ];
        of_rounds.push(Round { figures, others_percent });
        plane.cluster.start_controller(leader).expect("it starts");
        plane.cluster.ready(leader).await.expect("an address");
    }
    table.add("leader: killed", &format!("{}, {CLIENTS} clients", plane.size()), &of_rounds);
}
