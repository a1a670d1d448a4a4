//! A streamed body that is whole or breaks off, so that nobody takes a part of it for the whole.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// Why a reply ends early; the log has more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the reply was cut off")]
pub(super) struct CutOff;

/// What is sent, as a body.
pub(super) struct Chunks {
    /// What came before the reply began.
    pub first: Option<Bytes>,
    pub ready: mpsc::Receiver<Bytes>,
    /// Set before the last sender goes away, where everything was sent.
    pub complete: Arc<AtomicBool>,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match self.ready.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(chunk)) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            // Said once: whoever asks again finds an end.
            Poll::Ready(None) if self.complete.swap(true, Ordering::AcqRel) => Poll::Ready(None),
            Poll::Ready(None) => Poll::Ready(Some(Err(CutOff))),
        }
    }
}
