//! A real S3-compatible server on a loopback port, for tests of programs: `s3_server FOLDER` serves the folder's folders as buckets, and
//! says where it listens.
//!
//! The key is `AKIDTEST`, the secret is what `S3_SECRET` says.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../tests/s3/service.rs"]
mod service;

use std::{error::Error, io::Write, path::PathBuf, sync::Arc};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("s3_server FOLDER")?;
    let secret = std::env::var("S3_SECRET")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let faults = Arc::<service::Faults>::default();
    runtime.block_on(service::serve(PathBuf::from(folder), &secret, faults, |address| {
        let mut out = std::io::stdout();
        // Whoever has started it waits for this line, and sees that it is missing.
        let _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
    }))
}
