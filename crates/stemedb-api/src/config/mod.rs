//! The server's configuration: one table of keys, four layers, and where each value came from.
//!
//! ```text
//! built-in  <  /etc/stemedb/api.toml, --config  <  STEMEDB_… variables  <  flags of `serve`
//!     └────────────┴──────────────┬──────────────────────┴─────────────────────┘
//!                        Kind::read  one reader of values for all layers
//!                                ▼
//!              Config: key ─ value ─ origin ──▶ rules ──▶ Settings ──▶ the server
//! ```
//!
//! - [`Keys::all`] is the only place that knows a key. The flags of `serve`, the reader, `config show`, both examples and the
//!   tables of `docs/configuration.md` are made from it.
//! - [`load`] is strict: a key, section or `STEMEDB_…` variable that is not known is refused with the nearest one that is, and
//!   so is a value that is not of its key's [`Kind`]. All [`Problem`]s are found at once.
//! - [`RULES`] are what `production` refuses. They look at the effective [`Settings`], whichever layer they came from.
//! - Secrets never stand in a configuration. A key of a secret names a *file* and is called `…_file`; that file is not read here.
//!
//! # Adding a key
//!
//! 1. Give [`Settings`] (or the options that it holds) a field, with its default.
//! 2. Add one [`Key`] to the section's list in `config/keys/`. Its `kind` holds the line that applies a value to that field.
//!    A new section also gets a line in `SECTIONS` and its list one in `TABLE`, in `config/keys/mod.rs`.
//! 3. If some of its values are unsafe in production, add a [`Rule`] to [`RULES`].
//! 4. Run the tests of this module. They compare the defaults of the table with those of [`Settings`], and write what
//!    `deploy/api.toml`, `.env.example` and the tables of `docs/configuration.md` have to be.
//!
//! Nothing else: the flag, the variable and the help appear by themselves.

mod environment;
mod example;
mod file;
mod flags;
mod key;
mod keys;
mod kind;
mod layers;
mod nearest;
mod origin;
mod page;
mod problem;
mod room;
mod rules;
mod security;
mod settings;
mod show;
#[cfg(test)]
mod tests;
mod value;

pub use example::{example_environment, example_file};
pub use key::{BuiltIn, FlagOf, Key};
pub use keys::Keys;
pub use kind::{Choice, Kind, Unit};
pub use layers::{Config, DEFAULT_FILE, Entry, FILE_VARIABLE, Sources, load};
pub use nearest::Suggestion;
pub use origin::Origin;
pub use page::tables;
pub use problem::{Problem, Problems};
pub use rules::{RULES, Rule};
pub use security::{AuditPlace, AuditSettings, SecuritySettings};
pub use settings::{Environment, LogFormat, LogSettings, OtlpSettings, Settings};
pub use value::Value;
