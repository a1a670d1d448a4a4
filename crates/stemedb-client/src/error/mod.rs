//! Why a request has no answer.

mod problem;

pub use problem::{Code, FieldError, Problem};

/// What stands behind an error of the network.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused, and said why.
    #[error(transparent)]
    Refused(Box<Problem>),
    /// There is no connection, or it broke before a whole reply came. What was to be written may have been.
    #[error("no answer after {attempts} attempts")]
    Connection {
        /// How often it was tried.
        attempts: u32,
        /// What happened last.
        #[source]
        source: Source,
    },
    /// A streamed reply ended with an error of the server.
    #[error("the reply ended early: {detail} ({code})")]
    EndedEarly {
        /// The code of the server's error.
        code: Code,
        /// What it says.
        detail: String,
    },
    /// A reply is not what this client expects of it.
    #[error("the reply of {path} is not understood")]
    NotUnderstood {
        /// The route.
        path: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// A request cannot be written, or a record cannot be signed.
    #[error("{member} cannot be sent: {detail}")]
    Unsendable {
        /// The part that is at fault.
        member: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A client cannot be made like this.
    #[error("{what} cannot be used")]
    Setup {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
    /// A job did not end in the time that was given.
    #[error("job {job} has not ended in time")]
    JobNotEnded {
        /// The job.
        job: u64,
    },
}

impl Error {
    /// The refusal, if it is one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Error::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// The stable code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Refused(problem) => Some(problem.code.as_str()),
            Error::EndedEarly { code, .. } => Some(code.as_str()),
            _ => None,
        }
    }
}
