//! A whole State, as the content of a snapshot and as rows.
//!
//! ```text
//!   { "format": 1, "appliedIndex": .., "core": .. }      a line of JSON each
//!   { "object": .. }  for every object, as in its row
//!   { "answer": [request id, log index, ..] }  for every remembered answer
//! ```
//!
//! Frozen, as the rows are: lines of another format are refused, what is in them follows the rules for stored objects.

use std::io::{self, BufRead, BufReader, Read, Write};

use futures::future::BoxFuture;
use rempart_model::{Core, Object, Recorded, State, planted};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::watch;
use uuid::Uuid;

use super::{row_of, to_text};
use crate::raft::Frozen;
use crate::store::{ResourceRow, Rows};

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
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = &self.state;
        let head = Head { format: FORMAT, applied_index: state.applied_index(), core: state.core().clone() };
        line(out, &head)?;
        for object in state.objects() {
            let text = RawValue::from_string(to_text(&**object))?;
            line(out, &Line::Object(&text))?;
        }
        for (request_id, index, recorded) in state.answers() {
            if planted("snapshot-without-answers") {
                break;
            }
            line(out, &Line::Answer(request_id, index, recorded.clone()))?;
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

fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads what [`Copy`] wrote, to its end.
pub(super) fn read(content: &mut dyn Read) -> io::Result<State> {
    let mut content = BufReader::with_capacity(64 << 10, content);
    let mut text = String::new();
    content.read_line(&mut text)?;
    let head: Head = serde_json::from_str(&text)?;
    if head.format != FORMAT {
        let why =
            format!("the state in the snapshot has format {}, this program reads {FORMAT}", head.format);
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let (mut objects, mut answers) = (Vec::new(), Vec::new());
    loop {
        text.clear();
        if content.read_line(&mut text)? == 0 {
            return Ok(State::load(head.core, head.applied_index, objects, answers));
        }
        match serde_json::from_str(&text)? {
            Line::Object(text) => objects.push(Object::read(text.get()).map_err(io::Error::other)?),
            Line::Answer(request_id, index, recorded) => answers.push((request_id, index, recorded)),
        }
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
