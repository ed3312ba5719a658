//! A guest to talk to, and seats at its console.

use std::sync::{Arc, Mutex};

use rempart_api::Urn;
use rempart_api::client::Client;
use rempart_api::console::{ConsoleAccess, ConsoleEnd, ConsoleKind, ConsoleReader, ConsoleWriter};
use rempart_tests::{Lab, PATIENCE, until_some};

/// The lab, and the guest the stories are about.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) urn: Urn,
    pub(crate) uid: String,
    /// Every console token that was handed out.
    pub(crate) tokens: Mutex<Vec<String>>,
}

/// Somebody at a console, who reads all the time and remembers the end of it.
pub(crate) struct Seat {
    shown: Arc<Mutex<String>>,
    reading: tokio::task::JoinHandle<ConsoleEnd>,
    pub(crate) writer: ConsoleWriter,
}

const REMEMBERED_BYTES: usize = 256 * 1024;

impl Seat {
    pub(crate) fn at((mut reader, writer): (ConsoleReader, ConsoleWriter)) -> Seat {
        let shown = Arc::new(Mutex::new(String::new()));
        let all = shown.clone();
        let reading = tokio::spawn(async move {
            loop {
                match reader.next().await {
                    Ok(bytes) => {
                        let mut all = all.lock().expect("no panic");
                        all.push_str(&String::from_utf8_lossy(&bytes));
                        if all.len() > REMEMBERED_BYTES {
                            let from = all.floor_char_boundary(REMEMBERED_BYTES / 2);
                            all.drain(..from);
                        }
                    }
                    Err(end) => return end,
                }
            }
        });
        Seat { shown, reading, writer }
    }

    pub(crate) async fn sees(&self, text: &str) {
        until_some(&format!("the console to show {text:?}"), PATIENCE, || async {
            let shown = self.shown.lock().expect("no panic").clone();
            if shown.contains(text) { Ok(()) } else { Err(shown.chars().rev().take(300).collect()) }
        })
        .await;
    }

    /// Has the guest's shell work something out: the answer is not in what was typed.
    pub(crate) async fn talks(&mut self, word: &str) {
        self.writer.send(format!("echo {word}-$((40+2))\n").into_bytes()).await.expect("it is typed");
        self.sees(&format!("{word}-42")).await;
    }

    pub(crate) async fn end(mut self) -> (u16, String) {
        match tokio::time::timeout(PATIENCE, &mut self.reading).await.expect("it ends").expect("no panic") {
            ConsoleEnd::Closed { code, reason } => (code, reason),
            ConsoleEnd::Broken(why) => panic!("it broke without a reason: {why}"),
        }
    }
}

impl Drop for Seat {
    /// Leaves without a word.
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Stage {
    pub(crate) fn alice(&self, replica: usize) -> Client {
        self.lab.cluster.client(replica, "alice").expect("a client")
    }

    pub(crate) async fn ask(&self, replica: usize, kind: ConsoleKind) -> ConsoleAccess {
        let alice = self.alice(replica);
        let access = until_some("a console", PATIENCE, || async {
            alice.console(&self.urn, kind).await.map_err(|error| error.to_string())
        })
        .await;
        self.tokens.lock().expect("no panic").push(access.token.clone());
        access
    }

    /// A serial console through `replica`. What cannot be had just now is asked for again, with a new token.
    pub(crate) async fn sit_down(&self, replica: usize) -> Seat {
        let alice = self.alice(replica);
        until_some("a console that opens", PATIENCE, || async {
            let access = self.ask(replica, ConsoleKind::Serial).await;
            match alice.open_console(&access).await {
                Ok(opened) => Ok(Seat::at(opened)),
                Err(error) if error.status() == Some(503) => Err(error.to_string()),
                Err(error) => panic!("{error}"),
            }
        })
        .await
    }

    /// The replica whose session the agent is in.
    pub(crate) fn leader(&self) -> usize {
        let log = self.lab.daemon.as_ref().expect("it runs").log();
        let welcomed = log.lines().rfind(|line| line.contains("welcomed")).expect("a session");
        let ports = self.lab.cluster.layout.ports.iter();
        let at = |port: &u16| welcomed.contains(&format!("127.0.0.1:{port}"));
        ports.zip(1..).find(|((_, internal), _)| at(internal)).expect("one of ours").1
    }

    pub(crate) fn follower(&self) -> usize {
        let leader = self.leader();
        self.lab.cluster.controllers.iter().map(|one| one.id).find(|id| *id != leader).expect("another")
    }
}
