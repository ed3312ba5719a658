use super::*;
use std::io::Write;

fn run_dir(log: &[u8], before: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(current(dir.path()), log).unwrap();
    std::fs::write(previous(dir.path()), before).unwrap();
    dir
}

#[test]
fn the_end_of_a_log_reaches_into_what_was_rotated() {
    let dir = run_dir(b"new", b"older");
    let check = |bytes, expected: &[u8]| assert_eq!(tail(dir.path(), bytes).unwrap(), expected);
    check(0, b"");
    check(2, b"ew");
    check(3, b"new");
    check(5, b"ernew");
    check(usize::MAX, b"oldernew");
    std::fs::remove_file(current(dir.path())).unwrap();
    check(5, b"older");
    assert_eq!(tail(Path::new("/nonexistent"), 5).unwrap(), b"", "a guest that never ran");
}

#[test]
fn a_log_that_grew_too_large_is_cut_and_its_writer_goes_on() {
    let dir = run_dir(b"", b"long ago");
    let mut writer = OpenOptions::new().append(true).open(current(dir.path())).unwrap();
    writer.write_all(b"0123456789").unwrap();
    cut(dir.path(), 10, 4).unwrap();
    assert_eq!(tail(dir.path(), 99).unwrap(), b"long ago0123456789", "not yet");
    writer.write_all(b"ab").unwrap();
    cut(dir.path(), 10, 4).unwrap();
    assert_eq!(tail(dir.path(), 99).unwrap(), b"89ab");
    writer.write_all(b"more").unwrap();
    assert_eq!(tail(dir.path(), 99).unwrap(), b"89abmore");
    assert_eq!(std::fs::metadata(current(dir.path())).unwrap().len(), 4, "no hole in front");
}

#[test]
fn what_is_no_file_is_not_read() {
    let dir = run_dir(b"secret", b"");
    std::fs::rename(current(dir.path()), dir.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), current(dir.path())).unwrap();
    assert!(tail(dir.path(), 9).is_err());
    assert!(cut(dir.path(), 0, 1).is_err());
}
