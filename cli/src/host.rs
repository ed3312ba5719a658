//! `rempart host`: what operators do with a hypervisor host. `rempart hosts` lists them.

use clap::Subcommand;
use rempart_api::Kind;

use crate::args::Patience;
use crate::failure::{Failure, Result};
use crate::resources::ask_to_go;
use crate::session::{Session, full_name};
use crate::terminal::confirm;
use crate::wait::{self, Goal};

/// What to do with a host.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Place nothing new on it; what is there stays
    Cordon {
        /// Which host
        name: String,
    },
    /// Place on it again
    Uncordon {
        /// Which host
        name: String,
    },
    /// Never serve it again: its certificate is void from now on
    Revoke {
        /// Which host
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Take it out of the region; only when nothing is on it
    Remove {
        /// Which host
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        patience: Patience,
    },
}

pub(crate) async fn run(session: &Session<'_>, command: &Command) -> Result<()> {
    let (name, action, told, question) = match command {
        Command::Cordon { name } => (name, "cordon", "takes nothing new from now on", None),
        Command::Uncordon { name } => (name, "uncordon", "takes instances again", None),
        Command::Revoke { name, yes } => (
            name,
            "revoke",
            "is revoked; to come back it has to join anew",
            (!yes).then_some("Revoke it? Its guests keep running, but nobody directs them any more."),
        ),
        Command::Remove { name, yes, .. } => {
            (name, "delete", "is removed", (!yes).then_some("Remove it from the region?"))
        }
    };
    let urn = session.urn(Kind::Host, name)?;
    if let Some(question) = question {
        match confirm(session.screen, &format!("{}: {question}", full_name(&urn))).await? {
            Some(true) => {}
            Some(false) => return Err(Failure::failed("nothing was changed")),
            None => {
                return Err(Failure::usage(format!("{}: not asked, not done", full_name(&urn)))
                    .next("There is no terminal to ask on; say --yes"));
            }
        }
    }
    match command {
        Command::Remove { patience, .. } => {
            ask_to_go(session, &urn).await?;
            if patience.no_wait {
                return Ok(());
            }
            wait::until(session, &urn, Goal::Gone, *patience).await?;
        }
        _ => {
            let done = session.client.act(&urn, action).await;
            done.map_err(|error| session.failure(action, &urn, &error))?;
        }
    }
    session.screen.note(&format!("{} {told}.", full_name(&urn)));
    Ok(())
}
