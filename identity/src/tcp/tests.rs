//! A machine that is really gone: the loopback of a network namespace of the test's own, taken down.

use super::*;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const NAME: &str = "tcp::tests::a_machine_that_went_without_a_word_is_noticed";
/// Set inside of the namespace.
const INSIDE: &str = "REMPART_TEST_OWN_NETWORK";

#[test]
fn a_machine_that_went_without_a_word_is_noticed() {
    if std::env::var_os(INSIDE).is_some() {
        return tokio::runtime::Runtime::new().unwrap().block_on(inside());
    }
    // A namespace is a process's, and so this test runs itself again.
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}{why}");
}

fn loopback(state: &str) {
    let status = Command::new("ip").args(["link", "set", "lo", state]).status().unwrap();
    assert!(status.success(), "ip link set lo {state}");
}

/// Both ends of a connection, tended.
async fn connection(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    tend(&dialled).unwrap();
    tend(&accepted).unwrap();
    (dialled, accepted)
}

async fn breaks(mut end: TcpStream) {
    let error = end.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
}

async fn inside() {
    loopback("up");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (silent, heard) = connection(&listener).await;
    let (mut talking, listening) = connection(&listener).await;
    let (never_tended, _other) = {
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (dialled, listener.accept().await.unwrap())
    };
    loopback("down");
    talking.write_all(b"under way").await.unwrap();
    let all = async { tokio::join!(breaks(silent), breaks(heard), breaks(talking), breaks(listening)) };
    // Two hours and a quarter of one are Linux's own measures.
    tokio::time::timeout(4 * VANISHED_WITHIN, all).await.expect("all four ends break");
    let mut byte = [0];
    let still = never_tended.try_read(&mut byte).unwrap_err();
    assert_eq!(
        still.kind(),
        io::ErrorKind::WouldBlock,
        "it breaks without being tended: this test tests nothing"
    );
}
