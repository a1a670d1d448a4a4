//! When a request is sent again, and when no more.
//!
//! ```text
//! attempt ─▶ success
//!    │ fails, may be repeated, attempts and time are left
//!    └─▶ wait: the longer of Retry-After and the backoff (half of it by chance) ─▶ attempt
//! ```

use std::time::Duration;

use super::call::Safety;
use crate::{
    error::{Error, Problem, Source},
    machine::Machine,
};

/// How often and how long a request is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// At most so many attempts; 1 = no second one.
    pub attempts: u32,
    /// Everything, waiting included, takes at most this long: what would begin later is not begun. Streamed replies may go on longer.
    pub deadline: Duration,
    /// The first wait, before chance; each next one is twice as long.
    pub first_wait: Duration,
    /// The longest wait that is not asked for by the server.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    /// Eight attempts within a minute, 100 ms to 5 s apart.
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts: 8,
            deadline: Duration::from_secs(60),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// No second attempt.
    pub fn never() -> RetryPolicy {
        RetryPolicy { attempts: 1, ..RetryPolicy::default() }
    }

    /// The wait after failure number `failures` (from 1), between half of the backoff and the whole.
    pub(crate) fn wait(&self, failures: u32, chance: u64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
        let whole = self.first_wait.saturating_mul(doubled).min(self.longest_wait);
        let half = whole / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(if nanos == 0 { 0 } else { chance % (nanos + 1) })
    }
}

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was never sent.
    Unsent(Source),
    /// It was sent, and no whole reply came.
    Broken(Source),
    /// The server refused.
    Refused(Box<Problem>),
    /// Another attempt would fail in the same way.
    Final(Error),
}

impl Failure {
    fn may_repeat(&self, safety: Safety) -> bool {
        let is_safe = safety == Safety::Repeatable;
        match self {
            Failure::Unsent(_) => true,
            Failure::Broken(_) => is_safe,
            Failure::Refused(problem) => problem.retryable && (is_safe || problem.applied_nothing()),
            Failure::Final(_) => false,
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            Failure::Refused(problem) => problem.retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn into_error(self, attempts: u32) -> Error {
        match self {
            Failure::Unsent(source) | Failure::Broken(source) => Error::Connection { attempts, source },
            Failure::Refused(problem) => Error::Refused(problem),
            Failure::Final(error) => error,
        }
    }
}

/// Tries until it succeeds or the policy says no. `attempt` is given the time that is left.
pub(crate) fn with_retries<T>(
    policy: &RetryPolicy,
    machine: &dyn Machine,
    safety: Safety,
    mut attempt: impl FnMut(Duration) -> Result<T, Failure>,
) -> Result<T, Error> {
    let began = machine.now();
    let mut number = 1;
    loop {
        let left = policy.deadline.saturating_sub(machine.now().saturating_sub(began));
        let failure = match attempt(left) {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let wait = policy.wait(number, machine.random()).max(failure.retry_after());
        let left = policy.deadline.saturating_sub(machine.now().saturating_sub(began));
        if number >= policy.attempts || wait >= left || !failure.may_repeat(safety) {
            return Err(failure.into_error(number));
        }
        machine.sleep(wait);
        number += 1;
    }
}
