//! Nothing that stands in a file or in the environment makes the reader panic.

use proptest::prelude::*;

use super::Setup;
use crate::config::{Origin, example_file};

/// The example with everything in force.
fn example() -> Vec<u8> {
    let text = example_file();
    let lines =
        text.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line));
    lines.flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

/// Reads it; places must be in the text.
fn read(bytes: Vec<u8>) {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let longest = bytes.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or(0);
    let outcome = Setup::file(bytes).load();
    let Err(problems) = outcome else { return };
    assert!(problems.count() > 0);
    for problem in problems.iter() {
        assert!(!problem.to_string().contains('\n'), "{problem}");
        if let Some(Origin::File { line, column, .. }) = problem.origin() {
            assert!((1..=lines).contains(line) && (1..=longest + 1).contains(column), "{problem}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bytes_of_any_kind(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(bytes);
    }

    #[test]
    fn texts_of_the_signs_that_toml_is_made_of(text in r#"[\[\]{}="'.,\#a-c0-9_ \n\\-]{0,120}"#) {
        read(text.into_bytes());
    }

    #[test]
    fn the_example_with_pieces_changed_lost_and_moved(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>(), 0..40usize), 1..6),
    ) {
        let mut bytes = example();
        for (at, what, byte, length) in changes {
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.drain(at..end)),
                _ => {
                    let piece: Vec<u8> = bytes[at..end].to_vec();
                    bytes.extend(piece);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        read(bytes);
    }

    #[test]
    fn variables_and_flags_of_any_kind(name in "STEMEDB_[A-Z_é]{0,20}", value in any::<String>()) {
        let setup = Setup::default().variable(&name, &value).variable("STEMEDB_DISK_LOW", &value);
        let setup = setup.flag("bind", &value).flag("cache-mib", &value).flag("backup-to", &value);
        if let Err(problems) = setup.load() {
            assert!(problems.count() > 0);
        }
    }
}
