//! The way to the collector: one connection, kept alive, request after request.

use std::{io, sync::Arc, time::Duration};

use axum::http::{
    HeaderValue, Request, StatusCode,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{OtlpError, OtlpOptions};

/// No answer of a collector is read further.
const ANSWER_MAX_BYTES: usize = 64 << 10;

/// What a collector says to a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has them, except so many.
    Taken { rejected: u64 },
    /// It does not want them, now or later.
    Refused(u16),
    /// Not now; after this time, if it says one.
    Later { status: u16, after: Option<Duration> },
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(super) struct Post {
    options: OtlpOptions,
    tls: Option<TlsConnector>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Post {
    pub(super) fn new(options: OtlpOptions) -> Result<Post, OtlpError> {
        let tls = if options.endpoint.is_tls() { Some(trusting_the_system()?) } else { None };
        Ok(Post { options, tls, connection: None })
    }

    pub(super) async fn send(&mut self, body: Bytes) -> Result<Answer, Failure> {
        // Dropped with whatever goes wrong, and with a wait that is cut: the next one begins anew.
        let kept = self.connection.take();
        let exchange = async {
            let mut open = None;
            // A connection that the collector has closed in the meantime is replaced.
            if let Some(mut kept) = kept
                && kept.ready().await.is_ok()
            {
                open = Some(kept);
            }
            let mut connection = match open {
                Some(open) => open,
                None => self.connect().await?,
            };
            let response = connection.send_request(self.request(body)?).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await?.to_bytes();
            let after =
                head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Ok::<_, Failure>((answer(head.status, after, &body), connection))
        };
        let (answer, connection) = timeout(self.options.timeout, exchange).await??;
        self.connection = Some(connection);
        Ok(answer)
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let OtlpOptions { endpoint, headers, .. } = &self.options;
        let mut request = Request::post(endpoint.traces()).body(Full::new(body))?;
        let all = request.headers_mut();
        for (name, value) in headers {
            all.append(name, value.clone());
        }
        all.insert(HOST, HeaderValue::try_from(endpoint.authority())?);
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        all.insert(USER_AGENT, HeaderValue::from_static(concat!("stemedb-api/", env!("CARGO_PKG_VERSION"))));
        Ok(request)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let (host, port) = self.options.endpoint.place();
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => over(stream).await,
            Some(tls) => over(tls.connect(ServerName::try_from(host.to_owned())?, stream).await?).await,
        }
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // What goes wrong on the connection is told to whoever waits for an answer. It ends with the sender.
        let _ = connection.await;
    });
    Ok(sender)
}

fn trusting_the_system() -> Result<TlsConnector, OtlpError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(OtlpError::NoCertificates);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What an answer means, as OTLP/HTTP says. `after` are the seconds of `Retry-After`.
fn answer(status: StatusCode, after: Option<u64>, body: &[u8]) -> Answer {
    match status.as_u16() {
        200..=299 => Answer::Taken { rejected: rejected(body) },
        status @ (429 | 502 | 503 | 504) => Answer::Later { status, after: after.map(Duration::from_secs) },
        status => Answer::Refused(status),
    }
}

/// Spans that an answer says were rejected. A number of 64 bits is a text in this JSON; some write a number.
fn rejected(body: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0)
}

/// An error with everything behind it, in a line.
pub(super) fn in_words(failure: &Failure) -> String {
    if failure.downcast_ref::<tokio::time::error::Elapsed>().is_some() {
        return io::Error::from(io::ErrorKind::TimedOut).to_string();
    }
    let mut words = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_the_protocol_says() {
        let of =
            |status: u16, body: &str| answer(StatusCode::from_u16(status).unwrap(), Some(7), body.as_bytes());
        for (body, rejected) in [
            ("", 0),
            ("{}", 0),
            ("no JSON", 0),
            (r#"{"partialSuccess":{}}"#, 0),
            (r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedSpans":3}}"#, 3),
        ] {
            assert_eq!(of(200, body), Answer::Taken { rejected }, "{body}");
        }
        for status in [429, 502, 503, 504] {
            let after = Some(Duration::from_secs(7));
            assert_eq!(of(status, ""), Answer::Later { status, after });
        }
        for status in [301, 400, 401, 404, 408, 413, 500, 501] {
            assert_eq!(of(status, ""), Answer::Refused(status));
        }
    }
}
