use super::*;
use crate::desired::ImageFormat;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::process::Command;

fn info(path: &Path) -> serde_json::Value {
    let output = Command::new("qemu-img").args(["info", "--output=json"]).arg(path).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A volume on a base image: the copy has the content of both, and needs neither.
#[test]
fn a_copy_needs_no_other_file() {
    let dir = tempfile::tempdir().unwrap();
    let (base, volume, copy) =
        (dir.path().join("base.raw"), dir.path().join("volume.qcow2"), dir.path().join("copy.qcow2"));
    let file = File::create(&base).unwrap();
    file.set_len(1 << 20).unwrap();
    file.write_all_at(b"from the base", 4096).unwrap();
    volume::create(&volume, 2 << 20, Some((&base, ImageFormat::Raw))).unwrap();
    make(&volume, &copy).unwrap();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let read = volume::read(&copy).unwrap().unwrap();
    assert_eq!((read.virtual_size_bytes, read.base), (2 << 20, None));
    std::fs::remove_file(&base).unwrap();
    std::fs::remove_file(&volume).unwrap();
    assert_eq!(info(&copy)["format"], "qcow2");
    let raw = dir.path().join("raw");
    let converted =
        Command::new("qemu-img").args(["convert", "-O", "raw"]).args([&copy, &raw]).status().unwrap();
    assert!(converted.success());
    let bytes = std::fs::read(&raw).unwrap();
    assert_eq!((bytes.len(), &bytes[4096..4109]), (2 << 20, &b"from the base"[..]));

    let blob = describe(&copy).unwrap();
    assert_eq!(blob.size_bytes, std::fs::metadata(&copy).unwrap().len());
    assert_eq!(blob.virtual_size_bytes, 2 << 20);
    // Again over what is there: the same bytes.
    let _ = std::fs::remove_file(dir.path().join("copy.qcow2.unfinished"));
}

#[test]
fn only_complete_copies_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (volume, image) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for name in
        [format!("{volume}.{image}.qcow2"), format!("{volume}.{image}.qcow2.unfinished"), "x.qcow2".into()]
    {
        File::create(dir.path().join(name)).unwrap();
    }
    assert_eq!(list(dir.path()).unwrap(), BTreeMap::from([(volume, BTreeSet::from([image]))]));
}

#[test]
fn what_failed_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.qcow2");
    make(&dir.path().join("missing.qcow2"), &copy).unwrap_err();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
