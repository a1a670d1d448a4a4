//! One request over a connection of its own: enough of HTTP for a stream of writes and a look at what is there.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Where the machine's server answers.
const ADDRESS: &str = "127.0.0.1:18180";
/// Longer than any reply takes, a disk that does not answer included.
const PATIENCE: Duration = Duration::from_secs(20);

/// A reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

/// Sends a request with a JSON body, or with none, and reads the whole reply.
pub fn send(method: &str, path: &str, media_type: &str, body: &str) -> io::Result<Reply> {
    let address: SocketAddr = ADDRESS.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    // A server that refuses may not read all of it.
    let _ = stream.write_all(body.as_bytes());
    let mut reader = BufReader::new(stream);
    let (mut status, mut chunked, mut length) = (0, false, None);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        } else if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        } else if line.starts_with("transfer-encoding:") {
            chunked = line.ends_with("chunked");
        }
    }
    let mut bytes = Vec::new();
    if chunked {
        read_chunks(&mut reader, &mut bytes)?;
    } else {
        bytes.resize(length.unwrap_or(0), 0);
        reader.read_exact(&mut bytes)?;
    }
    Ok(Reply { status, body: String::from_utf8_lossy(&bytes).into_owned() })
}

/// `GET`.
pub fn get(path: &str) -> io::Result<Reply> {
    send("GET", path, "application/json", "")
}

fn read_chunks(reader: &mut BufReader<TcpStream>, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let start = bytes.len();
        bytes.resize(start + size + 2, 0);
        reader.read_exact(&mut bytes[start..])?;
        bytes.truncate(start + size);
        if size == 0 {
            return Ok(());
        }
    }
}
