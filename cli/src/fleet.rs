//! `rempart fleet`: what operators see of all hosts together.

use clap::Subcommand;
use rempart_api::fleet::{
    BlobOrphan, BlobOrphanClass, BlobOrphans, LeftoverPart, Orphan, OrphanClass, Repair,
};

use crate::args::Consent;
use crate::failure::{Failure, Result};
use crate::output::{self, Format};
use crate::screen::harmless;
use crate::session::Session;
use crate::table::{Cell, render};
use crate::terminal::agree;

/// What to see or do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What exists on hosts and controllers without a row, and rows without their thing; with a repair for each that has a
    /// safe one
    #[command(after_help = "\
Examples: rempart fleet orphans -o json
          rempart fleet orphans --quarantine host-1:0190f1c2-0000-7000-8000-000000000001 --yes

Nothing is repaired but what is named. Quarantine moves files aside on their host and deletes nothing; remove deletes what was
moved aside; release ends the deletion of what is bound to a host that was revoked, without that host's word. Nothing has to be
ordered about bytes of images: controllers remove and fetch them by themselves, and what is said of each tells when.")]
    Orphans(Orphans),
}

/// `fleet orphans`
#[derive(Debug, clap::Args)]
pub(crate) struct Orphans {
    /// Have its files moved aside and its domain, which has to be off, forgotten
    #[arg(long, value_name = "HOST:UID", conflicts_with_all = ["remove", "release"])]
    quarantine: Option<String>,
    /// Have what was moved aside deleted
    #[arg(long, value_name = "HOST:UID", conflicts_with = "release")]
    remove: Option<String>,
    /// Say that it is gone, although its host, which was revoked, has not said so
    #[arg(long, value_name = "HOST:UID")]
    release: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

impl Orphans {
    /// What is to be done, to which, and what is asked before.
    fn ordered(&self) -> Option<(Repair, &str, &'static str)> {
        let quarantine = self
            .quarantine
            .as_deref()
            .map(|id| (Repair::Quarantine, id, "Move its files aside on its host, and forget its domain?"));
        let remove =
            self.remove.as_deref().map(|id| (Repair::Remove, id, "Delete what was moved aside of it?"));
        let release = self.release.as_deref().map(|id| {
            (Repair::Release, id, "Say that it is gone? If its host still runs it, nobody will know")
        });
        quarantine.or(remove).or(release)
    }
}

pub(crate) async fn run(session: &Session<'_>, format: Format, command: &Command) -> Result<()> {
    let Command::Orphans(orphans) = command;
    if let Some((repair, id, question)) = orphans.ordered() {
        if !id.split_once(':').is_some_and(|(host, uid)| !host.is_empty() && uid.len() == 36) {
            return Err(Failure::usage(format!("{id:?} is not of the form HOST:UID"))
                .next("What there is: rempart fleet orphans"));
        }
        agree(session.screen, orphans.consent.yes, &format!("{id}: {question}")).await?;
        let done = session.client.repair(id, repair).await;
        done.map_err(|error| Failure::of_call(&format!("{} {id}", repair.name()), &error))?;
        session.screen.note(&format!("{id}: {} is ordered.", repair.name()));
    }
    let found = session.client.orphans().await;
    let found = found.map_err(|error| Failure::of_call("list orphans", &error))?;
    if format != Format::Table {
        return output::value(session.screen, format, &found);
    }
    if found.items.is_empty() && found.blobs.items.is_empty() {
        session.screen.note("There are none, as far as hosts and controllers have said.");
    }
    if !found.items.is_empty() {
        let headings = ["ID", "CLASS", "PARTS", "SIZE", "REPAIR", "ABOUT"];
        let rows: Vec<Vec<Cell>> = found.items.iter().map(row).collect();
        session.screen.print(&render(session.screen, &headings, &rows))?;
    }
    if !found.blobs.items.is_empty() {
        if !found.items.is_empty() {
            session.screen.print("")?;
        }
        session.screen.print(&blobs(session, &found.blobs))?;
    }
    if found.more || found.blobs.more {
        session.screen.note("There are more; they are shown when some of these are gone.");
    }
    for silent in &found.blobs.not_asked {
        let why = harmless(&silent.why);
        session
            .screen
            .note(&format!("The disk of controller {} could not be asked about: {why}", silent.controller));
    }
    Ok(())
}

fn blobs(session: &Session<'_>, found: &BlobOrphans) -> String {
    let headings = ["BLOB", "CLASS", "CONTROLLER", "SIZE", "SINCE", "ABOUT"];
    let now_ms = crate::quantity::now_ms();
    let rows: Vec<Vec<Cell>> = found.items.iter().map(|one| blob(one, now_ms)).collect();
    render(session.screen, &headings, &rows)
}

fn blob(one: &BlobOrphan, now_ms: i64) -> Vec<Cell> {
    let class = match one.class {
        BlobOrphanClass::Lost => "lost",
        BlobOrphanClass::Missing => "missing",
        BlobOrphanClass::Unneeded => "unneeded",
    };
    // Whose bytes they are comes first; of those of nobody, what becomes of them.
    let about = match &one.references[..] {
        [] => one.message.clone(),
        [only] => format!("{only}: {}", one.message),
        [first, rest @ ..] => format!("{first} and {} more: {}", rest.len(), one.message),
    };
    vec![
        one.name.clone().into(),
        class.into(),
        one.controller.map(|id| id.to_string()).unwrap_or_default().into(),
        crate::quantity::bytes(one.bytes).into(),
        one.since.map(|since| crate::quantity::age(since, now_ms)).unwrap_or_default().into(),
        harmless(&about).into(),
    ]
}

fn row(orphan: &Orphan) -> Vec<Cell> {
    let class = match orphan.class {
        OrphanClass::Leftover => "leftover",
        OrphanClass::Quarantined => "quarantined",
        OrphanClass::ForeignDomain => "foreign-domain",
        OrphanClass::Lost => "lost",
        OrphanClass::HostRevoked => "host-revoked",
    };
    let mut parts: Vec<&str> = orphan.parts.iter().map(|part| part_name(*part)).collect();
    if orphan.running {
        parts.push("running");
    }
    let repair = match (orphan.ordered, orphan.repair) {
        (Some(ordered), _) => format!("{} ordered", ordered.name()),
        (None, Some(repair)) => repair.name().to_owned(),
        (None, None) => String::new(),
    };
    let size = orphan.bytes.map(crate::quantity::bytes).unwrap_or_default();
    let about = orphan.reference.as_deref().unwrap_or(&orphan.message);
    vec![
        orphan.id.clone().into(),
        class.into(),
        parts.join(",").into(),
        size.into(),
        repair.into(),
        harmless(about).into(),
    ]
}

fn part_name(part: LeftoverPart) -> &'static str {
    match part {
        LeftoverPart::Domain => "domain",
        LeftoverPart::Volume => "volume",
        LeftoverPart::Seed => "seed",
        LeftoverPart::GuestDirectory => "guest-directory",
        LeftoverPart::Capture => "capture",
        LeftoverPart::Quarantined => "quarantined",
    }
}
