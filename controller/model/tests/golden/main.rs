//! Bytes that were written once are readable for ever, and mean what they meant.
//!
//! `testdata/golden` holds log entries, `rows` under it what is stored of a State, `history` a whole log and the State
//! it leads to. A file there is never changed. `GOLDEN_WRITE_NEW=1 cargo test -p rempart-model --test golden` adds the
//! files of samples that have none.

#![allow(clippy::unwrap_used)] // a test: what cannot be unwrapped fails it

mod entries;
mod history;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rempart_api::{Reference, StringMap, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// Declares the labels of an enumeration's variants: every one has to have a golden file.
macro_rules! labels {
    ($function:ident, $all:ident, $enumeration:ident { $($variant:ident => $label:literal),+ $(,)? }) => {
        pub(crate) const $all: &[&str] = &[$($label),+];
        pub(crate) fn $function(value: &$enumeration) -> &'static str {
            match value { $($enumeration::$variant { .. } => $label),+ }
        }
    };
}
pub(crate) use labels;

fn directory(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden").join(inside)
}

fn may_write() -> bool {
    std::env::var_os("GOLDEN_WRITE_NEW").is_some()
}

/// Every file of a directory, by name.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// Every file of `inside` is read and written back byte by byte; every label has a file; every sample has one.
fn check<T: Serialize + DeserializeOwned>(
    inside: &str,
    samples: Vec<T>,
    label: impl Fn(&T) -> String,
    all_labels: &[String],
) {
    let directory = directory(inside);
    let mut files = files(&directory);
    for sample in samples {
        let text = serde_json::to_string(&sample).unwrap();
        if files.values().any(|known| *known == text) {
            continue;
        }
        let name = format!("{:04}-{}", files.len() + 1, label(&sample));
        assert!(
            may_write(),
            "no golden file has the bytes of this {name}; new meaning, or an accident?\n{text}"
        );
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.json")), &text).unwrap();
        files.insert(name, text);
    }
    let mut seen = BTreeSet::new();
    for (position, (name, text)) in files.iter().enumerate() {
        let read: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_string(&read).unwrap(), *text, "{name} is written differently now");
        assert_eq!(*name, format!("{:04}-{}", position + 1, label(&read)), "its name");
        seen.insert(label(&read));
    }
    for expected in all_labels {
        assert!(seen.contains(expected), "no golden file of {expected}");
    }
}

pub(crate) fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number)
}

pub(crate) fn time(second: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + second * 1000)
}

pub(crate) fn reference(resource: &str) -> Reference {
    Reference { resource: resource.into(), provider: None, region: None, tenant: None, workspace: None }
}

pub(crate) fn map(entries: &[(&str, &str)]) -> StringMap {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
