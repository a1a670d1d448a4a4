//! RDF of others: nanopublications that are kept whole, and quads of any kind.

use std::collections::BTreeSet;

use oxttl::TriGParser;
use stemedb_api::{
    ExportOptions, Filter, Format, OnError, Query, ReadOptions,
    core::{Assertion, Command, Lens, Micros, Object, SignaturePolicy, Supersession},
};

use crate::support::Db;

const SIGNED: &str = include_str!("data/signed.trig");
const TWO: &str = include_str!("data/two.trig");
const NANOPUB: &str = "https://np.stemedb.example/RAq2kz3vXo0v8T1m4Zt5mGmYb7r0xw9uHcE1pQdLkSn4g";
const WHOLE: &str = "urn:stemedb:vocab#nanopublication";

fn claims(db: &Db) -> Vec<Assertion> {
    let claim = |command| match command {
        Command::Assert(claim) => claim,
        other => panic!("{other:?}"),
    };
    db.commands().into_iter().map(claim).collect()
}

/// The quads of a document, one a line, sorted: what a canonical form is where no node lacks a name.
fn canonical(trig: &str) -> BTreeSet<String> {
    TriGParser::new().for_slice(trig).map(|quad| quad.unwrap().to_string()).collect()
}

#[test]
fn a_signed_nanopublication_comes_back_with_every_quad() {
    let db = Db::new(SignaturePolicy::Off);
    let (report, refused) = db.import(SIGNED, Format::Nanopub);
    assert_eq!((report.created, report.lines), (5, SIGNED.lines().count() as u64), "{refused:?}");
    let out = db.export(Format::Nanopub);
    assert_eq!(canonical(&out), canonical(SIGNED));
    assert!(out.contains(NANOPUB) && out.contains("Zm9yIHRlc3RzIG9ubHk7IG5vYm9keSBzaWduZWQgdGhpcw=="));

    // Through a second database and JSON lines as well: it is an ordinary claim there.
    let second = Db::new(SignaturePolicy::Off);
    second.import(&db.export(Format::Jsonl), Format::Jsonl);
    assert_eq!(second.export(Format::Nanopub), out);
    // Reading what was written makes the same claims: the hash covers every byte that was kept.
    let third = Db::new(SignaturePolicy::Off);
    let (_, refused) = third.import(&out, Format::Nanopub);
    assert!(refused.0.is_empty(), "{refused:?}");
    assert_eq!(claims(&third), claims(&db));
}

#[test]
fn its_assertion_becomes_claims_that_hang_on_it() {
    let db = Db::new(SignaturePolicy::Off);
    db.import(SIGNED, Format::Nanopub);
    let claims = claims(&db);
    let (whole, others) = claims.split_first().unwrap();
    assert_eq!(
        (whole.subject.as_str(), whole.predicate.as_str(), whole.source.as_str()),
        (NANOPUB, WHOLE, NANOPUB)
    );
    let Object::Text(text) = &whole.object else { panic!("{:?}", whole.object) };
    assert!(text.lines().is_sorted() && text.lines().count() == 21, "{text}");
    for claim in others {
        assert_eq!((claim.source.as_str(), claim.parents.as_slice()), (NANOPUB, &[whole.id()][..]));
        assert_eq!(claim.observed_at, Some(Micros::parse_rfc3339("2024-03-05T08:30:00.25Z").unwrap()));
    }
    let chem = |name: &str| format!("https://chem.stemedb.example/{name}");
    let answer = |predicate: &str| {
        db.query(Query::new(chem("pentanal"), chem(predicate), Lens::Recency)).unwrap().answer.value
    };
    assert_eq!(answer("flashPoint"), Some(Object::Number("285.40".into())));
    assert_eq!(answer("measuredWith"), Some(Object::Reference(chem("closedCup"))));
    let labels: Vec<&Object> =
        others.iter().filter(|claim| claim.predicate.ends_with("label")).map(|claim| &claim.object).collect();
    assert_eq!(
        labels,
        [
            &Object::Json(r#"{"@language":"de","@value":"Pentanal"}"#.into()),
            &Object::Json(r#"{"@language":"en","@value":"pentanal"}"#.into())
        ]
    );
}

#[test]
fn graphs_come_in_any_order_and_nodes_without_names_get_the_same_ones_every_time() {
    let db = Db::new(SignaturePolicy::Off);
    let (report, refused) = db.import(TWO, Format::Nanopub);
    assert!(refused.0.is_empty(), "{refused:?}");
    // Two whole ones; three triples with a node, one formula; one formula.
    assert_eq!(report.created, 7);
    let (again, _) = db.import(TWO, Format::Nanopub);
    assert_eq!((again.created, again.existing), (0, 7));
    let claims = claims(&db);
    let node = "_:https://np.stemedb.example/one/anonymous1";
    assert!(claims.iter().any(|claim| claim.subject == node), "{claims:#?}");
    assert!(claims.iter().any(|claim| claim.object == Object::Reference(node.into())));
    let created = |end: &str| claims.iter().find(|claim| claim.source.ends_with(end)).unwrap().observed_at;
    // Of the whole one nothing is said; of its triples the second has no time.
    assert_eq!((created("/one"), created("/two")), (None, None));
    let formulas: Vec<_> = claims.iter().filter(|claim| claim.predicate.ends_with("formula")).collect();
    assert_eq!(formulas.len(), 2);
    assert_eq!(formulas[0].observed_at, Some(Micros::parse_rfc3339("2023-01-01T00:00:00Z").unwrap()));
    assert_eq!(formulas[1].observed_at, None);
    // Both write as they were, and are read as the same again.
    let out = db.export(Format::Nanopub);
    let second = Db::new(SignaturePolicy::Off);
    second.import(&out, Format::Nanopub);
    assert_eq!(second.commands(), db.commands());
    assert_eq!(second.export(Format::Nanopub), out);
}

#[test]
fn what_others_said_about_it_is_not_lost_with_what_it_holds() {
    let db = Db::new(SignaturePolicy::Off);
    db.import(SIGNED, Format::Nanopub);
    let whole = claims(&db)[0].id();
    // Derived from the nanopublication, but not a triple of it; and one that only looks like a whole one.
    let mut derived =
        Assertion::new("chem:pentanal", "chem:flashPointC", Object::Number("12.2".into()), "me");
    derived.parents = vec![whole];
    let fake = Assertion::new(NANOPUB, WHOLE, Object::Text("<a:b> <a:c> <a:d> <a:e> .\n".into()), NANOPUB);
    for claim in [&derived, &fake] {
        db.assert(claim.clone()).unwrap();
    }
    let second = Db::new(SignaturePolicy::Off);
    let (_, refused) = second.import(&db.export(Format::Nanopub), Format::Nanopub);
    assert!(refused.0.is_empty(), "{refused:?}");
    assert_eq!(claims(&second), claims(&db));
}

#[test]
fn a_nanopublication_without_one_of_its_graphs_is_refused_and_the_next_one_read() {
    let db = Db::new(SignaturePolicy::Off);
    let broken = TWO.replace("<one/provenance> {", "<one/elsewhere> {");
    let (report, refused) = db.import(&broken, Format::Nanopub);
    assert!(report.created >= 2, "{refused:?}");
    assert!(refused.codes().iter().all(|(_, code)| *code == "incomplete_record"), "{refused:?}");
    assert!(!refused.0.is_empty());
    let headless = "<a:graph> { <a:b> <a:c> <a:d> . }\n<a:e> <a:f> <a:g> .\n";
    let (report, refused) = Db::new(SignaturePolicy::Off).import(headless, Format::Nanopub);
    assert_eq!(
        (report.created, refused.codes()),
        (0, vec![(1, "incomplete_record"), (2, "incomplete_record")])
    );
}

#[test]
fn any_quad_is_a_claim_of_its_graph() {
    let db = Db::new(SignaturePolicy::Off);
    let text = "<a:s> <a:p> \"1.0\"^^<http://www.w3.org/2001/XMLSchema#decimal> <https://g.example/> .\n\
                <a:s> <a:p> \"x\" .\n\
                _:n <a:p> <a:o> <a:g> .\n";
    let (report, refused) = db.import(text, Format::NQuads);
    assert_eq!(report.created, 1);
    assert_eq!(refused.codes(), [(2, "missing_field"), (3, "blank_node")]);
    let read = ReadOptions {
        format: Format::NQuads,
        default_source: Some("a file".into()),
        blank_scope: Some("f1".into()),
    };
    let (report, refused) = db.import_with(text, &read, OnError::Continue);
    assert_eq!((report.created, report.existing, refused.0.len()), (2, 1, 0));
    let found: Vec<(String, Object, String)> =
        claims(&db).into_iter().map(|claim| (claim.subject, claim.object, claim.source)).collect();
    let expected = [
        ("a:s", Object::Number("1.0".into()), "https://g.example/"),
        ("a:s", Object::Text("x".into()), "a file"),
        ("_:f1/n", Object::Reference("a:o".into()), "a:g"),
    ];
    assert_eq!(
        found,
        expected.map(|(subject, object, source)| (subject.to_owned(), object, source.to_owned()))
    );
}

#[test]
fn the_same_document_gives_the_same_claims_however_its_nodes_are_called_inside() {
    let text = "@prefix e: <a:> . e:g { e:s e:p [ e:q ( 1 2 ) ] . }";
    let read = ReadOptions { format: Format::TriG, blank_scope: Some("f".into()), ..ReadOptions::default() };
    let db = Db::new(SignaturePolicy::Off);
    let (first, refused) = db.import_with(text, &read, OnError::Continue);
    assert_eq!((first.created, refused.0.len()), (6, 0), "{refused:?}");
    let (again, _) = db.import_with(text, &read, OnError::Continue);
    assert_eq!((again.created, again.existing), (0, 6));
    assert!(claims(&db).iter().any(|claim| claim.subject == "_:f//1"));
}

#[test]
fn retracting_a_nanopublication_leaves_it_readable_and_a_filter_finds_its_claims() {
    let db = Db::new(SignaturePolicy::Off);
    db.import(SIGNED, Format::Nanopub);
    let whole = claims(&db)[0].id();
    db.supersede(Supersession::retract(whole)).unwrap();
    let filter = Filter { source: Some(NANOPUB.into()), ..Filter::default() };
    let (text, report) = db.export_with(ExportOptions { filter, ..ExportOptions::default() });
    assert_eq!((report.claims, report.others, text.lines().count()), (5, 1, 6));
}
