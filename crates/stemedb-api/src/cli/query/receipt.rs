//! The receipt in an answer, as a file.

use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use stemedb_env::{Env, OpenMode};

use crate::cli::failure::Failure;

/// Writes the receipt of an answer's JSON, as it stands there, into a new file.
pub fn write(file: &Path, answer: &[u8]) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        receipt: &'a RawValue,
    }
    let Answer { receipt } = serde_json::from_slice(answer)
        .map_err(|error| Failure::new(error).context("the answer has no receipt"))?;
    let cannot = |error: stemedb_env::Error| Failure::from(error).context("cannot write the receipt");
    let made = Env::real().fs.open(file, OpenMode::CreateNew).map_err(cannot)?;
    made.write_all_at(format!("{}\n", receipt.get()).as_bytes(), 0).map_err(cannot)?;
    made.sync_data().map_err(cannot)
}
