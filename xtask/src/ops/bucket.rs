//! A real S3-compatible server of this machine, and the program that knows buckets.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    server::{self, Server},
    steps::{self, Outcome},
};

/// The one bucket.
const NAME: &str = "claims";
/// What `s3_server` calls its key.
const KEY: &str = "AKIDTEST";
/// What the key's secret is.
const SECRET: &str = "a secret that only this run knows";

/// A server with one bucket.
pub struct Bucket {
    server: Server,
    folder: PathBuf,
}

impl Bucket {
    /// Builds the server and starts it over a folder, which is made if it is not there. Cost: minutes where nothing is built yet.
    pub fn start(root: &Path, folder: &Path) -> Result<Bucket, String> {
        let mut build = cargo(root);
        build.args(["--package", "stemedb-s3-tests", "--example", "s3_server"]);
        steps::command(&mut build)?;
        let bucket = folder.join(NAME);
        fs::create_dir_all(&bucket).map_err(|error| format!("{}: {error}", bucket.display()))?;
        let mut s3 = Command::new(server::target(root).join("debug/examples/s3_server"));
        s3.arg(folder).env("S3_SECRET", SECRET);
        let server = Server::spawn(&mut s3, &folder.with_extension("log"))?;
        Ok(Bucket { server, folder: folder.to_path_buf() })
    }

    /// The variables by which a program reaches it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.server.url.clone()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// A target in it.
    pub fn target(prefix: &str) -> String {
        format!("s3://{NAME}/{prefix}")
    }

    /// Where the objects below a prefix are on this machine.
    pub fn objects(&self, prefix: &str) -> PathBuf {
        self.folder.join(NAME).join(prefix)
    }

    /// Ends it.
    pub fn stop(self) -> Outcome {
        self.server.stop().map(drop)
    }
}

fn cargo(root: &Path) -> Command {
    let mut build = Command::new("cargo");
    build.args(["build", "--locked", "--quiet"]).current_dir(root);
    build
}

/// The program that knows buckets. One that is named must be built with the feature.
pub fn program(root: &Path) -> Result<PathBuf, String> {
    if std::env::var_os(server::PROGRAM).is_some() {
        return server::program(root);
    }
    steps::command(cargo(root).args(["--package", "stemedb-api", "--features", "s3"]))?;
    Ok(server::target(root).join("debug/stemedb-api"))
}
