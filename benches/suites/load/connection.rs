//! One connection that is kept open, with as little between it and the socket as there can be.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Failure;

const ROOM_BYTES: usize = 64 << 10;

/// One connection.
pub struct Connection {
    stream: TcpStream,
    room: Vec<u8>,
    filled: usize,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, room: vec![0; ROOM_BYTES], filled: 0 })
    }

    /// Sends a whole request and reads its whole reply; returns the status.
    pub async fn ask(&mut self, request: &[u8]) -> Result<u16, Failure> {
        self.stream.write_all(request).await?;
        let head = loop {
            if let Some(end) = self.room[..self.filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let text = std::str::from_utf8(&self.room[..head])?;
        let status = text.get(9..12).ok_or("no status")?.parse()?;
        let length = text
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map(|(_, value)| value.trim().parse::<usize>());
        let whole = head + length.ok_or("a reply without a length")??;
        if self.room.len() < whole {
            self.room.resize(whole, 0);
        }
        while self.filled < whole {
            self.fill().await?;
        }
        self.room.copy_within(whole..self.filled, 0);
        self.filled -= whole;
        Ok(status)
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        if self.filled == self.room.len() {
            self.room.resize(self.room.len() * 2, 0);
        }
        match self.stream.read(&mut self.room[self.filled..]).await? {
            0 => Err("the server has closed the connection".into()),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }
}
