//! Any bytes as a cursor: one that a database has made, or a refusal; nothing is allocated for what an input merely claims.

use stemedb_api::fuzzing::{forged_cursor, open_cursor};

/// The first byte chooses between the text as it is and one whose check is right, which nobody can make by chance.
pub fn run(data: &[u8]) {
    let Some((chosen, rest)) = data.split_first() else { return };
    let text = match chosen % 2 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        _ => forged_cursor(rest),
    };
    match open_cursor(&text) {
        // Integers may be written wider than they need be: sealed again they are not.
        Ok(again) => assert_eq!(open_cursor(&again), Ok(again)),
        Err(error) => assert!(matches!(error.code.status(), 400 | 410), "{error:?}"),
    }
}
