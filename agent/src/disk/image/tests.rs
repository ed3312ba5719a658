use super::*;
use crate::desired::{Digest, ImageFormat};
use std::path::Path;

struct Fixture {
    _temp: tempfile::TempDir,
    store: ImageStore,
    directory: PathBuf,
}

fn fixture() -> Fixture {
    let temp = tempfile::tempdir().unwrap();
    let (directory, records) = (temp.path().join("images"), temp.path().join("records"));
    std::fs::create_dir(&directory).unwrap();
    std::fs::create_dir(&records).unwrap();
    Fixture { store: ImageStore::new(&directory, &records), directory, _temp: temp }
}

fn blob_of(bytes: &[u8], format: ImageFormat) -> Blob {
    Blob {
        sha256: Digest::parse(&format!("{:x}", Sha256::digest(bytes))).unwrap(),
        format,
        size_bytes: bytes.len() as u64,
        virtual_size_bytes: bytes.len() as u64,
    }
}

fn qcow2(path: &Path, arguments: &[&str]) {
    let made = std::process::Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .args(arguments)
        .arg(path)
        .arg("1M")
        .status();
    assert!(made.unwrap().success());
}

#[test]
fn an_image_is_verified_once_and_again_when_it_changed() {
    let Fixture { store, _temp, .. } = fixture();
    let blob = blob_of(&[7; 5120], ImageFormat::Raw);
    assert_eq!(store.state(&blob), ImageState::Missing);
    assert!(matches!(store.verify(&blob), Err(DiskError::ImageMissing(_))));
    std::fs::write(store.file(&blob), [7; 5120]).unwrap();
    assert_eq!(store.state(&blob), ImageState::Unverified);
    store.verify(&blob).unwrap();
    assert_eq!(store.state(&blob), ImageState::Verified);
    let other_size = Blob { virtual_size_bytes: 1, ..blob.clone() };
    assert_eq!(store.state(&other_size), ImageState::Unverified, "declared otherwise");

    std::fs::write(store.file(&blob), [8; 5120]).unwrap();
    assert_eq!(store.state(&blob), ImageState::Unverified);
    let refusal = store.verify(&blob).unwrap_err().to_string();
    assert!(refusal.contains("digest"), "{refusal}");
}

#[test]
fn what_rotted_is_refused_until_the_image_has_its_place_again() {
    let Fixture { store, _temp, .. } = fixture();
    let blob = blob_of(&[7; 5120], ImageFormat::Raw);
    let file = store.file(&blob);
    std::fs::write(&file, [7; 5120]).unwrap();
    store.verify(&blob).unwrap();
    // A bit of it flips, and the times of the file say nothing of it.
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, [8; 5120]).unwrap();
    OpenOptions::new().append(true).open(&file).unwrap().set_modified(modified).unwrap();
    assert_eq!(store.state(&blob), ImageState::Verified, "nobody can tell, for a while");
    let record = OpenOptions::new().append(true).open(store.record(&blob)).unwrap();
    let now = std::time::SystemTime::now();
    for written in [now - VERIFIED_FOR, now + VERIFIED_FOR] {
        record.set_modified(written).unwrap();
        assert_eq!(store.state(&blob), ImageState::Unverified, "{written:?}");
    }
    assert!(matches!(store.verify(&blob), Err(DiskError::ImageRefused { .. })));
    assert_eq!(store.state(&blob), ImageState::Refused);

    // Something that is not the image does not take its place, and the image does.
    std::fs::write(store.unfinished(&blob), [9; 5120]).unwrap();
    assert!(matches!(store.admit(&blob), Err(DiskError::ImageRefused { .. })));
    assert_eq!(store.state(&blob), ImageState::Refused);
    std::fs::write(store.unfinished(&blob), [7; 5120]).unwrap();
    store.admit(&blob).unwrap();
    assert_eq!(store.state(&blob), ImageState::Verified);
    assert_eq!(std::fs::read(&file).unwrap(), [7; 5120]);
}

#[test]
fn what_was_verified_by_an_older_agent_still_counts() {
    let Fixture { store, _temp, .. } = fixture();
    let blob = blob_of(&[7; 5120], ImageFormat::Raw);
    std::fs::write(store.file(&blob), [7; 5120]).unwrap();
    store.verify(&blob).unwrap();
    let record = std::fs::read_to_string(store.record(&blob)).unwrap();
    assert!(!record.contains("refused"), "{record}");
    assert_eq!(store.state(&blob), ImageState::Verified);
}

#[test]
fn what_is_no_regular_file_of_the_declared_size_is_refused() {
    let Fixture { store, directory, _temp } = fixture();
    let blob = blob_of(&[9; 512], ImageFormat::Raw);
    std::fs::write(directory.join("elsewhere"), [9; 512]).unwrap();
    std::os::unix::fs::symlink(directory.join("elsewhere"), store.file(&blob)).unwrap();
    let refusal = store.verify(&blob).unwrap_err().to_string();
    assert!(refusal.contains("symbolic link"), "{refusal}");
    assert_eq!(store.state(&blob), ImageState::Refused);
    std::fs::remove_file(store.file(&blob)).unwrap();
    std::fs::create_dir(store.file(&blob)).unwrap();
    assert!(store.verify(&blob).unwrap_err().to_string().contains("regular"));
    std::fs::remove_dir(store.file(&blob)).unwrap();
    std::fs::write(store.file(&blob), [9; 513]).unwrap();
    assert!(store.verify(&blob).unwrap_err().to_string().contains("declared"));
}

#[test]
fn a_qcow2_that_refers_to_another_file_is_refused_although_its_digest_is_right() {
    let Fixture { store, directory, _temp } = fixture();
    let base = directory.join("base");
    std::fs::write(&base, vec![0; 1 << 20]).unwrap();
    for (arguments, accepted) in
        [(vec!["-b", base.to_str().unwrap(), "-F", "raw"], false), (vec!["-o", "compat=v3"], true)]
    {
        let image = directory.join("image");
        qcow2(&image, &arguments);
        let bytes = std::fs::read(&image).unwrap();
        let blob = Blob { virtual_size_bytes: 1 << 20, ..blob_of(&bytes, ImageFormat::Qcow2) };
        std::fs::rename(&image, store.file(&blob)).unwrap();
        assert_eq!(store.verify(&blob).is_ok(), accepted);
    }
}

#[test]
fn a_raw_image_with_a_qcow2_header_is_refused() {
    // The format is declared; content that contradicts it is no volume's base.
    let Fixture { store, directory, _temp } = fixture();
    let image = directory.join("image");
    qcow2(&image, &[]);
    let bytes = std::fs::read(&image).unwrap();
    let blob = blob_of(&bytes, ImageFormat::Raw);
    std::fs::rename(&image, store.file(&blob)).unwrap();
    assert!(store.verify(&blob).unwrap_err().to_string().contains("qcow2"));
}
