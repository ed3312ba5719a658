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

use rempart_model::{Core, Object, Recorded, State};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use super::row::row_of;
use super::{Digest, to_text};
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
    /// Of its objects, as it was kept up to here.
    pub(super) digest: Digest,
    /// What Postgres has for good.
    pub(super) flushed: watch::Receiver<Option<u64>>,
}

impl Frozen for Copy {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = &self.state;
        let head = Head { format: FORMAT, applied_index: state.applied_index(), core: state.core().clone() };
        line(out, &head)?;
        let mut digest = Digest::default();
        for object in state.objects() {
            let text = RawValue::from_string(to_text(&**object))?;
            digest.add(text.get());
            line(out, &Line::Object(&text))?;
        }
        if digest != self.digest {
            // What is in memory is not what was applied. Nobody else is to get it, nor a later life of this replica.
            let why = format!(
                "the state in memory has the digest {digest}, and what was applied {}: is the memory of this machine sound?",
                self.digest
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        for (request_id, index, recorded) in state.answers() {
            line(out, &Line::Answer(request_id, index, recorded.clone()))?;
        }
        Ok(())
    }

    fn wait_durable(&self) -> io::Result<()> {
        let (mut flushed, wanted) = (self.flushed.clone(), Some(self.state.applied_index()));
        let waiting = async move { flushed.wait_for(|flushed| *flushed >= wanted).await.map(drop) };
        Handle::current().block_on(waiting).map_err(|_| io::Error::other("Postgres takes no more rows"))
    }
}

fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads what [`Copy`] wrote, to its end, and the digest of the objects in it.
pub(super) fn read(content: &mut dyn Read) -> io::Result<(State, Digest)> {
    let mut content = BufReader::with_capacity(64 << 10, content);
    let mut text = String::new();
    content.read_line(&mut text)?;
    let head: Head = serde_json::from_str(&text)?;
    if head.format != FORMAT {
        let why =
            format!("the state in the snapshot has format {}, this program reads {FORMAT}", head.format);
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let (mut objects, mut answers, mut digest) = (Vec::new(), Vec::new(), Digest::default());
    loop {
        text.clear();
        if content.read_line(&mut text)? == 0 {
            return Ok((State::load(head.core, head.applied_index, objects, answers), digest));
        }
        match serde_json::from_str(&text)? {
            Line::Object(text) => {
                digest.add(text.get());
                objects.push(Object::read(text.get()).map_err(io::Error::other)?);
            }
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
