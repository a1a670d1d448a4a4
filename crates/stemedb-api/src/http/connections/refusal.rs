//! What a connection says by itself, where no request came through that the router could answer.

use std::{io, time::Duration};

use stemedb_core::identity::hex;
use stemedb_env::{Random, random::OsRandom};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::{errors::Code, http::Problem};

/// How long a refused connection may take to be told why.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of what it goes on sending so much is taken.
const UNREAD_MAX_BYTES: usize = 16 << 20;

/// Why nothing is answered, as a whole HTTP/1.1 message after which the connection ends.
pub(super) struct Refusal {
    pub request_id: String,
    message: Vec<u8>,
}

impl Refusal {
    /// All connections are taken.
    pub(super) fn of_connection() -> Refusal {
        Refusal::new(Code::Overloaded, "all connections are taken", "Service Unavailable")
    }

    /// The head of a request cannot be read; `status` is what hyper makes of it.
    pub(super) fn of_head(status: u16) -> Refusal {
        match status {
            414 => Refusal::new(Code::UriTooLong, Code::UriTooLong.meaning(), "URI Too Long"),
            431 => {
                let code = Code::HeadTooLarge;
                Refusal::new(code, code.meaning(), "Request Header Fields Too Large")
            }
            _ => Refusal::new(Code::BadRequest, "the head of the request is not HTTP/1.1", "Bad Request"),
        }
    }

    fn new(code: Code, detail: &'static str, reason: &str) -> Refusal {
        let mut random = [0; 16];
        OsRandom.fill(&mut random);
        let request_id = hex::text(&random);
        let body = Problem::new(code, detail).render(&request_id);
        let (status, length) = (code.status(), body.len());
        let wait = if code.is_retryable() { "retry-after: 1\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
             x-request-id: {request_id}\r\n{wait}x-content-type-options: nosniff\r\ncache-control: no-store\r\n\
             connection: close\r\n\r\n"
        );
        Refusal { request_id, message: [head.into_bytes(), body].concat() }
    }

    /// Says it and ends the connection. Whoever does not take it does not get it.
    pub(super) async fn tell(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let told = async {
            stream.write_all(&self.message).await?;
            stream.shutdown().await?;
            // What it has sent is taken: closing over it would reset the connection, and the reply with it.
            let (mut unread, mut taken) = ([0; 4096], 0);
            loop {
                match stream.read(&mut unread).await? {
                    0 => break,
                    count => taken += count,
                }
                if taken > UNREAD_MAX_BYTES {
                    break;
                }
            }
            io::Result::Ok(())
        };
        let _ = timeout(PATIENCE, told).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_whole_message_with_the_status_of_its_code() {
        let wanted =
            [(400, "bad_request"), (414, "uri_too_long"), (431, "head_too_large"), (418, "bad_request")];
        for (status, name) in wanted {
            let message = String::from_utf8(Refusal::of_head(status).message).unwrap();
            let (head, body) = message.split_once("\r\n\r\n").unwrap();
            let json: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(json["code"], name);
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", json["status"])), "{head}");
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
            assert!(head.contains(&format!("x-request-id: {}\r\n", json["request_id"].as_str().unwrap())));
            assert!(!head.contains("retry-after"));
        }
        let message = String::from_utf8(Refusal::of_connection().message).unwrap();
        assert!(
            message.starts_with("HTTP/1.1 503 ") && message.contains("\r\nretry-after: 1\r\n"),
            "{message}"
        );
    }
}
