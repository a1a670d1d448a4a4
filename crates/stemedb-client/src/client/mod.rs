//! The client: one file for each part of the server's routes.

mod admin;
mod asking;
mod builder;
mod exporting;
mod following;
mod health;
mod importing;
mod jobs;
mod listing;
mod watching;
mod writing;

use std::sync::Arc;

pub use self::{
    asking::{DiffQuery, HistoryQuery},
    builder::ClientBuilder,
    exporting::{Export, ExportQuery, Format},
    following::{FeedQuery, Follow, Told},
    importing::{ImportOptions, ImportReport, OnError, Verdict},
    listing::{Listing, Pages},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Error,
    session::Session,
    transport::{Call, Stream, Transport, Whole},
};

/// A client of one server. Clones share its connections and its session; it may be used from many threads.
///
/// Every method waits for its reply. Requests are sent again where that is safe ([`RetryPolicy`](crate::RetryPolicy)).
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
    /// None: nothing is noted, and every answer is taken.
    session: Option<Session>,
}

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:18180`, with everything as it is by default. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Setup`] for an address that cannot be used.
    pub fn new(url: &str) -> Result<Client, Error> {
        Client::builder(url).build()
    }

    /// A client of the server that the environment names: its address in `STEMEDB_URL` (else `http://127.0.0.1:18180`), the API key in
    /// `STEMEDB_API_KEY`, or in the file that `STEMEDB_API_KEY_FILE` names.
    ///
    /// # Errors
    /// [`Error::Setup`].
    pub fn from_env() -> Result<Client, Error> {
        ClientBuilder::from_env().build()
    }

    /// A client that is told more.
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    /// The newest position that was seen; none if nothing is noted.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The same client with another session: requests of another user, say.
    #[must_use]
    pub fn with_session(&self, session: Session) -> Client {
        Client { transport: Arc::clone(&self.transport), session: Some(session) }
    }

    fn whole(&self, call: &Call) -> Result<Whole, Error> {
        self.transport.whole(call, self.session.as_ref())
    }

    fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        self.whole(call)?.json()
    }

    fn stream(&self, call: &Call) -> Result<Stream, Error> {
        self.transport.stream(call, self.session.as_ref())
    }
}

/// The body of a request.
fn body_of(record: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(record)
        .map_err(|error| Error::Unsendable { member: "the record", detail: error.to_string() })
}
