//! `rempart cluster backup`, and what `status` says of a cluster that was restored from one.
//!
//! What never happens: a file has the final name that is not all of a backup; one that is there is written over; somebody else
//! may read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rempart_api::cluster::{BackupSummary, Restoration};

use crate::failure::{Exit, Failure, Result};
use crate::output::{self, Format};
use crate::screen::harmless;
use crate::session::Session;

/// Of each sort, how many are named.
const MOST_NAMED: usize = 20;

/// Takes one into a file.
pub(super) async fn take(
    session: &Session<'_>,
    format: Format,
    recipients: &[String],
    to: &Path,
) -> Result<()> {
    if to.exists() {
        return Err(Failure::usage(format!("{} is there already, and is not written over", to.display()))
            .next("Name another file with --to"));
    }
    let what = "take a backup";
    let mut part = Part::begin(to)?;
    let begun = session.client.backup(recipients).await;
    let (summary, mut download) = begun.map_err(|error| session.failed(what, &error))?;
    let work = session.screen.work(what);
    let mut bytes = 0_u64;
    loop {
        let piece = download.piece().await.map_err(|error| {
            let words = format!("the backup broke off after {bytes} bytes: {}", harmless(&error.to_string()));
            Failure::new(Exit::Unreachable, words)
                .next("No file was left; take it again, at any controller, and look at the log of this one")
        })?;
        let Some(piece) = piece else { break };
        part.file.write_all(&piece).map_err(|error| Failure::file("write", to, &error))?;
        bytes += piece.len() as u64;
        work.say(&format!("{} MiB", bytes >> 20));
    }
    part.finish(to)?;
    drop(work);
    if format != Format::Table {
        return output::value(session.screen, format, &summary);
    }
    for line in contents(&summary, to, bytes) {
        session.screen.print(&line)?;
    }
    Ok(())
}

fn contents(summary: &BackupSummary, to: &Path, bytes: u64) -> Vec<String> {
    let BackupSummary { backup_id, cluster_id, region, taken_at, applied_index, resources, blobs, .. } =
        summary;
    vec![
        format!("{}: {bytes} bytes, backup {backup_id}", to.display()),
        format!(
            "cluster {cluster_id}, region {region}, as of {taken_at}: entry {applied_index}, {resources} resources, and \
                 their whole audit trail"
        ),
        format!(
            "not in it: root.key, without which it cannot be restored, and the bytes of {blobs} images \
                 (docs/operating/backup.md)"
        ),
    ]
}

/// A file that has no name of its own yet. Gone if it never gets one.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn begin(to: &Path) -> Result<Part> {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = to.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        Ok(Part { file: file.map_err(|error| Failure::file("write", &path, &error))?, path })
    }

    /// Durable first, then named.
    fn finish(self, to: &Path) -> Result<()> {
        let done = (|| {
            self.file.sync_all()?;
            // Unlike a rename, this takes no other file's name.
            fs::hard_link(&self.path, to)?;
            fs::remove_file(&self.path)?;
            let directory =
                to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(directory)?.sync_all()
        })();
        done.map_err(|error: io::Error| Failure::file("write", to, &error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already, if it got its name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where a restored cluster stands.
pub(super) fn words(restored: &Restoration) -> Vec<String> {
    let Restoration { taken_at, taken_index, restored_at, incarnation, .. } = restored;
    let mut lines = vec![format!(
        "\nRestored {restored_at} from a backup of {taken_at} (entry {taken_index}), as incarnation {incarnation}."
    )];
    if let Some(opened_at) = restored.opened_at {
        lines.push(format!("It has taken changes again since {opened_at}."));
        return lines;
    }
    lines.push("Read-only until it has been compared with its hosts.".to_owned());
    for host in &restored.compared {
        let rest = match (host.orphans, host.gone) {
            (0, 0) => String::new(),
            (orphans, gone) => format!(": {orphans} things without a row, {gone} that are gone"),
        };
        lines.push(format!("  {} has been compared{rest}", host.host));
    }
    let more = |lines: &mut Vec<String>, all: usize| {
        if all > MOST_NAMED {
            lines.push(format!("  and {} more", all - MOST_NAMED));
        }
    };
    for host in restored.waits_for.iter().take(MOST_NAMED) {
        lines.push(format!("  waits for {host} to say what it has"));
    }
    more(&mut lines, restored.waits_for.len());
    for conflict in restored.conflicts.iter().take(MOST_NAMED) {
        lines.push(format!("  conflict on {}: {} ({})", conflict.host, conflict.message, conflict.uid));
    }
    more(&mut lines, restored.conflicts.len());
    if !restored.waits_for.is_empty() || !restored.conflicts.is_empty() {
        let words =
            "  rempart cluster resume --without HOST takes changes without those that will not come back";
        lines.push(words.to_owned());
    }
    lines
}
