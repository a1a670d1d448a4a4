//! Where backups are kept.

use std::{fmt, path::PathBuf, sync::Arc};

use stemedb_env::{Env, File};

use super::{Error, FolderTarget, Result};

/// What is to be stored.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The first `bytes` of a file, read as they are sent.
    File {
        /// The file.
        file: &'a dyn File,
        /// How much of it.
        bytes: u64,
    },
}

impl Content<'_> {
    /// How much it is.
    pub fn bytes(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File { bytes, .. } => *bytes,
        }
    }
}

/// Something that is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its name, with `/` between its pieces.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// A store of named objects: a folder, a prefix of a bucket, or memory.
///
/// Contract: an object is seen whole or not at all. [`BackupTarget::settle`] makes everything that was put before it durable;
/// until then a crash may take any of it away. Calls block and may come from several threads.
pub trait BackupTarget: Send + Sync + fmt::Debug {
    /// Where it is, for people.
    fn describe(&self) -> String;
    /// Stores an object unless there is one of this name; true if it is new. Of two at the same time one is; of two that store the very
    /// same bytes both may be told so, because a service may answer a repeated request with what its first try has stored.
    fn put_if_absent(&self, name: &str, content: Content<'_>) -> Result<bool>;
    /// Stores an object, in the place of another of its name.
    fn put(&self, name: &str, content: Content<'_>) -> Result<()>;
    /// Reads a whole object of at most `limit_bytes`; `None` if there is none. A longer one is damaged.
    fn get(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>>;
    /// Fills `buffer` from an offset of an object that is at least so long.
    fn read_at(&self, name: &str, buffer: &mut [u8], offset: u64) -> Result<()>;
    /// The length of an object; `None` if there is none.
    fn size(&self, name: &str) -> Result<Option<u64>>;
    /// Every object whose name begins with `folder`, which is empty or ends in `/`; sorted by name.
    fn list(&self, folder: &str) -> Result<Vec<Object>>;
    /// The first pieces of all names that have more than one, sorted.
    fn folders(&self) -> Result<Vec<String>>;
    /// Removes an object; nothing to do if there is none.
    fn delete(&self, name: &str) -> Result<()>;
    /// Makes everything durable that was put or deleted before.
    fn settle(&self) -> Result<()>;
}

/// Opens the target that a text names: `s3://bucket/prefix`, or a folder, which need not exist yet.
///
/// Errors: [`Error::Refused`] for a scheme that is not known.
pub fn open_target(env: &Env, text: &str) -> Result<Arc<dyn BackupTarget>> {
    match named(text)? {
        #[cfg(feature = "s3")]
        Named::Bucket => Ok(Arc::new(super::S3Target::from_environment(text)?)),
        Named::Folder(path) => Ok(Arc::new(FolderTarget::new(env, PathBuf::from(path)))),
    }
}

/// Checks whether a text names a target, without looking for what it names.
///
/// Errors: as of [`open_target`], where they do not depend on the place itself.
pub fn check_target(text: &str) -> Result<()> {
    named(text).map(|_| ())
}

/// What a text names.
enum Named<'a> {
    #[cfg(feature = "s3")]
    Bucket,
    Folder(&'a str),
}

fn named(text: &str) -> Result<Named<'_>> {
    #[cfg(feature = "s3")]
    if text.starts_with("s3://") {
        return Ok(Named::Bucket);
    }
    #[cfg(not(feature = "s3"))]
    if text.starts_with("s3://") {
        return Err(Error::Refused("this build cannot reach s3:// targets (feature `s3`)".to_owned()));
    }
    let path = match text.split_once("://") {
        None => text,
        Some(("file", path)) => path,
        Some((scheme, _)) => {
            return Err(Error::Refused(format!(
                "{scheme}:// is no target: give a folder or s3://bucket/prefix"
            )));
        }
    };
    if path.is_empty() {
        return Err(Error::Refused("the target is empty".to_owned()));
    }
    Ok(Named::Folder(path))
}

/// The error of an object that is longer than it can be.
pub(super) fn too_long(target: &dyn BackupTarget, name: &str, limit_bytes: u64) -> Error {
    Error::Damaged {
        name: name.to_owned(),
        target: target.describe(),
        problem: format!("it is longer than {limit_bytes} bytes"),
    }
}
