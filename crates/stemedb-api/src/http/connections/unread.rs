//! A stream that notices when hyper answers a request by itself: one whose head it cannot read never reaches the router.
//!
//! ```text
//! call of the router ─▶ answering ─ its body is dropped, and then hyper flushes: its buffer is empty ─▶ silent
//!                                                                                                         │
//!          whatever hyper writes now is its own `HTTP/1.1 4xx` without a body: it is swallowed, its status kept,
//!          and the stream handed back, so that a reply with a body can be written in its place ◀──────────┘
//! ```
//!
//! A client that sends a second head before it has taken the first reply may still be told hyper's own words: then they stand behind
//! that reply in one buffer, and pass.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Everything of the router's has been written.
    #[default]
    Silent,
    /// The router is asked, or its reply is on its way.
    Answering,
    /// The last part of the reply is in hyper's hands.
    Ending,
    /// Hyper has refused by itself.
    Refused(u16),
}

/// What a connection's stream, its replies and its owner share.
pub(super) struct Watched<S>(Arc<Mutex<Shared<S>>>);

struct Shared<S> {
    phase: Phase,
    stream: Option<S>,
}

impl<S> Clone for Watched<S> {
    fn clone(&self) -> Watched<S> {
        Watched(Arc::clone(&self.0))
    }
}

impl<S> Watched<S> {
    pub(super) fn new() -> Watched<S> {
        Watched(Arc::new(Mutex::new(Shared { phase: Phase::default(), stream: None })))
    }

    /// The stream to be given to hyper.
    pub(super) fn stream(&self, stream: S) -> WatchedStream<S> {
        WatchedStream { stream: Some(stream), watched: self.clone() }
    }

    /// The router is asked.
    pub(super) fn begin(&self) {
        self.0.lock().phase = Phase::Answering;
    }

    /// After the connection has ended: the stream, and what hyper would have said, if it refused a head.
    pub(super) fn refused(&self) -> Option<(S, u16)> {
        let mut shared = self.0.lock();
        match shared.phase {
            Phase::Refused(status) => Some((shared.stream.take()?, status)),
            _ => None,
        }
    }

    fn phase(&self) -> Phase {
        self.0.lock().phase
    }

    fn change(&self, from: Phase, to: Phase) {
        let mut shared = self.0.lock();
        if shared.phase == from {
            shared.phase = to;
        }
    }

    /// Takes note of what hyper says by itself. False if this is something else.
    fn swallows(&self, bytes: &[u8]) -> bool {
        let mut shared = self.0.lock();
        match shared.phase {
            Phase::Refused(_) => true,
            Phase::Silent => match refusal(bytes) {
                Some(status) => {
                    shared.phase = Phase::Refused(status);
                    true
                }
                None => false,
            },
            Phase::Answering | Phase::Ending => false,
        }
    }
}

/// The status of a message that refuses a request.
fn refusal(message: &[u8]) -> Option<u16> {
    let rest = message.strip_prefix(b"HTTP/1.1 ").or_else(|| message.strip_prefix(b"HTTP/1.0 "))?;
    let status = std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()?;
    (400..500).contains(&status).then_some(status)
}

/// The stream of a connection.
pub(super) struct WatchedStream<S> {
    /// `None` only while it is dropped.
    stream: Option<S>,
    watched: Watched<S>,
}

impl<S> WatchedStream<S> {
    fn with<T>(&mut self, work: impl FnOnce(&mut S) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut self.stream {
            Some(stream) => work(stream),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn is_refused(&self) -> bool {
        matches!(self.watched.phase(), Phase::Refused(_))
    }
}

impl<S> Drop for WatchedStream<S> {
    fn drop(&mut self) {
        if self.is_refused() {
            self.watched.0.lock().stream = self.stream.take();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| Pin::new(stream).poll_read(context, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.watched.swallows(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.with(|stream| Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A head without a body is one part.
        if parts.first().is_some_and(|first| self.watched.swallows(first)) {
            return Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()));
        }
        self.with(|stream| Pin::new(stream).poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_refused() {
            return Poll::Ready(Ok(()));
        }
        // Hyper flushes when its own buffer is empty.
        self.watched.change(Phase::Ending, Phase::Silent);
        self.with(|stream| Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_refused() {
            return Poll::Ready(Ok(()));
        }
        self.with(|stream| Pin::new(stream).poll_shutdown(context))
    }
}

/// The body of a reply of the router's.
pub(super) struct WatchedBody<S> {
    body: Body,
    watched: Watched<S>,
}

impl<S> WatchedBody<S> {
    pub(super) fn new(body: Body, watched: Watched<S>) -> WatchedBody<S> {
        WatchedBody { body, watched }
    }
}

impl<S> Drop for WatchedBody<S> {
    fn drop(&mut self) {
        self.watched.change(Phase::Answering, Phase::Ending);
    }
}

impl<S> http_body::Body for WatchedBody<S> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const OWN: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    fn watched() -> (Watched<DuplexStream>, WatchedStream<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(1 << 12);
        let watched = Watched::new();
        let stream = watched.stream(ours);
        (watched, stream, theirs)
    }

    #[test]
    fn what_hyper_says_by_itself_is_kept_from_the_client_and_the_stream_comes_back() {
        run(async {
            let (watched, mut stream, mut theirs) = watched();
            stream.write_all(OWN).await.unwrap();
            stream.flush().await.unwrap();
            stream.shutdown().await.unwrap();
            drop(stream);
            let (mut stream, status) = watched.refused().unwrap();
            assert_eq!(status, 431);
            stream.write_all(b"ours").await.unwrap();
            drop(stream);
            let mut said = String::new();
            theirs.read_to_string(&mut said).await.unwrap();
            assert_eq!(said, "ours");
        });
    }

    /// A claim may have the text of a refusal in it: what the router says is never taken for hyper's.
    #[test]
    fn a_reply_that_looks_like_a_refusal_passes_until_it_is_flushed() {
        run(async {
            let (watched, mut stream, mut theirs) = watched();
            watched.begin();
            let body = WatchedBody::new(Body::empty(), watched.clone());
            stream.write_all(OWN).await.unwrap();
            stream.flush().await.unwrap();
            stream.write_all(OWN).await.unwrap();
            drop(body);
            stream.write_all(OWN).await.unwrap();
            stream.flush().await.unwrap();
            assert!(watched.refused().is_none());
            stream.write_all(OWN).await.unwrap();
            drop(stream);
            assert_eq!(watched.refused().map(|(_, status)| status), Some(431));
            let mut said = Vec::new();
            theirs.read_to_end(&mut said).await.unwrap();
            assert_eq!(said, OWN.repeat(3));
        });
    }

    #[test]
    fn only_refusals_are_swallowed() {
        assert_eq!(refusal(OWN), Some(431));
        assert_eq!(refusal(b"HTTP/1.0 400 Bad Request\r\n\r\n"), Some(400));
        assert_eq!(refusal(b"HTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(refusal(b"HTTP/1.1 100 Continue\r\n\r\n"), None);
        assert_eq!(refusal(b"HTTP/1.1 4"), None);
        assert_eq!(refusal(b"431"), None);
    }
}
