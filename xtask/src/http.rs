//! HTTP/1.1 to programs on this machine: the one client of all tasks.
//!
//! A [`Connection`] is kept and asked again; [`ask`], [`json`] and [`send`] take one for each request. Nothing is tried twice here: what
//! happens to a request is what its caller wants to see.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// Until somebody takes a connection.
const TO_CONNECT: Duration = Duration::from_secs(2);
/// Longer than any reply is waited for, except where a disk is frozen: then it is the request that fails.
const PATIENCE: Duration = Duration::from_secs(15);

/// A request; its length is said in any case.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Beside `Host` and `Content-Length`.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a str,
}

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// The first header of this name, which is written in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// No further request may be sent on its connection.
    pub fn is_last(&self) -> bool {
        let says = |name: &str| self.header(name).is_some_and(|value| value.eq_ignore_ascii_case("close"));
        says("connection") || self.ends_with_connection()
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"))
    }

    fn ends_with_connection(&self) -> bool {
        !self.is_chunked() && self.header("content-length").is_none() && !has_no_body(self.status)
    }
}

/// A connection over whatever carries bytes both ways.
pub struct Connection<S> {
    stream: BufReader<S>,
    host: String,
}

impl Connection<TcpStream> {
    /// To an address of this machine; a reply may be silent for so long.
    pub fn open(address: &str, patience: Duration) -> io::Result<Connection<TcpStream>> {
        let to: SocketAddr = address.parse().map_err(io::Error::other)?;
        let stream = TcpStream::connect_timeout(&to, TO_CONNECT)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Connection::over(stream, address))
    }
}

impl<S: Read + Write> Connection<S> {
    /// Over a stream that is open; `host` is what requests say.
    pub fn over(stream: S, host: &str) -> Connection<S> {
        Connection { stream: BufReader::new(stream), host: host.to_owned() }
    }

    /// Sends a request and reads the whole reply. A reply that was cut off is an error.
    pub fn ask(&mut self, request: &Request<'_>) -> io::Result<Reply> {
        let Request { method, target, headers, body } = *request;
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        // Who refuses may not read all of it, and says why.
        let _ = stream.write_all(body.as_bytes());
        stream.flush()?;
        let mut reply = self.head()?;
        if method == "HEAD" || has_no_body(reply.status) {
            return Ok(reply);
        }
        let mut bytes = Vec::new();
        if reply.is_chunked() {
            self.chunks(&mut bytes)?;
        } else if let Some(length) = reply.header("content-length") {
            bytes.resize(length.parse().map_err(io::Error::other)?, 0);
            self.stream.read_exact(&mut bytes)?;
        } else {
            self.stream.read_to_end(&mut bytes)?;
        }
        reply.body = String::from_utf8_lossy(&bytes).into_owned();
        Ok(reply)
    }

    fn head(&mut self) -> io::Result<Reply> {
        let first = self.line()?;
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        let status = status.and_then(|digits| digits.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not a reply: {first}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Reply { status, headers, body: String::new() });
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }

    fn chunks(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                // Headers may follow, and an empty line does.
                while !self.line()?.is_empty() {}
                return Ok(());
            }
            let start = bytes.len();
            bytes.resize(start + size, 0);
            self.stream.read_exact(&mut bytes[start..])?;
            self.line()?;
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn has_no_body(status: u16) -> bool {
    matches!(status, 100..200 | 204 | 304)
}

/// One request over a connection of its own, with a body of this media type or with none.
pub fn send(
    address: &str,
    patience: Duration,
    (method, target): (&str, &str),
    (media_type, body): (&str, &str),
) -> io::Result<Reply> {
    let headers = [("Connection", "close"), ("Content-Type", media_type)];
    Connection::open(address, patience)?.ask(&Request { method, target, headers: &headers, body })
}

/// Status and body. `url` begins with `http://` and an address of this machine; a body is JSON.
pub fn ask(method: &str, url: &str, body: &str) -> Result<(u16, String), String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: not http"))?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (address, path) = rest.split_at(at);
    let target = if path.is_empty() { "/" } else { path };
    let reply = send(address, PATIENCE, (method, target), ("application/json", body));
    let reply = reply.map_err(|error| format!("{method} {url}: {error}"))?;
    Ok((reply.status, reply.body))
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
    use std::io::Cursor;

    use super::*;

    /// What comes is there already; what is sent is kept.
    struct Canned {
        comes: Cursor<&'static str>,
        sent: Vec<u8>,
    }

    impl Read for Canned {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.comes.read(buffer)
        }
    }

    impl Write for Canned {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.sent.write(buffer)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn canned(comes: &'static str) -> Connection<Canned> {
        Connection::over(Canned { comes: Cursor::new(comes), sent: Vec::new() }, "here")
    }

    fn asked(connection: &mut Connection<Canned>, method: &str) -> io::Result<Reply> {
        connection.ask(&Request { method, target: "/x", headers: &[("A", "b")], body: "{}" })
    }

    #[test]
    fn replies_follow_each_other_on_one_connection_however_their_ends_are_told() {
        let mut connection = canned(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab\
             HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Y: z\r\n\r\n\
             HTTP/1.1 204 No Content\r\n\r\n\
             HTTP/1.0 200 OK\r\n\r\nall the rest",
        );
        let (first, second) =
            (asked(&mut connection, "GET").unwrap(), asked(&mut connection, "POST").unwrap());
        assert_eq!((first.status, &*first.body, first.is_last()), (200, "ab", false));
        assert_eq!((second.status, &*second.body, second.is_last()), (503, "abcde", false));
        let head = asked(&mut connection, "HEAD").unwrap();
        assert_eq!((head.header("x-y"), &*head.body, head.is_last()), (Some("z"), "", false));
        assert!(!asked(&mut connection, "GET").unwrap().is_last());
        let last = asked(&mut connection, "GET").unwrap();
        assert_eq!((&*last.body, last.is_last()), ("all the rest", true));
        let sent = String::from_utf8(connection.stream.get_ref().sent.clone()).unwrap();
        assert!(sent.starts_with("GET /x HTTP/1.1\r\nHost: here\r\nA: b\r\nContent-Length: 2\r\n\r\n{}POST"));
    }

    #[test]
    fn a_reply_that_is_cut_off_is_an_error() {
        for cut in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "hello\r\n\r\n",
        ] {
            assert!(asked(&mut canned(cut), "GET").is_err(), "{cut}");
        }
    }

    #[test]
    fn expressions_are_escaped() {
        assert_eq!(escaped("up{a=\"b c\"}"), "up%7Ba%3D%22b%20c%22%7D");
    }
}
