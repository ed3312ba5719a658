//! What is done to the cluster while clients are at work, and how it is healed.

use std::sync::Arc;
use std::time::Duration;

use rempart_api::client::Client;
use rempart_tests::database::postmaster;
use rempart_tests::history::{Action, Moment};
use rempart_tests::{Cluster, Dice, family, until_some};
use rustix::process::{Pid, Signal, kill_process};

use crate::clients::Load;

/// One of them is done in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// SIGKILL of the leader; its Postgres ends by itself.
    Leader,
    /// The same of one that does not lead.
    Follower,
    /// SIGKILL of the leader's postmaster: the controller goes on, and starts it again.
    Postgres,
    /// SIGKILL of the leader and of all its Postgres's processes, in either order.
    LeaderAndPostgres,
    /// SIGKILL of two controllers: the majority is gone.
    Two,
    /// SIGKILL of all that runs.
    All,
    /// SIGSTOP of the leader until another one leads, then SIGCONT.
    Sleep,
    /// SIGTERM of the leader.
    Leave,
}

/// All of them.
pub(crate) const FAULTS: [Fault; 8] = [
    Fault::Leader,
    Fault::Follower,
    Fault::Postgres,
    Fault::LeaderAndPostgres,
    Fault::Two,
    Fault::All,
    Fault::Sleep,
    Fault::Leave,
];

/// Reads at a leader that sleeps, for when it wakes up.
const READS_AT_A_SLEEPER: usize = 8;

/// What was done, and when.
#[derive(Debug, Clone)]
pub(crate) struct Injected {
    pub(crate) fault: Fault,
    pub(crate) victims: Vec<usize>,
    pub(crate) at: Moment,
    /// All run again and say that they are ready.
    pub(crate) healed: Moment,
    /// End of the first accepted write that was invoked after `at`.
    pub(crate) written: Moment,
}

/// Does it, waits until its effects were felt, and heals the cluster. Where there is `time`, a lost majority stays lost until
/// somebody is turned away.
pub(crate) async fn inject(
    fault: Fault,
    time: bool,
    cluster: &mut Cluster,
    operators: &[Client],
    load: &Arc<Load>,
    dice: &mut Dice,
) -> Injected {
    let leader = cluster.leader(operators).await;
    let others: Vec<usize> = (1..=3).filter(|id| *id != leader).collect();
    // At any moment of whatever is under way.
    load.written(load.now(), 1 + dice.roll(30)).await;
    let at = load.now();
    let victims = match fault {
        Fault::Follower => vec![dice.pick(&others)],
        // The survivor is the leader, or is not.
        Fault::Two => {
            let survivor = 1 + dice.roll(3);
            (1..=3).filter(|id| *id != survivor).collect()
        }
        Fault::All => vec![1, 2, 3],
        _ => vec![leader],
    };
    match fault {
        Fault::Leader | Fault::Follower => cluster.kill(victims[0]),
        Fault::Postgres => postgres_dies(leader, cluster, load).await,
        Fault::LeaderAndPostgres | Fault::Two | Fault::All => {
            kill_families(&victims, cluster, dice);
            if let ([first, second], Fault::Two) = (victims.as_slice(), fault) {
                // They are answered once there is a majority again, or hear that nobody knows.
                load.waiting(6 - first - second, 3).await;
                if time {
                    load.turned_away(at).await;
                }
            }
        }
        Fault::Sleep => falls_asleep(leader, cluster, load, dice).await,
        Fault::Leave => {
            let daemon = cluster.take(leader);
            let status = tokio::task::spawn_blocking(|| daemon.terminate()).await.expect("it ends");
            assert!(status.is_some_and(|status| status.success()), "a clean stop ended with {status:?}");
        }
    }
    let killed: Vec<usize> =
        (1..=3).filter(|id| cluster.controllers.iter().all(|one| one.id != *id)).collect();
    // As long as a majority is left, they write without the dead; a moment of that, too.
    if killed.len() < 2 {
        load.written(at, 1 + dice.roll(30)).await;
    }
    for id in &killed {
        cluster.start_controller(*id).expect("it starts");
    }
    for id in 1..=3 {
        cluster.ready(id).await.expect("an address");
    }
    let healed = load.now();
    load.written(healed, 10).await;
    let written = load.written(at, 1).await;
    Injected { fault, victims, at, healed, written }
}

/// Controllers and all processes of their Postgres.
fn kill_families(victims: &[usize], cluster: &mut Cluster, dice: &mut Dice) {
    let running = cluster.controllers.iter().filter(|one| victims.contains(&one.id));
    let mut pids: Vec<u32> = running.flat_map(|one| family(one.daemon.pid())).collect();
    if dice.once_in(2) {
        pids.reverse();
    }
    for pid in pids {
        kill(pid);
    }
    for id in victims {
        cluster.kill(*id);
    }
}

/// A process of the cluster's; those of its Postgres may have ended by themselves.
fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let _ = kill_process(pid, Signal::KILL);
}

async fn postgres_dies(leader: usize, cluster: &Cluster, load: &Load) {
    let before = postmaster(&cluster.layout, leader).expect("it runs");
    kill_process(before, Signal::KILL).expect("it is there");
    until_some("Postgres to run again", Duration::from_secs(60), || async {
        let now = postmaster(&cluster.layout, leader);
        now.filter(|pid| *pid != before).ok_or_else(|| format!("{now:?}, after {before:?}"))
    })
    .await;
    load.written(load.now(), 5).await;
}

/// The leader sleeps, is replaced, and wakes up with calls that came meanwhile.
async fn falls_asleep(leader: usize, cluster: &Cluster, load: &Arc<Load>, dice: &mut Dice) {
    let sleeper = cluster.controllers.iter().find(|one| one.id == leader).expect("it runs");
    sleeper.daemon.signal(Signal::STOP);
    let asleep = load.now();
    load.written(asleep, 20 + dice.roll(20)).await;
    // Asked after that was acknowledged, so nothing older may be answered.
    let keys = load.keys();
    let reads: Vec<_> = (0..READS_AT_A_SLEEPER)
        .map(|number| {
            let (load, key) = (load.clone(), keys[number % keys.len()].clone());
            tokio::spawn(async move { load.call(0, leader, &key, Action::Get, None).await })
        })
        .collect();
    load.waiting(leader, READS_AT_A_SLEEPER).await;
    load.written(load.now(), 5).await;
    sleeper.daemon.signal(Signal::CONT);
    for read in reads {
        read.await.expect("it ends");
    }
}
