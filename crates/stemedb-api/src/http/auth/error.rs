//! Why keys cannot be used or made.

use std::path::PathBuf;

/// What goes wrong with the file of keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The file is not what was written. No key is good until it is put right.
    #[error("{} cannot be used: {problem}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system refused.
    #[error(transparent)]
    Env(#[from] stemedb_env::Error),
    /// The system has no randomness to make a key of.
    #[error("the system gives no randomness to make a key of: {0}")]
    Randomness(#[source] std::io::Error),
    /// There are as many keys as there may be.
    #[error("there are {max} keys that have neither expired nor been revoked; revoke one first")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// A label is too long or has control characters.
    #[error("a label has at most {max} bytes and no control characters")]
    Label {
        /// The bound, in bytes.
        max: usize,
    },
    /// The key would have expired before it was made.
    #[error("the key would be good for no time at all")]
    NeverGood,
}
