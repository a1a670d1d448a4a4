//! Requests to the server that clients are sent to.

use std::{io, net::ToSocketAddrs as _, time::Duration};

use crate::http::Reply;

/// The writer, by the name that clients know it by. It is this machine, until a runbook says otherwise in /etc/hosts.
const WRITER: (&str, u16) = ("claims", 18180);
/// Longer than any reply takes, a disk that does not answer included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a request with a body of this media type, or with none, and reads the whole reply.
pub fn send(method: &str, path: &str, media_type: &str, body: &str) -> io::Result<Reply> {
    let address = WRITER.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?.to_string();
    crate::http::send(&address, PATIENCE, (method, path), (media_type, body))
}

/// `GET`.
pub fn get(path: &str) -> io::Result<Reply> {
    send("GET", path, "application/json", "")
}
