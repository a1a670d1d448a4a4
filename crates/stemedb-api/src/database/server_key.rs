//! The server's key: what its receipts are signed with.

use std::path::PathBuf;

use stemedb_core::{AgentId, AgentKey};
use stemedb_env::{
    Env,
    fs::{read_file, tree::create_dir_durably, write_private_file_atomic},
};

use crate::errors::{Error, Result};

const FIRST_LINE: &str = "stemedb server key 1";
const FILE_MAX_BYTES: u64 = 4096;

/// Why a server's key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used: {problem}", file.display())]
pub struct ServerKeyError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Reads the key in a file, or makes one there if the file is absent.
pub(super) fn load_or_make(env: &Env, file: PathBuf) -> Result<AgentKey> {
    match env.fs.metadata(&file).map_err(engine)? {
        Some(_) => load(env, file),
        None => make(env, file),
    }
}

fn load(env: &Env, file: PathBuf) -> Result<AgentKey> {
    let bytes = read_file(&*env.fs, &file, FILE_MAX_BYTES).map_err(engine)?;
    parse(&bytes).map_err(|problem| Error::ServerKey(ServerKeyError { file, problem }))
}

fn make(env: &Env, file: PathBuf) -> Result<AgentKey> {
    let mut seed = [0; 32];
    if env.random.fill_secret(&mut seed).is_err() {
        let problem = "the system gives no randomness to make it of";
        return Err(Error::ServerKey(ServerKeyError { file, problem }));
    }
    let key = AgentKey::from_seed(&seed);
    let text = format!("{FIRST_LINE}\n{}\n{}\n", AgentId(seed), key.agent());
    if let Some(dir) = file.parent() {
        create_dir_durably(&*env.fs, dir).map_err(engine)?;
    }
    write_private_file_atomic(&*env.fs, &file, text.as_bytes()).map_err(engine)?;
    Ok(key)
}

fn parse(bytes: &[u8]) -> Result<AgentKey, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err("it does not begin as a server's key of this version does");
    }
    let digits = |line: Option<&str>| line.and_then(|line| line.parse::<AgentId>().ok());
    let (Some(seed), Some(public), None) = (digits(lines.next()), digits(lines.next()), lines.next()) else {
        return Err("it does not hold two lines of 64 hexadecimal digits");
    };
    let key = AgentKey::from_seed(&seed.0);
    if key.agent() == public { Ok(key) } else { Err("its public key is not that of its secret one") }
}

fn engine(error: stemedb_env::Error) -> Error {
    Error::Engine(stemedb_hybrid::Error::Env(error))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_a_damaged_one_is_refused() {
        let (env, _) = Env::sim(1);
        let file = Path::new("/db/keys/server.key");
        let made = load_or_make(&env, file.into()).unwrap().agent();
        assert_eq!(load_or_make(&env, file.into()).unwrap().agent(), made);
        let bytes = read_file(&*env.fs, file, FILE_MAX_BYTES).unwrap();
        assert_eq!(parse(&bytes).unwrap().agent(), made);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(parse(&changed).is_err(), "byte {at}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn nobody_but_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys/server.key");
        load_or_make(&Env::real(), file.clone()).unwrap();
        #[allow(clippy::disallowed_methods)] // the question is what the system thinks
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
