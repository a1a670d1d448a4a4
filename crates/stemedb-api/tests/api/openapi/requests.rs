//! Requests of all kinds, in parts that shrink by themselves: methods, targets, headers, bodies and how these are framed.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::Value;
use stemedb_api::http::route_list;

/// What a request may take: small, so that much of it is soon too much.
pub const BODY_MAX_BYTES: usize = 64 << 10;
/// A request, in parts that shrink by themselves.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: String,
    pub target: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// As long as it says.
    Length,
    /// Says nothing of a body.
    None,
    Chunked,
    /// Chunks that are none.
    Broken,
    /// Says more than it has.
    Short,
}

impl Sent {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes =
            [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"]
                .concat();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        match self.framing {
            Framing::None => bytes.extend(b"\r\n"),
            Framing::Length | Framing::Short => {
                let more = if self.framing == Framing::Short { 7 } else { 0 };
                bytes.extend(format!("Content-Length: {}\r\n\r\n", self.body.len() + more).bytes());
                bytes.extend(&self.body);
            }
            Framing::Chunked | Framing::Broken => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in self.body.chunks(1000) {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                    bytes.extend(chunk);
                    bytes.extend(b"\r\n");
                }
                bytes.extend_from_slice(if self.framing == Framing::Broken {
                    b"zz\r\n"
                } else {
                    b"0\r\n\r\n"
                });
            }
        }
        bytes
    }
}

fn method() -> impl Strategy<Value = String> {
    prop_oneof![
        16 => select(vec!["GET", "POST", "PUT", "DELETE"]).prop_map(str::to_owned),
        2 => select(vec!["HEAD", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "BREW"]).prop_map(str::to_owned),
        1 => "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}",
        1 => "[ -~]{0,6}",
    ]
}

/// A part of a path, or a value of a parameter: plain, an id, encoded well or badly, not UTF-8.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z0-9:._-]{0,12}".prop_map(String::into_bytes),
        2 => "[0-9a-f]{64}".prop_map(String::into_bytes),
        2 => "[0-9]{1,22}".prop_map(String::into_bytes),
        2 => "(%[0-9a-fA-F]{2}|%[g-z]|%|\\+|[a-z]){1,12}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..12),
        1 => select(vec!["true", "1.9", "-1", "2024-01-01T00:00:00Z", "source:x", "agent:00", "..", ".", "%2f", "consensus"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

fn parameter() -> impl Strategy<Value = Vec<u8>> {
    const NAMES: [&str; 24] = [
        "subject",
        "predicate",
        "lens",
        "as_of",
        "epoch",
        "decay",
        "evaluated_at",
        "tolerance",
        "without",
        "max_class",
        "receipt",
        "known_at",
        "min",
        "max",
        "agent",
        "prefix",
        "limit",
        "cursor",
        "from",
        "to",
        "offset",
        "format",
        "verbose",
        "on_error",
    ];
    let name = prop_oneof![8 => select(&NAMES[..]).prop_map(|name| name.as_bytes().to_vec()), 1 => text()];
    (name, text()).prop_map(|(name, value)| [&name[..], b"=", &value].concat())
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    let paths: Vec<&str> = route_list().into_iter().map(|(_, path)| path).collect();
    let known = (select(paths), text(), vec(parameter(), 0..5)).prop_map(|(path, id, parameters)| {
        let mut target = match path.split_once("{id}") {
            Some((before, after)) => [before.as_bytes(), &id, after.as_bytes()].concat(),
            None => path.as_bytes().to_vec(),
        };
        if !parameters.is_empty() {
            target.push(b'?');
            target.extend(parameters.join(&b'&'));
        }
        target
    });
    prop_oneof![
        12 => known,
        1 => vec(text(), 0..6).prop_map(|parts| [b"/", &parts.join(&b'/')[..]].concat()),
        1 => vec(any::<u8>(), 0..40),
        1 => (1..80_000_usize).prop_map(|length| [&b"/v1/claims?subject="[..], &b"a".repeat(length)].concat()),
    ]
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let known = select(vec![
        ("Content-Type", "application/json"),
        ("Content-Type", "application/x-ndjson"),
        ("Content-Type", "text/csv"),
        ("Content-Type", "application/n-quads"),
        ("Content-Type", "text/plain"),
        ("Content-Type", ";;;"),
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "zstd"),
        ("Content-Encoding", "br"),
        ("Accept", "text/csv"),
        ("Accept", "image/png"),
        ("Authorization", "Bearer stemedb_x"),
        ("Authorization", "Basic dTpw"),
        ("If-None-Match", "*"),
        ("Last-Event-ID", "1.1"),
        ("Last-Event-ID", "9.9"),
        ("Idempotency-Key", "k"),
        ("Expect", "100-continue"),
        ("Content-Length", "-1"),
        ("Range", "bytes=0-0"),
        ("X-Request-Id", "a b"),
        ("traceparent", "00-x"),
        ("Upgrade", "h2c"),
        ("Origin", "https://example.org"),
    ]);
    prop_oneof![
        8 => known.prop_map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())),
        1 => ("[A-Za-z0-9-]{1,20}", vec(any::<u8>(), 0..30)),
        1 => ("[ -~]{0,20}", vec(32..127_u8, 0..30)),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[0-9a-f]{64}".prop_map(Value::from),
    ];
    let name = || {
        const NAMES: [&str; 16] = [
            "subject",
            "predicate",
            "object",
            "source",
            "assertion",
            "agent",
            "weight",
            "old",
            "new",
            "kind",
            "name",
            "id",
            "class",
            "level",
            "scopes",
            "force",
        ];
        prop_oneof![6 => select(&NAMES[..]).prop_map(str::to_owned), 1 => "\\PC{0,8}"]
    };
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((name(), inner), 0..8).prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => json().prop_map(|value| value.to_string().into_bytes()),
        2 => vec(any::<u8>(), 0..200),
        1 => vec(json(), 0..5).prop_map(|lines| {
            lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
        }),
        1 => (1..20_000_usize, select(vec!["[", "{\"a\":", "[["])).prop_map(|(depth, open)| open.repeat(depth).into_bytes()),
        1 => (BODY_MAX_BYTES - 2..3 * BODY_MAX_BYTES).prop_map(|length| vec![b' '; length]),
        1 => (json(), any::<prop::sample::Index>()).prop_map(|(value, at)| {
            let mut bytes = value.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = 0xFF;
            bytes
        }),
    ]
}

pub fn sent() -> impl Strategy<Value = Sent> {
    let framing = prop_oneof![
        10 => Just(Framing::Length),
        2 => Just(Framing::None),
        2 => Just(Framing::Chunked),
        1 => Just(Framing::Broken),
        1 => Just(Framing::Short),
    ];
    let headers = prop_oneof![
        6 => vec(header(), 0..4),
        4 => vec(header(), 0..2).prop_map(|mut headers| {
            headers.insert(0, ("Content-Type".into(), b"application/json".to_vec()));
            headers
        }),
        1 => vec(header(), 95..110),
    ];
    (method(), target(), headers, body(), framing).prop_map(|(method, target, headers, body, framing)| Sent {
        method,
        target,
        headers,
        body,
        framing,
    })
}
