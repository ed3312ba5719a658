//! A controller that must not run says what is wrong, where, and what to do.

use std::process::Command;
use std::time::{Duration, Instant};

use rempart_tests::{Cluster, Daemon, Layout, until_some};
use rustix::process::Signal;

/// Runs `command` to its end; it has to fail, and soon. What it says is returned.
async fn refused(what: &str, mut command: Command, layout: &Layout) -> String {
    let log = layout.dir.join("refused.log");
    let _ = std::fs::remove_file(&log);
    // As developers have it.
    command.env("RUST_BACKTRACE", "1");
    let began = Instant::now();
    let mut daemon = Daemon::spawn(what, command, &log).expect("it can be started");
    let status = until_some(&format!("{what}: to end"), Duration::from_secs(30), || {
        let (status, log) = (daemon.exited(), daemon.log());
        async move { status.ok_or(log) }
    })
    .await;
    let said = daemon.log();
    eprintln!("--- {what} ({status}, after {:?})\n{said}", began.elapsed());
    assert!(!status.success(), "{what}: {status}");
    assert_ne!(status.code(), Some(101), "{what}: it panicked");
    // For a person: no dump of a type, no place in the source.
    for token in [" { ", "Os {", "Error(", "Some(", "backtrace", "panicked", ".rs:"] {
        assert!(!said.contains(token), "{what}: {token:?} in:\n{said}");
    }
    let last = said.lines().last().unwrap_or_default();
    assert!(!last.contains(" INFO "), "{what}: the last line is not the reason:\n{said}");
    said
}

/// `command` with the value of `flag` replaced.
fn with(command: &Command, flag: &str, value: &str) -> Command {
    let mut arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let at = arguments.iter().position(|argument| argument == flag).expect("the flag is there");
    arguments[at + 1] = value.into();
    let mut changed = Command::new(command.get_program());
    changed.args(arguments);
    changed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_must_not_run_says_why() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = Cluster::start(&dir.path().join("c"), 1).await.expect("a cluster");
    let layout = cluster.layout.clone();
    let good = layout.controller_command(1).expect("built");
    let elsewhere = |command: &Command| {
        with(&with(command, "--http-listen", "127.0.0.1:0"), "--internal-listen", "127.0.0.1:0")
    };
    let data = layout.data_dir(1).display().to_string();
    let says = |said: &str, words: &[&str]| {
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in:\n{said}");
        }
    };

    let said = refused("a second controller on the same data", elsewhere(&good), &layout).await;
    says(&said, &[&data, "another controller"]);
    let said = refused("a port that is taken", good, &layout).await;
    says(&said, &[&layout.ports[0].0.to_string(), "REST API", "--http-listen"]);
    let good = layout.controller_command(1).expect("built");
    let free = with(&good, "--http-listen", "127.0.0.1:0");
    let said = refused("another port that is taken", free, &layout).await;
    says(&said, &[&layout.ports[0].1.to_string(), "peers", "--internal-listen"]);

    let mut daemon = cluster.take(1);
    daemon.signal(Signal::TERM);
    until_some("the controller to end", Duration::from_secs(10), || {
        let status = daemon.exited();
        async move { status.ok_or_else(|| "it runs".to_owned()) }
    })
    .await;

    let foreign = Layout { dir: dir.path().join("foreign"), ..layout.clone() };
    std::fs::create_dir_all(&foreign.dir).expect("a directory");
    foreign.init().expect("another cluster");
    let foreign_dir = foreign.cluster_dir().display().to_string();
    let said = refused("another cluster's data", with(&good, "--cluster-dir", &foreign_dir), &layout).await;
    says(&said, &["belongs to replica 1 of cluster"]);
    let other =
        with(&with(&good, "--replica-id", "2"), "--peers", &format!("2=127.0.0.1:{}", layout.ports[0].1));
    let said = refused("another replica's data", other, &layout).await;
    says(&said, &["belongs to controller 1", "is to be controller 2"]);

    let key = foreign.cluster_dir().join("issuer.key");
    std::fs::remove_file(&key).expect("it is there");
    let said = refused("no key", with(&good, "--cluster-dir", &foreign_dir), &layout).await;
    says(&said, &[&key.display().to_string(), "rempart-controller init"]);
    let json = foreign.cluster_dir().join("cluster.json");
    std::fs::write(&json, "{}").expect("written");
    let said = refused("a broken cluster.json", with(&good, "--cluster-dir", &foreign_dir), &layout).await;
    says(&said, &[&json.display().to_string(), "init"]);
    std::fs::remove_file(&json).expect("it is there");
    let said = refused("no cluster.json", with(&good, "--cluster-dir", &foreign_dir), &layout).await;
    says(&said, &[&json.display().to_string(), "rempart-controller init"]);

    for (peers, words) in [
        ("1:127.0.0.1:7000", "ID=HOST:PORT"),
        ("2=127.0.0.1:7000", "does not name this replica"),
        ("1=127.0.0.1:1,1=127.0.0.1:2", "twice"),
    ] {
        says(&refused("bad --peers", with(&good, "--peers", peers), &layout).await, &["--peers", words]);
    }
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    let nowhere = with(&good, "--data-dir", &file.join("data").display().to_string());
    let said = refused("a data directory that cannot be", nowhere, &layout).await;
    says(&said, &[&file.display().to_string()]);
    let said = refused(
        "an odd timing",
        {
            let mut odd = good;
            odd.args(["--election-ms", "10"]);
            odd
        },
        &layout,
    )
    .await;
    says(&said, &["--election-ms"]);
    assert!(!said.contains("silence_max"), "that is no flag:\n{said}");
}
