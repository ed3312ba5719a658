use super::*;
use std::os::unix::fs::FileTypeExt as _;
use std::time::Duration;
use tokio::net::UnixListener;

const GUEST: Uuid = Uuid::from_u128(7);

/// A guest's directory with QEMU's end of its serial port.
fn guest() -> (tempfile::TempDir, Serials, UnixListener) {
    let dir = tempfile::Builder::new().prefix("rs").tempdir_in("/tmp").unwrap();
    let data = DataDir::new(dir.path());
    std::fs::create_dir_all(data.run_dir(GUEST)).unwrap();
    std::fs::write(data.run_dir(GUEST).join("serial.log"), "said before\n").unwrap();
    let listener = UnixListener::bind(data.run_dir(GUEST).join("serial.sock")).unwrap();
    (dir, Serials::new(data), listener)
}

async fn sees(viewer: &mut Viewer, expected: &str) {
    let mut seen = Vec::new();
    let all = async {
        while !String::from_utf8_lossy(&seen).ends_with(expected) {
            seen.extend(viewer.next().await.expect("more"));
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(20), all).await.is_ok(),
        "{}",
        String::from_utf8_lossy(&seen)
    );
}

#[tokio::test]
async fn all_viewers_see_the_same_and_all_may_type() {
    let (_dir, serials, listener) = guest();
    let mut first = serials.watch(GUEST).await.unwrap();
    let (mut qemu, _) = listener.accept().await.unwrap();
    sees(&mut first, "said before\n").await;
    qemu.write_all(b"one\n").await.unwrap();
    sees(&mut first, "one\n").await;
    let mut second = serials.watch(GUEST).await.unwrap();
    sees(&mut second, "said before\none\n").await;
    qemu.write_all(b"two\n").await.unwrap();
    sees(&mut first, "two\n").await;
    sees(&mut second, "two\n").await;
    assert!(first.typist().type_in(b"a".to_vec()).await && second.typist().type_in(b"b".to_vec()).await);
    let mut typed = [0; 2];
    qemu.read_exact(&mut typed).await.unwrap();
    assert_eq!(&typed, b"ab");
    // The last one that goes closes the port; who comes then opens it again.
    drop((first, second));
    assert_eq!(qemu.read(&mut typed).await.unwrap(), 0);
    let third = serials.watch(GUEST).await.unwrap();
    let (qemu, _) = listener.accept().await.unwrap();
    // The guest goes off.
    drop((qemu, listener));
    let mut third = third;
    sees(&mut third, "said before\n").await;
    assert_eq!(third.next().await, None);
    assert!(serials.watch(GUEST).await.is_err(), "nobody listens there any more");
}

#[tokio::test]
async fn a_viewer_that_does_not_read_holds_up_neither_guest_nor_others() {
    let (_dir, serials, listener) = guest();
    let mut asleep = serials.watch(GUEST).await.unwrap();
    let (mut qemu, _) = listener.accept().await.unwrap();
    let mut awake = serials.watch(GUEST).await.unwrap();
    let flood = 8 * RING_BYTES;
    tokio::time::timeout(Duration::from_secs(60), qemu.write_all(&vec![b'x'; flood])).await.unwrap().unwrap();
    qemu.write_all(b"the end").await.unwrap();
    sees(&mut awake, "the end").await;
    let ring = asleep.port.shown.ring().read(0, usize::MAX);
    assert_eq!(ring.bytes.len(), RING_BYTES, "no more is kept");
    let first = String::from_utf8(asleep.next().await.unwrap()).unwrap();
    assert_eq!(first, format!("\r\n[{} bytes of output left out]\r\n", ring.missed));
    sees(&mut asleep, "the end").await;
}

#[tokio::test]
async fn what_is_typed_waits_until_the_guest_takes_it() {
    let (dir, serials, listener) = guest();
    let socket = dir.path().join(format!("guests/{GUEST}/serial.sock"));
    assert!(std::fs::metadata(socket).unwrap().file_type().is_socket());
    let viewer = serials.watch(GUEST).await.unwrap();
    let (mut qemu, _) = listener.accept().await.unwrap();
    let typist = viewer.typist();
    let typing = tokio::spawn(async move {
        for _ in 0..200 {
            assert!(typist.type_in(vec![b't'; CHUNK_BYTES]).await);
        }
    });
    // It reads; so all of it comes in the end.
    let mut taken = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    while taken < 200 * CHUNK_BYTES {
        taken += qemu.read(&mut chunk).await.unwrap();
    }
    typing.await.unwrap();
}
