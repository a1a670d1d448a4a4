//! Made-up claims in any number, each of its own question.

use std::fmt::Write;

use stemedb_api::{core::Command, json};

/// One line.
pub fn line(number: usize) -> String {
    format!(
        "{{\"subject\":\"s{number}\",\"predicate\":\"p\",\"object\":{number}.5,\"source\":\"t{}\"}}",
        number % 7
    )
}

/// Lines of a range, as a file.
pub fn lines(range: std::ops::Range<usize>) -> String {
    range.fold(String::new(), |mut text, number| {
        writeln!(text, "{}", line(number)).unwrap();
        text
    })
}

/// The id of the claim of a line.
pub fn id(number: usize) -> String {
    match json::import_line(line(number).as_bytes()).unwrap() {
        Command::Assert(claim) => claim.id().to_string(),
        other => panic!("{other:?}"),
    }
}
