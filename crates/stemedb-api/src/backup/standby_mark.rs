//! `STANDBY`: what makes a folder a standby's.

use serde::{Deserialize, Serialize};
use stemedb_env::{
    Env,
    fs::{read_file, write_file_atomic},
};
use stemedb_hybrid::Layout;

use super::{Error, FORMAT, Hex, Result, document};

/// Longer than any of them.
const MAX_BYTES: u64 = 4096;

/// Whom a database follows. While its file is in the folder the database takes no requests, whoever opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandbyMark {
    format: u32,
    /// The database.
    pub database: Hex<16>,
    /// The timeline that it follows; its own is another one.
    pub follows: u32,
    /// Who it will be as a writer: drawn once, so that a promotion that was cut short is known as its own.
    pub holder: Hex<16>,
}

impl StandbyMark {
    /// A new standby of a database's timeline.
    pub fn generate(env: &Env, database: Hex<16>, follows: u32) -> StandbyMark {
        let mut holder = [0; 16];
        env.random.fill(&mut holder);
        StandbyMark { format: FORMAT, database, follows, holder: Hex(holder) }
    }

    /// Reads the mark of a folder; `None` if it is no standby's.
    ///
    /// Errors: [`Error::Damaged`]: then nobody knows, and the folder is not used.
    pub fn read(env: &Env, layout: &Layout) -> Result<Option<StandbyMark>> {
        let path = layout.standby();
        let bytes = match read_file(&*env.fs, &path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bad = |problem: String| Error::Damaged {
            name: "STANDBY".to_owned(),
            target: layout.dir().display().to_string(),
            problem,
        };
        let mark: StandbyMark = document::decode(&bytes).map_err(bad)?;
        match mark.format {
            FORMAT => Ok(Some(mark)),
            other => Err(bad(format!("format {other} is not known"))),
        }
    }

    /// Writes it durably. Errors: [`Error::Env`].
    pub fn write(&self, env: &Env, layout: &Layout) -> Result<()> {
        Ok(write_file_atomic(&*env.fs, &layout.standby(), &document::encode(self)?)?)
    }

    /// Removes it durably: from then on the folder is a database like any other. Errors: [`Error::Env`].
    pub fn remove(env: &Env, layout: &Layout) -> Result<()> {
        match env.fs.remove(&layout.standby()) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
        Ok(env.fs.sync_dir(layout.dir())?)
    }
}
