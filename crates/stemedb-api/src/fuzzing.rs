//! Private parts, for the fuzz targets. Not a part of the interface.
//!
//! Thin: what is a defect is decided by whoever calls this.

pub use crate::database::fuzzing::{forged_cursor, open_cursor};
