//! A real S3-compatible server: `s3s` over a folder whose folders are buckets.
//!
//! `s3s-fs` looks whether an object is there, and then writes it. S3 promises that of two requests with `If-None-Match: *` at once one has its
//! way, so such requests take turns here.

use std::{
    error::Error,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    HttpError, HttpResponse,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{net::TcpListener, sync::Mutex};

/// The name of the one key.
pub const KEY: &str = "AKIDTEST";

/// What goes wrong.
#[derive(Debug, Default)]
pub struct Faults {
    /// Of the puts that are carried out each so many-th is answered as if it had not been; 0: none is.
    pub fails_every: AtomicU64,
    puts: AtomicU64,
    /// Puts that were answered so.
    pub failed: AtomicU64,
}

impl Faults {
    fn fires(&self) -> bool {
        let every = self.fails_every.load(Ordering::SeqCst);
        let fires = every > 0 && self.puts.fetch_add(1, Ordering::SeqCst) % every == every - 1;
        self.failed.fetch_add(u64::from(fires), Ordering::SeqCst);
        fires
    }
}

#[derive(Clone)]
struct Front {
    service: S3Service,
    turn: Arc<Mutex<()>>,
    faults: Arc<Faults>,
}

impl Front {
    async fn answer(self, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        let is_put = request.method() == hyper::Method::PUT;
        let is_conditional = request.headers().contains_key("if-none-match");
        let turn = if is_conditional { Some(self.turn.lock().await) } else { None };
        let mut response = hyper::service::Service::call(&self.service, request).await?;
        drop(turn);
        if is_put && response.status().is_success() && self.faults.fires() {
            *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        }
        Ok(response)
    }
}

/// Serves for ever on a free port, which is told.
pub async fn serve(
    folder: PathBuf,
    secret: &str,
    faults: Arc<Faults>,
    tell: impl FnOnce(SocketAddr),
) -> Result<(), Box<dyn Error>> {
    let files = s3s_fs::FileSystem::new(folder).map_err(|error| format!("{error:?}"))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(KEY, secret));
    let front = Front { service: service.build(), turn: Arc::default(), faults };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    tell(listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        let front = front.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| front.clone().answer(request));
            // A client that breaks off is its own affair.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}
