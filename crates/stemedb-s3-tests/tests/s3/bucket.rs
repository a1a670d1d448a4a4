//! Buckets of servers of this process.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock, mpsc},
};

use stemedb_api::backup::S3Target;
use tempfile::TempDir;

use super::service::{Faults, KEY, serve};

const SECRET: &str = "a secret that only this test knows";
const NAME: &str = "backups";

/// A server with one bucket, which ends with the process.
pub struct Bucket {
    root: TempDir,
    address: SocketAddr,
    /// What goes wrong.
    pub faults: Arc<Faults>,
}

impl Bucket {
    /// Begins to serve an empty one.
    pub fn serve() -> Bucket {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(NAME)).unwrap();
        let (tell, told) = mpsc::channel();
        let (served, faults) = (root.path().to_path_buf(), Arc::<Faults>::default());
        let of_server = Arc::clone(&faults);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime
                .block_on(serve(served, SECRET, of_server, |address| tell.send(address).unwrap()))
                .unwrap();
        });
        Bucket { root, address: told.recv().unwrap(), faults }
    }

    /// The one of all tests that need none of their own.
    pub fn shared() -> &'static Bucket {
        static SHARED: OnceLock<Bucket> = OnceLock::new();
        SHARED.get_or_init(Bucket::serve)
    }

    /// A target below a prefix of it.
    pub fn target(&self, prefix: &str) -> S3Target {
        self.target_with(SECRET, &format!("{NAME}/{prefix}"))
    }

    /// A target with another secret, or in another bucket.
    pub fn target_with(&self, secret: &str, place: &str) -> S3Target {
        let variables = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        S3Target::new(&format!("s3://{place}"), variables).unwrap()
    }

    /// Where the objects below a prefix are.
    pub fn folder(&self, prefix: &str) -> PathBuf {
        self.root.path().join(NAME).join(prefix)
    }
}
