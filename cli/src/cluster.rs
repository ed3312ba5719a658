//! `rempart cluster`: the controllers themselves, for operators.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use rempart_api::cluster::{Replica, ReplicaList, ReplicaRole};
use tokio::time::{Instant, sleep};

use crate::args::{Consent, Patience};
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, Format};
use crate::screen::Tone;
use crate::session::Session;
use crate::table::{Cell, render};
use crate::terminal::agree;

mod backup;

/// Between two looks at a change that is under way.
const LOOK: Duration = Duration::from_millis(300);

/// What to do with the controllers.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show every controller: its part, how far its log is, what it keeps on its disk
    #[command(after_help = "Example: rempart cluster status -o json")]
    Status,
    /// Let a controller vote that runs and has joined with a token of its own
    #[command(after_help = "Example: rempart cluster add 4 10.0.0.4:7080")]
    Add {
        /// Its id, never used before
        id: u64,
        /// Where it listens for its peers: HOST:PORT
        address: String,
        #[command(flatten)]
        patience: Patience,
    },
    /// Take a controller out for good; its id is not used again
    #[command(after_help = "Example: rempart cluster remove 2 --yes")]
    Remove {
        /// Which
        id: u64,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        patience: Patience,
    },
    /// Let a new controller vote, and then take another one out
    #[command(after_help = "Example: rempart cluster replace 2 4 10.0.0.4:7080 --yes")]
    Replace {
        /// The one that goes
        old: u64,
        /// Id of the one that comes, never used before
        new: u64,
        /// Where the new one listens for its peers: HOST:PORT
        address: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        patience: Patience,
    },
    /// Take a backup of the control plane while it runs, encrypted to public keys of age
    #[command(after_help = "Example: rempart cluster backup --recipient age1... --to rempart-backup.age")]
    Backup {
        /// Public key (age1...) of somebody who can read it; as often as needed
        #[arg(long = "recipient", required = true)]
        recipients: Vec<String>,
        /// File to write, which must not be there yet
        #[arg(long)]
        to: PathBuf,
    },
    /// Let a cluster that was restored from a backup take changes again before all hosts have been heard
    #[command(after_help = "Example: rempart cluster resume --without h7 --yes")]
    Resume {
        /// A host that will not come back; as often as needed
        #[arg(long)]
        without: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Hand leadership to a controller
    #[command(after_help = "Example: rempart cluster lead 3")]
    Lead {
        /// Which
        id: u64,
    },
}

pub(crate) async fn run(session: &Session<'_>, format: Format, command: &Command) -> Result<()> {
    match command {
        Command::Status => {}
        Command::Add { id, address, patience } => add(session, *id, address, *patience).await?,
        Command::Remove { id, consent, patience } => {
            let question = format!("controller {id}: take it out for good?");
            agree(session.screen, consent.yes, &question).await?;
            remove(session, *id, *patience).await?;
        }
        Command::Replace { old, new, address, consent, patience } => {
            let question = format!("controller {old}: take it out for good, once controller {new} votes?");
            agree(session.screen, consent.yes, &question).await?;
            // Not without waiting: it would leave one fewer than there were.
            let patience = Patience { no_wait: false, ..*patience };
            add(session, *new, address, patience).await?;
            remove(session, *old, patience).await?;
        }
        Command::Backup { recipients, to } => return backup::take(session, format, recipients, to).await,
        Command::Resume { without, consent } => {
            let question = match without.is_empty() {
                true => "take changes again?".to_owned(),
                false => format!("take changes again, whatever is on {}?", without.join(", ")),
            };
            agree(session.screen, consent.yes, &question).await?;
            let asked = session.client.resume_cluster(without).await;
            asked.map_err(|error| session.failed("resume the cluster", &error))?;
            session.screen.note("the cluster takes changes.");
        }
        Command::Lead { id } => {
            session
                .client
                .lead_replica(*id)
                .await
                .map_err(|error| session.failed(&format!("hand over to controller {id}"), &error))?;
            session.screen.note(&format!("controller {id} leads."));
        }
    }
    let list =
        session.client.replicas().await.map_err(|error| session.failed("list the controllers", &error))?;
    if format != Format::Table {
        return output::value(session.screen, format, &list);
    }
    if matches!(command, Command::Status) {
        session.screen.print(render(session.screen, &HEADINGS, &rows(&list.items)).trim_end())?;
        if let Some(restored) = &list.restored {
            for line in backup::words(restored) {
                session.screen.print(&line)?;
            }
        }
        return session.screen.print(&summary(&list));
    }
    Ok(())
}

async fn add(session: &Session<'_>, id: u64, address: &str, patience: Patience) -> Result<()> {
    let asked = session.client.join_replica(id, address).await;
    asked.map_err(|error| session.failed(&format!("add controller {id}"), &error))?;
    if patience.no_wait {
        session.screen.note(&format!("controller {id} is joining."));
        return Ok(());
    }
    let votes = |replica: Option<&Replica>| {
        replica.is_some_and(|one| matches!(one.status.role, ReplicaRole::Voter | ReplicaRole::Leader))
    };
    until(session, id, patience, "voting", votes).await?;
    session.screen.note(&format!("controller {id} votes."));
    Ok(())
}

async fn remove(session: &Session<'_>, id: u64, patience: Patience) -> Result<()> {
    let asked = session.client.remove_replica(id).await;
    asked.map_err(|error| session.failed(&format!("remove controller {id}"), &error))?;
    if patience.no_wait {
        session.screen.note(&format!("controller {id} is leaving."));
        return Ok(());
    }
    until(session, id, patience, "gone", |replica| replica.is_none()).await?;
    session.screen.note(&format!("controller {id} is gone; stop it, and wipe its directories."));
    Ok(())
}

/// Looks until a controller is as it should be, telling what it waits for.
async fn until(
    session: &Session<'_>,
    id: u64,
    patience: Patience,
    goal: &str,
    reached: impl Fn(Option<&Replica>) -> bool,
) -> Result<()> {
    let deadline = patience.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let work = session.screen.work(&format!("controller {id}"));
    loop {
        let list = session
            .client
            .replicas()
            .await
            .map_err(|error| session.failed(&format!("look at controller {id}"), &error))?;
        let replica = list.items.iter().find(|replica| replica.id == id);
        if reached(replica) {
            return Ok(());
        }
        let why = replica.and_then(|one| one.status.waiting_for.clone()).unwrap_or_default();
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let text = format!("controller {id} is not {goal} yet; it waits for {why}");
            let next = "It goes on by itself; rempart cluster status tells how far it is";
            return Err(Failure::new(Exit::Unreachable, text).next(next));
        }
        work.say(&why);
        sleep(LOOK).await;
    }
}

/// What holds for all of them.
fn summary(list: &ReplicaList) -> String {
    let ids = |ids: Vec<u64>| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let now = list.cluster_version;
    let mut text = list.warning.as_ref().map(|warning| format!("WARNING: {warning}\n")).unwrap_or_default();
    text += &format!("cluster version {now}");
    let newest = |one: &Replica| one.status.own.as_ref().map_or(0, |own| own.newest_cluster_version);
    if list.items.iter().any(|one| newest(one) > now) {
        let behind = list.items.iter().filter(|one| newest(one) <= now).map(|one| one.id).collect();
        text += &format!("; {} waits for controllers {}", now + 1, ids(behind));
    }
    let compared = || {
        list.items.iter().filter_map(|one| Some((one.id, one.status.own.as_ref()?.state_digest.as_ref()?)))
    };
    if let Some(last) = compared().map(|(_, compared)| compared.index).max() {
        let at_last: Vec<_> = compared().filter(|(_, compared)| compared.index == last).collect();
        let same = at_last.iter().all(|(_, compared)| compared.digest == at_last[0].1.digest);
        let who = ids(at_last.iter().map(|(id, _)| *id).collect());
        text += &match same {
            true => format!("\ncontrollers {who} had the same state at entry {last}"),
            false => format!("\ncontrollers {who} HAD DIFFERENT STATES at entry {last}: read their logs"),
        };
    }
    text
}

const HEADINGS: [&str; 9] =
    ["ID", "ROLE", "ADDRESS", "LOG", "APPLIED", "SNAPSHOT", "LOG MIB", "SNAPSHOT MIB", "WAITS FOR"];

fn rows(replicas: &[Replica]) -> Vec<Vec<Cell>> {
    let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    let mib = |bytes: u64| format!("{}", bytes.div_ceil(1 << 20));
    replicas
        .iter()
        .map(|replica| {
            let status = &replica.status;
            let (role, tone) = match status.role {
                ReplicaRole::Leader => ("leader", Tone::Good),
                ReplicaRole::Voter if status.own.is_none() => ("voter, silent", Tone::Bad),
                ReplicaRole::Voter => ("voter", Tone::Good),
                ReplicaRole::Joining => ("joining", Tone::Busy),
                ReplicaRole::Leaving => ("leaving", Tone::Busy),
            };
            let own = status.own.as_ref();
            let missing = own.map(|own| own.missing_history).filter(|missing| *missing > 0);
            let waits = match (&status.waiting_for, missing) {
                (Some(why), _) => why.clone(),
                (None, Some(missing)) => format!("the history of {missing} entries, from the others"),
                (None, None) => String::new(),
            };
            vec![
                replica.id.to_string().into(),
                Cell { text: role.to_owned(), tone },
                replica.spec.address.clone().into(),
                number(status.matched_index).into(),
                number(own.and_then(|own| own.applied_index)).into(),
                number(own.and_then(|own| own.snapshot_index)).into(),
                own.map(|own| mib(own.log_bytes)).unwrap_or_default().into(),
                own.map(|own| mib(own.snapshot_bytes)).unwrap_or_default().into(),
                waits.into(),
            ]
        })
        .collect()
}
