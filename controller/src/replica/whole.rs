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

use rempart_model::{Core, Object, Recorded, State};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use super::{row_of, to_text};
use crate::raft::{Frozen, Position};
use crate::store::{Batch, Mark, ResourceRow, Rows, Whole, Write};

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
    /// What Postgres has for good.
    pub(super) flushed: watch::Receiver<Option<u64>>,
}

impl Frozen for Copy {
    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        write(&self.state, out)
    }

    fn wait_durable(&self) -> io::Result<()> {
        let (mut flushed, wanted) = (self.flushed.clone(), Some(self.state.applied_index()));
        let waiting = async move { flushed.wait_for(|flushed| *flushed >= wanted).await.map(drop) };
        Handle::current().block_on(waiting).map_err(|_| io::Error::other("Postgres takes no more rows"))
    }
}

/// Writes a State.
pub(crate) fn write(state: &State, out: &mut dyn io::Write) -> io::Result<()> {
    let head = Head { format: FORMAT, applied_index: state.applied_index(), core: state.core().clone() };
    line(out, &head)?;
    for object in state.objects() {
        let text = RawValue::from_string(to_text(&**object))?;
        line(out, &Line::Object(&text))?;
    }
    for (request_id, index, recorded) in state.answers() {
        line(out, &Line::Answer(request_id, index, recorded.clone()))?;
    }
    Ok(())
}

fn line(out: &mut dyn io::Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads what [`Copy`] wrote, to its end.
pub(super) fn read(content: &mut dyn Read) -> io::Result<State> {
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
        Ok(Reading { head, objects: Vec::new(), answers: Vec::new() })
    }

    /// Another one.
    pub(crate) fn take(&mut self, text: &str) -> io::Result<()> {
        match serde_json::from_str(text)? {
            Line::Object(text) => self.objects.push(Object::read(text.get()).map_err(io::Error::other)?),
            Line::Answer(request_id, index, recorded) => self.answers.push((request_id, index, recorded)),
        }
        Ok(())
    }

    /// All of it was read.
    pub(crate) fn finish(self) -> State {
        State::load(self.head.core, self.head.applied_index, self.objects, self.answers)
    }
}

/// What a replica without anything has to put into its Postgres to be at `position` with this State. How the State came to be
/// is noted as missing.
pub(crate) fn as_first_batch(state: &State, position: &Position) -> io::Result<Batch> {
    let mark = Mark {
        applied_index: position.index(),
        membership: serde_json::to_value(position.members())?,
        position: serde_json::to_value(position)?,
        core: serde_json::to_value(state.core())?,
    };
    let rows = Whole(Arc::new(AsRows(state.clone())));
    let gap = Write::AuditGap { first: 0, last: position.index() };
    Ok(Batch::new(None, mark, vec![Write::Replace(rows), gap]))
}

/// A State that is written to a snapshot, and is in Postgres already.
pub(crate) struct Kept(pub(crate) State);

impl Frozen for Kept {
    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        write(&self.0, out)
    }

    fn wait_durable(&self) -> io::Result<()> {
        Ok(())
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
