//! The one place where storage errors become codes, and, with the server, where each storage access is guarded:
//! counted, timed, run off the asynchronous threads, and turned into a problem when it fails.

#[cfg(feature = "server")]
mod access;
mod classify;
#[cfg(feature = "server")]
mod commit;

#[cfg(feature = "server")]
pub(crate) use access::{Operation, Storage, log_failure};
pub(crate) use classify::code_of;
