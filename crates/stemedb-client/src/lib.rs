//! A client of StemeDB's HTTP server.
//!
//! Typed and blocking: every method of [`Client`] is one route, waits for its reply and gives a value or an [`Error`]. A program with a
//! runtime calls it from a thread that may block; a client is cheap to clone and its clones share their connections.
//!
//! ```no_run
//! use stemedb_client::{Assertion, Client, Lens, Question};
//!
//! # fn main() -> Result<(), stemedb_client::Error> {
//! let db = Client::new("http://127.0.0.1:18180")?;
//! db.assert(&Assertion::new("water", "boiling_point_K", 373.124, "handbook"))?;
//! let answer = db.query(&Question::new("water", "boiling_point_K").lens(Lens::Consensus))?;
//! println!("{:?}, {}", answer.value, answer.status);
//! # Ok(())
//! # }
//! ```
//!
//! - **Reading what was written.** A [`Session`] has the newest position that was seen in replies. Reads carry it, so that no answer is
//!   from before it, whichever server gives it. It can be carried to another process, shared, or left out.
//! - **Retries** ([`RetryPolicy`]). What may be repeated is: reads, and records, because a record is its content and the second time
//!   changes nothing; jobs have a key of their own. Waits grow, part of them is chance, `Retry-After` is honoured, and a deadline bounds
//!   everything.
//! - **Streams.** Listings ([`Pages`]) fetch their pages; feeds ([`Follow`]) tell whole entries and go on by themselves where a reply
//!   breaks off; imports send again what has no verdict.
//! - **Errors.** A refusal is a [`Problem`] with its stable code. Codes, names and members that came later do no harm.
//! - **Signatures** (feature `signing`): ids and signatures made by the engine's own encoding.
//!
//! The crate knows nothing of the engine: without `signing` it depends on no other crate of StemeDB.
#![deny(missing_docs)]

mod client;
mod error;
mod machine;
mod names;
mod position;
mod question;
mod records;
pub mod replies;
mod session;
#[cfg(feature = "signing")]
mod signing;
mod transport;
mod value;

#[cfg(feature = "signing")]
pub use self::signing::AgentKey;
pub use self::{
    client::{
        Client, ClientBuilder, DiffQuery, Export, ExportQuery, FeedQuery, Follow, Format, HistoryQuery,
        ImportOptions, ImportReport, Listing, OnError, Pages, Told, Verdict,
    },
    error::{Code, Error, FieldError, Problem, Result, Source as Cause},
    names::{JobState, Lens, Lifecycle, Scope, Status, SupersessionKind},
    position::{NotAPosition, Position},
    question::{Moment, Question, Voice},
    records::{Agent, Assertion, Cosignature, Epoch, Record, Signature, Source, Supersession, Vote},
    replies::{Answer, Change, ChangeRecord, Watch},
    session::Session,
    transport::RetryPolicy,
    value::Value,
};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
