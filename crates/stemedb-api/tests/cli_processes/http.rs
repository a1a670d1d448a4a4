//! HTTP over a plain socket, so that a request can be held in the middle.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

/// A reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

/// Sends `GET`.
pub fn get(address: &str, path: &str) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut reply = Incoming::read_head(stream)?;
    let mut body = String::new();
    while let Some(part) = reply.next_part()? {
        body.push_str(std::str::from_utf8(&part).unwrap());
    }
    Ok(Reply { status: reply.status, body })
}

/// Writes the head of an import of `bytes` bytes.
pub fn begin_import(stream: &mut TcpStream, bytes: usize) -> io::Result<()> {
    write!(stream, "POST /v1/import?verdicts=all HTTP/1.1\r\nHost: test\r\nConnection: close\r\n")?;
    write!(stream, "Content-Type: application/x-ndjson\r\nContent-Length: {bytes}\r\n\r\n")
}

/// A reply whose body is arriving.
pub struct Incoming {
    stream: BufReader<TcpStream>,
    pub status: u16,
    chunked: bool,
    /// Bytes of the body to come, where they are known.
    left: Option<usize>,
}

impl Incoming {
    /// Reads the status line and the headers.
    pub fn read_head(stream: TcpStream) -> io::Result<Incoming> {
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_ascii_lowercase());
        }
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        let value = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let chunked = value("transfer-encoding:") == Some("chunked");
        let left = value("content-length:").map(|length| length.parse().unwrap());
        Ok(Incoming { stream, status, chunked, left })
    }

    /// The next part of the body; `None` at its end. A body that is cut off is an error.
    pub fn next_part(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.chunked {
            let mut body = vec![0; self.left.take().unwrap_or(0)];
            self.stream.read_exact(&mut body)?;
            return Ok((!body.is_empty()).then_some(body));
        }
        let mut size = String::new();
        self.stream.read_line(&mut size)?;
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let mut part = vec![0; size + 2];
        self.stream.read_exact(&mut part)?;
        part.truncate(size);
        Ok((size > 0).then_some(part))
    }
}
