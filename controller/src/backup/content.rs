//! What is in a backup, before it is encrypted: lines of JSON, so that a person can read one without our programs.
//!
//! ```text
//!   { "rempartBackup": 1, "backupId": .., "clusterId": .., "appliedIndex": .., .. }
//!   { "caCertificate": .., "caKey": .., "issuerKey": .. }           the keys as sealed under root.key, base64
//!   the State, in the lines of a snapshot's content (`replica/whole.rs`)
//!   { "audit": .. }  for every row of the audit trail up to the applied index, in order
//!   { "end": { "resources": .., "audit": .., "sha256": .., "mark": .. } }      the digest of all lines before; who wrote it
//! ```
//!
//! Frozen: another layout gets another number in the first line, and this one stays readable for ever.
//!
//! The mark is made with the root key. Encryption alone says nothing of who wrote a backup, for its key is a public one; and
//! whoever restores from it believes every word.

use std::io::{self, BufRead, Write};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rempart_api::Timestamp;
use rempart_model::State;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::pki::{SealedKeys, Sealer};
use crate::replica::whole;
use crate::store::AuditRow;

/// The layout that is written, and read.
pub(super) const FORMAT: u32 = 1;
/// Longest line that is read: an object is far below it.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    pub(super) rempart_backup: u32,
    /// Which backup.
    pub backup_id: Uuid,
    /// Of which cluster.
    pub cluster_id: Uuid,
    /// Name of its region.
    pub region: String,
    /// Its zones.
    pub zones: Vec<String>,
    /// When it was taken, by the clock of who took it.
    pub taken_at: Timestamp,
    /// The last entry of the log in it.
    pub applied_index: u64,
    /// The cluster's incarnation.
    pub incarnation: u64,
    /// Version of the program that took it.
    pub version: String,
    /// Ids of the controllers that took part.
    pub controllers: Vec<u64>,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Resources in it.
    pub resources: u64,
    /// Rows of the audit trail.
    pub audit: u64,
    sha256: String,
    /// Base64.
    mark: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Audit(AuditLine),
    End(End),
}

/// A row of the audit trail.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditLine {
    index: i64,
    ordinal: i32,
    at_ms: i64,
    request_id: Uuid,
    actor: String,
    action: String,
    subject: String,
    outcome: String,
}

/// Writes lines, and what they add up to.
pub(super) struct Writer<W> {
    out: W,
    sum: digest::Context,
    end: End,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(out: W, head: &Head, keys: &SealedKeys, state: &State) -> io::Result<Self> {
        let end = End {
            resources: state.object_count() as u64,
            audit: 0,
            sha256: String::new(),
            mark: String::new(),
        };
        let mut writer = Self { out, sum: digest::Context::new(&digest::SHA256), end };
        writer.line(head)?;
        writer.line(keys)?;
        whole::write(state, &mut writer)?;
        Ok(writer)
    }

    pub(super) fn audit(&mut self, row: AuditRow) -> io::Result<()> {
        self.end.audit += 1;
        let AuditRow { log_index: index, ordinal, at_ms, request_id, actor, action, subject, outcome } = row;
        self.line(&Line::Audit(AuditLine {
            index,
            ordinal,
            at_ms,
            request_id,
            actor,
            action,
            subject,
            outcome,
        }))
    }

    /// Everything was written.
    pub(super) fn finish(mut self, sealer: &Sealer) -> io::Result<W> {
        let sum = self.sum.clone().finish();
        let end = End {
            sha256: hex(sum.as_ref()),
            mark: STANDARD.encode(sealer.mark(&signed(sum.as_ref()))),
            ..self.end.clone()
        };
        self.line(&Line::End(end))?;
        Ok(self.out)
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        self.write_all(&text)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What the mark is of: nothing else that is marked begins so.
fn signed(sum: &[u8]) -> Vec<u8> {
    [b"rempart backup 1\n", sum].concat()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A backup that was read to its end.
pub(super) struct Contents {
    pub(super) head: Head,
    pub(super) keys: SealedKeys,
    pub(super) state: State,
    pub(super) end: End,
    sum: Vec<u8>,
}

impl Contents {
    /// Whether the cluster whose root key `sealer` has wrote it.
    pub(super) fn is_marked_by(&self, sealer: &Sealer) -> bool {
        STANDARD.decode(&self.end.mark).is_ok_and(|mark| sealer.is_mark(&signed(&self.sum), &mark))
    }
}

/// Reads one to its end; `audit` is given its rows in order, before it is known that all of it is whole.
///
/// # Errors
/// `InvalidData` if anything of it is not as it was written; those of `audit`.
pub(super) fn read(
    input: &mut impl BufRead,
    mut audit: impl FnMut(AuditRow) -> io::Result<()>,
) -> io::Result<Contents> {
    let mut lines = Lines { input, sum: digest::Context::new(&digest::SHA256), text: String::new() };
    let found: Format = lines.next("its first line")?;
    if found.rempart_backup != FORMAT {
        let why = format!("it has format {}, this program reads {FORMAT}", found.rempart_backup);
        return Err(bad(&why));
    }
    let head: Head = lines.again("its first line")?;
    let keys: SealedKeys = lines.next("its keys")?;
    lines.read()?;
    let mut reading = whole::Reading::begin(&lines.text)?;
    let mut rows = 0;
    loop {
        let before = lines.sum.clone();
        lines.read()?;
        if !lines.text.starts_with("{\"audit\"") && !lines.text.starts_with("{\"end\"") {
            reading.take(&lines.text)?;
            continue;
        }
        match lines.again("a line")? {
            Line::Audit(row) => {
                rows += 1;
                audit(AuditRow {
                    log_index: row.index,
                    ordinal: row.ordinal,
                    at_ms: row.at_ms,
                    request_id: row.request_id,
                    actor: row.actor,
                    action: row.action,
                    subject: row.subject,
                    outcome: row.outcome,
                })?;
            }
            Line::End(end) => {
                let sum = before.finish().as_ref().to_vec();
                if hex(&sum) != end.sha256 || rows != end.audit {
                    return Err(bad("its digest or its counts are others than its end says"));
                }
                lines.ended()?;
                let (state, _) = reading.finish();
                let same = state.applied_index() == head.applied_index
                    && state.core().cluster_id == Some(head.cluster_id)
                    && state.core().incarnation == head.incarnation
                    && state.object_count() as u64 == end.resources;
                if !same {
                    return Err(bad("its first line, its State and its end are not of one backup"));
                }
                return Ok(Contents { head, keys, state, end, sum });
            }
        }
    }
}

/// Only the format, which is the same in every format.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    rempart_backup: u32,
}

struct Lines<'a, R> {
    input: &'a mut R,
    sum: digest::Context,
    text: String,
}

impl<R: BufRead> Lines<'_, R> {
    fn read(&mut self) -> io::Result<()> {
        self.text.clear();
        let mut input = io::Read::take(&mut *self.input, MAX_LINE_BYTES);
        input.read_line(&mut self.text)?;
        if !self.text.ends_with('\n') {
            return Err(bad("it ends before its end"));
        }
        self.sum.update(self.text.as_bytes());
        Ok(())
    }

    fn next<T: serde::de::DeserializeOwned>(&mut self, what: &str) -> io::Result<T> {
        self.read()?;
        self.again(what)
    }

    /// The line that was read last, as something else.
    fn again<T: serde::de::DeserializeOwned>(&self, what: &str) -> io::Result<T> {
        serde_json::from_str(&self.text)
            .map_err(|error| bad(&format!("{what} is not as it was written: {error}")))
    }

    fn ended(&mut self) -> io::Result<()> {
        if self.input.fill_buf()?.is_empty() { Ok(()) } else { Err(bad("something stands behind its end")) }
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("this is no backup, or a damaged one: {why}"))
}
