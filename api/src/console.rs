//! Consoles of instances (`rempart.console`): what an owner asks for, what is answered, and how a console ends.
//!
//! `POST .../instances/NAME/serial` (or `/vnc`) answers with a [`ConsoleAccess`]: an address for a WebSocket, and a token
//! that opens it once, within a minute. The token belongs into the `Sec-WebSocket-Protocol` header (a browser can set
//! that one); as `?token=` it works too, for what can only take a URL, but then proxies may write it to their logs.
//! Deliberately absent: what the bytes of a console mean. Serial is a terminal's, VNC is RFB.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Timestamp, Urn};

#[cfg(feature = "client")]
mod connection;

#[cfg(feature = "client")]
pub use connection::{ConsoleEnd, ConsoleReader, ConsoleWriter};

/// Name of the provider, as in paths.
pub const PROVIDER: &str = "rempart.console";

/// The WebSocket subprotocol of a console: binary messages are the console's bytes, as they come.
pub const SUBPROTOCOL: &str = "rempart.console.v1";

/// The name noVNC knows the same subprotocol by.
pub const SUBPROTOCOL_BINARY: &str = "binary";

/// What stands before the token in `Sec-WebSocket-Protocol`, beside the subprotocol itself.
pub const TOKEN_PREFIX: &str = "token.";

/// The most of a serial log that is shown at once, in bytes.
pub const MAX_LOG_BYTES: u32 = 1 << 20;

/// Which console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConsoleKind {
    /// The first serial port. All who watch see the same, and all may type.
    Serial,
    /// The screen, keyboard and mouse, as RFB.
    Vnc,
}

impl ConsoleKind {
    /// Last segment of its path.
    pub const fn name(self) -> &'static str {
        match self {
            ConsoleKind::Serial => "serial",
            ConsoleKind::Vnc => "vnc",
        }
    }
}

impl fmt::Display for ConsoleKind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

impl FromStr for ConsoleKind {
    type Err = String;

    fn from_str(text: &str) -> Result<ConsoleKind, String> {
        [ConsoleKind::Serial, ConsoleKind::Vnc]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("there is no console {text:?}; there are serial and vnc"))
    }
}

/// Path of an instance's console, from the installation's base URL.
pub fn path(instance: &Urn, kind: ConsoleKind) -> String {
    format!("/providers/{PROVIDER}/v1/{}/{kind}", instance.path())
}

/// A console that may be opened once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleAccess {
    /// Where: `ws://` or `wss://`.
    pub url: String,
    /// Opens it, once.
    pub token: String,
    /// Not after this.
    pub expires_at: Timestamp,
}

impl fmt::Debug for ConsoleAccess {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleAccess").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why a console that was open has been closed: the code of the WebSocket's close frame, which also has words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// It has ended as it should.
    Normal = 1000,
    /// The client sent what is not part of this protocol.
    Protocol = 1002,
    /// Something went wrong on our side.
    Internal = 1011,
    /// This controller stops; ask for a new console.
    Restart = 1012,
    /// The instance was turned off, restarted or deleted.
    GuestOff = 4001,
    /// The way to the instance's host broke; ask for a new console.
    HostLost = 4002,
    /// Another controller leads now; ask for a new console.
    LeaderChanged = 4003,
    /// Nobody typed and nothing was shown for a long time.
    Idle = 4004,
    /// The caller is no owner of the tenant any more.
    Revoked = 4005,
    /// The client did not read, or did not answer.
    ClientLost = 4006,
}

impl CloseCode {
    /// As it stands in a close frame.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Asking for a new console at once may well work.
    pub const fn helps_to_ask_again(code: u16) -> bool {
        matches!(code, 1012 | 4002 | 4003)
    }
}
