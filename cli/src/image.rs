//! `rempart image upload`: from a file to an image, by way of a volume.
//!
//! The format is stated, or taken from the file's name and said; it is never found out by looking at the bytes, for
//! bytes lie. Repeated after an interruption it goes on: an image that has the same bytes is there already, and a
//! volume that waits for them is taken.

mod file;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Subcommand, ValueEnum};
use rempart_api::{Kind, Urn};
use serde_json::json;

use crate::args::Patience;
use crate::argument;
use crate::failure::{Exit, Failure, Result};
use crate::launch::first_storage_sku;
use crate::output::{self, Format};
use crate::quantity::bytes;
use crate::resources::ask_to_go;
use crate::screen::Screen;
use crate::session::{Session, full_name};
use crate::wait::{self, Goal};
pub(crate) use file::DiskFile;
use file::FileFormat;

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an image of a disk in a file
    Upload(Upload),
}

/// `image upload`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples: rempart image upload debian.qcow2 --name debian
          rempart image upload disk.img --format raw --name tiny --boot bios --initializer none

Interrupted, the same command goes on. To share it with all tenants, as operator: -t public -w images.")]
pub(crate) struct Upload {
    /// The disk, raw or qcow2
    file: PathBuf,
    /// Name of the image
    #[arg(long, value_parser = argument::target)]
    name: String,
    /// Format of the file; taken from its name when that ends in .raw or .qcow2
    #[arg(long)]
    format: Option<FileFormat>,
    /// CPU architecture of what is in it
    #[arg(long, default_value = "amd64")]
    arch: Arch,
    /// How it boots
    #[arg(long, default_value = "uefi")]
    boot: Boot,
    /// What configures the guest at its first boot
    #[arg(long, default_value = "cloudinit-22")]
    initializer: Initializer,
    /// Class of the volume on the way: rempart list storage-skus; the first of them when not given
    #[arg(long, value_name = "SKU")]
    volume_sku: Option<String>,
    /// Keep the volume NAME-upload
    #[arg(long)]
    keep_volume: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Arch {
    Amd64,
    Arm64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Boot {
    Uefi,
    Bios,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Initializer {
    #[value(name = "cloudinit-22")]
    CloudInit22,
    None,
}

/// The annotation that says of which bytes an image was made.
const DIGEST: &str = "rempart.image.sha256";

/// Looks at the file, before anything is asked.
pub(crate) fn open(screen: &Screen, command: &Command) -> Result<DiskFile> {
    let Command::Upload(upload) = command;
    DiskFile::open(screen, &upload.file, upload.format)
}

pub(crate) async fn run(
    session: &Session<'_>,
    format: Format,
    command: &Command,
    disk: &DiskFile,
) -> Result<()> {
    let Command::Upload(upload) = command;
    let image = session.urn(Kind::Image, &upload.name)?;
    let volume = session.urn(Kind::BlockStorage, &format!("{}-upload", image.name))?;
    session
        .screen
        .if_interrupted("Interrupted. The same command goes on; what was sent in part is sent again.");
    let digest = disk.digest(session.screen).await?;
    session.screen.note(&format!("SHA-256 {digest}"));
    if there_already(session, &image, &digest).await? {
        session.screen.note(&format!("{} is there already, of the same bytes.", full_name(&image)));
    } else {
        make(session, upload, disk, &digest, (&image, &volume)).await?;
    }
    let patience = Patience { no_wait: false, timeout: None };
    let view = wait::until(session, &image, Goal::Active, patience).await?;
    if !upload.keep_volume && session.find(&volume).await?.is_some() {
        // The image is a copy of its own.
        ask_to_go(session, &volume).await?;
        wait::until(session, &volume, Goal::Gone, patience).await?;
    }
    match view {
        Some(view) => output::one(session.screen, format, Kind::Image, &view),
        None => Ok(()),
    }
}

/// Whether the image exists and is of these bytes.
async fn there_already(session: &Session<'_>, image: &Urn, digest: &str) -> Result<bool> {
    let Some(view) = session.find(image).await? else { return Ok(false) };
    if view.metadata.deleted_at.is_some() {
        return Err(Failure::new(Exit::Refused, format!("{} is being deleted", full_name(image)))
            .next("Wait until it is gone, or choose another name"));
    }
    match view.annotations.as_ref().and_then(|all| all.get(DIGEST)) {
        Some(other) if other == digest => Ok(true),
        _ => Err(Failure::new(
            Exit::Refused,
            format!("there is {} already, and it was not made of this file", full_name(image)),
        )
        .next(format!(
            "An image never changes its content: choose another name, or delete it first: rempart delete image {}",
            image.name
        ))),
    }
}

async fn make(
    session: &Session<'_>,
    upload: &Upload,
    disk: &DiskFile,
    digest: &str,
    (image, volume): (&Urn, &Urn),
) -> Result<()> {
    if session.find(volume).await?.is_none() {
        let sku = match &upload.volume_sku {
            Some(sku) => sku.clone(),
            None => first_storage_sku(session).await?,
        };
        let size_gb = disk.virtual_size_bytes.div_ceil(1 << 30).max(1);
        let spec = json!({ "sizeGB": size_gb, "skuRef": { "resource": format!("skus/{sku}") } });
        session.put(volume, &json!({ "spec": spec }), None).await?;
    }
    send(session, disk, digest, volume).await?;
    let word = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let source = format!("workspaces/{}/block-storages/{}", volume.workspace, volume.name);
    let spec = json!({
        "blockStorageRef": { "resource": source },
        "cpuArchitecture": word(&|| upload.arch.to_possible_value()),
        "boot": word(&|| upload.boot.to_possible_value()).to_uppercase(),
        "initializer": word(&|| upload.initializer.to_possible_value()),
    });
    let body = json!({ "annotations": { DIGEST: digest }, "spec": spec });
    session.put(image, &body, None).await?;
    Ok(())
}

async fn send(session: &Session<'_>, disk: &DiskFile, digest: &str, volume: &Urn) -> Result<()> {
    let start = Instant::now();
    let bar = session.screen.bytes("sending", disk.size_bytes);
    let reader = disk.reader().await?;
    let count = bar.clone();
    let total = disk.size_bytes;
    let sent = move |length: usize| {
        count.inc(length as u64);
        if count.position() >= total {
            count.set_message("sent; the controllers are storing it");
        }
    };
    let virtual_size = disk.virtual_size_bytes.to_string();
    let query =
        [("format", disk.format.name()), ("sha256", digest), ("virtualSizeBytes", virtual_size.as_str())];
    let done = session.client.upload(volume, "content", &query, (reader, total), sent).await;
    session.screen.clear();
    done.map_err(|error| {
        let failure = session.failure("send the bytes of", volume, &error);
        match failure.exit {
            Exit::Unreachable => failure.next("The same command begins the sending again, and does no harm"),
            _ => failure,
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    session.screen.note(&format!("Sent and stored {} in {seconds:.1} s.", bytes(total)));
    Ok(())
}
