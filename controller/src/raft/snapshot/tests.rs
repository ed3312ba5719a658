//! Snapshots as files: what is written is read back, and nothing that is damaged is.

use std::io::{self, Read, Write};
use std::sync::Arc;

use futures::future::BoxFuture;

use super::file::{Reader, Writer};
use super::*;
use crate::raft::machine::{Frozen, Position};

fn position(index: u64) -> Position {
    let json = format!(
        r#"{{"term":3,"node":2,"index":{index},"members":{{"entry":[1,1,4],"voters":[[1,2]],"addresses":{{"1":"a:1","2":"b:2"}}}}}}"#
    );
    serde_json::from_str(&json).unwrap()
}

fn written(content: &[u8]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), uuid::Uuid::from_u128(7), position(41)).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut reader = Reader::begin(bytes)?;
    assert_eq!(reader.header().position, position(41));
    let mut content = Vec::new();
    reader.read_to_end(&mut content)?;
    Ok(content)
}

#[test]
fn what_is_written_is_read_back() {
    for length in [0, 1, 1000, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 3 << 20] {
        let content: Vec<u8> = (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        assert_eq!(read(&written(&content)).unwrap(), content, "{length} bytes");
    }
}

/// The bytes of format 1. They stay readable for ever.
#[test]
fn golden() {
    let golden = "\
        52454d50534e415001b100000042d8ec927b22666f726d6174223a312c226964223a2230303030303030302d303030302d30\
        3030302d303030302d303030303030303030303037222c22706f736974696f6e223a7b227465726d223a332c226e6f646522\
        3a322c22696e646578223a34312c226d656d62657273223a7b22656e747279223a5b312c312c345d2c22766f74657273223a\
        5b5b312c325d5d2c22616464726573736573223a7b2231223a22613a31222c2232223a22623a32227d7d7d7d020700000013\
        8920fa636f6e74656e7403160000007c90e5497b226672616d6573223a312c226279746573223a377d";
    let bytes = written(b"content");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, golden, "{}", String::from_utf8_lossy(&bytes));
    let golden: Vec<u8> = (0..golden.len() / 2)
        .map(|at| u8::from_str_radix(&golden[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    assert_eq!(read(&golden).unwrap(), b"content");
}

#[test]
fn damage_anywhere_is_found_before_the_end_is_told() {
    let whole = written(b"some content that matters");
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        assert!(read(&damaged).is_err(), "byte {at} was changed");
        assert!(read(&whole[..at]).is_err(), "cut at byte {at}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(read(&longer).is_err());
}

#[test]
fn frames_that_were_moved_or_left_out_are_found() {
    let size = 256 << 10;
    let content: Vec<u8> = (0..3 * size).map(|at| u8::try_from(at / size).unwrap()).collect();
    let bytes = written(&content);
    let frame = 9 + size;
    let begin = bytes.windows(4).position(|window| window == [2, 0, 0, 4]).unwrap();
    let mut left_out = bytes.clone();
    left_out.drain(begin + frame..begin + 2 * frame);
    assert!(read(&left_out).is_err());
    let mut swapped = bytes.clone();
    swapped.splice(begin..begin + frame, bytes[begin + frame..begin + 2 * frame].iter().copied());
    swapped.splice(begin + frame..begin + 2 * frame, bytes[begin..begin + frame].iter().copied());
    assert!(read(&swapped).is_err());
    assert_eq!(read(&bytes).unwrap(), content);
}

/// A state of some bytes.
struct Bytes(&'static [u8], bool);

impl Frozen for Bytes {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.0)
    }

    fn wait_durable(&self) -> BoxFuture<'static, io::Result<()>> {
        let durable = if self.1 { Ok(()) } else { Err(io::Error::other("Postgres is away")) };
        Box::pin(async { durable })
    }
}

fn frozen(content: &'static [u8], durable: bool) -> Arc<dyn Frozen> {
    Arc::new(Bytes(content, durable))
}

fn content(snapshot: &SnapshotFile) -> Vec<u8> {
    let mut content = Vec::new();
    snapshot.content().unwrap().read_to_end(&mut content).unwrap();
    content
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn one_is_current_and_who_reads_an_older_one_reads_on() {
    let at = tempfile::tempdir().unwrap();
    let dir = Arc::new(SnapshotDir::open(at.path()).unwrap());
    assert!(dir.current().is_none());
    let first = dir.build(position(10), &frozen(b"ten", true)).await.unwrap();
    dir.build(position(20), &frozen(b"twenty", true)).await.unwrap();
    assert_eq!(names(at.path()).len(), 1);
    assert_eq!(content(&first), b"ten");
    assert_eq!(content(&dir.current().unwrap()), b"twenty");
    // One that took longer to write than a newer one took to arrive.
    dir.build(position(15), &frozen(b"fifteen", true)).await.unwrap();
    assert_eq!(names(at.path()).len(), 1);
    let again = SnapshotDir::open(at.path()).unwrap().current().unwrap();
    assert_eq!((again.position().clone(), content(&again)), (position(20), b"twenty".to_vec()));
}

#[tokio::test]
async fn a_snapshot_whose_content_is_not_durable_elsewhere_is_none() {
    let at = tempfile::tempdir().unwrap();
    let dir = Arc::new(SnapshotDir::open(at.path()).unwrap());
    assert!(dir.build(position(10), &frozen(b"ten", false)).await.is_err());
    assert!(dir.current().is_none());
    assert_eq!(names(at.path()), [""; 0]);
}

#[tokio::test]
async fn what_is_damaged_or_unfinished_is_not_taken_up() {
    let at = tempfile::tempdir().unwrap();
    let dir = Arc::new(SnapshotDir::open(at.path()).unwrap());
    let snapshot = dir.build(position(10), &frozen(b"ten", true)).await.unwrap();
    let path = at.path().join(&names(at.path())[0]);
    std::fs::write(at.path().join("x.tmp"), "half").unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let content = bytes.windows(3).position(|window| window == b"ten").unwrap();
    bytes[content] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    // Only reading it tells.
    let dir = Arc::new(SnapshotDir::open(at.path()).unwrap());
    assert!(!at.path().join("x.tmp").exists());
    let found = dir.current().unwrap();
    assert_eq!(found.position(), snapshot.position());
    assert!(dir.verify(&found).is_err());
    assert!(dir.current().is_none());
    assert!(names(at.path())[0].ends_with(".damaged"));
    std::fs::write(&path, &bytes[..20]).unwrap();
    assert!(SnapshotDir::open(at.path()).unwrap().current().is_none(), "its very header is not whole");
}

#[tokio::test]
async fn what_arrives_in_parts_is_whole_or_goes() {
    let at = tempfile::tempdir().unwrap();
    let source = Arc::new(SnapshotDir::open(&at.path().join("from")).unwrap());
    let snapshot = source.build(position(10), &frozen(b"ten", true)).await.unwrap();
    let dir = Arc::new(SnapshotDir::open(&at.path().join("to")).unwrap());
    let (id, all) = (snapshot.id(), snapshot.piece(0, 1 << 20).unwrap());
    assert_eq!(dir.arrived_bytes(id).unwrap(), 0);
    std::fs::write(dir.part(id), &all[..50]).unwrap();
    // A restart keeps what has come.
    let dir = Arc::new(SnapshotDir::open(&at.path().join("to")).unwrap());
    assert_eq!(dir.arrived_bytes(id).unwrap(), 50);
    assert!(dir.arrived(id).is_err());
    assert_eq!(dir.arrived_bytes(id).unwrap(), 0, "what is not whole at its end is of no use");
    std::fs::write(dir.part(id), &all).unwrap();
    let arrived = dir.arrived(id).unwrap();
    assert!(dir.current().is_none(), "consensus has the last word");
    dir.adopt(&arrived).unwrap();
    assert_eq!(content(&dir.current().unwrap()), b"ten");
    // Another one is offered: parts of this one would stay for ever.
    std::fs::write(dir.part(id), &all[..50]).unwrap();
    assert_eq!(dir.arrived_bytes(uuid::Uuid::from_u128(1)).unwrap(), 0);
    assert_eq!(dir.arrived_bytes(id).unwrap(), 0);
}
