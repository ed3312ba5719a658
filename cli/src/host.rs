//! `rempart host`: what operators do with a hypervisor host. `rempart hosts` lists them.

use clap::Subcommand;
use rempart_api::Kind;

use crate::args::{Consent, Patience};
use crate::argument;
use crate::failure::Result;
use crate::output::{self, Format};
use crate::resources::ask_to_go;
use crate::session::{Session, full_name};
use crate::terminal::agree;
use crate::wait::{self, Goal};

/// What to do with a host.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Place nothing new on it; what is there stays
    #[command(after_help = "Example: rempart host cordon host-1")]
    Cordon {
        /// Which host
        #[arg(value_parser = argument::target)]
        name: String,
    },
    /// Place on it again
    #[command(after_help = "Example: rempart host uncordon host-1")]
    Uncordon {
        /// Which host
        #[arg(value_parser = argument::target)]
        name: String,
    },
    /// Never serve it again: its certificate is void from now on
    #[command(after_help = "Example: rempart host revoke host-1 --yes")]
    Revoke {
        /// Which host
        #[arg(value_parser = argument::target)]
        name: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Take it out of the region; only when nothing is on it
    #[command(after_help = "Example: rempart host remove host-1 --yes")]
    Remove {
        /// Which host
        #[arg(value_parser = argument::target)]
        name: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        patience: Patience,
    },
}

pub(crate) async fn run(session: &Session<'_>, format: Format, command: &Command) -> Result<()> {
    let (name, action, told, question) = match command {
        Command::Cordon { name } => (name, "cordon", "takes nothing new from now on", None),
        Command::Uncordon { name } => (name, "uncordon", "takes instances again", None),
        Command::Revoke { name, consent } => (
            name,
            "revoke",
            "is revoked; to come back it has to join anew",
            Some(("Revoke it? Its guests keep running, but nobody directs them any more.", consent)),
        ),
        Command::Remove { name, consent, .. } => {
            (name, "delete", "is removed", Some(("Remove it from the region?", consent)))
        }
    };
    let urn = session.urn(Kind::Host, name)?;
    if let Some((question, consent)) = question {
        agree(session.screen, consent.yes, &format!("{}: {question}", full_name(&urn))).await?;
    }
    if let Command::Remove { patience, .. } = command {
        ask_to_go(session, &urn).await?;
        if patience.no_wait {
            session.screen.note(&format!("{} is being removed.", full_name(&urn)));
        } else {
            wait::until(session, &urn, Goal::Gone, *patience).await?;
            session.screen.note(&format!("{} {told}.", full_name(&urn)));
        }
        return output::deleted(session.screen, format, &[urn], !patience.no_wait);
    }
    let done = session.client.act(&urn, action).await;
    done.map_err(|error| session.failure(action, &urn, &error))?;
    session.screen.note(&format!("{} {told}.", full_name(&urn)));
    match format {
        Format::Table => Ok(()),
        Format::Json | Format::Yaml => output::value(session.screen, format, &session.get(&urn).await?),
    }
}
