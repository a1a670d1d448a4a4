//! Load on a server: many requests over connections that are kept open, and how long their replies took.
//!
//! For `stemedb-api bench pilot` and for the benchmarks of the repository. Not a client: it knows as little of HTTP as it can, so that
//! what is measured is the server.
//!
//! ```text
//! closed   each connection: request ─▶ reply ─▶ next request …       as many as the server answers
//! open     moments ─▶ queue ─▶ whichever connection is free          as many as are due, however long replies take
//!             └─ latency counts from here
//! ```
//!
//! A closed loop asks less of a server that is slow, and so hides how long somebody would have waited; an open one does not
//! (coordinated omission). Everything runs on the thread that drives it.

mod connection;
mod drive;

use std::time::Duration;

pub use connection::{Connection, Reply};
pub use drive::{Offer, Pace, closed, open};

/// What is sent, and what its replies are worth.
pub trait Work {
    /// Writes the whole request with this number into a buffer that is empty.
    fn request(&self, number: u64, request: &mut Vec<u8>);

    /// What a reply to the request with this number is. By default its status alone decides.
    fn judge(&self, _number: u64, reply: &Reply<'_>) -> Verdict {
        Verdict::of_status(reply.status)
    }
}

/// What a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What was asked for.
    Good,
    /// The server said that it does not want to now: 429, 503.
    Refused,
    /// Anything else.
    Failed,
}

impl Verdict {
    /// 200 and 201 are good.
    pub fn of_status(status: u16) -> Verdict {
        match status {
            200 | 201 => Verdict::Good,
            429 | 503 => Verdict::Refused,
            _ => Verdict::Failed,
        }
    }
}

/// What came of the requests.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests that were to be sent.
    pub offered: u64,
    /// How long the good ones took, in microseconds, from when they were due: in a closed loop from when they were sent.
    pub good: Vec<u32>,
    /// How long refusals took from when they were sent, in microseconds: they may not wait.
    pub refused: Vec<u32>,
    /// Wrong replies, and requests without any.
    pub failed: u64,
    /// What the first that was not good was told, or what went wrong.
    pub first_failure: Option<String>,
    /// From the first to the last.
    pub took: Duration,
}

/// The time in milliseconds that a share (0..=1) of all times in microseconds lies below; `None` of none. Cost: sorts a copy.
pub fn percentile_ms(of: &[u32], share: f64) -> Option<f64> {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().checked_sub(1)?);
    sorted.get(at).map(|micros| f64::from(*micros) / 1e3)
}

#[cfg(test)]
mod tests;
