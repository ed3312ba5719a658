//! Measures append + sync, record by record, and batches:
//! `cargo run --release -p rempart-wal --example append_latency -- DIRECTORY [RECORD_BYTES]`
#![allow(clippy::print_stdout)]

use std::{
    env,
    error::Error,
    path::PathBuf,
    time::{Duration, Instant},
};

use rempart_wal::{Options, Wal};

const RECORDS: usize = 4000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("name an empty directory on the disk to measure")?);
    let bytes = arguments.next().map_or(Ok(4096), |bytes| bytes.parse())?;
    for batch in [1, 16] {
        let mut wal = Wal::open(&dir, Options::default())?;
        let payload = vec![b'x'; bytes];
        let mut times = Vec::with_capacity(RECORDS / batch);
        let begun = Instant::now();
        for _ in 0..RECORDS / batch {
            let started = Instant::now();
            for _ in 0..batch {
                wal.append(wal.next_index().unwrap_or(1), &payload)?;
            }
            wal.sync()?;
            times.push(started.elapsed());
        }
        let rate = RECORDS as f64 / begun.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |percent: usize| ms(times.get(times.len() * percent / 100));
        println!(
            "{batch:2} x {bytes} B per sync: p50 {} p90 {} p99 {} max {} ms, {rate:.0} records/s",
            at(50),
            at(90),
            at(99),
            ms(times.last())
        );
    }
    Ok(())
}

fn ms(time: Option<&Duration>) -> String {
    time.map_or_else(String::new, |time| format!("{:.3}", time.as_secs_f64() * 1e3))
}
