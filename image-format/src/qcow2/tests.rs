use super::*;
use proptest::prelude::*;

const SIZE: u64 = 64 << 20;
const FILE: u64 = 1 << 20;

/// The header of an empty image of 64 MiB, with clusters of 64 KiB, as qemu-img lays it out.
fn sound() -> Vec<u8> {
    let mut bytes = vec![0; 65536];
    bytes[..4].copy_from_slice(MAGIC);
    put32(&mut bytes, 4, 3);
    put32(&mut bytes, 20, 16);
    put64(&mut bytes, 24, SIZE);
    put32(&mut bytes, 36, 1);
    put64(&mut bytes, 40, 3 << 16);
    put64(&mut bytes, 48, 1 << 16);
    put32(&mut bytes, 56, 1);
    put32(&mut bytes, 100, 104);
    bytes
}

fn put32(bytes: &mut [u8], offset: usize, value: u32) {
    bytes[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
}

fn put64(bytes: &mut [u8], offset: usize, value: u64) {
    bytes[offset..offset + 8].copy_from_slice(&value.to_be_bytes());
}

fn admit(bytes: &[u8], file_bytes: u64) -> Result<(), HeaderError> {
    let header = Header::parse(bytes)?;
    header.check_stands_alone()?;
    header.check_tables(file_bytes)
}

/// Changes a sound header and expects the refusal to mention `expected` ("" = accepted).
fn check(change: impl FnOnce(&mut Vec<u8>), expected: &str) {
    let mut bytes = sound();
    change(&mut bytes);
    let outcome = admit(&bytes, FILE);
    match outcome {
        Ok(()) => assert_eq!(expected, "", "accepted"),
        Err(error) => {
            assert!(
                !expected.is_empty() && error.to_string().contains(expected),
                "{error}, not {expected:?}"
            );
        }
    }
}

#[test]
fn a_sound_image_is_admitted() {
    check(|_| {}, "");
    check(|bytes| put32(bytes, 4, 2), "");
}

#[test]
fn anything_that_leads_out_of_the_file_is_refused() {
    // A backing file; an external data file (CVE-2024-32498).
    check(
        |bytes| {
            put64(bytes, 8, 512);
            put32(bytes, 16, 11);
            bytes[512..523].copy_from_slice(b"/etc/shadow");
        },
        "backing file",
    );
    check(|bytes| put64(bytes, 72, INCOMPATIBLE_EXTERNAL_DATA), "external data file");
    check(
        |bytes| {
            put32(bytes, 104, EXTENSION_EXTERNAL_DATA);
            put32(bytes, 108, 4);
        },
        "external data file",
    );
    check(
        |bytes| {
            put32(bytes, 104, EXTENSION_BACKING_FORMAT);
            put32(bytes, 108, 3);
        },
        "backing file",
    );
    check(|bytes| put32(bytes, 32, 2), "encrypted");
}

#[test]
fn sizes_are_bounded() {
    // Eight exbibytes in a small file, and tables to match.
    check(|bytes| put64(bytes, 24, 8 << 60), "virtual size");
    check(|bytes| put64(bytes, 24, 0), "virtual size");
    check(|bytes| put64(bytes, 24, SIZE + 7), "virtual size");
    check(|bytes| put32(bytes, 96, 7), "refcounts of 2^7 bits");
    check(|bytes| put32(bytes, 36, 0), "L1 table is too small");
    check(|bytes| put32(bytes, 36, u32::MAX), "L1 table is too large");
    check(|bytes| put32(bytes, 56, u32::MAX), "refcount table");
    check(|bytes| put32(bytes, 56, 0), "refcount table");
    check(|bytes| put64(bytes, 40, u64::MAX - 65535), "outside the file");
    check(|bytes| put64(bytes, 48, FILE), "outside the file");
    check(|bytes| put64(bytes, 40, 3), "outside the file");
}

#[test]
fn what_is_not_understood_is_refused() {
    check(|bytes| put32(bytes, 4, 4), "version 4");
    check(|bytes| put32(bytes, 20, 63), "clusters");
    check(|bytes| put64(bytes, 72, 1 << 40), "unknown incompatible");
    check(|bytes| put64(bytes, 72, INCOMPATIBLE_DIRTY), "dirty");
    check(|bytes| put64(bytes, 72, INCOMPATIBLE_COMPRESSION), "compression");
    check(|bytes| put32(bytes, 60, 1), "snapshots");
    check(|bytes| put32(bytes, 100, 103), "header of");
    check(|bytes| bytes[0] = 0, "no qcow2 header");
}

#[test]
fn a_header_cut_anywhere_is_refused() {
    // Cut short, or with fields that name what is behind the end.
    let bytes = sound();
    for length in 0..112 {
        assert!(Header::parse(&bytes[..length]).is_err(), "{length} bytes were taken for a header");
    }
    check(|bytes| put64(bytes, 8, u64::MAX), "backing file");
    check(
        |bytes| {
            put32(bytes, 104, 7);
            put32(bytes, 108, u32::MAX);
        },
        "cut short",
    );
    check(
        |bytes| {
            for extension in (104..65536 - 8).step_by(8) {
                put32(bytes, extension, 7);
            }
        },
        "too many header extensions",
    );
}

#[test]
fn a_real_image_is_understood() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a.qcow2");
    let made = std::process::Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(&path)
        .arg(SIZE.to_string())
        .status()
        .unwrap();
    assert!(made.success());
    let bytes = std::fs::read(&path).unwrap();
    let header = Header::parse(&bytes).unwrap();
    assert_eq!(header.virtual_size_bytes, SIZE);
    admit(&bytes, bytes.len() as u64).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut noise in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..104) {
        let mut bytes = sound();
        bytes.truncate(at + noise.len().max(112));
        for (target, value) in bytes[at..].iter_mut().zip(noise.drain(..)) {
            *target = value;
        }
        let _ = admit(&bytes, u64::MAX);
    }
}
