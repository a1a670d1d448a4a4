//! Registering watches.

use super::{Client, Pages, body_of};
use crate::{
    error::Error,
    replies::{RegisteredWatch, Registration, Watch, WatchPage, WatchesAdded},
    transport::{Call, path_of},
};

/// What says that there was nothing to remove.
const NOT_FOUND: u16 = 404;

impl Client {
    /// Registers a watch under an id.
    ///
    /// # Errors
    /// `watch_exists` if another one has the id.
    pub fn watch(&self, id: &str, watch: &Watch) -> Result<Registration, Error> {
        let reply = self.whole(&Call::send("PUT", path_of("/v1/watches/", id, ""), body_of(watch)?))?;
        Ok(Registration { created: reply.status == 201, registered: reply.json()? })
    }

    /// Registers many watches, each with its id: all of them or none.
    ///
    /// # Errors
    /// `watch_exists`; members at fault have the line's number in front.
    pub fn watch_many(&self, watches: &[Watch]) -> Result<WatchesAdded, Error> {
        let mut lines = Vec::new();
        for watch in watches {
            lines.extend(body_of(watch)?);
            lines.push(b'\n');
        }
        self.json(&Call::send("POST", "/v1/watches", lines).of_type("application/x-ndjson"))
    }

    /// A watch as it is registered.
    ///
    /// # Errors
    /// `watch_not_found`.
    pub fn watch_known(&self, id: &str) -> Result<RegisteredWatch, Error> {
        self.json(&Call::get(path_of("/v1/watches/", id, "")))
    }

    /// Removes a watch. False if there was none; also where an attempt whose reply was lost has removed it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn unwatch(&self, id: &str) -> Result<bool, Error> {
        self.remove(&Call::delete(path_of("/v1/watches/", id, "")), "watch_not_found")
    }

    /// Watches in the order of their ids, those that begin so.
    pub fn watches(&self, prefix: &str) -> Pages<'_, RegisteredWatch> {
        let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
        Pages::new(move |after: Option<String>| {
            let call =
                Call::get("/v1/watches").with_some("prefix", prefix.as_ref()).with_some("after", after);
            let page: WatchPage = self.json(&call)?;
            Ok((page.watches, page.next))
        })
    }

    pub(super) fn remove(&self, call: &Call, missing: &str) -> Result<bool, Error> {
        match self.whole(call) {
            Ok(_) => Ok(true),
            Err(Error::Refused(problem)) if problem.status == NOT_FOUND && problem.code == *missing => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
