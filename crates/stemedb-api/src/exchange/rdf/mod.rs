//! RDF (`docs/formats/rdf.md`): claims as named graphs and as nanopublications, and foreign quads as claims.
//!
//! ```text
//! N-Quads, TriG ─ quads (with their lines) ─▶ groups of a claim ─▶ claim
//!                                         └─▶ any other quad ────▶ claim of its graph
//! ```

mod claim;
mod names;
mod nanopub;
mod parse;
mod read;
mod terms;
mod vocabulary;
mod write;

pub(super) use nanopub::{Nanopublications, NanopublicationsOut};
pub(super) use read::Statements;
pub(super) use write::QuadsOut;
