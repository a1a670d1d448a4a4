//! Connections: taken in, guarded against clients that stall, and ended in order.
//!
//! ```text
//! listener ─ one of so many places ─▶ TLS handshake, if any ─▶ HTTP/1.1 ─▶ router
//!    │            └ none free: 503       └ within a deadline     ├ head within a deadline and a size, else a problem
//!    │                                                           └ a client that does not take its reply is cut
//!  told to stop ─▶ listen no more, replies say `Connection: close` ─▶ returns when the last connection has ended
//! ```
//!
//! A router can be served by anything that serves axum's; this is for whoever wants what the `stemedb-api` program has.

mod refusal;
mod socket;
mod stall;
mod tls;
mod unread;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, http::Extensions};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
pub use socket::{SocketError, SocketFile, SocketPeer, serve_socket};
pub use tls::{Tls, TlsError};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tower::ServiceExt;

use self::{
    refusal::Refusal,
    stall::StallGuard,
    unread::{Watched, WatchedBody},
};

/// How connections are treated.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionOptions {
    /// Connections at once. One more is answered 503 and closed; over TLS it is closed.
    pub max_connections: usize,
    /// How long the head of a request may take, and how long a connection may wait for its next request.
    pub head_timeout: Duration,
    /// Largest head of a request, in bytes: 431 beyond it. Looked at between reads, so that one which arrives at once may be a few
    /// times as large.
    pub head_max_bytes: usize,
    /// How long a client may take nothing of a reply that is ready.
    pub stall_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
}

impl Default for ConnectionOptions {
    fn default() -> ConnectionOptions {
        ConnectionOptions {
            max_connections: 8192,
            head_timeout: Duration::from_secs(30),
            head_max_bytes: 64 << 10,
            stall_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// Pause after the system could not accept: it has no descriptors or no memory, and asking again at once gives it none.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Most header fields of a request.
const HEADERS_MAX: usize = 100;
/// Refused connections that are told why at once; more are closed.
const REFUSALS_MAX: usize = 256;

/// Serves a router until `stop` is ready; then no connection is accepted any more, those that are open end behind their present
/// request, and this returns when the last one has ended. Whoever does not want to wait for it drops the future: that cuts them
/// with the runtime.
///
/// The router finds the peer's address as `ConnectInfo<SocketAddr>`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ConnectionOptions,
    tls: Option<Tls>,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(options.max_connections));
    let open = GracefulShutdown::new();
    let server = Arc::new(Server::new(router, options, tls));
    tokio::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = accept(|| listener.accept()) => accepted,
            () = &mut stop => break,
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let watcher = open.watcher();
                tokio::spawn(Arc::clone(&server).connection(stream, peer, place, watcher));
            }
            Err(_) => server.refuse(stream),
        }
    }
    drop(listener);
    open.shutdown().await;
}

/// The next connection, however often the system refuses.
async fn accept<T, F: Future<Output = io::Result<T>>>(listen: impl Fn() -> F) -> T {
    loop {
        match listen().await {
            Ok(accepted) => return accepted,
            // The client has left already; the next one is there.
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::error!("no connection can be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
enum Remote {
    Address(SocketAddr),
    Socket(SocketPeer),
}

impl Remote {
    /// Lets the router know.
    fn tell(self, extensions: &mut Extensions) {
        match self {
            Remote::Address(address) => {
                extensions.insert(ConnectInfo(address));
            }
            Remote::Socket(peer) => {
                extensions.insert(peer);
            }
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Address(address) => address.fmt(f),
            Remote::Socket(peer) => peer.fmt(f),
        }
    }
}

struct Server {
    router: Router,
    options: ConnectionOptions,
    tls: Option<Tls>,
    refused: AtomicU64,
    /// Places for clients that are being told so.
    refusals: Arc<Semaphore>,
}

impl Server {
    fn new(router: Router, options: ConnectionOptions, tls: Option<Tls>) -> Server {
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        Server { router, options, tls, refused: AtomicU64::new(0), refusals }
    }

    async fn connection(
        self: Arc<Server>,
        stream: TcpStream,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
        open: hyper_util::server::graceful::Watcher,
    ) {
        // Small replies leave at once. If the system cannot, they leave later.
        let _ = stream.set_nodelay(true);
        let peer = Remote::Address(peer);
        match &self.tls {
            None => self.requests(stream, peer, open).await,
            Some(tls) => match timeout(self.options.handshake_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.requests(stream, peer, open).await,
                Ok(Err(error)) => tracing::debug!(%peer, "no TLS: {error}"),
                Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
            },
        }
        drop(place);
    }

    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: Remote,
        open: hyper_util::server::graceful::Watcher,
    ) {
        let watched = Watched::new();
        let stream = watched.stream(StallGuard::new(stream, self.options.stall_timeout));
        let stream = TokioIo::new(stream);
        let (router, answers) = (self.router.clone(), watched.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            peer.tell(request.extensions_mut());
            answers.begin();
            let (answer, watched) = (router.clone().oneshot(request), answers.clone());
            async move { answer.await.map(|reply| reply.map(|body| WatchedBody::new(body, watched))) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.head_timeout)
            .max_buf_size(self.options.head_max_bytes)
            .max_headers(HEADERS_MAX)
            .serve_connection(stream, service);
        let ended = open.watch(connection).await;
        if let Some((stream, status)) = watched.refused() {
            let refusal = Refusal::of_head(status);
            tracing::debug!(%peer, request_id = refusal.request_id, status, "a request cannot be read: {ended:?}");
            refusal.tell(stream).await;
        } else if let Err(error) = ended {
            // What the client did wrong it has been told, if it still listens.
            tracing::debug!(%peer, "a connection ended: {error}");
        }
    }

    /// Tells one more client than there are places for to come again.
    fn refuse(&self, stream: TcpStream) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        // Said at the first one and then ever less often.
        if refused.is_power_of_two() {
            tracing::warn!(refused, "all connections are taken: raise the limit, or find out who holds them");
        }
        let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
        if self.tls.is_some() {
            return;
        }
        tokio::spawn(async move {
            Refusal::of_connection().tell(stream).await;
            drop(place);
        });
    }
}
