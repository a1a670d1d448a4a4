//! How results are shown: nothing here knows what was measured.

pub mod json;
pub mod machine;
pub mod svg;
pub mod table;
