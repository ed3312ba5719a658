//! What the kernel is asked to do for a connection between two machines, at both ends.
//!
//! It is the kernel that finds out whether a machine at the other end is still there: that wakes no process. It cannot tell
//! whether a *process* still does anything: whoever has to know that asks it (HTTP/2 pings, agents' heartbeats). A process that
//! reads nothing for so long that the line is full of what was sent to it counts as gone, too.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// After how long a connection breaks whose other machine went without a word: counted from the last that was heard of it, or, by
/// who sends it something before that, from the first that is not acknowledged; so twice as long at most.
pub const VANISHED_WITHIN: Duration = Duration::from_secs(6);
/// How long nothing has to be heard before the kernel asks: more than half the pause between an agent's heartbeats, so that it
/// asks once between two.
const QUIET: Duration = Duration::from_secs(3);
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// Has the kernel send at once what there is to send, and watch the connection.
///
/// # Errors
/// When it is broken already.
pub(crate) fn tend(tcp: &TcpStream) -> io::Result<()> {
    let asked = (VANISHED_WITHIN - QUIET).as_secs() / ASKED_EVERY.as_secs();
    let keepalive = TcpKeepalive::new()
        .with_time(QUIET)
        .with_interval(ASKED_EVERY)
        .with_retries(u32::try_from(asked).unwrap_or(u32::MAX));
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&keepalive)?;
    // RFC 5482. While something is unacknowledged Linux sends no keepalive, and would try again for a quarter of an hour.
    socket.set_tcp_user_timeout(Some(VANISHED_WITHIN))
}

#[cfg(test)]
mod tests;
