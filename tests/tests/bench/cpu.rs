//! Who takes the processors: on a machine that is shared, time per request tells more than requests per time.

use std::fs;
use std::time::{Duration, Instant};

use rempart_tests::{family, until_some};

/// CPU time of processes in milliseconds (proc(5): utime and stime, in ticks of 10 ms).
pub(crate) fn cpu_ms(pids: &[u32]) -> u64 {
    let ticks = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit(')').next().unwrap_or_default().to_owned();
        let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0)
    };
    pids.iter().map(ticks).sum::<u64>() * 10
}

/// CPU time of all processes in milliseconds, the kernel's own and what the machine's host took among them.
fn busy_ms() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let all = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = all.map(|field| field.parse().unwrap_or(0)).collect();
    // user nice system idle iowait irq softirq steal; guests are in user already.
    let idle = ticks.iter().skip(3).take(2).sum::<u64>();
    (ticks.iter().take(8).sum::<u64>() - idle) * 10
}

/// Who took no time for so long has nothing to do.
const QUIET: Duration = Duration::from_millis(250);

/// CPU time so far.
pub(crate) struct Clock {
    controllers: Vec<u32>,
    postgres: Vec<u32>,
    fleet: Vec<u32>,
    since: Instant,
    begun: Read,
}

/// CPU time up to a moment, in milliseconds.
#[derive(Clone, Copy, Default)]
struct Read {
    controllers_ms: u64,
    postgres_ms: u64,
    fleet_ms: u64,
    own_ms: u64,
    busy_ms: u64,
}

/// CPU time of a while.
pub(crate) struct Taken {
    /// Of the controllers, in milliseconds.
    pub(crate) controllers_ms: u64,
    /// Of their Postgres, in milliseconds.
    pub(crate) postgres_ms: u64,
    /// Of the simulated hosts, in milliseconds.
    pub(crate) fleet_ms: u64,
    /// How long that was.
    pub(crate) lasted: Duration,
    /// What neither they nor this process took, in percent of what the machine has.
    pub(crate) others_percent: f64,
}

impl Clock {
    /// Of controllers, by pid, and what is below them.
    pub(crate) fn start(controllers: &[u32]) -> Clock {
        Clock::start_with(controllers, &[])
    }

    /// As [`Clock::start`], and of processes of simulated hosts.
    pub(crate) fn start_with(controllers: &[u32], fleet: &[u32]) -> Clock {
        let postgres = controllers.iter().flat_map(|root| family(*root).split_off(1)).collect();
        let mut clock = Clock {
            controllers: controllers.to_vec(),
            postgres,
            fleet: fleet.to_vec(),
            since: Instant::now(),
            begun: Read::default(),
        };
        clock.begun = clock.read();
        clock
    }

    fn read(&self) -> Read {
        Read {
            controllers_ms: cpu_ms(&self.controllers),
            postgres_ms: cpu_ms(&self.postgres),
            fleet_ms: cpu_ms(&self.fleet),
            own_ms: cpu_ms(&[std::process::id()]),
            busy_ms: busy_ms(),
        }
    }

    /// Returns once Postgres has nothing to do: what was accepted is in memory and on its way there.
    pub(crate) async fn settled(&self) {
        let (mut known, mut since) = (cpu_ms(&self.postgres), Instant::now());
        until_some("Postgres to have caught up", Duration::from_secs(300), || {
            let now = cpu_ms(&self.postgres);
            if now != known {
                (known, since) = (now, Instant::now());
            }
            let quiet = since.elapsed() > QUIET;
            async move { if quiet { Ok(()) } else { Err(format!("it has taken {now} ms")) } }
        })
        .await;
    }

    /// What was taken since the start.
    pub(crate) fn stop(self) -> Taken {
        let (now, begun, lasted) = (self.read(), self.begun, self.since.elapsed());
        // A vacuum that ended takes its time with it; and so does who was killed.
        let postgres_ms = now.postgres_ms.saturating_sub(begun.postgres_ms);
        let controllers_ms = now.controllers_ms.saturating_sub(begun.controllers_ms);
        let fleet_ms = now.fleet_ms.saturating_sub(begun.fleet_ms);
        let known_ms = controllers_ms + postgres_ms + fleet_ms + now.own_ms - begun.own_ms;
        let others_ms = (now.busy_ms - begun.busy_ms).saturating_sub(known_ms);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let whole_ms = lasted.as_secs_f64() * 1000.0 * processors as f64;
        let others_percent = others_ms as f64 * 100.0 / whole_ms;
        Taken { controllers_ms, postgres_ms, fleet_ms, lasted, others_percent }
    }
}
