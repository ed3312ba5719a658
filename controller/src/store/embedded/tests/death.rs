//! Sudden ends: of the postmaster, of the controller, of both.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::super::testing::{IDENTITY, directory};
use super::super::super::{Source, open};
use super::super::account::Account;
use super::super::binaries::Binaries;
use super::super::home::Home;
use super::super::{Embedded, Settings, Status, leftovers, server};
use super::{execute, query, start};

const DATA_DIR: &str = "REMPART_TEST_DATA_DIR";

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_killed_postmaster_is_started_again() {
    let directory = directory();
    let server = start(directory.path()).await.unwrap();
    execute(&server, "CREATE TABLE t AS SELECT 'kept'::text AS word").await;
    let mut status = server.status();
    for expected in 2..=3 {
        let Status::Running { pid, .. } = *status.borrow() else { panic!("not running") };
        kill(pid, Signal::KILL);
        status
            .wait_for(|status| matches!(status, Status::Running { starts, .. } if *starts == expected))
            .await
            .unwrap();
        assert_eq!(query(&server, "SELECT word FROM t").await, "kept");
    }
}

#[tokio::test]
async fn a_server_that_cannot_come_back_can_still_be_stopped() {
    let directory = directory();
    let server = start(directory.path()).await.unwrap();
    let mut status = server.status();
    let Status::Running { pid, .. } = *status.borrow() else { panic!("not running") };
    fs::remove_file(directory.path().join("postgres/data/global/pg_control")).unwrap();
    kill(pid, Signal::KILL);
    // The first time it says that it was killed, then that it cannot start.
    let down =
        status.wait_for(|status| matches!(status, Status::Down { why } if why.contains("could not find")));
    down.await.unwrap();
    let begun = Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// Not a test: the controller that the tests below kill.
#[tokio::test]
#[ignore = "only as a child process of other tests"]
async fn controller() {
    let Some(data_dir) = std::env::var_os(DATA_DIR) else { return };
    let _server = Embedded::start(Settings::new(data_dir)).await.unwrap();
    println!("postgres runs");
    std::future::pending().await
}

fn controller_process(data_dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::embedded::tests::death::controller", "--ignored", "--nocapture"])
        .env(DATA_DIR, data_dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn await_running(controller: &mut Child) {
    let mut said = Vec::new();
    let mut stdout = controller.stdout.take().unwrap();
    let mut byte = [0];
    while !said.ends_with(b"postgres runs") {
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "it ended: {}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
}

#[tokio::test]
async fn postgres_dies_with_its_controller() {
    let directory = directory();
    let data = directory.path().join("postgres/data");
    let mut controller = controller_process(directory.path());
    await_running(&mut controller);
    assert!(leftovers::count(&data) > 1);
    controller.kill().unwrap();
    assert_eq!(controller.wait().unwrap().signal(), Some(9));
    eventually("no Postgres process is left", || leftovers::count(&data) == 0);
}

#[tokio::test]
async fn a_controller_killed_and_started_at_once_finds_its_data() {
    let directory = directory();
    for _ in 0..3 {
        let mut controller = controller_process(directory.path());
        await_running(&mut controller);
        controller.kill().unwrap();
        controller.wait().unwrap();
        // The old Postgres may still be stopping.
        let server = start(directory.path()).await.unwrap();
        assert_eq!(query(&server, "SELECT 'alive'").await, "alive");
    }
}

#[tokio::test]
async fn a_controller_killed_during_initdb_starts_over() {
    let directory = directory();
    for after_ms in [50, 150, 300, 500] {
        let mut controller = controller_process(directory.path());
        std::thread::sleep(Duration::from_millis(after_ms));
        controller.kill().unwrap();
        controller.wait().unwrap();
    }
    let server = start(directory.path()).await.unwrap();
    assert_eq!(query(&server, "SELECT 'alive'").await, "alive");
}

/// A Postgres in the right place that nobody supervises.
fn stray(data_dir: &Path) -> Child {
    let home = Home::take(data_dir, Account::choose("postgres").unwrap()).unwrap();
    let binaries = Binaries::find(None, &home.data()).unwrap();
    let child = server::launch(&home, &binaries).unwrap();
    eventually("the stray server is ready", || server::is_ready(&home.data(), child.id()));
    child
}

/// An "external" Postgres that somebody made fast.
#[tokio::test]
async fn a_server_that_does_not_sync_is_refused() {
    let directory = directory();
    start(directory.path()).await.unwrap().stop().await;
    for setting in ["fsync", "full_page_writes"] {
        let home = Home::take(directory.path(), Account::choose("postgres").unwrap()).unwrap();
        let binaries = Binaries::find(None, &home.data()).unwrap();
        let mut command = home.command(binaries.postgres());
        command.arg("-D").arg(home.data()).arg("-k").arg(home.socket_dir()).args(["-c", "listen_addresses="]);
        command.arg("-c").arg(format!("{setting}=off")).stderr(Stdio::null());
        server::die_with_this_thread(&mut command, Signal::INT);
        let mut careless = command.spawn().unwrap();
        eventually("the careless server is ready", || server::is_ready(&home.data(), careless.id()));
        let socket = home.socket_dir();
        let database_url = format!("postgres://rempart@localhost/postgres?host={}", socket.display());
        let source = Source::External { database_url };
        let Err(refused) = open(&source, IDENTITY).await else { panic!("{setting} = off was let in") };
        assert!(!refused.is_transient());
        assert!(
            refused.to_string().contains(&format!("runs with {setting} = off, and Rempart needs on")),
            "{refused}"
        );
        kill(careless.id(), Signal::INT);
        careless.wait().unwrap();
    }
}

#[tokio::test]
async fn what_an_earlier_controller_left_running_is_stopped() {
    let directory = directory();
    start(directory.path()).await.unwrap().stop().await;
    let mut stray = stray(directory.path());
    let reaped = std::thread::spawn(move || stray.wait().unwrap());
    let server = start(directory.path()).await.unwrap();
    assert_eq!(query(&server, "SELECT 'alive'").await, "alive");
    assert!(reaped.join().unwrap().success(), "it was stopped in good order");
}

#[tokio::test]
async fn orphans_of_a_killed_postmaster_are_waited_for() {
    let directory = directory();
    start(directory.path()).await.unwrap().stop().await;
    let mut stray = stray(directory.path());
    stray.kill().unwrap();
    stray.wait().unwrap();
    let server = start(directory.path()).await.unwrap();
    assert_eq!(query(&server, "SELECT 'alive'").await, "alive");
}

#[tokio::test]
async fn a_stranger_that_has_the_number_in_the_pid_file_is_left_alone() {
    let directory = directory();
    start(directory.path()).await.unwrap().stop().await;
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    let pid_file = directory.path().join("postgres/data/postmaster.pid");
    fs::write(&pid_file, format!("{}\n", stranger.id())).unwrap();
    let server = start(directory.path()).await.unwrap();
    assert_eq!(query(&server, "SELECT 'alive'").await, "alive");
    assert!(stranger.try_wait().unwrap().is_none(), "it was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}
