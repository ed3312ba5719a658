//! Consoles end to end: a real guest's serial port and screen, through an agent and three real controllers.
//!
//! One lab serves all stories, one after the other, as in `guest.rs`; one guest is on for most of them.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::time::Instant;

use rempart_api::client::{Client, ClientError};
use rempart_api::console::{CloseCode, ConsoleAccess, ConsoleKind, ConsoleReader};
use rempart_api::{Kind, Urn};
use rempart_tests::{Lab, PATIENCE, instance, until, until_some};
use serde_json::json;

mod stage;

use stage::{Seat, Stage};

fn status<T>(outcome: Result<T, ClientError>) -> Option<u16> {
    outcome.err().and_then(|error| error.status())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consoles_live_through_everything() {
    let start = Instant::now();
    let story = |name: &str| eprintln!("{:>6.1} s  {name}", start.elapsed().as_secs_f64());
    let lab = Lab::open_with(3, &[("REMPART_AGENT_SERIAL_LOG_MAX_BYTES", "262144")]).await;
    let urn = lab.create("talk", json!({})).await;
    lab.active(&urn).await;
    let uid = lab.new_domain(&BTreeSet::new()).await;
    let mut stage = Stage { lab, urn, uid, tokens: Mutex::default() };
    an_instance_that_is_off_has_a_log_and_no_console(&stage).await;
    story("off");
    stage.lab.alice.act(&stage.urn, "start").await.expect("accepted");
    stage.lab.says(&stage.uid, "tiny: ready").await;
    the_log_is_shown_to_owners(&stage).await;
    story("log");
    all_see_the_same_and_all_may_type_through_any_replica(&stage).await;
    story("talked through every replica");
    a_token_opens_what_it_is_for_once_and_nothing_else(&stage).await;
    story("tokens");
    a_token_does_not_outlive_its_time(&mut stage).await;
    story("token expired");
    the_screen_is_shown_and_qemu_listens_nowhere(&stage).await;
    story("screen");
    an_instance_has_so_many_consoles_and_no_more(&stage).await;
    story("limit");
    whose_token_was_called_back_is_shown_nothing_more(&stage).await;
    story("called back");
    a_guest_that_floods_its_console_fills_neither_memory_nor_disk(&stage).await;
    story("flood");
    a_leader_that_dies_ends_consoles_with_a_reason(&mut stage).await;
    story("leader killed");
    an_agent_that_dies_and_a_guest_that_stops_end_consoles(&mut stage).await;
    story("agent killed, guest stopped");
    no_log_has_a_token(&stage);
}

async fn an_instance_that_is_off_has_a_log_and_no_console(stage: &Stage) {
    let refused = stage.lab.alice.console(&stage.urn, ConsoleKind::Serial).await.expect_err("it is off");
    assert_eq!(refused.status(), Some(409));
    assert!(refused.to_string().contains("start it first"), "{refused}");
    assert_eq!(stage.lab.alice.serial_log(&stage.urn, 1000).await.expect("a log"), "");
    assert_eq!(status(stage.lab.alice.console(&instance("nobody"), ConsoleKind::Vnc).await), Some(404));
    assert_eq!(status(stage.lab.alice.serial_log(&instance("nobody"), 1).await), Some(404));
}

async fn the_log_is_shown_to_owners(stage: &Stage) {
    for replica in 1..=3 {
        let log = stage.alice(replica).serial_log(&stage.urn, 1 << 20).await.expect("a log");
        assert!(log.contains("tiny: hostname talk") && log.contains("tiny: ready"), "{log}");
    }
    let end = stage.lab.alice.serial_log(&stage.urn, 7).await.expect("a log");
    assert!((1..=7).contains(&end.len()), "{end:?}");
    for stranger in ["mallory", "operator"] {
        let stranger = stage.lab.cluster.client(1, stranger).expect("a client");
        for urn in [&stage.urn, &instance("nobody")] {
            assert_eq!(status(stranger.serial_log(urn, 1).await), Some(403));
            assert_eq!(status(stranger.console(urn, ConsoleKind::Serial).await), Some(403));
        }
    }
}

async fn all_see_the_same_and_all_may_type_through_any_replica(stage: &Stage) {
    let mut seats = Vec::new();
    for replica in 1..=3 {
        let mut seat = stage.sit_down(replica).await;
        seat.sees("tiny# ").await;
        seat.talks(&format!("replica{replica}")).await;
        seats.push(seat);
        for seat in &seats {
            seat.sees(&format!("replica{replica}-42")).await;
        }
    }
    // Who comes late was shown what was said before.
    seats[2].sees("replica1-42").await;
    for mut seat in seats {
        seat.writer.close().await;
        assert_eq!(seat.end().await.0, CloseCode::Normal.number());
    }
}

async fn a_token_opens_what_it_is_for_once_and_nothing_else(stage: &Stage) {
    let (leader, follower) = (stage.leader(), stage.follower());
    let at = |access: &ConsoleAccess, from: &str, to: &str| ConsoleAccess {
        url: access.url.replace(from, to),
        ..access.clone()
    };
    let access = stage.ask(follower, ConsoleKind::Serial).await;
    assert!(access.url.starts_with("ws://") && !access.url.contains(&access.token), "{}", access.url);
    let alice = stage.alice(follower);
    // For another instance, another kind; as another credential.
    for (from, to) in [("instances/talk", "instances/other"), ("/serial", "/vnc"), ("/w/", "/v/")] {
        assert_eq!(status(alice.open_console(&at(&access, from, to)).await), Some(403), "{to}");
    }
    let thief = Client::new(&stage.lab.cluster.layout.url(leader), &access.token).expect("a client");
    assert_eq!(status(thief.get(&stage.urn).await), Some(401));
    let own = stage.lab.cluster.layout.token("alice").expect("a token");
    let api = ConsoleAccess { token: own, ..access.clone() };
    assert_eq!(status(alice.open_console(&api).await), Some(401));
    // None of that used it up.
    let seat = Seat::at(alice.open_console(&access).await.expect("it opens"));
    // Now it is, at every replica, and also once the console has ended.
    let ports = &stage.lab.cluster.layout.ports;
    let elsewhere = |replica: usize| {
        let to = format!("127.0.0.1:{}", ports[replica - 1].0);
        at(&access, &format!("127.0.0.1:{}", ports[follower - 1].0), &to)
    };
    for replica in 1..=3 {
        let refused = alice.open_console(&elsewhere(replica)).await.expect_err("it was used");
        assert_eq!(refused.status(), Some(401));
        assert!(refused.to_string().contains("used before"), "{refused}");
    }
    drop(seat);
    assert_eq!(status(alice.open_console(&elsewhere(leader)).await), Some(401));
    // Two at once: one of them.
    let access = stage.ask(leader, ConsoleKind::Serial).await;
    let (one, two) = tokio::join!(alice.open_console(&access), alice.open_console(&access));
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
}

async fn a_token_does_not_outlive_its_time(stage: &mut Stage) {
    // A replica whose tokens are good for a second; the others are as they were.
    let follower = stage.follower();
    stage.lab.cluster.kill(follower);
    stage.lab.cluster.environment.push(("REMPART_CONSOLE_TOKEN_SECONDS", "1".to_owned()));
    stage.lab.cluster.start_controller(follower).expect("it starts");
    stage.lab.cluster.environment.pop();
    stage.lab.cluster.ready(follower).await.expect("it is ready");
    let access = stage.ask(follower, ConsoleKind::Serial).await;
    until("the token to be old", PATIENCE, || now_ms() > access.expires_at.unix_ms() + 10).await;
    let port = |id: usize| format!("127.0.0.1:{}", stage.lab.cluster.layout.ports[id - 1].0);
    for replica in [follower, stage.leader()] {
        let url = access.url.replace(&port(follower), &port(replica));
        let old = ConsoleAccess { url, ..access.clone() };
        let refused = stage.alice(replica).open_console(&old).await.expect_err("it has expired");
        assert_eq!(refused.status(), Some(401));
        assert!(refused.to_string().contains("expired"), "{refused}");
    }
    // As it was, for the stories to come.
    stage.lab.cluster.kill(follower);
    stage.lab.cluster.start_controller(follower).expect("it starts");
    stage.lab.cluster.ready(follower).await.expect("it is ready");
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

async fn the_screen_is_shown_and_qemu_listens_nowhere(stage: &Stage) {
    for replica in [stage.leader(), stage.follower()] {
        let access = stage.ask(replica, ConsoleKind::Vnc).await;
        let opened = stage.alice(replica).open_console(&access).await;
        let (mut reader, mut writer) = opened.expect("it opens");
        let receive = async |reader: &mut ConsoleReader, bytes: usize| {
            let mut all = Vec::new();
            while all.len() < bytes {
                all.extend_from_slice(&reader.next().await.expect("more"));
            }
            all
        };
        // RFB: version, security types (one: none), the choice, its result, the screen's size.
        assert_eq!(receive(&mut reader, 12).await, b"RFB 003.008\n");
        writer.send(&b"RFB 003.008\n"[..]).await.expect("sent");
        assert_eq!(receive(&mut reader, 2).await, [1, 1]);
        writer.send(&[1][..]).await.expect("sent");
        assert_eq!(receive(&mut reader, 4).await, [0; 4]);
        writer.send(&[1][..]).await.expect("sent");
        let screen = receive(&mut reader, 24).await;
        assert!(u16::from_be_bytes([screen[0], screen[1]]) >= 640, "{screen:?}");
    }
    let listening = listening_sockets();
    for process in qemu_processes(&stage.uid) {
        for descriptor in fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").flatten() {
            let target = fs::read_link(descriptor.path()).unwrap_or_default().display().to_string();
            assert!(!listening.contains(&target), "QEMU listens on {target}");
        }
    }
}

/// As links in /proc/PID/fd show them.
fn listening_sockets() -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines()).map(|line| line.split_whitespace().collect());
    let listening = lines.filter(|fields: &Vec<&str>| fields.get(3) == Some(&"0A"));
    listening.filter_map(|fields| fields.get(9).map(|inode| format!("socket:[{inode}]"))).collect()
}

fn qemu_processes(uid: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()));
    let found: Vec<u32> = ids
        .filter(|id: &u32| {
            let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            command.starts_with("/usr/bin/qemu-system") && command.contains(uid)
        })
        .collect();
    assert!(!found.is_empty(), "its QEMU runs");
    found
}

async fn an_instance_has_so_many_consoles_and_no_more(stage: &Stage) {
    let mut seats = Vec::new();
    // Consoles that have just been closed may still count.
    for replica in [1, 2, 3, 1] {
        seats.push(
            until_some("a free place", PATIENCE, || async {
                let access = stage.ask(replica, ConsoleKind::Serial).await;
                let opened = stage.alice(replica).open_console(&access).await;
                opened.map(Seat::at).map_err(|error| error.to_string())
            })
            .await,
        );
    }
    for replica in 1..=3 {
        let access = stage.ask(replica, ConsoleKind::Vnc).await;
        let refused = stage.alice(replica).open_console(&access).await.expect_err("too many");
        assert_eq!(refused.status(), Some(409));
        assert!(refused.to_string().contains("close one first"), "{refused}");
    }
    for seat in &mut seats {
        seat.talks("still").await;
    }
    seats.pop();
    until_some("the place to be free", PATIENCE, || async {
        let access = stage.ask(2, ConsoleKind::Serial).await;
        let opened = stage.alice(2).open_console(&access).await;
        opened.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

async fn a_guest_that_floods_its_console_fills_neither_memory_nor_disk(stage: &Stage) {
    let memory_kib = |process: u32| -> u64 {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    };
    let daemons = stage.lab.cluster.controllers.iter().map(|one| &one.daemon).chain(&stage.lab.daemon);
    let before: Vec<(u32, u64)> = daemons.map(|one| (one.pid(), memory_kib(one.pid()))).collect();
    let mut seat = stage.sit_down(stage.follower()).await;
    // One that is not read at all, until the server has had enough of it.
    let access = stage.ask(stage.follower(), ConsoleKind::Serial).await;
    let asleep = stage.alice(stage.follower()).open_console(&access).await.expect("it opens");
    let line = "0123456789abcdef".repeat(16);
    seat.writer.send(format!("yes {line} | head -c 700000\n").into_bytes()).await.expect("it is typed");
    let guest = stage.lab.agent.data_dir.join("guests").join(&stage.uid);
    // All of it comes past the consoles, and to the log, which is cut. An emulated serial port carries some 50 KiB a second.
    until("the log to be cut", PATIENCE, || guest.join("serial.log.0").exists()).await;
    seat.talks("calm").await;
    let bytes = |name: &str| fs::metadata(guest.join(name)).map_or(0, |file| file.len());
    assert!(bytes("serial.log") + bytes("serial.log.0") < 600_000, "less than was said");
    let log = stage.lab.alice.serial_log(&stage.urn, 1 << 20).await.expect("a log");
    assert!(log.len() > 60 << 10 && log.contains("calm-42"), "{} bytes", log.len());
    for (process, before_kib) in before {
        let grown_kib = memory_kib(process).saturating_sub(before_kib);
        assert!(grown_kib < 40 << 10, "process {process} has grown by {grown_kib} KiB");
    }
    drop(asleep);
}

async fn whose_token_was_called_back_is_shown_nothing_more(stage: &Stage) {
    let owners = json!({ "spec": { "owners": ["alice", "bob"] } });
    stage.lab.operator.put(&Urn::global(Kind::Tenant, "acme"), &owners).await.expect("another owner");
    let bob = stage.lab.cluster.client(stage.follower(), "bob").expect("a client");
    let opened = bob.console(&stage.urn, ConsoleKind::Serial).await.expect("a console");
    let mut seat = Seat::at(bob.open_console(&opened).await.expect("it opens"));
    seat.talks("bob").await;
    let unused = bob.console(&stage.urn, ConsoleKind::Serial).await.expect("another");
    let revocation = json!({ "spec": { "subject": "bob" } });
    let urn = Urn::global(Kind::TokenRevocation, "bob-has-left");
    stage.lab.operator.put(&urn, &revocation).await.expect("called back");
    assert_eq!(status(bob.open_console(&unused).await), Some(401));
    let (code, reason) = seat.end().await;
    assert!(code == CloseCode::Revoked.number() && reason.contains("called back"), "{code} {reason}");
    stage.tokens.lock().expect("no panic").extend([opened.token, unused.token]);
}

async fn a_leader_that_dies_ends_consoles_with_a_reason(stage: &mut Stage) {
    let (leader, follower) = (stage.leader(), stage.follower());
    let mut seat = stage.sit_down(follower).await;
    seat.talks("before").await;
    stage.lab.cluster.kill(leader);
    let (code, reason) = seat.end().await;
    assert!(
        code == CloseCode::LeaderChanged.number() && reason.contains("ask for a new console"),
        "{code} {reason}"
    );
    let mut seat = stage.sit_down(follower).await;
    seat.talks("after").await;
    stage.lab.cluster.start_controller(leader).expect("it starts");
    stage.lab.cluster.ready(leader).await.expect("it is ready");
}

async fn an_agent_that_dies_and_a_guest_that_stops_end_consoles(stage: &mut Stage) {
    let mut seat = stage.sit_down(stage.follower()).await;
    seat.talks("agent").await;
    stage.lab.kill_agent();
    let (code, reason) = seat.end().await;
    assert!(
        code == CloseCode::HostLost.number() && reason.contains("ask for a new console"),
        "{code} {reason}"
    );
    stage.lab.start_agent();
    stage.lab.host("to be back", |status| status["reachable"] == true).await;
    let replica = stage.lab.cluster.controllers[0].id;
    let mut seat = stage.sit_down(replica).await;
    seat.talks("again").await;
    stage.lab.alice.act(&stage.urn, "stop").await.expect("accepted");
    let (code, reason) = seat.end().await;
    assert!(code == CloseCode::GuestOff.number(), "{code} {reason}");
    stage.lab.status(&stage.urn, "to be off", |status| status["powerState"] == "off").await;
    let log = stage.lab.alice.serial_log(&stage.urn, 1000).await.expect("a log");
    assert!(log.contains("tiny: powering off"), "{log}");
}

fn no_log_has_a_token(stage: &Stage) {
    let daemons = stage.lab.cluster.controllers.iter().map(|one| &one.daemon).chain(&stage.lab.daemon);
    let tokens = stage.tokens.lock().expect("no panic");
    assert!(tokens.len() > 20);
    for daemon in daemons {
        let log = daemon.log();
        assert!(!tokens.iter().any(|token| log.contains(token.as_str())), "a token is in a log");
    }
}
