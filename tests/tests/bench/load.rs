//! Requests as fast as they are answered, over connections that stay: as little work as possible beside the server's own.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How fast it went.
pub(crate) struct Speed {
    pub(crate) count: usize,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Sends what `request` makes of connection and turn, over so many connections, until `until` has passed.
///
/// # Panics
/// When an answer is not a 2xx.
pub(crate) async fn run<F>(address: &str, connections: usize, lasts: Duration, request: F) -> Speed
where
    F: Fn(usize, usize) -> Vec<u8> + Clone + Send + 'static,
{
    let begin = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|connection| {
            let (address, request) = (address.to_owned(), request.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("it listens");
                stream.set_nodelay(true).expect("a socket");
                let (mut times, mut buffer) = (Vec::new(), Vec::with_capacity(64 << 10));
                while begin.elapsed() < lasts {
                    let bytes = request(connection, times.len());
                    let sent = Instant::now();
                    stream.write_all(&bytes).await.expect("it takes requests");
                    answer(&mut stream, &mut buffer).await;
                    times.push(sent.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("it ends"));
    }
    let seconds = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    Speed { count: times.len(), per_second: times.len() as f64 / seconds, p50_ms: at(50), p99_ms: at(99) }
}

/// Reads one answer to its end, which its length tells.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    buffer.clear();
    let mut end = None;
    loop {
        let count = stream.read_buf(buffer).await.expect("an answer");
        assert!(count > 0, "it hung up: {}", String::from_utf8_lossy(buffer));
        if end.is_none()
            && let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
            assert!(text.starts_with("http/1.1 2"), "{}", String::from_utf8_lossy(buffer));
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            end =
                Some(head + 4 + length.map_or(0, |length| length.trim().parse::<usize>().expect("a length")));
        }
        if end.is_some_and(|end| buffer.len() >= end) {
            return;
        }
    }
}

/// Sends these over one connection, one after the other.
///
/// # Panics
/// When an answer is not a 2xx.
pub(crate) async fn some(address: &str, numbers: std::ops::Range<usize>, request: impl Fn(usize) -> Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let mut buffer = Vec::with_capacity(4 << 10);
    for number in numbers {
        stream.write_all(&request(number)).await.expect("it takes requests");
        answer(&mut stream, &mut buffer).await;
    }
}
