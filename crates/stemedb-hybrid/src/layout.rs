//! Names of files and folders in a data directory.

use std::path::{Path, PathBuf};

/// Where everything of one database lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The layout of a data directory.
    pub fn of(dir: &Path) -> Layout {
        Layout { dir: dir.to_path_buf() }
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lock that keeps a second process out.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("LOCK")
    }

    /// The two copies of the identity.
    pub fn identities(&self) -> [PathBuf; 2] {
        [self.dir.join("IDENTITY.a"), self.dir.join("IDENTITY.b")]
    }

    /// The journal.
    pub fn wal(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// The primary view.
    pub fn kv(&self) -> PathBuf {
        self.dir.join("kv")
    }

    /// What will be the primary view, of another derivation version, while it is built. See `docs/design/versions.md`.
    pub fn kv_next(&self) -> PathBuf {
        self.dir.join("kv.next")
    }

    /// The primary view whose place another version's has taken.
    pub fn kv_old(&self) -> PathBuf {
        self.dir.join("kv.old")
    }

    /// Which journal entries wrote which keys; derived and disposable. See `docs/formats/sidecar.md`.
    pub fn sidecars(&self) -> PathBuf {
        self.dir.join("sidecar")
    }

    /// The fallback view, unless it lies elsewhere.
    pub fn fallback(&self) -> PathBuf {
        self.dir.join("fallback")
    }

    /// Evidence: damaged originals and cut tails.
    pub fn quarantine(&self) -> PathBuf {
        self.dir.join("quarantine")
    }

    /// How far the reading of every file has come.
    pub fn scrub(&self) -> PathBuf {
        self.dir.join("SCRUB")
    }

    /// Room that is held for the moment when the disk is full. Its content means nothing; no backup needs it.
    pub fn reserve(&self) -> PathBuf {
        self.dir.join("RESERVE")
    }

    /// The server's own key: a secret, part of no backup. See `docs/formats/receipt.md`.
    pub fn server_key(&self) -> PathBuf {
        self.dir.join("keys").join("server.key")
    }

    /// The API keys of whoever serves this folder: of this folder alone, part of no backup. See `docs/formats/api-keys.md`.
    pub fn api_keys(&self) -> PathBuf {
        self.dir.join("keys").join("api.keys")
    }

    /// Which answers are watched: of this folder alone, part of no backup. See `docs/formats/watches.md`.
    pub fn watches(&self) -> PathBuf {
        self.dir.join("watches")
    }

    /// While it is there the database follows another one and takes no requests. See `docs/design/standby.md`.
    pub fn standby(&self) -> PathBuf {
        self.dir.join("STANDBY")
    }

    /// Where a backup puts its checkpoint together. Of no use to anybody else, and removed by the next open.
    pub fn staging(&self) -> PathBuf {
        self.dir.join("backup.staging")
    }

    /// Left in a view's folder by an offline rebuild, so that the next start can say so.
    pub fn rebuilt_mark(kv: &Path) -> PathBuf {
        kv.join("REBUILT")
    }
}
