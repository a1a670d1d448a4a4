//! Whether what was acknowledged is there.

use std::{rc::Rc, time::Duration};

use serde::Serialize;
use stemedb_api::load::closed;
use tokio::time::sleep;

use super::{
    claims::Claims,
    requests::{Fate, Server, Stored},
};
use crate::cli::failure::Failure;

const READING: usize = 16;
/// So often those that nothing is known of are asked for again, after a pause: a refusal loses nothing.
const PASSES: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// What became of all acknowledged claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReadBack {
    pub acknowledged: u64,
    /// Not there.
    pub lost: u64,
    /// Asked for several times, without a reply that says whether they are there.
    pub unknown: u64,
}

/// Asks for each of these claims.
pub async fn read(server: &Server, claims: Claims, numbers: Vec<u64>) -> Result<ReadBack, Failure> {
    let mut found = ReadBack { acknowledged: numbers.len() as u64, ..ReadBack::default() };
    let mut left = numbers;
    for pass in 0..PASSES {
        if pass > 0 {
            sleep(PAUSE).await;
        }
        let count = left.len() as u64;
        let work = Rc::new(Stored::new(server.clone(), claims, left));
        let seen = closed(server.address(), &work, READING, 0..count, Duration::MAX).await;
        seen.map_err(|error| Failure::new(error).context("the claims cannot be read back"))?;
        found.lost += work.of(Fate::Lost).len() as u64;
        left = work.of(Fate::Unknown);
        if left.is_empty() {
            break;
        }
    }
    found.unknown = left.len() as u64;
    Ok(found)
}
