//! The end of a controller: while it starts, while nothing happens, told twice; and what systemd hears of it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rempart_tests::{Cluster, Daemon, Layout, until, until_some};
use rustix::process::Signal;

async fn end(daemon: &mut Daemon) -> ExitStatus {
    until_some("the controller to end", Duration::from_secs(45), || {
        let (status, log) = (daemon.exited(), daemon.log());
        async move { status.ok_or(log) }
    })
    .await
}

/// Whether a Postgres of this directory runs.
fn postgres_runs(data: &Path) -> bool {
    let data = data.display().to_string();
    fs::read_dir("/proc").expect("/proc").flatten().any(|entry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        command.contains("postgres") && command.contains(&data)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_is_still_starting_ends_when_it_is_told_to() {
    // What is there already when the signal comes.
    for fact in ["", "postgres", "postgres/data/PG_VERSION", "postgres/data/postmaster.pid"] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(dir.path()).expect("a directory");
        let layout = Layout::new(dir.path(), 1).expect("a port");
        layout.init().expect("a cluster");
        let log = layout.log(1);
        let command = layout.controller_command(1).expect("built");
        let mut daemon = Daemon::spawn("a controller", command, &log).expect("started");
        let data = layout.data_dir(1);
        until(&format!("{fact:?}"), Duration::from_secs(60), || data.join(fact).exists()).await;
        daemon.signal(Signal::TERM);
        let status = end(&mut daemon).await;
        assert_eq!(status.code(), Some(0), "{fact:?}: {}", daemon.log());
        until("its Postgres to be gone", Duration::from_secs(20), || !postgres_runs(&data)).await;

        // Whatever was half made is made whole by the next start.
        let mut cluster =
            Cluster { layout: layout.clone(), controllers: Vec::new(), environment: Vec::new() };
        cluster.start_controller(1).expect("started");
        cluster.ready(1).await.expect("it serves");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hears_when_it_serves_and_when_it_ends() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let layout = Layout::new(dir.path(), 1).expect("a port");
    layout.init().expect("a cluster");
    let path = dir.path().join("notify");
    let heard = UnixDatagram::bind(&path).expect("a socket");
    heard.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let mut command = layout.controller_command(1).expect("built");
    command.env("NOTIFY_SOCKET", &path);
    let mut daemon = Daemon::spawn("a controller", command, &layout.log(1)).expect("started");
    let listen = || {
        let mut buffer = [0; 64];
        let length = heard.recv(&mut buffer).expect("a word");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert_eq!(listen(), "READY=1");
    daemon.signal(Signal::TERM);
    assert_eq!(listen(), "STOPPING=1");
    assert_eq!(end(&mut daemon).await.code(), Some(0), "{}", daemon.log());
    assert!(!postgres_runs(&layout.data_dir(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = Cluster::start(&dir.path().join("c"), 1).await.expect("a cluster");
    let mut daemon = cluster.take(1);
    // It cannot end: its Postgres, which it waits for, does not move.
    let pid =
        fs::read_to_string(cluster.layout.data_dir(1).join("postgres/data/postmaster.pid")).expect("a pid");
    let pid = pid.lines().next().and_then(|line| line.parse().ok()).and_then(rustix::process::Pid::from_raw);
    let pid = pid.expect("a pid");
    rustix::process::kill_process(pid, Signal::STOP).expect("it is there");
    daemon.signal(Signal::TERM);
    until("it to be stopping", Duration::from_secs(20), || daemon.log().contains("stopping")).await;
    assert!(daemon.exited().is_none(), "{}", daemon.log());
    daemon.signal(Signal::TERM);
    assert_eq!(end(&mut daemon).await.code(), Some(3), "{}", daemon.log());
    rustix::process::kill_process(pid, Signal::CONT).expect("it is there");
    cluster.start_controller(1).expect("started");
    cluster.ready(1).await.expect("it serves");
}
