//! Requests to programs on this machine, in HTTP/1.0: one request a connection, and a reply ends where the connection does.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// Longer than any reply is waited for, except where a disk is frozen: then it is the request that fails.
const PATIENCE: Duration = Duration::from_secs(15);

/// Status and body. `url` begins with `http://` and an address of this machine.
pub fn ask(method: &str, url: &str, body: &str) -> Result<(u16, String), String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: not http"))?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let told = |error: std::io::Error| format!("{method} {url}: {error}");
    let mut stream = TcpStream::connect(address).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(told)?;
    let head = format!(
        "{method} /{path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).map_err(told)?;
    stream.write_all(body.as_bytes()).map_err(told)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).map_err(told)?;
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply.split_once("\r\n\r\n").ok_or_else(|| format!("{method} {url}: no reply"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| format!("{method} {url}: {head}"))?, body.to_owned()))
}

/// The body of a reply with a status below 300, as JSON.
pub fn json(method: &str, url: &str, body: &str) -> Result<Value, String> {
    let (status, body) = ask(method, url, body)?;
    match serde_json::from_str(&body) {
        Ok(value) if status < 300 => Ok(value),
        _ => Err(format!("{method} {url}: {status}: {body}")),
    }
}

/// A text as a part of a query.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_escaped() {
        assert_eq!(escaped("up{a=\"b c\"}"), "up%7Ba%3D%22b%20c%22%7D");
    }
}
