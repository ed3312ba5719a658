//! Somebody sends all they can, over as many connections as they like: it costs the controller no memory to speak of, and the
//! others are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rempart_api::client::Client;
use rempart_api::{Kind, Urn};
use rempart_tests::Cluster;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Connections that send a body each.
const SENDERS: usize = 40;
/// What each would send, if it were let.
const BODY_BYTES: usize = 100 << 20;
/// Connections on which a head begins and does not end.
const SLOW: usize = 800;
/// Connections that are cut off in the middle of something.
const RESETS: usize = 400;
/// How much more memory all of this may take, in KiB. Forty bodies of a hundred MiB would be four GiB; one MiB of each is taken.
const MOST_KIB: u64 = 192 << 10;

/// A value in KiB of a process' own account.
fn memory_kib(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(what)).expect("it has such a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

struct Target {
    address: String,
    path: String,
    token: String,
}

impl Target {
    fn head(&self, length: &str) -> String {
        format!(
            "PUT {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n{length}\r\n\r\n",
            self.path, self.token
        )
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.expect("a connection")
    }

    /// Sends `piece` again and again, `bytes` in all, and gives what is answered meanwhile or then.
    async fn send(&self, length: &str, begin: &str, piece: &[u8], bytes: usize) -> String {
        let mut stream = self.connect().await;
        stream.write_all(self.head(length).as_bytes()).await.expect("a head");
        let (mut from, mut to) = stream.split();
        let sending = async {
            to.write_all(begin.as_bytes()).await?;
            for _ in 0..bytes / piece.len() {
                to.write_all(piece).await?;
            }
            std::io::Result::Ok(())
        };
        let mut answer = vec![0; 4096];
        let mut have = 0;
        let reading = async {
            while have < answer.len() && !answer[..have].windows(4).any(|end| end == b"\r\n\r\n") {
                match from.read(&mut answer[have..]).await {
                    Ok(0) | Err(_) => break,
                    Ok(more) => have += more,
                }
            }
        };
        // Whoever is not read any more hears the answer or finds the connection closed.
        tokio::select! {
            () = reading => {}
            _ = async { drop(sending.await); std::future::pending::<()>().await } => {}
        }
        String::from_utf8_lossy(&answer[..have]).into_owned()
    }
}

/// Asks on and on, until it is enough.
async fn goes_on(client: Client, urn: Urn, enough: Arc<AtomicBool>, served: Arc<AtomicUsize>) {
    while !enough.load(Ordering::Relaxed) {
        client.get(&urn).await.expect("others are served");
        client.put(&urn, &json!({})).await.expect("and may write");
        served.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_all_they_can_takes_nothing_from_others() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = Cluster::start(&dir.path().join("c"), 1).await.expect("a cluster");
    let operator = cluster.client(1, "operator").expect("a client");
    for (tenant, owner) in [("acme", "alice"), ("evil", "mallory")] {
        let spec = json!({ "spec": { "owners": [owner] } });
        operator.put(&Urn::global(Kind::Tenant, tenant), &spec).await.expect("a tenant");
    }
    let alice = cluster.client(1, "alice").expect("a client");
    let urn = Urn::tenant(Kind::Workspace, "acme", "w");
    alice.put(&urn, &json!({})).await.expect("a workspace");
    let path = alice.url(&Urn::tenant(Kind::Workspace, "evil", "w"));
    let target = Arc::new(Target {
        address: cluster.layout.url(1).trim_start_matches("http://").to_owned(),
        path: path.trim_start_matches(alice.base_url()).to_owned(),
        token: cluster.layout.token("mallory").expect("a token").trim().to_owned(),
    });
    let pid = cluster.controllers[0].daemon.pid();
    let before_kib = memory_kib(pid, "VmRSS");

    let (enough, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let others = tokio::spawn(goes_on(alice.clone(), urn.clone(), enough.clone(), served.clone()));
    // Heads that do not end, for as long as all lasts.
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut stream = target.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await.expect("half a head");
        slow.push(stream);
    }
    let mut senders = JoinSet::new();
    for number in 0..SENDERS {
        let target = target.clone();
        senders.spawn(async move {
            let length = format!("content-length: {BODY_BYTES}");
            let piece = vec![b'x'; 64 << 10];
            let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
            match number % 4 {
                // One text that does not end; in pieces of a length that nobody said before; of lists in lists; of names.
                0 => target.send(&length, r#"{"annotations":{"a":""#, &piece, BODY_BYTES).await,
                1 => target.send("transfer-encoding: chunked", "", &chunk, BODY_BYTES).await,
                2 => target.send(&length, "", "[".repeat(64 << 10).as_bytes(), BODY_BYTES).await,
                _ => {
                    let many: String = (0..4096).map(|number| format!(r#""{number}":{{}},"#)).collect();
                    target.send(&length, "{", many.as_bytes(), BODY_BYTES).await
                }
            }
        });
    }
    // And those that go in the middle of it.
    for number in 0..RESETS {
        let mut stream = target.connect().await;
        let _ = stream.write_all(target.head("content-length: 1000").as_bytes()).await;
        let _ = stream.write_all(&vec![b' '; number]).await;
        // What is unread when it is closed makes it a reset.
        drop(stream);
    }
    let answers = senders.join_all().await;
    let deep = "[".repeat(100_000);
    for _ in 0..20 {
        let length = format!("content-length: {}", deep.len());
        let answer = target.send(&length, "", deep.as_bytes(), deep.len()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    // Depth that hides in texts which a parser may take for JSON.
    let mut hidden = "1".to_owned();
    for _ in 0..16 {
        let inner = serde_json::Value::String(hidden).to_string();
        let object = format!("{{\"$serde_json::private::RawValue\":{inner}}}");
        hidden = format!("{}{object}{}", "[".repeat(120), "]".repeat(120));
    }
    let hidden = format!("{{\"spec\":{hidden}}}");
    let length = format!("content-length: {}", hidden.len());
    let answer = target.send(&length, "", hidden.as_bytes(), hidden.len()).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("are not taken"), "{answer}");
    enough.store(true, Ordering::Relaxed);
    others.await.expect("they were served all along");

    let said: Vec<&str> = answers.iter().map(|answer| answer.lines().next().unwrap_or_default()).collect();
    let told = said.iter().filter(|line| line.starts_with("HTTP/1.1 413")).count();
    assert!(said.iter().all(|line| line.is_empty() || line.starts_with("HTTP/1.1 413")), "{said:?}");
    assert!(told > SENDERS / 2, "they are told why: {said:?}");
    assert!(served.load(Ordering::Relaxed) > 10, "{served:?}");
    let peak_kib = memory_kib(pid, "VmHWM");
    assert!(peak_kib < before_kib + MOST_KIB, "{before_kib} KiB became {peak_kib}");
    assert_eq!(cluster.controllers[0].daemon.exited(), None);
    drop(slow);
    alice.get(&urn).await.expect("it serves");
}
