//! A small HTTP client over hyper, which the server brings along: one connection, kept alive, request after request.
//!
//! Replies are read while the request is still being sent, so that a long answer to a long request cannot block both
//! sides.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    client::conn::http1::SendRequest,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use stemedb_api::http::Token;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    runtime::Runtime,
    time::timeout,
};

use super::failure::Failure;

/// How long connecting, and each next part of a reply, is waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REPLY_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest reply that is kept whole.
const REPLY_MAX_BYTES: usize = 256 << 20;
const KEY_FILE_MAX_BYTES: u64 = 4096;

/// What an address may look like.
const FORMS: &str = "must look like http://127.0.0.1:18180 or unix:/run/stemedb/admin.sock";

/// The address of a server: `http://host:port`, optionally with a path before the routes; or `unix:/path` of its socket
/// file, where the admin plane asks for no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// What `Host` says.
    authority: String,
    base: String,
    /// The socket file; without one it is TCP.
    socket: Option<PathBuf>,
}

impl ServerUrl {
    /// The server that listens on a socket file.
    pub fn of_socket(file: PathBuf) -> ServerUrl {
        ServerUrl { authority: "localhost".to_owned(), base: String::new(), socket: Some(file) }
    }

    /// True if it is this machine by its own word: an address of the loopback network, or `localhost`.
    pub fn is_loopback(&self) -> bool {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands before every route; empty mostly.
    pub fn base(&self) -> &str {
        &self.base
    }
}

impl FromStr for ServerUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<ServerUrl, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            if !path.is_absolute() {
                return Err(FORMS);
            }
            // The server takes a name of its own machine for local, and nothing is resolved.
            return Ok(ServerUrl::of_socket(path));
        }
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err("https is not spoken here; put a TLS proxy in between"),
            _ => return Err(FORMS),
        };
        let (authority, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        if host.is_empty() || authority.contains(['@', '?', '#', ' ']) || base.contains(['?', '#', ' ']) {
            return Err(FORMS);
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(ServerUrl { authority, base: base.trim_end_matches('/').to_owned(), socket: None })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => write!(f, "http://{}{}", self.authority, self.base),
        }
    }
}

/// Why a request has no reply.
#[derive(Debug)]
pub enum ClientError {
    /// There is no connection, or it broke: the request may or may not have been carried out.
    Connection(String),
    /// The server refused.
    Refused(Refusal),
}

/// A refusal of the server.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// When to try again, if the server says so.
    pub retry_after: Option<Duration>,
    /// What the server says.
    pub problem: Problem,
}

/// The parts of `application/problem+json` that are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    title: String,
    detail: String,
    code: String,
}

impl Refusal {
    /// The stable code of the refusal; empty where a reply had none.
    pub fn code(&self) -> &str {
        &self.problem.code
    }

    /// True when the same request may be carried out later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.status, 408 | 429 | 503 | 507)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { title, detail, code } = &self.problem;
        match (title.is_empty(), detail.is_empty()) {
            (true, true) => write!(f, "HTTP status {}", self.status),
            (_, true) => write!(f, "{title} ({code})"),
            _ => write!(f, "{detail} ({code})"),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        match error {
            ClientError::Connection(cause) => Failure::new(cause)
                .hint("is the server running? `stemedb-api serve --data-dir DIR` starts one"),
            ClientError::Refused(refusal) => Failure::new(refusal).context("the server refused"),
        }
    }
}

/// A client of one server.
pub struct Client {
    runtime: Runtime,
    url: ServerUrl,
    connection: Option<SendRequest<Full<Bytes>>>,
    authorization: Option<HeaderValue>,
}

/// What is sent with a request.
pub struct Content {
    /// Its `Content-Type`.
    pub media_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// A client that connects with its first request.
    pub fn new(url: &ServerUrl) -> Result<Client, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(error).context("cannot start the HTTP client"))?;
        Ok(Client { runtime, url: url.clone(), connection: None, authorization: authorization()? })
    }

    /// Sends `GET` and returns the whole reply.
    pub fn get(&mut self, path: &str) -> Result<Bytes, ClientError> {
        self.send(Method::GET, path, None)?.whole()
    }

    /// Sends `GET` and returns status and reply, also where the server refuses: a probe that fails says why in its body.
    pub fn get_whatever(&mut self, path: &str) -> Result<(u16, Bytes), ClientError> {
        let (status, _, reply) = self.exchange(Method::GET, path, None)?;
        Ok((status.as_u16(), reply.whole()?))
    }

    /// Sends `GET` and returns the reply's beginning; the rest is read by [`Reply::next_part`].
    pub fn get_streaming(&mut self, path: &str) -> Result<Reply<'_>, ClientError> {
        self.send(Method::GET, path, None)
    }

    /// Sends `POST` and returns the whole reply.
    pub fn post(&mut self, path: &str, content: Content) -> Result<Bytes, ClientError> {
        self.send(Method::POST, path, Some(content))?.whole()
    }

    /// Sends `DELETE` and returns the whole reply.
    pub fn delete(&mut self, path: &str) -> Result<Bytes, ClientError> {
        self.send(Method::DELETE, path, None)?.whole()
    }

    /// Sends `POST` and returns the reply's beginning; the rest is read by [`Reply::next_part`].
    pub fn post_streaming(&mut self, path: &str, content: Content) -> Result<Reply<'_>, ClientError> {
        self.send(Method::POST, path, Some(content))
    }

    fn send(
        &mut self,
        method: Method,
        path: &str,
        content: Option<Content>,
    ) -> Result<Reply<'_>, ClientError> {
        let (status, retry_after, reply) = self.exchange(method, path, content)?;
        if status.is_success() { Ok(reply) } else { refused(status, retry_after, reply) }
    }

    /// Status, when to try again, and the reply's beginning.
    fn exchange(
        &mut self,
        method: Method,
        path: &str,
        content: Option<Content>,
    ) -> Result<(StatusCode, Option<Duration>, Reply<'_>), ClientError> {
        let url = self.url.clone();
        let broken =
            |error: &dyn fmt::Display| ClientError::Connection(format!("no reply from {url}: {error}"));
        // A connection that the server has closed in the meantime is replaced.
        let kept = self.connection.take();
        let kept = kept.and_then(|mut kept| match self.runtime.block_on(kept.ready()) {
            Ok(()) => Some(kept),
            Err(_) => None,
        });
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.runtime.block_on(connect(&url)).map_err(|error| broken(&error))?,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", url.base))
            .header(HOST, &url.authority)
            .header(USER_AGENT, concat!("stemedb-api/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(content) = &content {
            request = request.header(CONTENT_TYPE, content.media_type);
        }
        let body = Full::new(content.map(|content| content.body).unwrap_or_default());
        let request = request.body(body).map_err(|error| broken(&error))?;
        let head =
            self.runtime.block_on(async { timeout(REPLY_TIMEOUT, connection.send_request(request)).await });
        let response = match head {
            Err(_) => return Err(broken(&"it took too long")),
            Ok(Err(error)) => return Err(broken(&Causes(&error))),
            Ok(Ok(response)) => response,
        };
        self.connection = Some(connection);
        let status = response.status();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let reply = Reply { runtime: &self.runtime, url, body: response.into_body() };
        Ok((status, retry_after.map(Duration::from_secs), reply))
    }
}

/// The key that the environment names, as a header: itself in `STEMEDB_API_KEY`, or in the file `STEMEDB_API_KEY_FILE`.
pub fn authorization() -> Result<Option<HeaderValue>, Failure> {
    let bad = |what: &str| Failure::usage(format!("{what} holds no API key"));
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let (name, key) = match (given("STEMEDB_API_KEY"), given("STEMEDB_API_KEY_FILE")) {
        (None, None) => return Ok(None),
        (Some(key), _) => ("STEMEDB_API_KEY", key.into_encoded_bytes()),
        (None, Some(file)) => {
            let env = stemedb_env::Env::real();
            ("STEMEDB_API_KEY_FILE", stemedb_env::fs::read_file(&*env.fs, file.as_ref(), KEY_FILE_MAX_BYTES)?)
        }
    };
    let key = std::str::from_utf8(&key).ok().and_then(|text| Token::parse(text.trim()));
    let key = key.ok_or_else(|| bad(name))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.reveal())).map_err(|_| bad(name))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn refused<'a>(
    status: StatusCode,
    retry_after: Option<Duration>,
    reply: Reply<'_>,
) -> Result<Reply<'a>, ClientError> {
    let problem = serde_json::from_slice(&reply.whole()?).unwrap_or_default();
    Err(ClientError::Refused(Refusal { status: status.as_u16(), retry_after, problem }))
}

/// A reply whose body is still arriving.
pub struct Reply<'a> {
    runtime: &'a Runtime,
    url: ServerUrl,
    body: Incoming,
}

impl Reply<'_> {
    /// The next part of the body; `None` at its end.
    pub fn next_part(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = self.runtime.block_on(async { timeout(REPLY_TIMEOUT, self.body.frame()).await });
            let broken =
                |error: &dyn fmt::Display| ClientError::Connection(format!("lost {}: {error}", self.url));
            match frame {
                Err(_) => return Err(broken(&"it took too long")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(broken(&Causes(&error))),
                Ok(Some(Ok(frame))) => {
                    if let Ok(part) = frame.into_data() {
                        return Ok(Some(part));
                    }
                }
            }
        }
    }

    fn whole(mut self) -> Result<Bytes, ClientError> {
        let mut whole = Vec::new();
        while let Some(part) = self.next_part()? {
            if whole.len() + part.len() > REPLY_MAX_BYTES {
                return Err(ClientError::Connection(format!("the reply of {} is too long", self.url)));
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole.into())
    }
}

async fn connect(url: &ServerUrl) -> Result<SendRequest<Full<Bytes>>, std::io::Error> {
    match &url.socket {
        Some(path) => converse(in_time(UnixStream::connect(path)).await?).await,
        None => {
            let stream = in_time(TcpStream::connect(&url.authority)).await?;
            stream.set_nodelay(true)?;
            converse(stream).await
        }
    }
}

async fn in_time<T>(connecting: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

async fn converse<S>(stream: S) -> std::io::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    tokio::spawn(async move {
        // What goes wrong on the connection is told to whoever waits for a reply.
        let _ = connection.await;
    });
    Ok(sender)
}

/// An error with everything behind it.
struct Causes<'a>(&'a hyper::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// A path with query parameters.
pub fn with_parameters(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    for (i, (name, value)) in parameters.iter().enumerate() {
        out.push(if i == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    out.push(char::from(byte))
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_a_scheme_and_gets_a_port() {
        let shown = |text: &str| text.parse::<ServerUrl>().map(|url| url.to_string());
        assert_eq!(shown("http://127.0.0.1:18180/"), Ok("http://127.0.0.1:18180".to_owned()));
        assert_eq!(shown("http://[::1]:18180/db"), Ok("http://[::1]:18180/db".to_owned()));
        assert_eq!(shown("http://claims.example"), Ok("http://claims.example:80".to_owned()));
        assert!(shown("127.0.0.1:18180").is_err());
        assert!(shown("https://h").is_err());
        assert!(shown("http://:80").is_err());
        assert!(shown("http://h/?x").is_err());
        assert_eq!(shown("unix:/run/a b.sock"), Ok("unix:/run/a b.sock".to_owned()));
        assert!(shown("unix:").is_err() && shown("unix:admin.sock").is_err(), "from which folder?");
    }

    #[test]
    fn this_machine_is_known_by_its_loopback_addresses() {
        let is_loopback = |text: &str| text.parse::<ServerUrl>().unwrap().is_loopback();
        assert!(["http://127.0.0.1:1", "http://[::1]:1", "http://localhost"].into_iter().all(is_loopback));
        assert!(!["http://10.0.0.1:1", "http://localhost.example"].into_iter().any(is_loopback));
    }

    #[test]
    fn parameters_are_percent_encoded() {
        let path = with_parameters("/v1/query", &[("subject", "cas:50-00-0 +é"), ("lens", "recency")]);
        assert_eq!(path, "/v1/query?subject=cas%3A50-00-0%20%2B%C3%A9&lens=recency");
    }
}
