//! The proof that a folder holds a database, and which one.
//!
//! Two copies, each checked on its own, so that a single damaged sector never turns a database into an empty folder. They
//! are written once, by an explicit create (and again when a new timeline starts).
//!
//! ```text
//! offset size field
//!      0    8 magic       "STEMEDB\n"
//!      8    4 format      u32, little-endian: 0
//!     12   16 database id
//!     28    4 timeline    u32, little-endian
//!     32    8 created_at  i64, little-endian, microseconds since the epoch
//!     40    4 CRC-32 of everything before
//! ```

use std::path::Path;

use stemedb_env::{
    Env, Fs, Micros,
    frame::DatabaseId,
    fs::{read_file, write_file_atomic},
};

use crate::{Error, Layout, Result};

const MAGIC: &[u8; 8] = b"STEMEDB\n";
const FORMAT: u32 = 0;
const BYTES: usize = 44;

/// Which database a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Chosen at random at creation.
    pub database: DatabaseId,
    /// 1, and one more after each point-in-time restore or promotion.
    pub timeline: u32,
    /// When it was created, for people.
    pub created_at: Micros,
}

enum Copy {
    Absent,
    Damaged,
    Whole(Identity),
}

impl Identity {
    /// A new database.
    pub fn generate(env: &Env) -> Identity {
        let mut database = DatabaseId::default();
        env.random.fill(&mut database.0);
        Identity { database, timeline: 1, created_at: env.clock.wall() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.database.0);
        bytes.extend_from_slice(&self.timeline.to_le_bytes());
        bytes.extend_from_slice(&self.created_at.0.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Identity> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let (magic, rest) = body.split_first_chunk::<8>()?;
        let (format, rest) = rest.split_first_chunk::<4>()?;
        let (database, rest) = rest.split_first_chunk::<16>()?;
        let (timeline, created_at) = rest.split_first_chunk::<4>()?;
        let whole = crc32fast::hash(body) == u32::from_le_bytes(*crc)
            && magic == MAGIC
            && u32::from_le_bytes(*format) == FORMAT;
        whole.then_some(Identity {
            database: DatabaseId(*database),
            timeline: u32::from_le_bytes(*timeline),
            created_at: Micros(i64::from_le_bytes(created_at.try_into().ok()?)),
        })
    }

    /// Writes both copies durably.
    pub fn write(&self, fs: &dyn Fs, layout: &Layout) -> Result<()> {
        for path in layout.identities() {
            write_file_atomic(fs, &path, &self.encode())?;
        }
        Ok(())
    }

    /// True if the folder holds any copy, whole or not: something was created here once.
    pub fn exists(fs: &dyn Fs, layout: &Layout) -> Result<bool> {
        for path in layout.identities() {
            if fs.metadata(&path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the identity and writes nothing: for tools that look at a folder which may be another process's. One whole copy is
    /// enough; the first one counts.
    ///
    /// Errors: as of [`Identity::read`].
    pub fn peek(fs: &dyn Fs, layout: &Layout) -> Result<Identity> {
        let [a, b] = layout.identities();
        match (read_copy(fs, &a)?, read_copy(fs, &b)?) {
            (Copy::Whole(identity), _) | (_, Copy::Whole(identity)) => Ok(identity),
            (Copy::Absent, Copy::Absent) => Err(Error::NotADatabase { dir: layout.dir().to_path_buf() }),
            _ => {
                let problem = "both copies are damaged";
                Err(Error::BadIdentity { dir: layout.dir().to_path_buf(), problem })
            }
        }
    }

    /// Reads the identity; one whole copy is enough, and the other is written again from it.
    pub fn read(fs: &dyn Fs, layout: &Layout) -> Result<Identity> {
        let bad = |problem| Error::BadIdentity { dir: layout.dir().to_path_buf(), problem };
        let [a, b] = layout.identities();
        let identity = match (read_copy(fs, &a)?, read_copy(fs, &b)?) {
            (Copy::Whole(a), Copy::Whole(b)) if a == b => return Ok(a),
            // Copy a is always written first: after a crash in between it is the newer one.
            (Copy::Whole(a), Copy::Whole(b)) if a.database == b.database => a,
            (Copy::Whole(_), Copy::Whole(_)) => return Err(bad("its two copies name different databases")),
            (Copy::Whole(identity), _) | (_, Copy::Whole(identity)) => identity,
            (Copy::Absent, Copy::Absent) => {
                return Err(Error::NotADatabase { dir: layout.dir().to_path_buf() });
            }
            _ => return Err(bad("both copies are damaged")),
        };
        tracing::warn!(dir = %layout.dir().display(), "one copy of the identity was damaged or missing; writing it again");
        identity.write(fs, layout)?;
        Ok(identity)
    }
}

fn read_copy(fs: &dyn Fs, path: &Path) -> Result<Copy> {
    if fs.metadata(path)?.is_none() {
        return Ok(Copy::Absent);
    }
    match read_file(fs, path, 4096) {
        Ok(bytes) => Ok(Identity::decode(&bytes).map_or(Copy::Damaged, Copy::Whole)),
        Err(error) if error.kind() == Some(std::io::ErrorKind::FileTooLarge) => Ok(Copy::Damaged),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_byte_of_a_copy_is_noticed() {
        let identity = Identity { database: DatabaseId([5; 16]), timeline: 3, created_at: Micros(-7) };
        let bytes = identity.encode();
        assert_eq!(bytes.len(), BYTES);
        assert_eq!(Identity::decode(&bytes), Some(identity));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Identity::decode(&damaged), None, "byte {at}");
            assert_eq!(Identity::decode(&bytes[..at]), None, "length {at}");
        }
    }
}
