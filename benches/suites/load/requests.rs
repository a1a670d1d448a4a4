//! What is sent.

use std::io::Write;

use stemedb_api::load::Work;

/// Requests that are made before they are needed, one after the other, over and over.
pub struct Prepared(pub Vec<Vec<u8>>);

impl Work for Prepared {
    fn request(&self, number: u64, request: &mut Vec<u8>) {
        if let Some(prepared) = self.0.get((number % self.0.len().max(1) as u64) as usize) {
            request.extend_from_slice(prepared);
        }
    }
}

/// Claims, each number another one.
pub struct Asserts;

impl Work for Asserts {
    fn request(&self, number: u64, request: &mut Vec<u8>) {
        let body = format!(
            r#"{{"subject":"load:{}","predicate":"value","object":{number},"source":"load"}}"#,
            number % 50_000
        );
        // Writing into memory cannot fail.
        let _ = write!(
            request,
            "POST /v1/assert HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
