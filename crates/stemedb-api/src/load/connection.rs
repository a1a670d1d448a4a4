//! One connection that is kept open, with as little between it and the socket as there can be.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ROOM_BYTES: usize = 64 << 10;
/// Longest reply that is taken.
const REPLY_MAX_BYTES: usize = 64 << 20;

/// One connection.
pub struct Connection {
    stream: TcpStream,
    room: Vec<u8>,
    filled: usize,
    /// What of it the last reply took.
    used: usize,
    is_closing: bool,
}

/// A whole reply.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn open(address: &str) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, room: vec![0; ROOM_BYTES], filled: 0, used: 0, is_closing: false })
    }

    /// Whether the server has said that the last reply was the last one.
    pub fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Sends a whole request and reads its whole reply.
    ///
    /// # Errors
    /// Those of the system, `UnexpectedEof` where the server closes the connection before, `InvalidData` for what is no reply or has
    /// no length. What became of the request is not known then, and the connection is of no use any more.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Reply<'_>> {
        self.room.copy_within(self.used..self.filled, 0);
        self.filled -= self.used;
        self.used = 0;
        self.stream.write_all(request).await?;
        let head = loop {
            let text = self.room.get(..self.filled).unwrap_or_default();
            if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let Head { status, length, is_last } =
            Head::parse(self.room.get(..head).unwrap_or_default()).ok_or(io::ErrorKind::InvalidData)?;
        let whole = head + length;
        if self.room.len() < whole {
            self.room.resize(whole, 0);
        }
        while self.filled < whole {
            self.fill().await?;
        }
        self.used = whole;
        self.is_closing = is_last;
        Ok(Reply { status, body: self.room.get(head..whole).unwrap_or_default() })
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.filled == self.room.len() {
            self.room.resize(self.room.len() * 2, 0);
        }
        let free = self.room.get_mut(self.filled..).unwrap_or_default();
        match self.stream.read(free).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }
}

/// What of a head matters here.
struct Head {
    status: u16,
    length: usize,
    is_last: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Head> {
        let mut lines = std::str::from_utf8(bytes).ok()?.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let (mut length, mut is_last) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse().ok()?);
            } else if name.eq_ignore_ascii_case("connection") {
                is_last = value.trim().eq_ignore_ascii_case("close");
            }
        }
        let length = length.filter(|length| *length <= REPLY_MAX_BYTES)?;
        Some(Head { status, length, is_last })
    }
}
