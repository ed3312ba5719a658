//! `start`, `stop` and `restart` of instances, and `remove`: an instance together with its volumes.

use rempart_api::compute::PowerState;
use rempart_api::{Kind, ResourceView, Urn};

use crate::args::{Consent, Patience};
use crate::argument;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, Format};
use crate::resources::{already, ask_to_go};
use crate::session::{Session, full_name};
use crate::terminal::agree;
use crate::wait::{self, Goal};

/// `start`, `stop`, `restart`
#[derive(Debug, clap::Args)]
pub(crate) struct Power {
    /// Which instances
    #[arg(value_name = "NAME", required = true, value_parser = argument::target)]
    names: Vec<String>,
    #[command(flatten)]
    patience: Patience,
}

/// `remove`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: rempart remove web-1 --keep-data --yes

It asks first, and names all that goes. Where there is no terminal to ask on, it does nothing without --yes.")]
pub(crate) struct Remove {
    /// Which instance
    #[arg(value_parser = argument::target)]
    name: String,
    #[command(flatten)]
    consent: Consent,
    /// Keep the data volumes
    #[arg(long)]
    keep_data: bool,
    #[command(flatten)]
    patience: Patience,
}

pub(crate) async fn run(session: &Session<'_>, format: Format, action: &str, power: &Power) -> Result<()> {
    let urns =
        power.names.iter().map(|name| session.urn(Kind::Instance, name)).collect::<Result<Vec<_>>>()?;
    for (done, urn) in urns.iter().enumerate() {
        let asked = session.client.act(urn, action).await;
        asked.map_err(|error| already(session.failure(action, urn, &error), action, &urns[..done]))?;
    }
    if power.patience.no_wait {
        for urn in &urns {
            session.screen.note(&format!("{}: {action} is asked for.", full_name(urn)));
        }
        return show(session, format, &urns).await;
    }
    let wanted = if action == "stop" { PowerState::Off } else { PowerState::On };
    session.screen.if_interrupted(format!("Interrupted; the {action} goes on without you."));
    for urn in &urns {
        wait::until(session, urn, Goal::Power(wanted), power.patience).await?;
        let word = if wanted == PowerState::On { "on" } else { "off" };
        session.screen.note(&format!("{} is {word}.", full_name(urn)));
    }
    show(session, format, &urns).await
}

/// The instances as they are now, for programs; as `get` writes them.
async fn show(session: &Session<'_>, format: Format, urns: &[Urn]) -> Result<()> {
    if format == Format::Table {
        return Ok(());
    }
    let mut views = Vec::new();
    for urn in urns {
        views.push(session.get(urn).await?);
    }
    match &views[..] {
        [view] => output::one(session.screen, format, Kind::Instance, view),
        views => output::list(session.screen, format, Kind::Instance, views),
    }
}

pub(crate) async fn remove(session: &Session<'_>, format: Format, remove: &Remove) -> Result<()> {
    let instance = session.urn(Kind::Instance, &remove.name)?;
    let mut doomed = Vec::new();
    if let Some(view) = session.find(&instance).await? {
        doomed.push(instance.clone());
        doomed.extend(volumes(session, &instance, &view, remove.keep_data)?);
    } else {
        // What a run that failed has left behind.
        let boot = instance.sibling(Kind::BlockStorage, &format!("{}-boot", instance.name));
        if session.find(&boot).await?.is_none() {
            return Err(Failure::new(Exit::NotFound, format!("there is no {}", full_name(&instance)))
                .next("What there is: rempart list instances"));
        }
        session.screen.note(&format!("There is no {}, but a boot volume of its name.", full_name(&instance)));
        doomed.push(boot);
    }
    let names: Vec<String> = doomed.iter().map(full_name).collect();
    let question = format!("Delete {} with all data?", names.join(", "));
    agree(session.screen, remove.consent.yes, &question).await?;
    session
        .screen
        .if_interrupted("Interrupted. What was asked to go goes on going; the same command does the rest");
    // The volumes go as soon as the instance has gone, so nothing needs to be waited for in between.
    for urn in &doomed {
        match ask_to_go(session, urn).await {
            Err(failure) if failure.exit == Exit::NotFound => {}
            other => other?,
        }
    }
    for urn in &doomed {
        if remove.patience.no_wait {
            session.screen.note(&format!("{} is being deleted.", full_name(urn)));
            continue;
        }
        wait::until(session, urn, Goal::Gone, remove.patience).await?;
        session.screen.note(&format!("{} is gone.", full_name(urn)));
    }
    output::deleted(session.screen, format, &doomed, !remove.patience.no_wait)
}

/// The volumes an instance uses, the one it boots from first.
fn volumes(session: &Session<'_>, instance: &Urn, view: &ResourceView, keep_data: bool) -> Result<Vec<Urn>> {
    let data = view.spec["dataVolumes"].as_array().filter(|_| !keep_data);
    let used = [&view.spec["bootVolume"]].into_iter().chain(data.into_iter().flatten());
    used.filter_map(|volume| {
        let reference = &volume["deviceRef"];
        reference["resource"].as_str().or_else(|| reference.as_str())
    })
    .map(|name| {
        let reference = rempart_api::Reference { resource: name.to_owned(), ..Default::default() };
        let urn = reference.resolve(Kind::BlockStorage, instance, "");
        let urn = urn.map_err(|error| Failure::failed(format!("{}: {error}", full_name(instance))))?;
        // Checked as if it had been typed.
        session.urn(Kind::BlockStorage, &urn.to_string())
    })
    .collect()
}
