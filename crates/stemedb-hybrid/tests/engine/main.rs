//! The whole engine: what is acknowledged survives, what is lost of a view is derived again.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// Real threads and real files are what some of these tests are about.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod checkpoint;
mod commit;
mod crash;
mod disk;
mod folders;
mod following;
mod journal;
mod log_texts;
mod observing;
mod repair;
mod root;
mod scrub;
mod setup;
mod sidecars;
mod stalls;
mod versions;
mod views;
