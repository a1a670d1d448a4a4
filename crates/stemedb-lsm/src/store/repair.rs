//! Rebuilding a table from rows that somebody else has derived again.
