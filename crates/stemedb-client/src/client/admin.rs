//! Looking after a server.

use serde::Serialize;

use super::{Client, body_of};
use crate::{
    error::Error,
    names::Scope,
    replies::{
        ApiKey, ApiKeys, ListedKeys, LogLevel, Scrub, ServerKey, SlowQueries, StorageEvents, StorageStats,
    },
    transport::{Call, path_of},
};

impl Client {
    /// Figures of the storage, and what they mean.
    ///
    /// # Errors
    /// [`Error`].
    pub fn storage_stats(&self) -> Result<StorageStats, Error> {
        self.json(&Call::look("/v1/admin/storage/stats"))
    }

    /// What happened to the files after event number `after`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn storage_events(&self, after: u64) -> Result<StorageEvents, Error> {
        self.json(&Call::look("/v1/admin/storage/events").with("after", after.to_string()))
    }

    /// How the background reading of every file goes.
    ///
    /// # Errors
    /// [`Error`].
    pub fn scrub(&self) -> Result<Scrub, Error> {
        self.json(&Call::look("/v1/admin/storage/scrub"))
    }

    /// Begins a round of it now; one that is under way goes on.
    ///
    /// # Errors
    /// `scrub_off`.
    pub fn begin_scrub(&self) -> Result<Scrub, Error> {
        self.json(&Call::send("POST", "/v1/admin/storage/scrub", b"{}".to_vec()))
    }

    /// The newest questions that took long.
    ///
    /// # Errors
    /// [`Error`].
    pub fn slow_queries(&self) -> Result<SlowQueries, Error> {
        self.json(&Call::look("/v1/admin/slow-queries"))
    }

    /// From which level on events are logged.
    ///
    /// # Errors
    /// [`Error`].
    pub fn log_level(&self) -> Result<LogLevel, Error> {
        self.json(&Call::look("/v1/admin/log-level"))
    }

    /// Logs more or less, for some seconds or for good.
    ///
    /// # Errors
    /// `unknown_name`.
    pub fn set_log_level(&self, level: &str, for_seconds: Option<u64>) -> Result<LogLevel, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            level: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            for_seconds: Option<u64>,
        }
        self.json(&Call::send("PUT", "/v1/admin/log-level", body_of(&Body { level, for_seconds })?))
    }

    /// Whose receipts the server signs.
    ///
    /// # Errors
    /// [`Error`].
    pub fn server_key(&self) -> Result<ServerKey, Error> {
        self.json(&Call::look("/v1/admin/server-key"))
    }

    /// The API keys, without their secrets.
    ///
    /// # Errors
    /// [`Error`].
    pub fn keys(&self) -> Result<ApiKeys, Error> {
        let ListedKeys { mode, keys } = self.json(&Call::look("/v1/admin/keys"))?;
        Ok(ApiKeys { mode, keys })
    }

    /// Makes an API key; the reply alone has its secret. `agent` is whom it writes for, `expires_at` until when it is good (RFC 3339).
    ///
    /// Not repeated where its outcome is unknown: another key would be made.
    ///
    /// # Errors
    /// [`Error`].
    pub fn create_key(
        &self,
        scopes: &[Scope],
        label: &str,
        agent: Option<&str>,
        expires_at: Option<&str>,
    ) -> Result<ApiKey, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            scopes: &'a [Scope],
            label: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            agent: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            expires_at: Option<&'a str>,
        }
        let body = body_of(&Body { scopes, label, agent, expires_at })?;
        self.json(&Call::send("POST", "/v1/admin/keys", body).once())
    }

    /// Revokes an API key, at once. False if there is none of this id.
    ///
    /// # Errors
    /// [`Error`].
    pub fn revoke_key(&self, id: &str) -> Result<bool, Error> {
        self.remove(&Call::delete(path_of("/v1/admin/keys/", id, "")), "key_not_found")
    }
}
