//! The rules of names and texts.

use super::{ModelError, Problem};

/// Longest subject, predicate, source, reference or epoch name, in bytes.
pub const NAME_MAX_BYTES: usize = 512;
/// Longest text or JSON object, in bytes.
pub const OBJECT_MAX_BYTES: usize = 64 * 1024;
/// Longest text of a number, in bytes. No number within the limits on digits and exponent needs as much.
pub const NUMBER_MAX_BYTES: usize = 8 * 1024;
/// Longest text of a time, in bytes: `2024-02-29T23:59:59.123456789+05:30`.
pub const TIME_MAX_BYTES: usize = 35;
/// Longest reason of a vote or a supersession, in bytes.
pub const REASON_MAX_BYTES: usize = 4 * 1024;
/// Longest URI of a source, in bytes.
pub const URI_MAX_BYTES: usize = 2 * 1024;
/// Most claims that one claim can derive from.
pub const PARENTS_MAX: usize = 64;
/// Most signatures that one assertion can carry. More agents can co-sign later.
pub const SIGNATURES_MAX: usize = 64;

/// Checks a name: 1 to `max` bytes, no control characters (Unicode `Cc`, so NUL among them).
pub(crate) fn check_name(field: &'static str, text: &str, max: usize) -> Result<(), ModelError> {
    if text.is_empty() {
        return Err(ModelError::at(field, Problem::Empty));
    }
    if text.len() > max {
        return Err(ModelError::at(field, Problem::TooLong { len: text.len(), max }));
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(ModelError::at(field, Problem::ControlCharacter { at })),
        None => Ok(()),
    }
}

/// Checks a free text: 0 to `max` bytes, no NUL.
pub(crate) fn check_text(field: &'static str, text: &str, max: usize) -> Result<(), ModelError> {
    if text.len() > max {
        return Err(ModelError::at(field, Problem::TooLong { len: text.len(), max }));
    }
    match text.bytes().position(|byte| byte == 0) {
        Some(at) => Err(ModelError::at(field, Problem::Nul { at })),
        None => Ok(()),
    }
}

/// Checks that an optional interval `[from, to)` is not empty.
pub(crate) fn check_interval(
    field: &'static str,
    from: Option<super::Micros>,
    to: Option<super::Micros>,
) -> Result<(), ModelError> {
    match (from, to) {
        (Some(from), Some(to)) if to <= from => Err(ModelError::at(field, Problem::EmptyInterval)),
        _ => Ok(()),
    }
}
