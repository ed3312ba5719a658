//! The client's end of a console: asking for it, opening the WebSocket, and its two directions.
//!
//! The WebSocket runs over a connection of the typed client, so certificates are verified the same way. The token goes
//! into a header, never into the URL. Deliberately absent: terminals, and asking again after an end.

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::{ConsoleAccess, ConsoleKind, MAX_LOG_BYTES, SUBPROTOCOL, TOKEN_PREFIX, path};
use crate::Urn;
use crate::client::{Client, ClientError};

/// The server sends no larger message.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

type Socket = WebSocketStream<reqwest::Upgraded>;

/// Why a console has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleEnd {
    /// The server closed it and said why; see [`super::CloseCode`].
    #[error("{reason} (code {code})")]
    Closed {
        /// Of the close frame.
        code: u16,
        /// In words.
        reason: String,
    },
    /// The connection broke without a word.
    #[error("the connection to the controller broke: {0}")]
    Broken(String),
}

/// What the console shows.
#[derive(Debug)]
pub struct ConsoleReader(SplitStream<Socket>);

/// What is typed.
#[derive(Debug)]
pub struct ConsoleWriter(SplitSink<Socket, Message>);

impl Client {
    /// Asks for a console of `instance`, to be opened within a minute by [`Client::open_console`].
    ///
    /// # Errors
    /// 409 when the instance is off; 403 when the caller does not own its tenant.
    pub async fn console(&self, instance: &Urn, kind: ConsoleKind) -> Result<ConsoleAccess, ClientError> {
        let url = format!("{}{}", self.base_url(), path(instance, kind));
        let (status, body) = self.send(reqwest::Method::POST, &url, None, None).await?;
        let body = body.unwrap_or_default();
        serde_json::from_value(body).map_err(|error| ClientError::Unexpected {
            status,
            url,
            // The body has a token: only what is wrong with it is said.
            body: error.to_string(),
        })
    }

    /// Opens a console, once. Both halves keep it open; read even where only writing matters, or it is taken for lost.
    ///
    /// # Errors
    /// 401 for a token that was used or has expired; 409 when the instance is off or has too many consoles; 429 when
    /// the caller has; 503 when its host cannot be reached just now.
    pub async fn open_console(
        &self,
        access: &ConsoleAccess,
    ) -> Result<(ConsoleReader, ConsoleWriter), ClientError> {
        // ws becomes http, wss https.
        let url =
            access.url.strip_prefix("ws").map_or_else(|| access.url.clone(), |rest| format!("http{rest}"));
        let unexpected = |status: u16, why: &str| ClientError::Unexpected {
            status,
            url: url.clone(),
            body: why.to_owned(),
        };
        let key = generate_key();
        let protocols = format!("{SUBPROTOCOL}, {TOKEN_PREFIX}{}", access.token);
        let mut protocols = header::HeaderValue::try_from(protocols)
            .map_err(|_| unexpected(0, "the token has characters that a header cannot carry"))?;
        protocols.set_sensitive(true);
        // Without the caller's own token: this one is enough.
        let request = self
            .request(reqwest::Method::GET, &url)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, protocols);
        let response = self.answered(request, &url).await?;
        let status = response.status().as_u16();
        let said = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        if status != 101 || said(header::SEC_WEBSOCKET_ACCEPT) != Some(&derive_accept_key(key.as_bytes())) {
            return Err(unexpected(status, "the server did not open a WebSocket"));
        }
        if said(header::SEC_WEBSOCKET_PROTOCOL) != Some(SUBPROTOCOL) {
            return Err(unexpected(status, "the server speaks another protocol than this client"));
        }
        let transport = |error| ClientError::Transport { url: url.clone(), error };
        let upgraded = response.upgrade().await.map_err(transport)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let socket = Socket::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        let (writer, reader) = socket.split();
        Ok((ConsoleReader(reader), ConsoleWriter(writer)))
    }

    /// The end of an instance's serial log, `tail_bytes` (at most [`MAX_LOG_BYTES`]) of it, also while it is off.
    ///
    /// # Errors
    /// 403 when the caller does not own its tenant; 503 when its host cannot be reached just now.
    pub async fn serial_log(&self, instance: &Urn, tail_bytes: u32) -> Result<String, ClientError> {
        let path = path(instance, ConsoleKind::Serial);
        let url = format!("{}{path}/log?tailBytes={}", self.base_url(), tail_bytes.min(MAX_LOG_BYTES));
        let request = self.signed(self.request(reqwest::Method::GET, &url));
        let response = self.answered(request, &url).await?;
        response.text().await.map_err(|error| ClientError::Transport { url, error })
    }
}

impl ConsoleReader {
    /// The next bytes it shows.
    ///
    /// # Errors
    /// Why it has ended; there is nothing more after that.
    pub async fn next(&mut self) -> Result<Bytes, ConsoleEnd> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
                Some(Ok(Message::Text(text))) => return Ok(text.into()),
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                    return Err(ConsoleEnd::Closed { code: code.into(), reason: reason.as_str().to_owned() });
                }
                // Pings are answered on the way.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(broken(&error)),
                Some(Ok(Message::Close(None))) | None => {
                    return Err(ConsoleEnd::Broken("it ended without a reason".to_owned()));
                }
            }
        }
    }
}

impl ConsoleWriter {
    /// Types bytes. Waits while the guest does not take them.
    ///
    /// # Errors
    /// When it has ended; the reader knows why.
    pub async fn send(&mut self, bytes: impl Into<Bytes>) -> Result<(), ConsoleEnd> {
        self.0.send(Message::Binary(bytes.into())).await.map_err(|error| broken(&error))
    }

    /// Ends it. The reader hears the answer.
    pub async fn close(&mut self) {
        let frame = CloseFrame { code: coding::CloseCode::Normal, reason: "".into() };
        // It may have ended already, which is as good.
        let _ = self.0.send(Message::Close(Some(frame))).await;
    }
}

fn broken(error: &Error) -> ConsoleEnd {
    ConsoleEnd::Broken(error.to_string())
}
