//! Telling systemd how far we are (sd_notify(3)): one datagram to the socket that NOTIFY_SOCKET names. Nothing happens
//! where there is none.

use std::os::unix::ffi::OsStrExt as _;

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with};

/// Says `state` ("READY=1", "STOPPING=1") to systemd. That it does not hear is not worth an error.
pub fn notify(state: &str) {
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(path.as_bytes(), state)
    {
        tracing::debug!(%error, "systemd does not hear");
    }
}

fn send(path: &[u8], state: &str) -> std::io::Result<()> {
    let address = match path {
        [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
        path => SocketAddrUnix::new(path)?,
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sendto(&socket, state.as_bytes(), SendFlags::NOSIGNAL, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_message_arrives() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let heard = UnixDatagram::bind(&path).expect("a socket");
        super::send(path.to_str().expect("UTF-8").as_bytes(), "READY=1").expect("sent");
        let mut buffer = [0; 32];
        let length = heard.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"READY=1");
    }
}
