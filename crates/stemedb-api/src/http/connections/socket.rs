//! A socket file: the same routes for programs of this machine, reached by a path instead of an address.
//!
//! Who may open it is decided by its owner, its group and its mode (0660), as for any file, and by the folders above it. That
//! takes the place of a key for the admin plane, and says more than "somebody on this machine": the audit log has the user and the
//! process at the other end, as the system knows them (`SO_PEERCRED`).
//!
//! ```text
//! lock the folder ─ nothing there, or a socket that nobody listens on ─ bind ─ mode 0660 ─ listen
//!                    └ anything else: refused, and left as it is        └ nobody can connect before the last step
//! ```

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::{
    fd::OwnedFd,
    fs::{FileType, FlockOperation, Mode, OFlags},
    io::Errno,
};
use tokio::{
    net::{UnixListener, UnixSocket, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{ConnectionOptions, Remote, Server, accept};

/// Read and written by its owner and its group.
const MODE: u32 = 0o660;
/// Connections at once. They have places of their own: an operator reaches a server whose other connections are all taken.
const CONNECTIONS_MAX: usize = 64;
/// Connections that the system holds until they are accepted.
const BACKLOG: u32 = 64;
/// How long whoever may be listening has for taking a connection.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often, and how many times, a locked folder is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(50);
const LOCK_TRIES: usize = 100;

/// Who is at the other end of a socket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketPeer {
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
    /// The process that connected, where the system tells.
    pub process: Option<i32>,
}

impl SocketPeer {
    fn of(stream: &UnixStream) -> io::Result<SocketPeer> {
        let credentials = stream.peer_cred()?;
        Ok(SocketPeer { user: credentials.uid(), group: credentials.gid(), process: credentials.pid() })
    }
}

impl fmt::Display for SocketPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid={} gid={}", self.user, self.group)?;
        self.process.map_or(Ok(()), |process| write!(f, " pid={process}"))
    }
}

/// Why there is no socket file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Somebody listens on it, or may do so.
    #[error("{}: somebody listens on it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// What stands there is no socket, and is left alone.
    #[error("{}: what is there is no socket", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: cannot {doing}: {source}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A socket file that is listened on. Dropping it removes the file, unless another one has taken its name.
#[derive(Debug)]
pub struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the file.
    identity: (u64, u64),
}

impl SocketFile {
    /// Listens. A socket that a killed server has left is removed; one that somebody listens on is not.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub async fn bind(path: &Path) -> Result<SocketFile, SocketError> {
        let refused = |doing| {
            move |error: io::Error| SocketError::System { path: path.to_path_buf(), doing, source: error }
        };
        let _lock = lock_folder_of(path).await.map_err(refused("lock its folder"))?;
        remove_stale(path).await?;
        let socket = UnixSocket::new_stream().map_err(refused("make a socket"))?;
        socket.bind(path).map_err(refused("bind"))?;
        // Nobody can connect before `listen`: there is no moment in which others than these may.
        let opened = rustix::fs::chmod(path, Mode::from_raw_mode(MODE))
            .map_err(io::Error::from)
            .and_then(|()| Ok((identity(path)?, socket.listen(BACKLOG)?)));
        match opened {
            Ok((identity, listener)) => Ok(SocketFile { listener, path: path.to_path_buf(), identity }),
            Err(error) => {
                // It was made a moment ago, and nobody knows of it.
                let _ = rustix::fs::unlink(path);
                Err(refused("listen")(error))
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|there| there == self.identity) {
            // What cannot be removed is removed by the next server.
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::lstat(path)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Two servers that start at once must not take each other's socket, bound and not yet listened on, for a stale one.
async fn lock_folder_of(path: &Path) -> io::Result<OwnedFd> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder.unwrap_or(Path::new(".")), flags, Mode::empty())?;
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => sleep(LOCK_PAUSE).await,
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(folder),
        }
    }
    Err(Errno::WOULDBLOCK.into())
}

async fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let refused = |doing| {
        move |error: Errno| SocketError::System {
            path: path.to_path_buf(),
            doing,
            source: io::Error::from(error),
        }
    };
    let stat = match rustix::fs::lstat(path) {
        Err(Errno::NOENT) => return Ok(()),
        found => found.map_err(refused("look at it"))?,
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(SocketError::NotASocket { path: path.to_path_buf() });
    }
    match timeout(PROBE_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "a socket that nobody listens on is removed");
            rustix::fs::unlink(path).map_err(refused("remove it"))
        }
        // It was taken, or its queue is full, or it may not be tried: all but a proof that nobody is there.
        _ => Err(SocketError::InUse { path: path.to_path_buf() }),
    }
}

/// Serves a router on a socket file, as [`super::serve`] does on an address, until `stop` is ready. The file is gone from then on.
///
/// The router finds [`SocketPeer`] in a request's extensions, and takes whoever it is for a program on this machine.
pub async fn serve_socket(
    socket: SocketFile,
    router: Router,
    options: ConnectionOptions,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let open = GracefulShutdown::new();
    let server = Arc::new(Server::new(router, options, None));
    tokio::pin!(stop);
    loop {
        let (stream, _) = tokio::select! {
            accepted = accept(|| socket.listener.accept()) => accepted,
            () = &mut stop => break,
        };
        // More than there are places for are closed, and so is one whose end is not known.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let Ok(peer) = SocketPeer::of(&stream) else { continue };
        let (server, watcher) = (Arc::clone(&server), open.watcher());
        tokio::spawn(async move {
            server.requests(stream, Remote::Socket(peer), watcher).await;
            drop(place);
        });
    }
    drop(socket);
    open.shutdown().await;
}
