use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::Kind;
use uuid::Uuid;

/// Answers one request after another with what was agreed; what was asked is kept.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: Vec<(u16, Value)>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        tokio::spawn(async move {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut text = Vec::new();
                let mut piece = [0; 65536];
                // The head, and as many bytes behind it as it announces.
                loop {
                    let count = stream.read(&mut piece).await.unwrap();
                    text.extend_from_slice(&piece[..count]);
                    let said = String::from_utf8_lossy(&text).to_lowercase();
                    let Some(head) = said.find("\r\n\r\n") else { continue };
                    let length = said.split("content-length: ").nth(1);
                    let length: usize =
                        length.and_then(|rest| rest.lines().next()?.parse().ok()).unwrap_or_default();
                    if text.len() >= head + 4 + length {
                        break;
                    }
                }
                heard.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned());
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\nx-request-id: r-1\r\nlocation: http://127.0.0.1:1/\r\n\
                     content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Server { url, asked }
    }

    fn client(&self) -> Client {
        Client::new(&self.url, "secret").unwrap()
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn problem(status: u16) -> (u16, Value) {
    let body = json!({
        "type": "http://secapi.cloud/errors/internal-server-error", "title": "x", "status": status, "detail": "busy",
        "instance": "/", "sources": [],
    });
    (status, body)
}

fn tenant() -> Urn {
    Urn::global(Kind::Tenant, "acme")
}

fn view(name: &str) -> Value {
    let metadata = json!({
        "name": name, "apiVersion": "v1", "kind": "tenant", "provider": "p", "resource": "r", "ref": "f", "verb": "GET",
    });
    json!({ "metadata": metadata, "spec": {} })
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn only_a_patient_client_repeats_and_only_what_does_no_harm() {
    let busy = || vec![problem(503), problem(503), (200, view("acme"))];
    let server = Server::start(busy()).await;
    let error = server.client().get(&tenant()).await.unwrap_err();
    assert_eq!((error.status(), server.asked()), (Some(503), 1));
    assert!(error.to_string().contains("x-request-id r-1"), "{error}");

    let server = Server::start(busy()).await;
    server.client().patient(PATIENCE).get(&tenant()).await.unwrap();
    assert_eq!(server.asked(), 3);
    let server = Server::start(busy()).await;
    server.client().patient(PATIENCE).put(&tenant(), &json!({})).await.unwrap();
    assert_eq!(server.asked(), 3);

    let server = Server::start(busy()).await;
    let put = server.client().patient(PATIENCE).put_if(&tenant(), &json!({}), Some(1)).await;
    assert_eq!((put.unwrap_err().status(), server.asked()), (Some(503), 1));
    let server = Server::start(busy()).await;
    let act = server.client().patient(PATIENCE).act(&tenant(), "start").await;
    assert_eq!((act.unwrap_err().status(), server.asked()), (Some(503), 1));

    // The first attempt did it, and its answer was lost.
    let server = Server::start(vec![problem(503), problem(404)]).await;
    server.client().patient(PATIENCE).delete(&tenant()).await.unwrap();
    let server = Server::start(vec![problem(404)]).await;
    assert!(server.client().patient(PATIENCE).delete(&tenant()).await.is_err());
}

#[tokio::test]
async fn who_is_not_there_is_not_tried_for_long() {
    let start = Instant::now();
    let client = Client::new("http://127.0.0.1:1", "secret").unwrap().patient(Duration::from_secs(600));
    assert!(matches!(client.get(&tenant()).await, Err(ClientError::Transport { .. })));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_token_not_shown() {
    let server = Server::start(vec![(302, json!({}))]).await;
    let client = server.client();
    assert_eq!(client.get(&tenant()).await.unwrap_err().status(), Some(302));
    assert!(!format!("{client:?}").contains("secret"));
}

#[tokio::test]
async fn a_list_is_followed_to_its_end() {
    let page = |name: &str, next: Option<&str>| {
        let mut metadata = json!({ "provider": "p", "resource": "tenants", "verb": "GET" });
        if let Some(next) = next {
            metadata["skipToken"] = json!(next);
        }
        (200, json!({ "items": [view(name)], "metadata": metadata }))
    };
    let server = Server::start(vec![page("a", Some("a")), page("b", None)]).await;
    let all = server.client().list_all(&tenant(), Some("tier=web&x")).await.unwrap();
    let names: Vec<&str> = all.iter().map(|one| one.metadata.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let asked = server.asked.lock().unwrap().clone();
    assert!(asked[1].starts_with("GET /providers/rempart.tenancy/v1/tenants?"), "{}", asked[1]);
    assert!(asked[1].contains("skipToken=a") && asked[1].contains("labels=tier%3Dweb%26x"), "{}", asked[1]);

    let server = Server::start(vec![page("a", Some("a")), page("a", Some("a"))]).await;
    assert!(server.client().list_all(&tenant(), None).await.is_err(), "a list without an end has one here");
}

#[tokio::test]
async fn every_parameter_of_a_list_and_every_condition_is_sent() {
    let empty = json!({ "items": [], "metadata": { "provider": "p", "resource": "tenants", "verb": "GET" } });
    let server = Server::start(vec![(200, empty), (202, json!({})), (202, json!({}))]).await;
    let client = server.client();
    let page = Page { labels: Some("a=b"), limit: Some(7), skip_token: Some("t+t"), deleted: Deleted::Only };
    client.list_page(&tenant(), page).await.unwrap();
    client.delete_if(&tenant(), Some(3)).await.unwrap();
    client.act_if(&tenant(), "start", Some(4)).await.unwrap();
    let asked = server.asked.lock().unwrap().clone();
    for part in ["labels=a%3Db", "limit=7", "skipToken=t%2Bt", "accept: application/json; deleted=only"] {
        assert!(asked[0].contains(part), "{part}: {}", asked[0]);
    }
    assert!(asked[1].starts_with("DELETE ") && asked[1].contains("if-unmodified-since: 3"), "{}", asked[1]);
    assert!(asked[2].starts_with("POST ") && asked[2].contains("/start "), "{}", asked[2]);
    assert!(asked[2].contains("if-unmodified-since: 4"), "{}", asked[2]);
}

#[tokio::test]
async fn discovery_takes_no_token() {
    let document = json!({ "version": "v1", "endpoints": [{ "provider": "seca.region/v1", "url": "u" }] });
    let server = Server::start(vec![(200, document)]).await;
    assert_eq!(server.client().discover().await.unwrap().endpoints[0].url, "u");
    let asked = server.asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with("GET /.wellknown/secapi ") && !asked.contains("secret"), "{asked}");
}

#[tokio::test]
async fn an_upload_sends_what_it_is_given_and_says_so() {
    let server = Server::start(vec![(200, json!({}))]).await;
    let bytes: Vec<u8> = b"x".repeat(700_000);
    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    let sent = move |length| *counted.lock().unwrap() += length;
    let upload = (std::io::Cursor::new(bytes), 700_000);
    server.client().upload(&tenant(), "content", &[("format", "raw")], upload, sent).await.unwrap();
    let asked = server.asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with("PUT /providers/rempart.tenancy/v1/tenants/acme/content?format=raw "));
    assert!(asked.ends_with(&"x".repeat(700_000)) && *count.lock().unwrap() == 700_000);
}

/// Gives one answer, and holds the line until it is dropped if `holds`.
async fn raw(answer: String, holds: bool) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 65536];
        let _ = stream.read(&mut asked).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        if holds {
            std::future::pending::<()>().await;
        }
    });
    Client::new(&url, "secret").unwrap()
}

/// An answer to the request for a backup, framed as said.
fn backup_answer(framing: &str, body: &str) -> String {
    let summary = json!({
        "backupId": Uuid::nil(), "clusterId": Uuid::nil(), "region": "r", "takenAt": "2026-01-01T00:00:00Z",
        "appliedIndex": 1, "incarnation": 1, "version": "0", "resources": 1, "blobs": 0,
    });
    let name = crate::cluster::BACKUP_HEADER;
    format!("HTTP/1.1 200 OK\r\n{name}: {summary}\r\n{framing}\r\n\r\n{body}")
}

/// All of a backup, or why it is not all.
async fn downloaded(client: &Client) -> Result<Vec<u8>, ClientError> {
    let (_, mut download) = client.backup(&["age1x".to_owned()]).await?;
    download.silence = Duration::from_millis(50);
    let mut all = Vec::new();
    while let Some(piece) = download.piece().await? {
        all.extend(piece);
    }
    Ok(all)
}

#[tokio::test]
async fn a_download_is_whole_or_cut() {
    let chunked = "transfer-encoding: chunked";
    let sized = "content-length: 5";
    for (framing, body) in [(chunked, "5\r\nbytes\r\n0\r\n\r\n"), (sized, "bytes")] {
        let client = raw(backup_answer(framing, body), false).await;
        assert_eq!(downloaded(&client).await.unwrap(), b"bytes", "{framing}");
    }
    // The line closes, or is silent, at any byte. Without the end of all chunks, all bytes are not all of it.
    let cut = ["", "5", "5\r\n", "5\r\nby", "5\r\nbytes\r\n", "5\r\nbytes\r\n0", "5\r\nbytes\r\n0\r\n"];
    let cut = cut.into_iter().map(|body| (chunked, body)).chain(["", "byte"].map(|body| (sized, body)));
    for (framing, body) in cut {
        for (holds, why) in [(false, ""), (true, "nothing came for 0.05 s")] {
            let client = raw(backup_answer(framing, body), holds).await;
            let error = downloaded(&client).await.unwrap_err();
            let words = error.to_string();
            assert!(matches!(error, ClientError::Cut { .. }), "{body:?}: {words}");
            assert!(words.contains("is cut off: ") && words.contains(why), "{body:?}: {words}");
        }
    }
    // Whatever came, nobody could tell.
    let error = downloaded(&raw(backup_answer("connection: close", "bytes"), false).await).await.unwrap_err();
    assert!(error.to_string().contains("has no length and is not chunked"), "{error}");
}
