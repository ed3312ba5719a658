//! What dies, sleeps or stays away, while the others go on: Postgres, the leader, a replica, a majority, all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::bench::{Answer, Bench, Caller, PATIENCE, history, read, volume, volume_body, workspace};
use rempart_api::{Kind, Urn};
use rempart_tests::database::postmaster;
use rempart_tests::until_some;
use reqwest::Method;
use rustix::process::{Signal, kill_process, test_kill_process};
use serde_json::json;

/// The postmaster of a replica is gone; the replica brings it back and loses nothing.
pub(crate) async fn postgres_dies(bench: &Bench) {
    let alice = bench.caller("alice");
    let victim = bench.leader().await;
    let postmaster = || postmaster(&bench.cluster.layout, victim);
    let before = postmaster().expect("it runs");
    let began = Instant::now();
    kill_process(before, Signal::KILL).expect("it is there");
    // Writes go on meanwhile, also at the very replica.
    let urn = volume("meanwhile");
    let mut told = Vec::new();
    let mut written = 0;
    let mut back = None;
    while written < 50 || back.is_none() {
        let answer = alice.put(victim, &urn, &volume_body(&written.to_string())).await.expect("an answer");
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        written += 1;
        assert_eq!(answer.version(), written);
        match bench.readiness(victim).await {
            (false, why) if told.last() != Some(&why) => told.push(why),
            _ => {}
        }
        back = back.or_else(|| postmaster().filter(|pid| *pid != before).map(|_| began.elapsed()));
        assert!(began.elapsed() < Duration::from_secs(30), "Postgres does not come back; {told:?}");
    }
    eprintln!(
        "Postgres of replica {victim}, killed, ran again after {back:?}; readiness meanwhile: {told:?}"
    );
    until_some("the replica to be ready again", Duration::from_secs(20), || async {
        match bench.readiness(victim).await {
            (true, _) => Ok(()),
            (false, why) => Err(why),
        }
    })
    .await;
    let last = alice.put(victim, &urn, &volume_body("last")).await.expect("an answer");
    history(bench, last.request_id.expect("an id")).await;
}

/// SIGTERM to the leader: it hands over, ends well and soon, and takes its Postgres along.
pub(crate) async fn the_leader_leaves(bench: &mut Bench) {
    let leader = bench.leader().await;
    let postgres = postmaster(&bench.cluster.layout, leader).expect("its Postgres runs");
    let stop = Arc::new(AtomicBool::new(false));
    let others: [usize; 2] = std::array::from_fn(|number| (leader + number) % 3 + 1);
    let writers: Vec<_> = [leader, others[0], others[1]]
        .into_iter()
        .map(|replica| {
            let (alice, stop) = (bench.caller("alice"), stop.clone());
            let urn = volume(&format!("leaving-{replica}"));
            tokio::spawn(async move {
                let (mut acknowledged, mut longest, mut failed) = (0_u64, Duration::ZERO, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let body = volume_body(&acknowledged.to_string());
                    let answer = match alice.put(replica, &urn, &body).await {
                        Ok(answer) if answer.status != 503 => answer,
                        other => {
                            failed.push(format!("{other:?}"));
                            alice.insist(replica % 3 + 1, Method::PUT, &urn, Some(&body)).await
                        }
                    };
                    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
                    acknowledged += 1;
                    longest = longest.max(began.elapsed());
                }
                (replica, acknowledged, longest, failed)
            })
        })
        .collect();
    let alice = bench.caller("alice");
    let written = |replica| {
        let (alice, urn) = (&alice, volume(&format!("leaving-{replica}")));
        async move {
            alice
                .get(others[0], &urn)
                .await
                .map_or(0, |answer| answer.body["metadata"]["resourceVersion"].as_u64().unwrap_or(0))
        }
    };
    let flow = async || {
        for replica in 1..=3 {
            let before = written(replica).await;
            until_some(&format!("the client of {replica} to be served"), Duration::from_secs(20), || async {
                let now = written(replica).await;
                if now > before + 1 { Ok(()) } else { Err(format!("version {now} after {before}")) }
            })
            .await;
        }
    };
    flow().await;
    let mut daemon = bench.cluster.take(leader);
    let began = Instant::now();
    daemon.signal(Signal::TERM);
    let status = until_some("the leader to end", Duration::from_secs(20), || {
        let status = daemon.exited();
        async move { status.ok_or_else(|| "it runs".to_owned()) }
    })
    .await;
    let took = began.elapsed();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(8), "it took {took:?}");
    assert!(test_kill_process(postgres).is_err(), "its Postgres is still there");
    assert!(!bench.cluster.layout.data_dir(leader).join("postgres/data/postmaster.pid").exists());
    let heir = bench.leader().await;
    eprintln!("replica {leader}, told to end, did so in {took:?}; {heir} leads {:?} after", began.elapsed());
    flow().await;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        let (replica, acknowledged, longest, failed) = writer.await.expect("no write failed for good");
        eprintln!(
            "  client of {replica}: {acknowledged} writes, the longest took {longest:?}, not at once: {failed:?}"
        );
        // Who did not talk to the one that left does not notice.
        assert!(replica == leader || failed.is_empty(), "{failed:?}");
    }
    bench.restart(leader).await;
}

/// A leader that was stopped and replaced wakes up believing that it leads, with calls in its queue.
pub(crate) async fn a_leader_that_slept_says_nothing_stale(bench: &Bench) {
    let alice = bench.caller("alice");
    let sleeper = bench.leader().await;
    let others: Vec<usize> = (1..=3).filter(|id| *id != sleeper).collect();
    let signal = |signal| {
        let mut controllers = bench.cluster.controllers.iter();
        controllers.find(|controller| controller.id == sleeper).expect("it runs").daemon.signal(signal);
    };
    let gone = volume("sleep-gone");
    assert_eq!(alice.put(sleeper, &gone, &volume_body("x")).await.expect("an answer").status, 201);
    signal(Signal::STOP);
    let began = Instant::now();
    // Only those that are awake are asked.
    let awake =
        Caller { urls: others.iter().map(|id| alice.urls[*id - 1].clone()).collect(), ..alice.clone() };
    let created = awake.insist(1, Method::PUT, &workspace("dreamt"), Some(&json!({}))).await;
    assert!(matches!(created.status, 200 | 201), "{created:?}");
    eprintln!("with the leader {sleeper} stopped, written after {:?}", began.elapsed());
    let deleted = awake.insist(1, Method::DELETE, &gone, None).await;
    assert!(matches!(deleted.status, 202 | 404), "{deleted:?}");
    let dreamt = workspace("dreamt");
    let inside = Urn::workspace(Kind::BlockStorage, "acme", "dreamt", "v");
    let body = volume_body("x");
    let queued = async {
        tokio::join!(
            alice.put(sleeper, &inside, &body),
            alice.get(sleeper, &dreamt),
            alice.get(sleeper, &gone),
            alice.call(sleeper, Method::DELETE, &gone, None, None),
        )
    };
    let mut queued = std::pin::pin!(queued);
    // Sent, and without an answer while it sleeps.
    let early = tokio::time::timeout(Duration::from_millis(200), &mut queued).await;
    assert!(early.is_err(), "{early:?}");
    signal(Signal::CONT);
    let (put, there, read, delete) = queued.await;
    for (what, answer, expected) in
        [("PUT", put, 201), ("GET", there, 200), ("GET of what is gone", read, 404), ("DELETE", delete, 404)]
    {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, expected, "{what}: {answer:?}");
    }
}

/// A replica that was away while much happened has all of it when it says that it is ready, or soon after.
pub(crate) async fn a_replica_catches_up(bench: &mut Bench) {
    let leader = bench.leader().await;
    let away = leader % 3 + 1;
    bench.cluster.kill(away);
    let alice = bench.caller("alice");
    let began = Instant::now();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let alice = alice.clone();
            tokio::spawn(async move {
                for number in 0..60 {
                    let urn = volume(&format!("many-{task}-{}", number % 20));
                    let answer = alice.put(leader, &urn, &volume_body(&format!("{number:0>1000}"))).await;
                    let answer = answer.expect("an answer");
                    assert_eq!(answer.status, if number < 20 { 201 } else { 200 }, "{answer:?}");
                }
                let gone = volume(&format!("many-{task}-0"));
                let answer = alice.call(leader, Method::DELETE, &gone, None, None).await.expect("an answer");
                assert_eq!(answer.status, 202, "{answer:?}");
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends");
    }
    eprintln!("480 writes in {:?} with one replica away", began.elapsed());
    let began = Instant::now();
    bench.restart(away).await;
    for task in 0..8 {
        let gone = alice.get(away, &volume(&format!("many-{task}-0"))).await.expect("an answer");
        assert_eq!(gone.status, 404);
        for number in 1..20 {
            let answer = alice.get(away, &volume(&format!("many-{task}-{number}"))).await.expect("an answer");
            assert_eq!((answer.status, answer.version()), (200, 3), "{answer:?}");
            let mark = answer.body["annotations"]["mark"].as_str().expect("a mark");
            assert!(mark.ends_with(&(number + 40).to_string()), "{mark}");
        }
    }
    eprintln!("it was back and had all of it after {:?}", began.elapsed());
    let last = alice.put(away, &volume("caught-up"), &volume_body("x")).await.expect("an answer");
    assert_eq!(last.status, 201);
    history(bench, last.request_id.expect("an id")).await;
}

/// Without a majority nothing is answered but 503, in time and in words; with one again, everything is.
pub(crate) async fn a_majority_is_down(bench: &mut Bench) {
    // Once the leader is the one that is left, once it is not.
    for left_is_leader in [true, false] {
        let leader = bench.leader().await;
        let left = if left_is_leader { leader } else { leader % 3 + 1 };
        let others: Vec<usize> = (1..=3).filter(|id| *id != left).collect();
        let alice = bench.caller("alice");
        let urn = volume("minority");
        let before = alice.put(left, &urn, &volume_body("before")).await.expect("an answer").version();
        for id in &others {
            bench.cluster.kill(*id);
        }
        let began = Instant::now();
        let fresh = volume(&format!("minority-{left_is_leader}"));
        let body = volume_body("during");
        let all = Urn::workspace(Kind::BlockStorage, "acme", "w", "");
        let (put, get, list) =
            tokio::join!(alice.put(left, &fresh, &body), alice.get(left, &urn), alice.get(left, &all),);
        let took = began.elapsed();
        for (what, answer) in [("PUT", &put), ("GET", &get), ("list", &list)] {
            let answer = answer.as_ref().expect("an answer in time");
            assert_eq!(answer.status, 503, "{what}: {answer:?}");
            assert_eq!(answer.media, "application/problem+json", "{what}");
            assert!(
                answer.retry_after.as_ref().is_some_and(|after| after.parse::<u64>().is_ok()),
                "{what}: {answer:?}"
            );
            assert_eq!(answer.body["status"], 503);
        }
        assert!(took < PATIENCE, "{took:?}");
        // Who takes an answer that may be old gets one, with the place in the log it is of.
        let stale = alice.stale(left, &urn).await;
        let index = stale.headers().get("rempart-applied-index").and_then(|index| index.to_str().ok());
        assert!(index.is_some_and(|index| index.parse::<u64>().is_ok_and(|index| index > 0)), "{stale:?}");
        let stale = read(stale).await.expect("a body");
        assert_eq!((stale.status, stale.version()), (200, before), "{stale:?}");
        // An operator sees who is missing, and nobody else does.
        let client = |subject| bench.cluster.client(left, subject).expect("a client").patient(PATIENCE);
        let members = client("operator").replicas().await.expect("what the one that is left knows");
        assert!(members.warning.is_some_and(|warning| warning.contains("no controller leads")));
        let silent = members.items.iter().filter(|one| one.status.own.is_none()).map(|one| one.id);
        assert!(silent.eq(others.iter().map(|id| *id as u64)), "{others:?} are silent");
        assert_eq!(client("alice").replicas().await.expect_err("refused").status(), Some(403));
        let forbidden = read(bench.caller("mallory").stale(left, &urn).await).await.expect("a body");
        assert_eq!(forbidden.status, 403);
        let said = put.as_ref().expect("an answer").detail().to_owned();
        eprintln!("without a majority (leader left: {left_is_leader}): 503 after {took:?}: {said}");
        let (ready, why) = bench.readiness(left).await;
        assert!(!ready, "it says that it is ready");
        eprintln!("  readiness of the one left: {why:?}");
        let may_have = said.contains("may or may not");
        let began = Instant::now();
        bench.restart(others[0]).await;
        let after = alice.insist(left, Method::PUT, &urn, Some(&volume_body("after"))).await;
        eprintln!("  written again {:?} after one of them was started", began.elapsed());
        // A write is refused for sure, or may have happened; it is never made later.
        assert!((before + 1..=before + 2).contains(&after.version()), "{after:?}");
        let found = alice.insist(others[0], Method::GET, &fresh, None).await;
        assert!(found.status == 404 || (found.status == 200 && may_have), "{found:?} after {said:?}");
        bench.restart(others[1]).await;
    }
}

/// Power cut in the whole rack.
pub(crate) async fn all_die_at_once(bench: &mut Bench) {
    let alice = bench.caller("alice");
    let mut acknowledged: BTreeMap<String, Answer> = BTreeMap::new();
    for number in 0..12 {
        let name = format!("dark-{number}");
        for _ in 0..=number % 3 {
            let answer =
                alice.insist(number % 3 + 1, Method::PUT, &volume(&name), Some(&volume_body(&name))).await;
            acknowledged.insert(name.clone(), answer);
        }
    }
    for number in 0..4 {
        let urn = volume(&format!("dark-{number}"));
        let answer = alice.insist(number % 3 + 1, Method::DELETE, &urn, None).await;
        assert_eq!(answer.status, 202);
        acknowledged.remove(&urn.name);
    }
    for controller in &bench.cluster.controllers {
        controller.daemon.signal(Signal::KILL);
    }
    for id in 1..=3 {
        bench.cluster.kill(id);
    }
    let began = Instant::now();
    for id in 1..=3 {
        bench.cluster.start_controller(id).expect("it starts");
    }
    let again = alice.insist(1, Method::GET, &workspace("w"), None).await;
    assert_eq!(again.status, 200, "{again:?}");
    eprintln!("all killed and started again: served after {:?}", began.elapsed());
    for id in 1..=3 {
        bench.cluster.ready(id).await.expect("an address");
        for number in 0..4 {
            let gone = alice.insist(id, Method::GET, &volume(&format!("dark-{number}")), None).await;
            assert_eq!(gone.status, 404, "{gone:?}");
        }
        for (name, before) in &acknowledged {
            let found = alice.get(id, &volume(name)).await.expect("an answer");
            assert_eq!((found.version(), found.created_at()), (before.version(), before.created_at()));
            assert_eq!(found.body["annotations"], before.body["annotations"]);
        }
    }
    for (name, before) in &acknowledged {
        let next = alice.put(2, &volume(name), &volume_body("next")).await.expect("an answer");
        assert_eq!((next.status, next.version()), (200, before.version() + 1), "{next:?}");
    }
    let reborn = alice.put(3, &volume("dark-0"), &volume_body("again")).await.expect("an answer");
    assert_eq!((reborn.status, reborn.version()), (201, 1), "a new one under an old name");
    history(bench, reborn.request_id.expect("an id")).await;
}
