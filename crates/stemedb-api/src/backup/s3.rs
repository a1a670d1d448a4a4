//! A prefix of a bucket as a target.
//!
//! The only asynchronous client of the library: it has a runtime of its own with one thread, and every call blocks on it.

use std::{fmt, future::Future, time::Duration};

use object_store::{
    Error as StoreError, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use stemedb_env::File;
use tokio::runtime::{Handle, Runtime};

use super::{BackupTarget, Content, Error, Object, Result, document::damaged, target::too_long};

/// Larger contents are sent in pieces of this size, one in memory at a time. (S3 asks for at least 5 MiB.)
const PIECE_BYTES: u64 = 8 << 20;

/// A request that fails is tried again for so long; then the run fails, and the next one goes on where it was.
const RETRY_FOR: Duration = Duration::from_secs(60);

/// Objects of an S3-compatible service. An object that was put is durable.
pub struct S3Target {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
    store: AmazonS3,
    prefix: String,
    url: String,
}

impl Drop for S3Target {
    fn drop(&mut self) {
        // A server drops it on a thread that may not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for S3Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Target").field(&self.url).finish()
    }
}

/// True for an endpoint that is spoken to without encryption, and that is this machine.
fn is_plain_loopback(endpoint: &str) -> bool {
    let Some(rest) = endpoint.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl S3Target {
    /// `s3://bucket/prefix`, with the credentials, region and endpoint of the usual variables of this process:
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`; or those of the
    /// machine's role. HTTP without encryption is used for loopback addresses alone.
    ///
    /// Errors: [`Error::Refused`]. Nothing is sent yet.
    pub fn from_environment(text: &str) -> Result<S3Target> {
        S3Target::new(
            text,
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// [`S3Target::from_environment`], with other variables.
    pub fn new(text: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<S3Target> {
        let refused = |what: &dyn fmt::Display| Error::Refused(format!("{text}: {what}"));
        let rest = text.strip_prefix("s3://").ok_or_else(|| refused(&"it does not begin with s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(refused(&"it names no bucket"));
        }
        // Whoever was first has chosen; either is right.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::new();
        let mut endpoint = None;
        for (name, value) in variables {
            if !name.starts_with("AWS_") || value.is_empty() {
                continue;
            }
            if matches!(name.as_str(), "AWS_ENDPOINT" | "AWS_ENDPOINT_URL" | "AWS_ENDPOINT_URL_S3") {
                endpoint = Some(value.clone());
            }
            // Other tools have variables of their own.
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        if endpoint.is_some_and(|endpoint| is_plain_loopback(&endpoint)) {
            builder = builder.with_allow_http(true);
        }
        let retry = RetryConfig { retry_timeout: RETRY_FOR, ..RetryConfig::default() };
        let store =
            builder.with_bucket_name(bucket).with_retry(retry).build().map_err(|error| refused(&error))?;
        // With a thread of its own it notices that the service has closed an idle connection, before the next request is sent there.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| refused(&error))?;
        Ok(S3Target {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            store,
            prefix: prefix.trim_matches('/').to_owned(),
            url: text.trim_end_matches('/').to_owned(),
        })
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }

    fn failed(&self, op: &'static str, name: &str, source: StoreError) -> Error {
        Error::Target { op, name: name.to_owned(), target: self.describe(), source: Box::new(source) }
    }

    fn piece(&self, name: &str, file: &dyn File, offset: u64, bytes: u64) -> Result<PutPayload> {
        let mut piece = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut piece, offset).map_err(|error| Error::Target {
            op: "read the source of",
            name: name.to_owned(),
            target: self.describe(),
            source: Box::new(error),
        })?;
        Ok(PutPayload::from(piece))
    }

    fn place(&self, name: &str, content: Content<'_>, mode: PutMode) -> Result<bool> {
        let path = self.path(name);
        let payload = match content {
            Content::Bytes(bytes) => PutPayload::from(bytes.to_vec()),
            Content::File { file, bytes } if bytes <= PIECE_BYTES => self.piece(name, file, 0, bytes)?,
            Content::File { file, bytes } => return self.send_in_pieces(name, file, bytes).map(|()| true),
        };
        let (options, sent) = (PutOptions { mode, ..PutOptions::default() }, payload.clone());
        match self.wait(self.store.put_opts(&path, payload, options)) {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => self.has(name, &sent),
            Err(error) => Err(self.failed("write", name, error)),
        }
    }

    /// Whether what is there is what was sent. A request that a service has carried out and answered with an error is repeated, and finds
    /// what it has stored itself.
    fn has(&self, name: &str, sent: &PutPayload) -> Result<bool> {
        let there = self.get(name, sent.content_length() as u64);
        match there {
            Ok(there) => Ok(there.is_some_and(|there| sent.iter().flatten().eq(&there))),
            // It is longer.
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An upload in pieces. It is seen when it is complete; one that was cut short is given up, and the service removes it.
    fn send_in_pieces(&self, name: &str, file: &dyn File, bytes: u64) -> Result<()> {
        let path = self.path(name);
        let mut upload = self
            .wait(self.store.put_multipart(&path))
            .map_err(|error| self.failed("begin to write", name, error))?;
        let sent = self.send_pieces(name, file, bytes, upload.as_mut());
        if sent.is_err() {
            // It costs room at the service until then, and nothing else.
            let _ = self.wait(upload.abort());
        }
        sent
    }

    fn send_pieces(
        &self,
        name: &str,
        file: &dyn File,
        bytes: u64,
        upload: &mut dyn MultipartUpload,
    ) -> Result<()> {
        let mut at = 0;
        while at < bytes {
            let piece = self.piece(name, file, at, (bytes - at).min(PIECE_BYTES))?;
            at += piece.content_length() as u64;
            let part = upload.put_part(piece);
            self.wait(part).map_err(|error| self.failed("write", name, error))?;
        }
        self.wait(upload.complete()).map_err(|error| self.failed("finish writing", name, error))?;
        Ok(())
    }

    fn walk(&self, folder: &Path, found: &mut Vec<Object>) -> std::result::Result<(), StoreError> {
        let listed = self.wait(self.store.list_with_delimiter(Some(folder)))?;
        for object in listed.objects {
            found.push(Object { name: self.name(&object.location), bytes: object.size });
        }
        listed.common_prefixes.iter().try_for_each(|folder| self.walk(folder, found))
    }

    fn name(&self, path: &Path) -> String {
        let text: &str = path.as_ref();
        text.strip_prefix(&self.prefix).unwrap_or(text).trim_start_matches('/').to_owned()
    }
}

impl BackupTarget for S3Target {
    fn describe(&self) -> String {
        self.url.clone()
    }

    fn put_if_absent(&self, name: &str, content: Content<'_>) -> Result<bool> {
        // Not every service knows conditions, and uploads in pieces have none.
        if self.size(name)?.is_some() {
            return Ok(false);
        }
        self.place(name, content, PutMode::Create)
    }

    fn put(&self, name: &str, content: Content<'_>) -> Result<()> {
        self.place(name, content, PutMode::Overwrite).map(drop)
    }

    fn get(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        let found = match self.wait(self.store.get(&self.path(name))) {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", name, error)),
        };
        if found.meta.size > limit_bytes {
            return Err(too_long(self, name, limit_bytes));
        }
        let bytes = self.wait(found.bytes()).map_err(|error| self.failed("read", name, error))?;
        Ok(Some(bytes.to_vec()))
    }

    fn read_at(&self, name: &str, buffer: &mut [u8], offset: u64) -> Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let end = offset.saturating_add(buffer.len() as u64);
        match self.wait(self.store.get_range(&self.path(name), offset..end)) {
            Ok(bytes) if bytes.len() == buffer.len() => {
                buffer.copy_from_slice(&bytes);
                Ok(())
            }
            Ok(_) => Err(damaged(self, name, "it ends early")),
            Err(StoreError::NotFound { .. }) => {
                Err(Error::Missing { name: name.to_owned(), target: self.describe() })
            }
            // A service says in its own way that a range lies behind the end.
            Err(error) => match self.size(name)? {
                Some(bytes) if bytes < end => Err(damaged(self, name, "it ends early")),
                _ => Err(self.failed("read", name, error)),
            },
        }
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.wait(self.store.head(&self.path(name))) {
            Ok(found) => Ok(Some(found.size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", name, error)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>> {
        let mut found = Vec::new();
        let path = self.path(folder.trim_end_matches('/'));
        self.walk(&path, &mut found).map_err(|error| self.failed("list", folder, error))?;
        found.sort();
        Ok(found)
    }

    fn folders(&self) -> Result<Vec<String>> {
        let root = Path::from(self.prefix.as_str());
        let listed = self.wait(self.store.list_with_delimiter(Some(&root)));
        let listed = listed.map_err(|error| self.failed("list", "its folders", error))?;
        let mut folders: Vec<String> = listed.common_prefixes.iter().map(|path| self.name(path)).collect();
        folders.sort();
        Ok(folders)
    }

    fn delete(&self, name: &str) -> Result<()> {
        match self.wait(self.store.delete(&self.path(name))) {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_encryption() {
        for plain in ["http://127.0.0.1:9000", "http://localhost/x", "http://[::1]:80"] {
            assert!(is_plain_loopback(plain), "{plain}");
        }
        for other in ["https://127.0.0.1", "http://10.0.0.1:9000", "http://127.0.0.1.example", "localhost"] {
            assert!(!is_plain_loopback(other), "{other}");
        }
    }
}
