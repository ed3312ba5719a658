use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

struct Server {
    address: SocketAddr,
    /// Rings when a request for /wait has arrived.
    arrived: Arc<Notify>,
    /// Lets that request be answered.
    go_on: Arc<Notify>,
    stop: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

/// Answers "hello".
async fn server(limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let bells = (arrived.clone(), go_on.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (arrived, go_on) = bells.clone();
        async move {
            if request.uri().path() == "/wait" {
                arrived.notify_one();
                go_on.notified().await;
            }
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
        }
    });
    let (stop, stopping) = watch::channel(false);
    let task = tokio::spawn(serve(listener, limits, service, stopping));
    Server { address, arrived, go_on, stop, task }
}

async fn ask(stream: &mut TcpStream, head: &str) -> String {
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"hello") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
        }
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_handshake_has_its_time_and_holds_up_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopping) = watch::channel(false);
    let service = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
    });
    let limits = Limits { head_patience: Duration::from_millis(500), ..Limits::new("test") };
    // One byte has to come first.
    let handshake = |mut stream: TcpStream| async {
        let byte = stream.read_u8().await?;
        if byte == b'!' { Ok(stream) } else { Err(io::ErrorKind::InvalidData.into()) }
    };
    tokio::spawn(serve_over(listener, limits, service, stopping, handshake));
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut wrong = TcpStream::connect(address).await.unwrap();
    wrong.write_all(b"?").await.unwrap();
    let mut right = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut right, "!GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.ends_with("hello"));
    closed(&mut wrong).await;
    assert!(closed(&mut silent).await <= Duration::from_secs(10));
}

/// How long until the other side hangs up.
async fn closed(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.expect("it hangs up");
    start.elapsed()
}

#[tokio::test]
async fn heads_have_bounds() {
    let patience = Duration::from_millis(500);
    let server =
        server(Limits { head_patience: patience, fields: 4, head_bytes: 8192, ..Limits::new("test") }).await;
    let connect = || TcpStream::connect(server.address);

    // A head that never ends.
    let mut slow = connect().await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    assert!(closed(&mut slow).await >= patience / 2);

    // Nothing after an answer.
    let mut idle = connect().await.unwrap();
    assert!(ask(&mut idle, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    assert!(closed(&mut idle).await >= patience / 2);

    // Too many fields; too long.
    let fields: String = (0..5).map(|number| format!("a{number}: b\r\n")).collect();
    let many = ask(&mut connect().await.unwrap(), &format!("GET / HTTP/1.1\r\n{fields}\r\n")).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let long = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(20_000));
    let long = ask(&mut connect().await.unwrap(), &long).await;
    assert!(!long.starts_with("HTTP/1.1 200"), "{long}");
}

#[tokio::test]
async fn idle_connections_hinder_nobody_and_their_number_is_bounded() {
    let server = server(Limits { connections: 2001, ..Limits::new("test") }).await;
    let mut idle = Vec::new();
    for _ in 0..2000 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut one = TcpStream::connect(server.address).await.unwrap();
    let start = Instant::now();
    assert!(ask(&mut one, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.ends_with("hello"));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // Whoever fills all there is with connections that ask nothing, half a head among them, loses them to who asks.
    for stream in &mut idle {
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    }
    for _ in 0..20 {
        let mut another = TcpStream::connect(server.address).await.unwrap();
        assert!(ask(&mut another, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.ends_with("hello"));
        idle.push(another);
    }
    // The first that came went first, and the last that was answered is there still.
    closed(&mut idle[0]).await;
    assert!(ask(&mut one, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.ends_with("hello"));
}

#[tokio::test]
async fn who_is_being_answered_makes_no_room() {
    let server = server(Limits { connections: 1, ..Limits::new("test") }).await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.arrived.notified().await;
    // One more than there is room for is told at once, and the one inside is not disturbed.
    let mut outside = TcpStream::connect(server.address).await.unwrap();
    closed(&mut outside).await;
    server.go_on.notify_one();
    let answer = ask(&mut busy, "").await;
    assert!(answer.ends_with("hello"), "{answer}");
    // Then it is idle, and makes room.
    let mut next = TcpStream::connect(server.address).await.unwrap();
    assert!(ask(&mut next, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.ends_with("hello"));
    closed(&mut busy).await;
}

#[tokio::test]
async fn what_is_under_way_is_answered_at_the_end() {
    let server = server(Limits { grace: Duration::from_secs(10), ..Limits::new("test") }).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    ask(&mut idle, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.arrived.notified().await;
    server.stop.send_replace(true);
    closed(&mut idle).await;
    server.go_on.notify_one();
    let answer = ask(&mut busy, "").await;
    assert!(answer.ends_with("hello"), "{answer}");
    timeout(Duration::from_secs(5), server.task).await.expect("it ends").unwrap().unwrap();
}
