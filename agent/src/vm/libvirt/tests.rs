//! Without a libvirtd; `agent/tests/libvirt.rs` has one.

use super::*;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

fn uri(socket: &Path) -> String {
    format!("qemu+unix:///system?socket={}", socket.display())
}

/// A call fails as unavailable, at once, and says where.
fn check_unavailable(libvirt: &Libvirt, reason: &str) {
    let begin = Instant::now();
    match libvirt.domains() {
        Err(HypervisorError::Unavailable(words)) => {
            assert!(words.starts_with("libvirtd at qemu+unix://"), "{words}");
            assert!(words.contains(reason), "{words}");
        }
        other => panic!("there is no libvirtd, and yet: {other:?}"),
    }
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[test]
fn nobody_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let libvirt = Libvirt::connect(&uri(&directory.path().join("sock"))).unwrap();
    check_unavailable(&libvirt, "No such file or directory");
}

#[test]
fn somebody_is_there_who_never_answers_and_then_goes_away() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let begin = Instant::now();
    let libvirt = Libvirt::connect(&uri(&socket)).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10));
    check_unavailable(&libvirt, "no answer yet");
    drop(listener);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match libvirt.survey() {
            Err(HypervisorError::Unavailable(words)) if words.contains("no answer yet") => {}
            Err(HypervisorError::Unavailable(_)) => break,
            other => panic!("{other:?}"),
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_uri_that_is_none_is_told() {
    let libvirt = Libvirt::connect("nonsense://").unwrap();
    assert!(
        matches!(libvirt.domains(), Err(HypervisorError::Unavailable(words)) if words.contains("nonsense"))
    );
}
