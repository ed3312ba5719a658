//! A whole State, as the content of a snapshot and as rows.
//!
//! ```text
//!   { "format": 1, "appliedIndex": .., "core": .. }      a line of JSON each
//!   { "object": .. }  for every object, as in its row
//!   { "answer": [request id, log index, ..] }  for every remembered answer
//! ```
//!
//! Frozen, as the rows are: lines of another format are refused, what is in them follows the rules for stored objects.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use futures::future::BoxFuture;
use rempart_model::{Core, Object, Recorded, State, planted};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::watch;
use uuid::Uuid;

use super::reached::Reached;
use super::row::row_of;
use super::{Digest, to_text};
use crate::raft::{Frozen, Position};
use crate::store::{Batch, ResourceRow, Rows, Whole, Write};

const FORMAT: u32 = 1;
/// What an object takes as a row, roughly.
const ROW_BYTES: usize = 1024;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    format: u32,
    applied_index: u64,
    core: Core,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line<'a> {
    #[serde(borrow)]
    Object(&'a RawValue),
    Answer(Uuid, u64, Recorded),
}

/// A copy of State, which cost nothing to make.
pub(super) struct Copy {
    pub(super) state: State,
    /// Of its objects, as it was kept up to here.
    pub(super) digest: Digest,
    /// What Postgres has for good.
    pub(super) flushed: watch::Receiver<Option<u64>>,
}

impl Frozen for Copy {
    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let digest = write(&self.state, out)?;
        if digest != self.digest {
            // What is in memory is not what was applied. Nobody else is to get it, nor a later life of this replica.
            let why = format!(
                "the state in memory has the digest {digest}, and what was applied {}: is the memory of this machine sound?",
                self.digest
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }

    fn wait_durable(&self) -> BoxFuture<'static, io::Result<()>> {
        let (mut flushed, wanted) = (self.flushed.clone(), Some(self.state.applied_index()));
        Box::pin(async move {
            let durable = flushed.wait_for(|flushed| *flushed >= wanted).await.map(drop);
            durable.map_err(|_| io::Error::other("Postgres takes no more rows"))
        })
    }
}

/// Writes a State. Gives the digest of the objects in it.
pub(crate) fn write(state: &State, out: &mut dyn io::Write) -> io::Result<Digest> {
    let head = Head { format: FORMAT, applied_index: state.applied_index(), core: state.core().clone() };
    line(out, &head)?;
    let mut digest = Digest::default();
    for object in state.objects() {
        let text = RawValue::from_string(to_text(&**object))?;
        digest.add(text.get());
        line(out, &Line::Object(&text))?;
    }
    for (request_id, index, recorded) in state.answers() {
        if planted("snapshot-without-answers") {
            break;
        }
        line(out, &Line::Answer(request_id, index, recorded.clone()))?;
    }
    Ok(digest)
}

fn line(out: &mut dyn io::Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads what [`Copy`] wrote, to its end, and the digest of the objects in it.
pub(super) fn read(content: &mut dyn Read) -> io::Result<(State, Digest)> {
    let mut content = BufReader::with_capacity(64 << 10, content);
    let mut text = String::new();
    content.read_line(&mut text)?;
    let mut reading = Reading::begin(&text)?;
    loop {
        text.clear();
        if content.read_line(&mut text)? == 0 {
            return Ok(reading.finish());
        }
        reading.take(&text)?;
    }
}

/// A State that is being read, line by line.
pub(crate) struct Reading {
    head: Head,
    objects: Vec<Object>,
    answers: Vec<(Uuid, u64, Recorded)>,
    digest: Digest,
}

impl Reading {
    /// Its first line.
    pub(crate) fn begin(text: &str) -> io::Result<Reading> {
        let head: Head = serde_json::from_str(text)?;
        if head.format != FORMAT {
            let why =
                format!("the state in the snapshot has format {}, this program reads {FORMAT}", head.format);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Reading { head, objects: Vec::new(), answers: Vec::new(), digest: Digest::default() })
    }

    /// Another one.
    pub(crate) fn take(&mut self, text: &str) -> io::Result<()> {
        match serde_json::from_str(text)? {
            Line::Object(text) => {
                self.digest.add(text.get());
                self.objects.push(Object::read(text.get()).map_err(io::Error::other)?);
            }
            Line::Answer(request_id, index, recorded) => self.answers.push((request_id, index, recorded)),
        }
        Ok(())
    }

    /// All of it was read: the State, and the digest of the objects in it.
    pub(crate) fn finish(self) -> (State, Digest) {
        (State::load(self.head.core, self.head.applied_index, self.objects, self.answers), self.digest)
    }
}

/// What a replica without anything has to put into its Postgres to be at `position` with this State. How the State came to be
/// is noted as missing.
pub(crate) fn as_first_batch(state: &State, position: &Position) -> Batch {
    let mut digest = Digest::default();
    state.objects().for_each(|object| digest.add(&to_text(&**object)));
    let reached = Reached { position: position.clone(), core: state.core().clone(), digest };
    let rows = Whole(Arc::new(AsRows(state.clone())));
    let gap = Write::AuditGap { first: 0, last: position.index() };
    Batch::new(None, reached, vec![Write::Replace(rows), gap])
}

/// A State that is written to a snapshot, and is in Postgres already.
pub(crate) struct Kept(pub(crate) State);

impl Frozen for Kept {
    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        write(&self.0, out).map(drop)
    }

    fn wait_durable(&self) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A State as rows.
pub(super) struct AsRows(pub(super) State);

impl Rows for AsRows {
    fn resources(&self) -> Box<dyn Iterator<Item = ResourceRow> + Send + '_> {
        Box::new(self.0.objects().map(|object| row_of(object)))
    }

    fn answers(&self) -> Box<dyn Iterator<Item = (Uuid, u64, String)> + Send + '_> {
        Box::new(self.0.answers().map(|(request_id, index, recorded)| (request_id, index, to_text(recorded))))
    }

    fn bytes(&self) -> usize {
        self.0.object_count() * ROW_BYTES
    }
}

#[cfg(test)]
mod tests;
