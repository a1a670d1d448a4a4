//! What is refused, and where.

use stemedb_api::{
    Code, Error, Format, ImportOptions, OnError, ReadOptions,
    core::{AgentId, Assertion, ClaimId, Command, Nano, Object, SignaturePolicy, Vote},
    json::RecordJson,
};

use crate::support::{Db, Refused};

fn line(command: &Command) -> String {
    serde_json::to_string(&RecordJson { command, id: None, recorded: None }).unwrap()
}

fn claim(n: i64) -> Assertion {
    Assertion::new(format!("s{n}"), "p", Object::Integer(n), "src")
}

fn vote_on(id: ClaimId) -> Command {
    Command::Vote(Vote::new(id, AgentId([7; 32]), Nano::ONE))
}

/// A hundred claims; behind some of them votes on claims that nobody made.
fn with_stray_votes() -> (String, Vec<u64>) {
    let (mut text, mut stray, mut number) = (String::new(), Vec::new(), 0);
    for n in 0..100 {
        let mut push = |command: &Command| {
            text.push_str(&line(command));
            text.push('\n');
            number += 1;
        };
        push(&Command::Assert(claim(n)));
        push(&vote_on(claim(n).id()));
        if n % 17 == 3 {
            push(&vote_on(ClaimId([n as u8; 32])));
            stray.push(number);
        }
    }
    (text, stray)
}

#[test]
fn a_record_that_refers_to_nothing_is_refused_alone() {
    let (text, stray) = with_stray_votes();
    let db = Db::new(SignaturePolicy::Off);
    let (report, refused) = db.import(&text, Format::Jsonl);
    let expected: Vec<(u64, String, String)> =
        stray.iter().map(|line| (*line, "unknown_claim".to_owned(), "/assertion".to_owned())).collect();
    assert_eq!(refused.0, expected);
    assert_eq!((report.created, report.refused, report.lines), (200, 6, 206));
    assert!(!report.stopped);
    // The order of the lines is that of the journal, also around what was refused.
    let subjects: Vec<String> = db
        .claims()
        .into_iter()
        .map(|command| match command {
            Command::Assert(claim) => claim.subject,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(subjects, (0..100).map(|n| format!("s{n}")).collect::<Vec<_>>());
}

#[test]
fn an_import_that_is_to_stop_keeps_what_stands_before_the_refused_record() {
    let (text, stray) = with_stray_votes();
    for batch_claims in [1, 3, 10, 4000] {
        let db = Db::new(SignaturePolicy::Off);
        let mut refused = Refused::default();
        let options = ImportOptions { on_error: OnError::Stop, batch_claims, ..ImportOptions::default() };
        let report = db.database.import(text.as_bytes(), options, &mut refused).unwrap();
        assert_eq!(refused.codes(), [(stray[0], "unknown_claim")], "{batch_claims}");
        assert_eq!(
            (report.lines, report.created, report.refused),
            (stray[0], stray[0] - 1, 1),
            "{batch_claims}"
        );
        assert!(report.stopped);
        assert_eq!(db.commands().len() as u64, stray[0] - 1);
    }
}

#[test]
fn a_claim_that_was_changed_is_not_the_one_its_id_names() {
    let db = Db::told(&[Command::Assert(claim(1))]);
    for (format, from, to) in [
        (Format::Jsonl, "\"object\":1,", "\"object\":2,"),
        (Format::Csv, "s1,p,1,integer", "s1,p,2,integer"),
        (Format::NQuads, "\"1\"^^", "\"2\"^^"),
        (Format::TriG, "name:p> 1", "name:p> 2"),
        (Format::Nanopub, "name:p> 1", "name:p> 2"),
    ] {
        let text = db.export(format);
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{format}");
        let (report, refused) = Db::new(SignaturePolicy::Off).import(&changed, format);
        assert_eq!((report.created, report.refused), (0, 1), "{format}");
        assert_eq!(refused.0[0].1, "id_mismatch", "{format}: {refused:?}");
    }
}

#[test]
fn a_claim_of_which_quads_are_missing_is_named() {
    let db = Db::told(&[Command::Assert(claim(1)), Command::Assert(claim(2))]);
    let text = db.export(Format::NQuads);
    for (missing, code) in
        [("hadPrimarySource", "incomplete_record"), ("<urn:stemedb:name:s1>", "incomplete_record")]
    {
        let mut cut = String::new();
        let mut dropped = false;
        for line in text.lines() {
            if !dropped && line.contains(missing) {
                dropped = true;
                continue;
            }
            cut.push_str(line);
            cut.push('\n');
        }
        let other = Db::new(SignaturePolicy::Off);
        let (report, refused) = other.import(&cut, Format::NQuads);
        assert_eq!((report.created, refused.codes()), (1, vec![(1, code)]), "{missing}");
    }
}

fn failure(text: &[u8], format: Format) -> (Code, String, u64) {
    let db = Db::new(SignaturePolicy::Off);
    let read = ReadOptions::of(format);
    let failed = db.database.import_as(text, &read, ImportOptions::default(), &mut ()).unwrap_err();
    match *failed.error {
        Error::Invalid(why) => (why.code(), why.to_string(), failed.report.created),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_must_have_a_header_that_is_known() {
    for (header, code) in [
        ("subject,predicate,object", Code::MissingField),
        ("subject,predicate,object,source,colour", Code::UnknownField),
        ("subject,predicate,object,source,source", Code::DuplicateKey),
    ] {
        let (found, detail, created) = failure(format!("{header}\na,b,c,d,e\n").as_bytes(), Format::Csv);
        assert_eq!((found, created), (code, 0), "{detail}");
        assert!(detail.contains("line 1"), "{detail}");
    }
    let (report, refused) = Db::new(SignaturePolicy::Off).import("", Format::Csv);
    assert_eq!((report.lines, refused.0.len()), (0, 0));
}

#[test]
fn rows_are_refused_by_the_line_they_begin_on() {
    let text = "\u{feff}source,subject,predicate,object,object_type,confidence\r\n\
                x,a,p,5,,\r\n\
                x,a,p,\"two\nlines\",text,\r\n\
                x,a,p,noon,time,0.5\r\n\
                x,a,p\r\n\
                x,a,p,5,metres,\r\n\
                x,a,p,007,,2\r\n\
                \r\n\
                x,a,p,1e99999,,\r\n\
                x,a,p,,text,1\r\n\
                x,a,p,,,\r\n\
                ,a,p,\"a \"\"quoted\"\" comma, kept\",,";
    let db = Db::new(SignaturePolicy::Off);
    let (report, refused) = db.import(text, Format::Csv);
    let expected = [
        (5, "not_a_time"),
        (6, "invalid_csv"),
        (7, "unknown_name"),
        (8, "out_of_range"),
        (10, "exponent_out_of_range"),
        (12, "missing_field"),
        (13, "empty"),
    ];
    assert_eq!(refused.codes(), expected);
    assert_eq!((report.lines, report.created), (13, 3));
    let objects: Vec<Object> = db
        .claims()
        .into_iter()
        .map(|command| match command {
            Command::Assert(claim) => claim.object,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(objects, [Object::Integer(5), Object::Text("two\nlines".into()), Object::Text(String::new())]);
}

#[test]
fn a_row_without_an_end_is_not_read_into_memory() {
    let mut text = b"subject,predicate,object,source\na,p,1,x\na,p,\"".to_vec();
    text.extend(vec![b'y'; 3 << 20]);
    let (code, detail, created) = failure(&text, Format::Csv);
    assert_eq!((code, created), (Code::LineTooLong, 1), "{detail}");
    assert!(detail.contains("line 3"), "{detail}");
}

#[test]
fn a_bad_line_of_quads_is_refused_and_a_bad_document_ends_there() {
    let good = |n: u32| format!("<a:s{n}> <a:p> \"x\" <a:g> .\n");
    let lines =
        format!("{}<a:s> <a:p> \n# a comment\n\n{}<a:s <a:p> <a:o> <a:g> .\n{}", good(1), good(2), good(3));
    let (report, refused) = Db::new(SignaturePolicy::Off).import(&lines, Format::NQuads);
    assert_eq!(refused.codes(), [(2, "invalid_rdf"), (6, "invalid_rdf")]);
    assert_eq!((report.created, report.lines), (3, 7));

    let document =
        "@prefix e: <a:> .\ne:g { e:s e:p 1 ;\n e:q 2 . }\ne:h { e:s nobody:p 3 . }\ne:i { e:s e:p 4 . }\n";
    let (code, detail, created) = failure(document.as_bytes(), Format::TriG);
    assert_eq!((code, created), (Code::InvalidRdf, 2), "{detail}");
    assert!(detail.contains("line 4"), "{detail}");

    let mut endless = b"<a:g> { <a:s> <a:p> \"\"\"".to_vec();
    endless.extend(vec![b'y'; 3 << 20]);
    let (code, detail, _) = failure(&endless, Format::TriG);
    assert_eq!(code, Code::LineTooLong, "{detail}");
}

#[test]
fn signatures_are_checked_in_every_format() {
    let key = stemedb_api::core::AgentKey::from_seed(&[3; 32]);
    let mut signed = claim(1);
    signed.author = Some(key.agent());
    signed.sign(&key);
    let mut forged = claim(2);
    forged.author = Some(key.agent());
    forged.sign(&key);
    forged.signatures[0].bytes = signed.signatures[0].bytes;
    let db = Db::told(&[Command::Assert(signed.clone()), Command::Assert(forged)]);
    for format in Format::ALL {
        let strict = Db::new(SignaturePolicy::Required);
        let (report, refused) = strict.import(&db.export(format), format);
        assert_eq!((report.created, report.refused), (1, 1), "{format}: {refused:?}");
        assert_eq!(refused.0[0].1, "signature_invalid", "{format}");
        assert_eq!(strict.claims(), [Command::Assert(signed.clone())], "{format}");
    }
}
