//! One HTTP connection that costs little: bytes out, status and body in.

use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer that takes longer is none.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A connection that stays.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// What is looked at of a resource.
#[derive(Debug, Deserialize)]
pub(crate) struct View {
    pub(crate) status: Option<Status>,
}

/// Of an instance or volume.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) state: String,
    pub(crate) power_state: Option<String>,
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub(crate) async fn open(address: &str) -> Wire {
        Wire::try_open(address).await.unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    pub(crate) async fn try_open(address: &str) -> std::io::Result<Wire> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, buffer: Vec::with_capacity(8 << 10) })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Answer<'_> {
        self.try_ask(request).await.unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    pub(crate) async fn try_ask(&mut self, request: &[u8]) -> std::io::Result<Answer<'_>> {
        let (status, begin, end) = tokio::time::timeout(ANSWER_WITHIN, self.exchange(request)).await??;
        Ok(Answer { status, body: &self.buffer[begin..end] })
    }

    /// Status, and where the body is.
    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<(u16, usize, usize)> {
        let bad = |what: &str| std::io::Error::other(what.to_owned());
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(bad("it hung up"));
            }
            if head.is_none()
                && let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n")
            {
                let text = String::from_utf8_lossy(&self.buffer[..at]).to_ascii_lowercase();
                let status = text.get(9..12).and_then(|status| status.parse::<u16>().ok());
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length = length.map_or(Ok(0), |length| length.trim().parse::<usize>());
                let length = length.map_err(|_| bad("a length that is no number"))?;
                head = Some((status.ok_or_else(|| bad("no status"))?, at + 4, at + 4 + length));
            }
            if let Some(head) = head.filter(|(_, _, end)| self.buffer.len() >= *end) {
                return Ok(head);
            }
        }
    }
}

impl Answer<'_> {
    /// The status of a resource that was answered.
    ///
    /// # Panics
    /// When it is none.
    pub(crate) fn seen(&self) -> Status {
        assert_eq!(self.status, 200, "{}", self.text());
        let view: View =
            serde_json::from_slice(self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()));
        view.status.unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(self.body))
    }

    /// That it has one of these statuses.
    ///
    /// # Panics
    /// When it has another.
    pub(crate) fn expect(&self, statuses: &[u16], what: &str) {
        assert!(statuses.contains(&self.status), "{what}: {}", self.text());
    }
}
