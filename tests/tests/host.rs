//! A hypervisor that restarts, and one that is slow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rempart_tests::{Lab, PATIENCE, instance, lab_host, until, until_some, volume};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn is(state: &str, power: &str) -> impl Fn(&Value) -> bool {
    move |status| status["state"] == state && status["powerState"] == power
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_reboot_of_the_host_exactly_those_guests_are_on_that_should_be() {
    let mut lab = Lab::open(1).await;
    let start = Instant::now();
    let story = |name: &str| eprintln!("{:>6.1} s  {name}", start.elapsed().as_secs_f64());
    let mut uids = Vec::new();
    for (name, more) in [
        ("stays", json!({})),
        ("off", json!({})),
        ("quit", json!({ "userData": "#tiny: poweroff-after 0\n" })),
    ] {
        let before = lab.domains();
        let urn = lab.create(name, more).await;
        lab.active(&urn).await;
        uids.push(lab.new_domain(&before).await);
    }
    let [stays, off, quit] = &uids[..] else { panic!("three") };
    for name in ["stays", "quit"] {
        lab.alice.act(&instance(name), "start").await.expect("accepted");
    }
    lab.says(stays, "tiny: ready").await;
    let by_itself = |status: &Value| status["conditions"][0]["reason"] == "GuestShutdown";
    lab.status(&instance("quit"), "to have quit", by_itself).await;
    lab.status(&instance("stays"), "to be on", is("active", "on")).await;
    story("one on, one off, one that quit");

    lab.cut_host_power();
    assert!(!lab.qemu_runs(stays));
    let host = lab.host("to be missed", |status| status["reachable"] == false).await;
    assert_eq!(host["hostState"], "unreachable", "{host}");
    let missed = |status: &Value| status["conditions"][0]["reason"] == "HostUnreachable";
    let status = lab.status(&instance("stays"), "to say so", missed).await;
    let words = status["conditions"][0]["message"].as_str().expect("words");
    assert!(words.contains("out of touch") && !words.contains("h1"), "{words}");
    story("power cut, and noticed");

    lab.boot_host();
    lab.says(stays, "tiny: boot 2 of this disk").await;
    story("back");
    lab.status(&instance("stays"), "to be on without a complaint", |status| {
        is("active", "on")(status) && status["conditions"][0]["reason"].is_null()
    })
    .await;
    lab.host("to be back", |status| status["reachable"] == true && status["hostState"] == "ready").await;
    for (name, uid, boots) in [("off", off, 0), ("quit", quit, 1)] {
        assert!(is("active", "off")(&lab.view(&instance(name)).await.expect("a view").status.expect("one")));
        assert!(!lab.qemu_runs(uid), "{name} stays off");
        assert_eq!(lab.boots(uid), boots, "{name}");
    }
    assert_eq!(lab.view(&instance("stays")).await.expect("a view").metadata.resource_version, Some(2));
    assert_eq!((lab.domains().len(), lab.volumes().len()), (3, 3));

    // Once more, with no controller there: the ledger knows.
    lab.says(stays, "tiny: ready").await;
    lab.cluster.kill(1);
    lab.cut_host_power();
    lab.boot_host();
    lab.says(stays, "tiny: boot 3 of this disk").await;
    assert!(!lab.qemu_runs(off) && !lab.qemu_runs(quit));
    story("back without controllers");
    lab.cluster.start_controller(1).expect("it starts");
    lab.cluster.ready(1).await.expect("it is ready");
    lab.host("to be found again", |status| status["reachable"] == true && status["hostState"] == "ready")
        .await;
    lab.status(&instance("stays"), "to be on", is("active", "on")).await;
    assert_eq!(lab.boots(stays), 3, "it was not started again");
    for name in ["stays", "off", "quit"] {
        lab.delete(name).await;
    }
    assert_eq!((lab.domains().len(), lab.volumes().len()), (0, 0));
}

/// Stops and continues a process in turns until told to end; then it runs.
struct Stutter {
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Stutter {
    /// Stopped for `still`, running for `moves`: not waits for facts, the moments are what varies.
    fn of(pid: u32, still: &'static [u64], moves: &'static [u64]) -> Stutter {
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        let thread = std::thread::spawn(move || {
            for (still_ms, moves_ms) in still.iter().cycle().zip(moves.iter().cycle()) {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                kill_process(pid, Signal::STOP).expect("it is there");
                std::thread::sleep(Duration::from_millis(*still_ms));
                kill_process(pid, Signal::CONT).expect("it is there");
                std::thread::sleep(Duration::from_millis(*moves_ms));
            }
        });
        Stutter { ends, thread: Some(thread) }
    }
}

impl Drop for Stutter {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_name_used_again_and_again_on_a_slow_host_only_the_last_is_left() {
    let lab = Lab::open(1).await;
    let start = Instant::now();
    let agent = lab.daemon.as_ref().expect("it runs").pid();
    let stutter = Stutter::of(agent, &[120, 700, 30, 400, 1500], &[90, 20, 250, 50, 130, 10, 400]);
    let mut uids = BTreeSet::new();
    for round in 0..12 {
        let urn = lab.create("again", json!({})).await;
        // Deleted before the host has heard of it, while it makes it, when it is there, while it starts.
        match round % 4 {
            0 => {}
            1 => until("something to be made", PATIENCE, || !lab.volumes().is_empty()).await,
            2 => lab.active(&urn).await,
            _ => {
                lab.active(&urn).await;
                lab.alice.act(&urn, "start").await.expect("accepted");
            }
        }
        uids.extend(lab.domains());
        lab.delete("again").await;
        eprintln!("{:>6.1} s  round {round}", start.elapsed().as_secs_f64());
    }
    assert!(uids.len() >= 6, "each time it was another: {uids:?}");
    let urn = lab.create("again", json!({})).await;
    lab.active(&urn).await;
    lab.alice.act(&urn, "start").await.expect("accepted");
    drop(stutter);
    lab.status(&urn, "to be on", is("active", "on")).await;
    let domains: Vec<_> = lab.domains().into_iter().collect();
    let [uid] = &domains[..] else { panic!("one domain: {domains:?}") };
    assert!(!uids.contains(uid));
    lab.says(uid, "tiny: boot 1 of this disk").await;
    lab.status(&volume("again"), "to be there", |status| status["state"] == "active").await;
    only_one_of_each(&lab, uid).await;
    let notes = ["ledger/volumes", "ledger/instances", "ledger/power"];
    so_many(&lab, "notes", &notes, 1).await;
    lab.delete("again").await;
    so_many(&lab, "files", &["volumes", "seeds", "guests"], 0).await;
    so_many(&lab, "notes", &notes, 0).await;
}

async fn only_one_of_each(lab: &Lab, uid: &str) {
    assert!(lab.qemu_runs(uid));
    let running = lab.hypervisor.virsh(&["list", "--uuid"]).expect("virsh answers");
    assert_eq!(running.split_whitespace().collect::<Vec<_>>(), [uid], "guests of former lives");
    so_many(lab, "files", &["volumes", "seeds", "guests"], 1).await;
    let host = lab.operator.get(&lab_host()).await.expect("a host").status.expect("a status");
    assert!(host["unexpectedDomains"].is_null() && host["host"]["unexpectedDomains"].is_null(), "{host}");
    assert_eq!(host["instances"], 1, "{host}");
}

/// Waits until each of these directories of the agent has `count` entries.
async fn so_many(lab: &Lab, what: &str, directories: &[&str], count: usize) {
    until_some(&format!("{count} {what} in each of {directories:?}"), PATIENCE, || async {
        let counts: Vec<usize> = directories
            .iter()
            .map(|name| std::fs::read_dir(lab.agent.data_dir.join(name)).map_or(0, Iterator::count))
            .collect();
        if counts.iter().all(|found| *found == count) { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
}
