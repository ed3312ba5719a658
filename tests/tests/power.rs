//! A guest's power, whoever dies meanwhile: an agent killed on its way from the wish to a running guest.
//!
//! The guest shuts itself down as soon as it has booted. So it must not only have one QEMU: one that was on and is off
//! again by its own will must not be taken for one that was never on.

use std::time::{Duration, Instant};

use rempart_tests::{Lab, PATIENCE, instance, until, until_some};
use serde_json::json;

/// What is the case when the agent is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// The generation is in the ledger, and there is no guest yet.
    TakenUp,
    /// libvirt has made the QEMU, in which nothing executes yet.
    Created,
    /// libvirt has let it execute; the agent has hardly heard of it.
    Released,
    /// All is in the ledger.
    Settled,
}

/// Tries until a kill was quick enough.
const TRIES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_booted_once_whenever_its_agent_dies() {
    let mut lab = Lab::open(1).await;
    let before = lab.domains();
    let urn = lab.create("brief", json!({ "userData": "#tiny: poweroff-after 0\n" })).await;
    lab.active(&urn).await;
    let uid = lab.new_domain(&before).await;
    let start = Instant::now();
    for moment in [Moment::TakenUp, Moment::Created, Moment::Released, Moment::Settled] {
        let mut hit = false;
        for attempt in 1..=TRIES {
            let found = one_life(&mut lab, &uid, moment).await;
            eprintln!("{:>6.1} s  {moment:?}, try {attempt}: found {found}", start.elapsed().as_secs_f64());
            // Whatever it was, it went well; but it is to be what it is about.
            hit = moment == Moment::Settled || found != "settled";
            if hit {
                break;
            }
        }
        assert!(hit, "{moment:?} was over at every one of {TRIES} kills");
    }
    lab.delete("brief").await;
}

/// One start of the guest, whose agent is killed at `moment`, up to its own end. How far the ledger was.
async fn one_life(lab: &mut Lab, uid: &str, moment: Moment) -> String {
    let urn = instance("brief");
    let boots = lab.boots(uid);
    let settled = lab.power_step(uid).map_or(0, |(generation, _)| generation);
    lab.alice.act(&urn, "start").await.expect("accepted");
    tokio::task::block_in_place(|| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let step = lab.power_step(uid).filter(|(generation, _)| *generation > settled);
            let noted = lab.hypervisor.noted_state(uid);
            let is_settled = step.as_ref().is_some_and(|(_, step)| step == "settled");
            let is_here = match moment {
                Moment::TakenUp => step.is_some(),
                Moment::Created => noted.as_deref() == Some("paused") || is_settled,
                Moment::Released => noted.as_deref() == Some("running") || is_settled,
                Moment::Settled => is_settled,
            };
            if is_here {
                return;
            }
            assert!(Instant::now() < deadline, "{moment:?} did not come: {step:?}, {noted:?}");
            // Not a wait: what is looked for is over within milliseconds.
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    lab.kill_agent();
    // What libvirtd has been asked for it may still do.
    until_some("libvirtd to be done with it", PATIENCE, || async {
        match lab.hypervisor.virsh(&["domstate", uid]) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    let (_, found) = lab.power_step(uid).expect("it was taken up");
    if lab.hypervisor.noted_state(uid).as_deref() == Some("running") {
        // It lives and ends while no agent is there.
        until("the guest to have ended", PATIENCE, || !lab.qemu_runs(uid)).await;
    }
    lab.start_agent();
    let over = |step: &str| step == "settled" && !lab.qemu_runs(uid);
    until_some("the ledger to be settled and the guest to be off", PATIENCE, || async {
        match lab.power_step(uid) {
            Some((generation, step)) if generation > settled && over(&step) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let status = lab
        .status(&urn, "to be off", |status| status["powerState"] == "off" && status["state"] == "active")
        .await;
    assert_eq!(status["conditions"][0]["reason"], "GuestShutdown", "found {found}: {status}");
    assert_eq!(lab.boots(uid), boots + 1, "killed at {moment:?}, found {found}");
    found
}
