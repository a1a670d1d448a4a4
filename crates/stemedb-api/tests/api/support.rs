//! A real server on a loopback port, and a client so small that it can also send what no client should.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;
use stemedb_api::{
    Database, DatabaseOptions, RouterOptions, RouterParts, http::Backups, hybrid::HybridOptions, router_with,
};
use tempfile::TempDir;

/// A database in a folder of its own, with sizes so small that a few requests flush and compact.
pub fn database() -> (Database, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::create(dir.path().join("db"), tiny()).unwrap();
    (database, dir)
}

pub fn tiny() -> DatabaseOptions {
    DatabaseOptions { engine: HybridOptions::tiny(), ..DatabaseOptions::default() }
}

/// A server over a database.
pub struct Server {
    pub database: Database,
    pub address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
    dir: Option<TempDir>,
}

impl Server {
    pub fn start() -> Server {
        Server::with(RouterOptions::default())
    }

    pub fn with(options: RouterOptions) -> Server {
        let (database, dir) = database();
        Server::over(database, dir, options)
    }

    pub fn over(database: Database, dir: TempDir, options: RouterOptions) -> Server {
        Server::with_backups(database, dir, options, None)
    }

    pub fn with_backups(
        database: Database,
        dir: TempDir,
        options: RouterOptions,
        backups: Option<Backups>,
    ) -> Server {
        Server::with_parts(database, dir, options, RouterParts { backups, ..RouterParts::default() })
    }

    pub fn with_parts(
        database: Database,
        dir: TempDir,
        options: RouterOptions,
        parts: RouterParts,
    ) -> Server {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let routes = router_with(database.clone(), options, parts);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap()
        });
        Server { database, address, runtime: Some(runtime), dir: Some(dir) }
    }

    /// Stops it; the folder stays while somebody holds it.
    pub fn stop(mut self) -> Option<TempDir> {
        self.dir.take()
    }

    pub fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[], b"")
    }

    pub fn post(&self, target: &str, body: &str) -> Reply {
        self.send("POST", target, &[("Content-Type", "application/json")], body.as_bytes())
    }

    pub fn import(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut all = vec![("Content-Type", "application/x-ndjson")];
        all.extend(headers);
        self.send("POST", target, &all, body)
    }

    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.raw(&bytes)
    }

    /// Sends bytes as they are and reads the reply to its end.
    pub fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // A server that refuses early may close before everything is written.
        let _ = stream.write_all(bytes);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        Reply::parse(&reply)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// A reply, taken apart.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn parse(bytes: &[u8]) -> Reply {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a reply with a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: bytes[end + 4..].to_vec() };
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.body = unchunk(&reply.body);
        }
        reply
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The lines of an NDJSON body.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The reply as a problem: status, code, and code and place of its first error.
    pub fn problem(&self) -> (u16, String, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let json = self.json();
        assert_eq!(json["status"], self.status, "{json}");
        assert_eq!(json["request_id"].as_str(), self.header("x-request-id"), "{json}");
        assert!(json["type"].as_str().unwrap().ends_with(json["code"].as_str().unwrap()), "{json}");
        for member in ["title", "detail"] {
            assert!(!json[member].as_str().unwrap().is_empty(), "{json}");
        }
        let first = &json["errors"][0];
        if !first.is_null() {
            assert_eq!(first["code"], json["code"], "{json}");
        }
        let place = first["pointer"].as_str().map(str::to_owned);
        let place = place.or_else(|| first["parameter"].as_str().map(|name| format!("?{name}")));
        (self.status, json["code"].as_str().unwrap().to_owned(), place.unwrap_or_default())
    }
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
}

/// Numbers from a seed (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}
