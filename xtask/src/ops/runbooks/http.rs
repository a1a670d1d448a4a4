//! Requests to the machine's server.

use std::{io, time::Duration};

use crate::http::Reply;

/// Where the machine's server answers.
const ADDRESS: &str = "127.0.0.1:18180";
/// Longer than any reply takes, a disk that does not answer included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a request with a body of this media type, or with none, and reads the whole reply.
pub fn send(method: &str, path: &str, media_type: &str, body: &str) -> io::Result<Reply> {
    crate::http::send(ADDRESS, PATIENCE, (method, path), (media_type, body))
}

/// `GET`.
pub fn get(path: &str) -> io::Result<Reply> {
    send("GET", path, "application/json", "")
}
