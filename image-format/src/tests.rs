use super::*;
use std::path::Path;
use std::process::Command;

const MIB: u64 = 1 << 20;

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn judged(format: Format, bytes: &[u8]) -> Result<u64, String> {
    let mut read = 0;
    let mut read_at = |offset: u64, buffer: &mut [u8]| {
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        read += count;
        Ok(count)
    };
    let outcome = judge(format, bytes.len() as u64, &mut read_at).map_err(|unfit| unfit.to_string());
    assert!(read <= 2 * bytes.len() + HEADER_WINDOW_BYTES, "{read} bytes read of {}", bytes.len());
    outcome
}

fn check(format: Format, bytes: &[u8], expected: &str) {
    match judged(format, bytes) {
        Ok(_) => assert_eq!(expected, "", "accepted"),
        Err(why) => assert!(!expected.is_empty() && why.contains(expected), "{why}, not {expected:?}"),
    }
}

/// A disk with something in every other MiB, as qcow2 made with `options`.
fn filled(dir: &Path, options: &[&str]) -> Vec<u8> {
    let (raw, qcow2) = (dir.join("disk.raw"), dir.join("disk.qcow2"));
    let mut disk = vec![0; 40 << 20];
    for (number, byte) in disk.iter_mut().enumerate() {
        if (number >> 20).is_multiple_of(2) {
            *byte = (number.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0];
        }
    }
    std::fs::write(&raw, disk).unwrap();
    let mut arguments = vec!["convert", "-f", "raw", "-O", "qcow2"];
    arguments.extend(options);
    arguments.extend([raw.to_str().unwrap(), qcow2.to_str().unwrap()]);
    run("qemu-img", &arguments);
    std::fs::read(&qcow2).unwrap()
}

#[test]
fn what_qemu_makes_is_accepted_and_what_is_cut_short_is_not() {
    for options in [
        &[][..],
        &["-c"],
        &["-o", "cluster_size=4k"],
        &["-o", "compat=0.10"],
        &["-o", "extended_l2=on,cluster_size=128k"],
        &["-o", "preallocation=metadata"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = filled(dir.path(), options);
        assert_eq!(judged(Format::Qcow2, &bytes), Ok(40 * MIB), "{options:?}");
        for part in [bytes.len() / 2, bytes.len() - (bytes.len() / 8)] {
            let why = judged(Format::Qcow2, &bytes[..part]).unwrap_err();
            assert!(
                why.contains("complete") || why.contains("outside the file"),
                "{options:?} {part}: {why}"
            );
        }
    }
}

#[test]
fn one_format_is_not_taken_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let qcow2 = filled(dir.path(), &[]);
    // Opened without a format, it would be followed wherever its header leads.
    check(Format::Raw, &qcow2, "declare it as qcow2");
    // A VMDK descriptor names any file of the host as its content (CVE-2022-47951).
    let vmdk = dir.path().join("disk.vmdk");
    for subformat in ["monolithicSparse", "monolithicFlat"] {
        let option = format!("subformat={subformat}");
        run("qemu-img", &["create", "-q", "-f", "vmdk", "-o", &option, vmdk.to_str().unwrap(), "4M"]);
        let bytes = std::fs::read(&vmdk).unwrap();
        check(Format::Raw, &bytes, "VMDK");
        check(Format::Qcow2, &bytes, "VMDK");
        std::fs::remove_file(&vmdk).unwrap();
    }
    for (format, name) in
        [("vdi", "VDI"), ("vhdx", "VHDX"), ("vpc", "VHD"), ("qed", "QED"), ("parallels", "Parallels")]
    {
        let path = dir.path().join(format);
        run("qemu-img", &["create", "-q", "-f", format, path.to_str().unwrap(), "4M"]);
        check(Format::Raw, &std::fs::read(&path).unwrap(), name);
    }
    check(Format::Raw, b"\x1f\x8b\x08 and so on", "decompress");
    check(Format::Qcow2, &[0; 4096], "no qcow2 header");
}

#[test]
fn raw_disks_have_whole_sectors() {
    check(Format::Raw, &[], "empty");
    check(Format::Raw, &[7; 511], "whole sectors");
    assert_eq!(judged(Format::Raw, &[7; 512]), Ok(512));
}

#[test]
fn tables_that_lead_astray_are_refused() {
    // Past the end of the file, onto the header, or between two clusters.
    let dir = tempfile::tempdir().unwrap();
    let sound = filled(dir.path(), &[]);
    let header = Header::parse(&sound).unwrap();
    let astray = |table: (u64, u64), value: u64, expected: &str| {
        let mut bytes = sound.clone();
        let at = usize::try_from(table.0).unwrap();
        bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
        check(Format::Qcow2, &bytes, expected);
    };
    astray(header.l1_table(), 1 << 40, "L2 table lies outside");
    astray(header.l1_table(), 512, "L2 table lies outside");
    astray(header.refcount_table(), 1 << 40, "refcount block lies outside");
    let l1 = usize::try_from(header.l1_table().0).unwrap();
    let word: [u8; 8] = sound[l1..l1 + 8].try_into().unwrap();
    let l2 = u64::from_be_bytes(word) & !(1 << 63);
    astray((l2, 8), 1 << 40, "data lies outside");
    astray((l2, 8), (5 << 16) + 512, "data lies outside");
}

#[test]
fn a_table_named_again_and_again_is_not_read_again_and_again() {
    // A small file whose L1 table has 64 Ki entries, all of the same L2 table: 4 GiB to read.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", path.to_str().unwrap(), "32T"]);
    let mut bytes = std::fs::read(&path).unwrap();
    let header = Header::parse(&bytes).unwrap();
    let (offset, length) = header.l1_table();
    let table = bytes.len().next_multiple_of(65536);
    bytes.resize(table + 65536, 0);
    let (offset, length) = (usize::try_from(offset).unwrap(), usize::try_from(length).unwrap());
    for entry in bytes[offset..offset + length].chunks_exact_mut(8) {
        entry.copy_from_slice(&(table as u64).to_be_bytes());
    }
    check(Format::Qcow2, &bytes, "L2 table lies outside");
}
