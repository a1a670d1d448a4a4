//! The file of a bundle: readable by its owner alone, and there under its name only once it was searched.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use stemedb_env::{Env, Fs, OpenMode};

use super::{
    check::{Check, Leak},
    tar,
};
use crate::cli::failure::Failure;

/// Exit code of a bundle that was not kept because the self-check has found something in it.
pub const LEAKED: u8 = 3;

/// Why there is no bundle.
#[derive(Debug)]
pub enum BundleError {
    /// Something stands where it should go.
    Exists(PathBuf),
    /// The place is inside of the database, where nothing is written.
    InsideDatabase(PathBuf),
    /// The system refuses, a full disk among others.
    NotWritten { file: PathBuf, source: stemedb_env::Error },
    /// What was read back is not what was written.
    NotReadBack(PathBuf),
    /// The self-check found what must not be in it. Nothing is kept.
    Leak(Leak),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BundleError::Exists(file) => write!(f, "{} exists already", file.display()),
            BundleError::InsideDatabase(file) => {
                write!(f, "{} lies in the database's folder, where a bundle writes nothing", file.display())
            }
            BundleError::NotWritten { file, source } => {
                write!(f, "the bundle cannot be written to {}: {source}", file.display())
            }
            BundleError::NotReadBack(file) => {
                write!(f, "{} does not read back as it was written", file.display())
            }
            BundleError::Leak(leak) => write!(f, "the bundle is not kept: {leak}"),
        }
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Failure {
        let failure = Failure::new(&error);
        match error {
            BundleError::Leak(leak) => {
                let name = leak.part.rsplit('/').next().unwrap_or_default().to_owned();
                failure
                    .hint(format!("look at it with --no-redact, or leave it out: --without {name}"))
                    .with_exit(LEAKED)
            }
            BundleError::NotWritten { source, .. } if source.is_storage_full() => {
                failure.hint("free some room, or give another place with --out")
            }
            BundleError::Exists(_) | BundleError::InsideDatabase(_) => {
                failure.hint("give another place with --out")
            }
            BundleError::NotWritten { .. } | BundleError::NotReadBack(_) => failure,
        }
    }
}

/// Where a bundle goes.
#[derive(Debug)]
pub struct Place {
    file: PathBuf,
    part: PathBuf,
}

impl Place {
    /// Checks the place before anything is collected.
    pub fn new(env: &Env, named: &Path, data_dir: Option<&Path>) -> Result<Place, BundleError> {
        let not_written = |source| BundleError::NotWritten { file: named.to_path_buf(), source };
        let file = std::path::absolute(named)
            .map_err(|error| not_written(stemedb_env::Error::io(stemedb_env::IoOp::Open, named, error)))?;
        let inside =
            data_dir.and_then(|dir| std::path::absolute(dir).ok()).is_some_and(|dir| file.starts_with(dir));
        if inside {
            return Err(BundleError::InsideDatabase(file));
        }
        if env.fs.metadata(&file).map_err(not_written)?.is_some() {
            return Err(BundleError::Exists(file));
        }
        let mut part = file.file_name().map(|name| name.to_os_string()).unwrap_or_default();
        part.push(".part");
        Ok(Place { part: file.with_file_name(part), file })
    }

    /// Its name.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Writes the archive under a name of its own, reads that file back, searches it, and only then gives it its name. Whatever goes
    /// wrong, no file is left.
    pub fn keep(
        &self,
        env: &Env,
        archive: &[u8],
        check: &Check,
        digests: &[String],
    ) -> Result<(), BundleError> {
        let done = self.written(env, archive).and_then(|bytes| self.searched(&bytes, check, digests));
        let named = done.and_then(|()| {
            let named = env.fs.rename(&self.part, &self.file).and_then(|()| match self.file.parent() {
                Some(dir) => env.fs.sync_dir(dir),
                None => Ok(()),
            });
            named.map_err(|source| BundleError::NotWritten { file: self.file.clone(), source })
        });
        if named.is_err() {
            // Left over it would be what nobody has searched.
            let _ = env.fs.remove(&self.part);
        }
        named
    }

    fn written(&self, env: &Env, archive: &[u8]) -> Result<Vec<u8>, BundleError> {
        let write = |fs: &dyn Fs| -> stemedb_env::Result<Vec<u8>> {
            if fs.metadata(&self.part)?.is_some() {
                // Of a run that was killed.
                fs.remove(&self.part)?;
            }
            let file = fs.open(&self.part, OpenMode::CreateNew)?;
            // While there is nothing in it.
            fs.make_private(&self.part)?;
            file.write_all_at(archive, 0)?;
            file.sync_data()?;
            stemedb_env::fs::read_file(fs, &self.part, archive.len() as u64)
        };
        let bytes =
            write(&*env.fs).map_err(|source| BundleError::NotWritten { file: self.file.clone(), source })?;
        if bytes == archive { Ok(bytes) } else { Err(BundleError::NotReadBack(self.file.clone())) }
    }

    fn searched(&self, bytes: &[u8], check: &Check, digests: &[String]) -> Result<(), BundleError> {
        let members = tar::read(bytes).ok_or_else(|| BundleError::NotReadBack(self.file.clone()))?;
        for (name, content) in members {
            check.part(&name, name.as_bytes(), digests).map_err(BundleError::Leak)?;
            check.part(&name, content, digests).map_err(BundleError::Leak)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bundle::check::secrets::Secret;

    fn archive(text: &str) -> Vec<u8> {
        let mut archive = tar::Archive::default();
        archive.add("stemedb-debug/a.json", text.as_bytes(), 1);
        archive.finish()
    }

    fn check() -> Check {
        let secret = Secret { what: "the variable X".to_owned(), text: "s3cr3t-value".to_owned() };
        Check::new(&[secret], ["Zyxobenzene"].into_iter(), &[], "", true)
    }

    #[test]
    fn what_was_searched_gets_its_name_and_what_leaks_leaves_no_file() {
        let (env, sim) = Env::sim(1);
        env.fs.create_dir(Path::new("/out")).unwrap();
        let place = Place::new(&env, Path::new("/out/b.tar"), None).unwrap();
        for text in ["x s3cr3t-value", "zyxobenzene"] {
            let error = place.keep(&env, &archive(text), &check(), &[]).unwrap_err();
            assert!(
                matches!(&error, BundleError::Leak(leak) if leak.part == "stemedb-debug/a.json"),
                "{error}"
            );
            assert!(!error.to_string().contains("s3cr3t") && !error.to_string().contains("zyxo"), "{error}");
        }
        assert_eq!(sim.fs.paths(), Vec::<PathBuf>::new());
        place.keep(&env, &archive("nothing"), &check(), &[]).unwrap();
        assert_eq!(sim.fs.paths(), [PathBuf::from("/out/b.tar")]);
        assert!(matches!(Place::new(&env, Path::new("/out/b.tar"), None), Err(BundleError::Exists(_))));
        let inside = Place::new(&env, Path::new("/out/b2.tar"), Some(Path::new("/out")));
        assert!(matches!(inside, Err(BundleError::InsideDatabase(_))));
    }

    #[test]
    fn a_full_disk_is_said_and_leaves_no_file() {
        let (env, sim) = Env::sim(1);
        env.fs.create_dir(Path::new("/out")).unwrap();
        let place = Place::new(&env, Path::new("/out/b.tar"), None).unwrap();
        sim.fs.set_capacity(Some(1024));
        let error = place.keep(&env, &archive("nothing"), &check(), &[]).unwrap_err();
        assert!(
            matches!(&error, BundleError::NotWritten { source, .. } if source.is_storage_full()),
            "{error}"
        );
        assert_eq!(sim.fs.paths(), Vec::<PathBuf>::new());
    }
}
