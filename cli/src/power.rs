//! `start`, `stop` and `restart` of instances, and `remove`: an instance together with its volumes.

use rempart_api::compute::PowerState;
use rempart_api::{Kind, ResourceView, Urn};

use crate::args::Patience;
use crate::failure::{Exit, Failure, Result};
use crate::resources::ask_to_go;
use crate::session::{Session, full_name};
use crate::terminal::confirm;
use crate::wait::{self, Goal};

/// `start`, `stop`, `restart`
#[derive(Debug, clap::Args)]
pub(crate) struct Power {
    /// Which instances
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    patience: Patience,
}

/// `remove`
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Which instance
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Keep the data volumes
    #[arg(long)]
    keep_data: bool,
    #[command(flatten)]
    patience: Patience,
}

pub(crate) async fn run(session: &Session<'_>, action: &str, power: &Power) -> Result<()> {
    let urns =
        power.names.iter().map(|name| session.urn(Kind::Instance, name)).collect::<Result<Vec<_>>>()?;
    for urn in &urns {
        let done = session.client.act(urn, action).await;
        done.map_err(|error| session.failure(action, urn, &error))?;
    }
    if power.patience.no_wait {
        return Ok(());
    }
    let wanted = if action == "stop" { PowerState::Off } else { PowerState::On };
    session.screen.if_interrupted(format!("Interrupted; the {action} goes on without you."));
    for urn in &urns {
        wait::until(session, urn, Goal::Power(wanted), power.patience).await?;
        let word = if wanted == PowerState::On { "on" } else { "off" };
        session.screen.note(&format!("{} is {word}.", full_name(urn)));
    }
    Ok(())
}

pub(crate) async fn remove(session: &Session<'_>, remove: &Remove) -> Result<()> {
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
    if !remove.yes {
        let names: Vec<String> = doomed.iter().map(full_name).collect();
        let question = format!("Delete {} with all data?", names.join(", "));
        match confirm(session.screen, &question).await? {
            Some(true) => {}
            Some(false) => return Err(Failure::failed("nothing was deleted")),
            None => {
                return Err(Failure::usage(format!("not asked, not deleted: {}", names.join(", ")))
                    .next("There is no terminal to ask on; say --yes"));
            }
        }
    }
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
    if remove.patience.no_wait {
        return Ok(());
    }
    for urn in &doomed {
        wait::until(session, urn, Goal::Gone, remove.patience).await?;
        session.screen.note(&format!("{} is gone.", full_name(urn)));
    }
    Ok(())
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
