//! `rempart run`: from an image to a virtual machine that executes.
//!
//! It is the same as applying volumes and an instance and starting it, and it may be repeated: what is there already as
//! it should be is taken as it is, so that the same command goes on where an interrupted one stopped. What is there and
//! different is never touched.

mod request;

use std::path::PathBuf;

use rempart_api::compute::PowerState;
use rempart_api::{Kind, Urn};
use serde_json::Value;

use crate::args::Patience;
use crate::argument;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, Format};
use crate::resources::ask_to_go;
use crate::session::{Session, full_name};
use crate::wait::{self, Goal};
pub(crate) use request::Files;
pub(crate) use request::first_storage_sku;
use request::{DataVolume, Request};

/// `run`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: rempart run web-1 --image debian --sku d2xs --ssh-key ~/.ssh/id_ed25519.pub --data-volume web-1-data:20

The boot volume is called NAME-boot. Interrupted, the same command goes on where it stopped.")]
pub(crate) struct Run {
    /// Name of the instance
    #[arg(value_parser = argument::target)]
    name: String,
    /// Image to boot: one of the tenant's, or else a shared one
    #[arg(long, value_parser = argument::target)]
    image: String,
    /// Size of the instance: rempart list skus
    #[arg(long, value_parser = argument::target)]
    sku: String,
    /// Size of the boot volume, 1 to 1000000; that of the image when not given
    #[arg(long, value_name = "GB", value_parser = argument::gigabytes)]
    size_gb: Option<u32>,
    /// Class of the volumes: rempart list storage-skus; the first of them when not given
    #[arg(long, value_name = "SKU")]
    volume_sku: Option<String>,
    /// Zone; the region's first when not given
    #[arg(long, value_parser = argument::zone)]
    zone: Option<String>,
    /// Public key that may log in; several may be given
    #[arg(long = "ssh-key", value_name = "FILE")]
    ssh_keys: Vec<PathBuf>,
    /// cloud-init user data; - is standard input
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// Another volume: a new one of so many GB (1 to 1000000), or one that is there if no size is given
    #[arg(long = "data-volume", value_name = "NAME[:GB]", value_parser = DataVolume::parse)]
    data_volumes: Vec<DataVolume>,
    /// Instances of one group are placed on different machines
    #[arg(long, value_name = "GROUP")]
    anti_affinity_group: Option<String>,
    /// Create the workspace if it is not there
    #[arg(long)]
    create_workspace: bool,
    /// Do not start it
    #[arg(long)]
    no_start: bool,
    /// If it does not come up, delete what this command made
    #[arg(long, conflicts_with = "no_wait")]
    rm_on_failure: bool,
    #[command(flatten)]
    patience: Patience,
}

pub(crate) async fn run(session: &Session<'_>, format: Format, run: &Run, files: Files) -> Result<()> {
    let request = Request::prepare(session, run, files).await?;
    session.screen.if_interrupted(format!(
        "Interrupted. What was asked for stays, and goes on. To go on with the rest, give the same command again; to \
         see how it stands: rempart explain vm {0}; to undo it: rempart remove {0}",
        run.name
    ));
    let mut made = Vec::new();
    match carry_out(session, &request, run, &mut made).await {
        Ok(()) => {}
        Err(failure) if run.rm_on_failure && !made.is_empty() => {
            return Err(undo(session, &made, failure).await);
        }
        Err(failure) => return Err(say_what_stays(&made, &run.name, failure)),
    }
    let view = session.get(&request.instance.0).await?;
    if !run.no_start && !run.patience.no_wait {
        session.screen.note(&format!("It is on. Its console: rempart console {}", run.name));
    }
    output::one(session.screen, format, Kind::Instance, &view)
}

async fn carry_out(session: &Session<'_>, request: &Request, run: &Run, made: &mut Vec<Urn>) -> Result<()> {
    for (urn, body) in request.workspace.iter().chain(&request.volumes).chain([&request.instance]) {
        // A workspace is as good as any other of its name.
        if ensure(session, urn, body).await? {
            made.push(urn.clone());
        }
    }
    let instance = &request.instance.0;
    if run.patience.no_wait {
        if !run.no_start {
            // A start is taken while its disks are still being made, and is carried out after that.
            power(session, instance).await?;
        }
        return Ok(());
    }
    wait::until(session, instance, Goal::Active, run.patience).await?;
    if !run.no_start {
        power(session, instance).await?;
        wait::until(session, instance, Goal::Power(PowerState::On), run.patience).await?;
    }
    Ok(())
}

async fn power(session: &Session<'_>, instance: &Urn) -> Result<()> {
    let view = session.get(instance).await?;
    if view.status.is_some_and(|status| status["powerState"] == "on") {
        return Ok(());
    }
    match session.client.act(instance, "start").await {
        Ok(()) => Ok(()),
        Err(error) => Err(session.failure("start", instance, &error)),
    }
}

/// Makes a resource, unless it is there as it should be; `true` if it was made.
async fn ensure(session: &Session<'_>, urn: &Urn, body: &Value) -> Result<bool> {
    if let Some(view) = session.find(urn).await? {
        if view.metadata.deleted_at.is_some() {
            return Err(Failure::new(Exit::Refused, format!("{} is being deleted", full_name(urn)))
                .next("Wait until it is gone, or choose another name"));
        }
        if let Some(field) = differs(&body["spec"], &view.spec) {
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "there is {} already, and it differs in {field} from what is asked for",
                    full_name(urn)
                ),
            )
            .next(match urn.kind {
                Kind::Instance => {
                    format!("Choose another name, or start the one there is: rempart start {}", urn.name)
                }
                _ => "Choose another name, or remove it first".to_owned(),
            }));
        }
        if urn.kind != Kind::Workspace {
            session.screen.note(&format!("{} is there already, and taken as it is.", full_name(urn)));
        }
        return Ok(false);
    }
    let (created, _) = session.put(urn, body, None).await?;
    session.screen.note(&format!("{} is asked for.", full_name(urn)));
    Ok(created)
}

/// The first field of `wanted` that `there` does not have the same.
fn differs(wanted: &Value, there: &Value) -> Option<String> {
    let wanted = wanted.as_object()?;
    wanted.iter().find(|(key, value)| !same(value, &there[key.as_str()])).map(|(key, _)| key.clone())
}

/// Whether `there` is what `wanted` asks for: it may say more, and write a reference as an object.
fn same(wanted: &Value, there: &Value) -> bool {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => {
            wanted.iter().all(|(key, value)| there.get(key).is_some_and(|there| same(value, there)))
        }
        (Value::Array(wanted), Value::Array(there)) => {
            wanted.len() == there.len() && wanted.iter().zip(there).all(|(wanted, there)| same(wanted, there))
        }
        (Value::String(wanted), Value::Object(there)) => {
            there.get("resource").and_then(Value::as_str) == Some(wanted)
        }
        _ => wanted == there,
    }
}

fn say_what_stays(made: &[Urn], name: &str, failure: Failure) -> Failure {
    if made.is_empty() {
        return failure;
    }
    let made: Vec<String> = made.iter().map(full_name).collect();
    failure.next(format!(
        "Made so far, and left as it is: {}. To go on, give the same command again; to undo it: rempart remove {name}",
        made.join(", ")
    ))
}

async fn undo(session: &Session<'_>, made: &[Urn], failure: Failure) -> Failure {
    session.screen.if_interrupted("Interrupted while what had been made was being removed");
    let mut left = Vec::new();
    for urn in made.iter().rev() {
        let gone = async {
            ask_to_go(session, urn).await?;
            wait::until(session, urn, Goal::Gone, Patience { no_wait: false, timeout: Some(120) }).await
        };
        if let Err(why) = gone.await {
            left.push(format!("{} ({})", full_name(urn), why.text));
        }
    }
    if left.is_empty() {
        return failure.next("What this command had made is removed");
    }
    failure.next(format!("Of what this command had made, this could not be removed: {}", left.join("; ")))
}

#[cfg(test)]
mod tests;
