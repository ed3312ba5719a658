//! What things take here. Run with `cargo test --release -p rempart-controller store::tests::measure -- --ignored
//! --nocapture --test-threads 1`; nothing is asserted but that it works.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Executor};

use super::super::embedded::{Settings, Status};
use super::super::projection::{Limits, Projection};
use super::super::testing::{IDENTITY, audit, batch, directory, fresh_store, row};
use super::super::{Source, Store, Write, open};

/// About what an instance takes.
fn body(n: usize) -> String {
    format!(
        r#"{{"kind":"instance","schema":1,"spec":{{"n":{n},"padding":"{}"}}}}"#,
        "0123456789abcdef".repeat(60)
    )
}

fn entry(index: u64) -> super::super::Batch {
    let name = format!("vm-{}", index % 1000);
    let n = usize::try_from(index).unwrap();
    batch(
        index,
        vec![
            Write::PutResource(row(&name, &body(n))),
            Write::PutAnswer {
                request_id: uuid::Uuid::from_u128(index.into()),
                log_index: index,
                answer: r#"{"Ok":{"Put":1}}"#.to_owned(),
            },
            Write::DropAnswersUpTo { log_index: index.saturating_sub(1000) },
            Write::Audit(audit(index.cast_signed(), 0)),
        ],
    )
}

/// Proportional set size, summed over the server and its children, in KiB.
fn server_pss_kib(store: &Store) -> u64 {
    let Status::Running { pid, .. } = *store.server().unwrap().borrow() else { panic!("not running") };
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    std::iter::once(pid.to_string())
        .chain(children.split_whitespace().map(str::to_owned))
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("Pss:").map(str::to_owned)))
        .map(|line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn server_and_commits() {
    let directory = directory();
    let source = Source::Embedded(Settings::new(directory.path()));
    let begun = Instant::now();
    let store = open(&source, IDENTITY).await.unwrap();
    println!("cold start (initdb, start, migrate): {:?}", begun.elapsed());
    println!("PSS, idle: {} KiB", server_pss_kib(&store));
    let begun = Instant::now();
    store.close().await;
    println!("stop: {:?}", begun.elapsed());
    let begun = Instant::now();
    let store = Arc::new(open(&source, IDENTITY).await.unwrap());
    println!("warm start: {:?}", begun.elapsed());

    let (alone, begun) = (2000, Instant::now());
    for index in 0..alone {
        store.commit(&entry(index)).await.unwrap();
    }
    let rate = alone as f64 / begun.elapsed().as_secs_f64();
    println!("commits of one entry each: {rate:.0}/s");

    let projection = Arc::new(Projection::start(Arc::clone(&store), Some(alone - 1), Limits::default()));
    let (pushing, pushed, begun) = (Arc::clone(&projection), 100_000, Instant::now());
    std::thread::spawn(move || (alone..alone + pushed).for_each(|index| pushing.push(entry(index)).unwrap()));
    let last = Some(alone + pushed - 1);
    projection.flushed().wait_for(|flushed| *flushed == last).await.unwrap();
    println!("entries through the projection: {:.0}/s", pushed as f64 / begun.elapsed().as_secs_f64());
    println!("PSS, after: {} KiB", server_pss_kib(&store));
    projection.stop(Duration::from_secs(10)).await.unwrap();
    store.close().await;
}

#[tokio::test]
#[ignore = "a measurement"]
async fn load_of_100k_rows() {
    let store = fresh_store().await;
    for index in 0..100 {
        let names = index * 1000..(index + 1) * 1000;
        let writes = names.map(|n| Write::PutResource(row(&format!("vm-{n}"), &body(n)))).collect();
        store.commit(&batch(index as u64, writes)).await.unwrap();
    }
    for _ in 0..3 {
        let begun = Instant::now();
        let loaded = store.load().await.unwrap();
        println!("loading {} rows of 1 KiB: {:?}", loaded.resources.len(), begun.elapsed());
    }
}

/// Why the body is `json`.
#[tokio::test]
#[ignore = "a measurement"]
async fn types_for_a_body() {
    let store = fresh_store().await;
    let bodies: Vec<String> = (0..50_000).map(body).collect();
    for column in ["text", "json", "jsonb"] {
        store
            .readers()
            .execute(AssertSqlSafe(format!("CREATE TABLE trial_{column} (body {column})")))
            .await
            .unwrap();
        let begun = Instant::now();
        for chunk in bodies.chunks(1000) {
            let insert =
                format!("INSERT INTO trial_{column} SELECT b::{column} FROM unnest($1::text[]) AS b");
            sqlx::query(AssertSqlSafe(insert)).bind(chunk.to_vec()).execute(store.readers()).await.unwrap();
        }
        let written = begun.elapsed();
        let begun = Instant::now();
        let select = format!("SELECT body::text FROM trial_{column}");
        let read: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(store.readers()).await.unwrap();
        println!("{column}: {} rows written in {written:?}, read in {:?}", read.len(), begun.elapsed());
    }
}
