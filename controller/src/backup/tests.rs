use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rempart_model::{Command, ENVELOPE_FORMAT, Envelope, Founding, State};
use uuid::Uuid;

use super::age::{Encryptor, Identity};
use super::content::{self, FORMAT, Head, Writer};
use super::restore::{self, Settings};
use crate::pki::{Cluster, ClusterDir, SealedKeys, Sealer};
use crate::replica::now;
use crate::store::AuditRow;

/// A cluster whose keys are in a directory, and a key pair for its backups.
struct Stage {
    dir: tempfile::TempDir,
    cluster: Cluster,
    identity: Identity,
}

fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster { cluster_id: Uuid::now_v7(), region: "local".into(), zones: vec!["a".into()] };
    let keys = ClusterDir::new(dir.path().join("old"));
    keys.init(&cluster, 1, Duration::from_secs(60)).unwrap();
    let identity = Identity::generate().unwrap();
    let stage = Stage { dir, cluster, identity };
    stage.secret("identity", &stage.identity.to_text());
    stage
}

impl Stage {
    fn secret(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn keys(&self) -> SealedKeys {
        ClusterDir::new(self.dir.path().join("old")).sealed().unwrap()
    }

    fn sealer(&self) -> std::sync::Arc<Sealer> {
        ClusterDir::new(self.dir.path().join("old")).open(Duration::from_secs(60)).unwrap().sealer
    }

    fn state(&self) -> State {
        let Cluster { cluster_id, region, zones } = self.cluster.clone();
        let mut state = State::default();
        let envelope = Envelope {
            format: ENVELOPE_FORMAT,
            request_id: Uuid::now_v7(),
            actor: "system".into(),
            trace: None,
            time: now(),
            command: Command::Found(Founding { cluster_id, region, zones, catalogue: Vec::new() }),
        };
        state.apply(3, &envelope).outcome.unwrap();
        state
    }

    fn head(&self) -> Head {
        Head {
            rempart_backup: FORMAT,
            backup_id: Uuid::now_v7(),
            cluster_id: self.cluster.cluster_id,
            region: self.cluster.region.clone(),
            zones: self.cluster.zones.clone(),
            taken_at: now(),
            applied_index: 3,
            incarnation: 1,
            version: "0".into(),
            controllers: vec![1, 2, 3],
        }
    }

    /// A backup in clear.
    fn clear(&self, sealer: &Sealer) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), &self.head(), &self.keys(), &self.state()).unwrap();
        writer.audit(row(2)).unwrap();
        writer.audit(row(3)).unwrap();
        writer.finish(sealer).unwrap()
    }

    /// Encrypts `clear` into the file that is restored.
    fn put(&self, clear: &[u8]) {
        let mut encryptor = Encryptor::begin(&[self.identity.recipient().unwrap()], Vec::new()).unwrap();
        encryptor.write_all(clear).unwrap();
        fs::write(self.dir.path().join("backup"), encryptor.finish().unwrap()).unwrap();
    }

    fn settings(&self) -> Settings {
        let at = |name: &str| self.dir.path().join(name);
        Settings {
            backup: at("backup"),
            identity: at("identity"),
            root_key: at("old/root.key"),
            cluster_dir: at("new"),
            data_dir: at("data"),
            replica_id: 4,
            address: "localhost:7080".into(),
            incarnation: None,
            database_url: None,
            postgres_user: "postgres".into(),
        }
    }

    /// It is refused with such words, and nothing is written.
    fn refused(&self, change: impl FnOnce(&mut Settings), words: &str) {
        let mut settings = self.settings();
        change(&mut settings);
        let before = listing(self.dir.path());
        let error = restore::verify(settings).err().expect(words).to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(listing(self.dir.path()), before, "something was written");
    }
}

fn listing(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(listing(&path));
        }
        names.push(path.display().to_string());
    }
    names.sort();
    names
}

fn row(log_index: i64) -> AuditRow {
    AuditRow {
        log_index,
        ordinal: 0,
        at_ms: 1,
        request_id: Uuid::from_u128(9),
        actor: "alice".into(),
        action: "put".into(),
        subject: "tenants/acme".into(),
        outcome: "{ \"accepted\": true }".into(),
    }
}

#[test]
fn what_is_written_is_read_back() {
    let stage = stage();
    let clear = stage.clear(&stage.sealer());
    let mut rows = Vec::new();
    let contents = content::read(&mut &clear[..], |row| {
        rows.push(row);
        Ok(())
    });
    let contents = contents.unwrap();
    assert_eq!(rows, [row(2), row(3)]);
    assert_eq!((contents.end.resources, contents.end.audit), (1, 2));
    assert_eq!(contents.keys, stage.keys());
    assert!(contents.is_marked_by(&stage.sealer()));
    assert!(!clear.windows(8).any(|window| window == b"root.key"));
}

#[test]
fn a_cut_or_a_change_anywhere_is_found() {
    let stage = stage();
    let clear = stage.clear(&stage.sealer());
    let read = |bytes: &[u8]| {
        content::read(&mut &*bytes, |_| Ok(())).map(|contents| contents.is_marked_by(&stage.sealer()))
    };
    assert!(read(&clear).unwrap());
    for at in 0..clear.len() {
        assert!(read(&clear[..at]).is_err(), "cut at byte {at}");
        let mut changed = clear.clone();
        changed[at] ^= 1;
        // What the digest does not cover is the mark.
        assert!(!matches!(read(&changed), Ok(true)), "byte {at} was changed");
    }
    assert!(read(&[&clear[..], b"{}\n"].concat()).is_err());
}

#[test]
fn a_good_one_is_verified_and_nothing_written() {
    let stage = stage();
    stage.put(&stage.clear(&stage.sealer()));
    fs::create_dir_all(stage.dir.path().join("data/blobs")).unwrap();
    let before = listing(stage.dir.path());
    let verified = restore::verify(stage.settings()).unwrap();
    assert_eq!((verified.incarnation, verified.end.audit, verified.head.applied_index), (2, 2, 3));
    assert_eq!(listing(stage.dir.path()), before);
}

#[test]
fn what_cannot_be_restored_is_refused_with_words() {
    let stage = stage();
    stage.put(&stage.clear(&stage.sealer()));
    let at = |name: &str| stage.dir.path().join(name);
    stage.secret("other", &Identity::generate().unwrap().to_text());
    stage.refused(|settings| settings.identity = at("other"), "encrypted to other keys");
    stage.refused(|settings| settings.identity = at("backup"), "others may read it");
    stage.secret("no-key", "AGE-SECRET-KEY-1");
    stage.refused(|settings| settings.identity = at("no-key"), "no private key of age");
    let elsewhere = ClusterDir::new(at("elsewhere"));
    elsewhere.init(&stage.cluster, 1, Duration::from_secs(60)).unwrap();
    stage.refused(
        |settings| settings.root_key = at("elsewhere/root.key"),
        "is root.key that of this cluster?",
    );
    stage.refused(|settings| settings.cluster_dir = at("old"), "belongs to a cluster already");
    stage.refused(|settings| settings.data_dir = at("old"), "is not empty");
    stage.refused(|settings| settings.replica_id = 3, "above every one");
    stage.refused(|settings| settings.incarnation = Some(1), "has a higher one");
    stage.refused(|settings| settings.address = "here".into(), "HOST:PORT");
    stage.refused(|settings| settings.backup = at("none"), "No such file");
    stage.refused(|settings| settings.backup = at("identity"), "as a file of age does");

    let whole = fs::read(at("backup")).unwrap();
    fs::write(at("backup"), &whole[..whole.len() - 1]).unwrap();
    stage.refused(|_| {}, "it was cut, or its bytes were changed");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(at("backup"), flipped).unwrap();
    stage.refused(|_| {}, "damaged");
}

/// Whatever the byte: a stream that broke off, a full disk, a copy that was not waited for.
#[test]
fn a_file_that_was_cut_is_refused_whatever_the_byte() {
    let stage = stage();
    let sealer = stage.sealer();
    let path = stage.dir.path().join("backup");
    let cut_at = |whole: &[u8], at: usize| {
        fs::write(&path, &whole[..at]).unwrap();
        let error = restore::verify(stage.settings()).err().unwrap_or_else(|| panic!("cut at byte {at}"));
        let words = error.to_string();
        let clear = words.contains("cut") || (at == 0 && words.contains("it is empty"));
        assert!(clear && words.contains("nothing was written"), "cut at byte {at}: {words}");
    };
    let before = {
        stage.put(&stage.clear(&sealer));
        listing(stage.dir.path())
    };
    let small = fs::read(&path).unwrap();
    (0..small.len()).for_each(|at| cut_at(&small, at));
    // Of many chunks, around where one ends: what is left of it are whole chunks.
    let mut writer = Writer::begin(Vec::new(), &stage.head(), &stage.keys(), &stage.state()).unwrap();
    for index in 0..2000 {
        writer.audit(row(index % 4)).unwrap();
    }
    stage.put(&writer.finish(&sealer).unwrap());
    let large = fs::read(&path).unwrap();
    let chunk = (64 << 10) + 16;
    assert!(large.len() > 3 * chunk, "{} bytes", large.len());
    // Chunks begin behind the header and a nonce.
    let header = large.windows(5).position(|window| window == b"\n--- ").unwrap();
    let payload = header + 5 + large[header + 5..].iter().position(|byte| *byte == b'\n').unwrap() + 1 + 16;
    let ends = (1..).map(|count| payload + count * chunk).take_while(|end| *end < large.len());
    let ends: Vec<usize> = ends.flat_map(|end| [end - 1, end, end + 1]).collect();
    assert!(ends.len() >= 9, "{ends:?}");
    ends.into_iter().chain([large.len() - 1]).for_each(|at| cut_at(&large, at));
    fs::write(&path, &large).unwrap();
    assert_eq!(restore::verify(stage.settings()).unwrap().end.audit, 2000, "it is sound as a whole");
    assert_eq!(listing(stage.dir.path()), before, "something was written");
}

/// Whoever has the public key can encrypt what he likes.
#[test]
fn what_another_one_wrote_is_not_believed() {
    let stage = stage();
    let elsewhere = ClusterDir::new(stage.dir.path().join("elsewhere"));
    elsewhere.init(&stage.cluster, 1, Duration::from_secs(60)).unwrap();
    let stranger = elsewhere.open(Duration::from_secs(60)).unwrap().sealer;
    stage.put(&stage.clear(&stranger));
    stage.refused(|_| {}, "not written by a controller of the cluster");
    // A backup that was cut before it was encrypted.
    let clear = stage.clear(&stage.sealer());
    let lines: Vec<&[u8]> = clear.split_inclusive(|byte| *byte == b'\n').collect();
    stage.put(&lines[..lines.len() - 1].concat());
    stage.refused(|_| {}, "ends before its end");
}

/// The lines of format 1. They stay readable for ever.
#[test]
fn golden() {
    let text = include_str!("testdata/format1.jsonl");
    let mut rows = Vec::new();
    let contents = content::read(&mut text.as_bytes(), |row| {
        rows.push(row);
        io::Result::Ok(())
    });
    let contents = contents.unwrap();
    assert_eq!(rows, [row(2), row(3)]);
    assert_eq!(contents.head.controllers, [1, 2, 3]);
    assert_eq!((contents.state.object_count(), contents.end.audit), (1, 2));
    assert_eq!(contents.keys.ca_key, "c2VhbGVk");
}
