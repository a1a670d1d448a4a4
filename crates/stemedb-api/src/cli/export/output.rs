//! Where an export goes: a file that appears whole, or standard output.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_api::Error;
use stemedb_env::{Env, File, OpenMode};

use crate::cli::failure::Failure;

/// Level of compression: what zstd and gzip take for their default.
const ZSTD_LEVEL: i32 = 3;
const BUFFER_BYTES: usize = 256 << 10;

/// An output.
pub struct Output {
    to: To,
    /// The file's name, and the one it has until it is whole.
    file: Option<Names>,
}

struct Names {
    env: Env,
    name: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn File>,
    renamed: bool,
}

enum To {
    Plain(Box<dyn Write>),
    Gzip(Box<flate2::write::GzEncoder<Box<dyn Write>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Box<dyn Write>>>),
    Finished,
}

impl Output {
    /// Opens an output. A file that exists is left alone.
    pub fn create(env: &Env, path: Option<&Path>) -> Result<Output, Failure> {
        let Some(path) = path else {
            return Ok(Output { to: To::Plain(Box::new(io::stdout())), file: None });
        };
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::new(error).context(format!("cannot write {}", path.display()))
        };
        if env.fs.metadata(path)?.is_some() {
            return Err(cannot(&"it exists already"));
        }
        let mut temporary = path.file_name().ok_or_else(|| cannot(&"it names no file"))?.to_os_string();
        temporary.push(".part");
        let temporary = path.with_file_name(temporary);
        if env.fs.metadata(&temporary)?.is_some() {
            // Left over by an export that was cut short.
            env.fs.remove(&temporary)?;
        }
        let file = env.fs.open(&temporary, OpenMode::CreateNew).map_err(|error| cannot(&error))?;
        let writer: Box<dyn Write> = Box::new(io::BufWriter::with_capacity(
            BUFFER_BYTES,
            FileWriter { file: Arc::clone(&file), offset: 0 },
        ));
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let to = match extension {
            "gz" => {
                let level = flate2::Compression::default();
                To::Gzip(Box::new(flate2::write::GzEncoder::new(writer, level)))
            }
            "zst" => To::Zstd(Box::new(
                zstd::stream::write::Encoder::new(writer, ZSTD_LEVEL).map_err(|error| cannot(&error))?,
            )),
            _ => To::Plain(writer),
        };
        let names = Names { env: env.clone(), name: path.to_owned(), temporary, file, renamed: false };
        Ok(Output { to, file: Some(names) })
    }

    /// A failure of an export, as one of this output where it was.
    pub fn failure(&self, error: Error) -> Failure {
        match error {
            Error::Output(error) if self.file.is_none() => Failure::from(error),
            other => Failure::from(other),
        }
    }

    /// Makes the file durable and gives it its name.
    pub fn finish(mut self) -> Result<(), Failure> {
        match std::mem::replace(&mut self.to, To::Finished) {
            To::Plain(mut out) => out.flush()?,
            To::Gzip(out) => out.finish()?.flush()?,
            To::Zstd(out) => out.finish()?.flush()?,
            To::Finished => {}
        }
        if let Some(names) = &mut self.file {
            names.file.sync_data()?;
            names.env.fs.rename(&names.temporary, &names.name)?;
            names.renamed = true;
            let dir = match names.name.parent() {
                Some(dir) if dir != Path::new("") => dir,
                _ => Path::new("."),
            };
            names.env.fs.sync_dir(dir)?;
        }
        Ok(())
    }
}

impl Drop for Output {
    /// A file that is not whole goes away.
    fn drop(&mut self) {
        if let Some(names) = &self.file
            && !names.renamed
        {
            let _ = names.env.fs.remove(&names.temporary);
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Plain(out) => out.write(bytes),
            To::Gzip(out) => out.write(bytes),
            To::Zstd(out) => out.write(bytes),
            To::Finished => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            // Of a compressed stream, flushing would only make it longer.
            To::Plain(out) => out.flush(),
            _ => Ok(()),
        }
    }
}

/// Writes a file from its beginning to its end.
struct FileWriter {
    file: Arc<dyn File>,
    offset: u64,
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write_at(bytes, self.offset) {
            Ok(count) => {
                self.offset += count as u64;
                Ok(count)
            }
            Err(error) => Err(error.kind().map_or_else(|| io::Error::other(error), io::Error::from)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
