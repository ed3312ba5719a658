use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn a_blank_volume_is_made_once_and_grows() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("v.qcow2");
    assert_eq!(read(&path).unwrap(), None);
    create(&path, 8 * MIB, None).unwrap();
    assert_eq!(read(&path).unwrap(), Some(VolumeFile { virtual_size_bytes: 8 * MIB, base: None }));
    assert!(matches!(create(&path, 16 * MIB, None), Err(DiskError::VolumeExists(_))));
    grow(&path, 16 * MIB).unwrap();
    assert_eq!(read(&path).unwrap().unwrap().virtual_size_bytes, 16 * MIB);
    delete(&path).unwrap();
    delete(&path).unwrap();
    assert_eq!(read(&path).unwrap(), None);
}

#[test]
fn a_volume_on_an_image_names_it_with_its_format() {
    let temp = tempfile::tempdir().unwrap();
    let base = temp.path().join("base.raw");
    std::fs::write(&base, vec![1; 1 << 20]).unwrap();
    let path = temp.path().join("v.qcow2");
    create(&path, 8 * MIB, Some((&base, ImageFormat::Raw))).unwrap();
    let file = read(&path).unwrap().unwrap();
    assert_eq!(file, VolumeFile { virtual_size_bytes: 8 * MIB, base: Some((base, "raw".into())) });
}

#[test]
fn a_volume_is_for_its_owner_alone_whatever_was_there_and_however_it_grows() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("v.qcow2");
    let base = temp.path().join("base.raw");
    std::fs::write(&base, vec![1; 1 << 20]).unwrap();
    std::fs::write(durable::unfinished(&path), b"for all to read").unwrap();
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    create(&path, 8 * MIB, Some((&base, ImageFormat::Raw))).unwrap();
    assert_eq!(mode(), 0o600);
    grow(&path, 16 * MIB).unwrap();
    assert_eq!(mode(), 0o600);
}

#[test]
fn leftovers_of_a_crash_do_no_harm() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("v.qcow2");
    std::fs::write(durable::unfinished(&path), b"half").unwrap();
    create(&path, MIB, None).unwrap();
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_no_qcow2_is_an_error_and_not_an_absence() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("v.qcow2");
    std::fs::write(&path, b"garbage").unwrap();
    assert!(read(&path).is_err());
}

#[test]
fn the_tool_is_bounded_and_its_words_are_kept() {
    let temp = tempfile::tempdir().unwrap();
    let error = grow(&temp.path().join("missing"), MIB).unwrap_err();
    assert!(error.to_string().contains("qemu-img resize failed"), "{error}");
    let slow =
        run("create", Command::new("sleep").arg("60"), Bounds { time: Duration::from_millis(50), cpu_s: 1 });
    assert!(slow.unwrap_err().to_string().contains("no end"));
    // More than a pipe holds: whoever does not listen waits for its end in vain.
    let mut talker = Command::new("sh");
    talker.args(["-c", "echo why >&2; head -c 1000000 /dev/zero >&2; exit 3"]);
    let told = run("create", &mut talker, Bounds { time: Duration::from_secs(60), cpu_s: 10 })
        .unwrap_err()
        .to_string();
    assert!(told.contains("why") && told.contains('3') && told.len() < 10_000, "{} bytes", told.len());
    let spinning = Instant::now();
    assert!(run("create", Command::new("false").arg("x"), Bounds::SHORT).is_err());
    assert!(spinning.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_a_guest_writes_on_its_disk_is_never_taken_for_a_header() {
    // CVE-2026-24708: a guest writes a qcow2 header that names a file of the host onto its disk; then the disk grows.
    let temp = tempfile::tempdir().unwrap();
    let secret = temp.path().join("secret");
    std::fs::write(&secret, vec![b'S'; 64 << 10]).unwrap();
    let header = temp.path().join("header");
    let mut made = Command::new("qemu-img");
    made.args(["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b"]);
    assert!(made.arg(&secret).arg(&header).arg("64M").status().unwrap().success());
    let base = temp.path().join("base.raw");
    std::fs::write(&base, vec![0; 1 << 20]).unwrap();
    for (name, on) in [("blank", None), ("on-raw", Some((base.as_path(), ImageFormat::Raw)))] {
        let path = temp.path().join(name);
        create(&path, 8 * MIB, on).unwrap();
        // As QEMU does for a guest: bytes on the disk, not in the file.
        let io = |command: &str| {
            let output =
                Command::new("qemu-io").args(["-f", "qcow2", "-c", command]).arg(&path).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && !said.contains("failed"), "{command}: {said}");
            said
        };
        io(&format!("write -s {} 0 64k", header.display()));
        let before = read(&path).unwrap().unwrap();
        grow(&path, 16 * MIB).unwrap();
        let after = read(&path).unwrap().unwrap();
        assert_eq!(after, VolumeFile { virtual_size_bytes: 16 * MIB, base: before.base });
        assert!(after.base.is_none_or(|(file, format)| file == base && format == "raw"));
        // The guest finds its own bytes and none of the host's; the host's file is as it was.
        assert!(io("read -v 0 16").contains("51 46 49 fb"), "its own header");
        io("read -P 0 1M 7M");
        assert_eq!(std::fs::read(&secret).unwrap(), vec![b'S'; 64 << 10]);
    }
}
