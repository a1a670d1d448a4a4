//! Any bytes as the body of a request: refused with codes of the right status and places that are pointers, or taken, and then
//! printed so that reading it gives the same.

use stemedb_api::{
    Code, Error, Format, Invalid, ReadOptions,
    core::Command,
    errors::Place,
    exchange::Records,
    json::{self, ObjectJson, RecordJson, WatchJson},
};

/// Things found in one input at most: more say nothing new.
const FOUND_MAX: usize = 64;

/// The first byte chooses the reader.
pub fn run(data: &[u8]) {
    let Some((chosen, body)) = data.split_first() else { return };
    match chosen % 15 {
        0 => command(json::assertion(body).map(Command::Assert)),
        1 => command(json::vote(body).map(Command::Vote)),
        2 => command(json::supersession(body).map(Command::Supersede)),
        3 => command(json::epoch(body).map(Command::Epoch)),
        4 => command(json::source(body).map(Command::Source)),
        5 => command(json::agent(body).map(Command::Agent)),
        6 => command(json::cosign(body).map(Command::Cosign)),
        7 => command(json::exported(body)),
        8 => watch(body),
        9 => object(body),
        10 => import(Format::Jsonl, body),
        11 => import(Format::Csv, body),
        12 => import(Format::NQuads, body),
        13 => import(Format::TriG, body),
        _ => import(Format::Nanopub, body),
    }
}

/// What a refusal must be.
fn refused(invalid: &Invalid) {
    let mut count = 0;
    for error in invalid.errors() {
        assert!(matches!(error.code.status(), 400 | 422), "{error:?}");
        assert!(!error.detail.is_empty(), "{error:?}");
        match &error.place {
            Place::Body(pointer) => assert!(pointer.is_empty() || pointer.starts_with('/'), "{error:?}"),
            Place::Parameter(name) => assert!(!name.is_empty(), "{error:?}"),
        }
        count += 1;
    }
    assert!(count > 0 && count < 64, "{count} errors");
}

fn command(read: Result<Command, Invalid>) {
    match read {
        Ok(command) => told_again(&command),
        Err(invalid) => refused(&invalid),
    }
}

/// A record is printed as a line that is read as the same record.
fn told_again(command: &Command) {
    let line = serde_json::to_string(&RecordJson { command, id: None, recorded: None });
    let line = line.unwrap_or_else(|error| panic!("{command:?} cannot be printed: {error}"));
    assert!(!line.contains('\n'), "{line}");
    match json::exported(line.as_bytes()) {
        Ok(again) => assert_eq!(&again, command, "{line}"),
        Err(invalid) => panic!("{line} is refused: {invalid}"),
    }
}

fn watch(body: &[u8]) {
    match json::watch(body, None) {
        Err(invalid) => refused(&invalid),
        Ok(watch) => {
            let printed = serde_json::to_string(&WatchJson::new(&watch)).unwrap_or_default();
            assert_eq!(json::watch(printed.as_bytes(), None).as_ref(), Ok(&watch), "{printed}");
        }
    }
}

fn object(body: &[u8]) {
    let Ok(text) = std::str::from_utf8(body) else { return };
    match json::parse_object(text) {
        Err(invalid) => refused(&invalid),
        Ok(object) => {
            let printed = serde_json::to_string(&ObjectJson(object.as_ref())).unwrap_or_default();
            assert_eq!(json::parse_object(&printed).as_ref(), Ok(&object), "{printed}");
        }
    }
}

/// Reads an import to its end: lines go up, refusals are such, and an input that cannot be read on says so.
fn import(format: Format, body: &[u8]) {
    let options = ReadOptions {
        default_source: Some("source".to_owned()),
        blank_scope: Some("scope".to_owned()),
        ..ReadOptions::of(format)
    };
    let mut records = Records::new(body, &options);
    let mut line = 0;
    for _ in 0..FOUND_MAX {
        match records.next_record() {
            Ok(None) => return,
            Ok(Some(found)) => {
                assert!(found.read >= line, "{found:?} after line {line}");
                line = found.read;
                match found.record {
                    Some(Ok(command)) => told_again(&command),
                    Some(Err(invalid)) => refused(&invalid),
                    None => {}
                }
            }
            Err(Error::Invalid(invalid)) => return refused(&invalid),
            Err(Error::Input(error)) => panic!("memory cannot fail: {error}"),
            Err(error) => return assert_eq!(error.code(), Code::InvalidEncoding, "{error}"),
        }
    }
}
