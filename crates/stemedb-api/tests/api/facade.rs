//! The embedding facade.

use stemedb_api::{
    AsOf, Code, Database, DatabaseOptions, Error, Query,
    core::{
        AgentKey, Assertion, ClaimId, Command, Cosign, Epoch, Lens, Micros, Object, Source, SourceClass, Vote,
    },
};
use stemedb_env::Lsn;

use crate::support::{database, tiny};

fn claim(value: i64) -> Assertion {
    Assertion::new("s", "p", Object::Integer(value), "src")
}

#[test]
fn a_folder_without_a_database_is_not_opened_and_one_with_is_not_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    assert_eq!(Database::open(&path, tiny()).unwrap_err().code(), Code::NotADatabase);
    let database = Database::create(&path, tiny()).unwrap();
    assert_eq!(Database::open(&path, tiny()).unwrap_err().code(), Code::InUse);
    database.assert(claim(1)).unwrap();
    database.close().unwrap();
    assert_eq!(Database::create(&path, tiny()).unwrap_err().code(), Code::AlreadyExists);
    let database = Database::open(&path, tiny()).unwrap();
    assert_eq!(database.published_lsn(), Lsn(1));
    assert!(database.open_report().is_some());
}

#[test]
fn a_submission_is_in_or_out_as_a_whole_and_names_what_it_refuses() {
    let (database, _dir) = database();
    let key = AgentKey::from_seed(&[1; 32]);
    let missing = Vote::new(ClaimId([9; 32]), key.agent(), stemedb_api::core::Nano::ONE);
    let error = database.submit(&[Command::Assert(claim(1)), Command::Vote(missing)]).unwrap_err();
    let Error::Invalid(invalid) = &error else { panic!("{error:?}") };
    assert_eq!(
        (error.code(), invalid.errors().next().unwrap().place.to_string()),
        (Code::UnknownClaim, "/assertion".into())
    );
    assert_eq!(database.claim(claim(1).id()).unwrap(), None, "nothing of it was applied");

    let mut bad = claim(2);
    bad.subject = "a\nb".into();
    assert_eq!(database.assert(bad).unwrap_err().code(), Code::ControlCharacter);

    let vote = Vote::new(claim(1).id(), key.agent(), stemedb_api::core::Nano::ONE);
    let outcomes = database.submit(&[Command::Assert(claim(1)), Command::Vote(vote)]).unwrap();
    assert_eq!(outcomes.len(), 2);
    assert_eq!(
        outcomes.iter().map(|one| (one.position.lsn, one.position.ordinal)).collect::<Vec<_>>(),
        [(Lsn(1), 0), (Lsn(1), 1)]
    );
}

#[test]
fn every_kind_of_record_is_taken_once() {
    let (database, _dir) = database();
    let id = database.assert(claim(1)).unwrap().id.unwrap();
    let cosign = Cosign::new(&AgentKey::from_seed(&[2; 32]), id);
    let epoch = Epoch { from: Some(Micros(0)), ..Epoch::new("e") };
    let source = Source::new("src", SourceClass::REGULATORY);
    for created in [true, false] {
        assert_eq!(database.cosign(cosign).unwrap().created, created);
        assert_eq!(database.epoch(epoch.clone()).unwrap().created, created);
        assert_eq!(database.source(source.clone()).unwrap().created, created);
    }
    let forged = Cosign { agent: AgentKey::from_seed(&[3; 32]).agent(), ..cosign };
    assert_eq!(database.cosign(forged).unwrap_err().code(), Code::SignatureInvalid);
    let answer = database.query(Query::new("s", "p", Lens::Authority)).unwrap();
    assert_eq!(answer.candidates[0].cosigners, [cosign.agent]);
    assert_eq!(answer.candidates[0].class, SourceClass::REGULATORY);
}

#[test]
fn flushing_compacting_and_verifying_leave_every_answer_as_it_was() {
    let (database, _dir) = database();
    for value in 0..300 {
        database.assert(claim(value)).unwrap();
    }
    let query = Query { evaluated_at: Some(Micros(0)), ..Query::new("s", "p", Lens::Layered) };
    let before = database.query(query.clone()).unwrap();
    assert_eq!(database.flush().unwrap(), Lsn(300));
    database.compact().unwrap();
    assert!(database.verify().unwrap().rows > 300);
    assert_eq!(database.query(query).unwrap(), before);
    assert!(database.stats().lsm.sst_file_count > 0);
}

#[test]
fn moments_are_lsns_when_they_are_digits_and_times_otherwise() {
    assert_eq!(AsOf::parse("17").unwrap(), AsOf::Lsn(Lsn(17)));
    assert_eq!(AsOf::parse("1970-01-01T00:00:01Z").unwrap(), AsOf::Time(Micros(1_000_000)));
    for bad in ["", "1.5", "+1", "2024-01-01", "18446744073709551616"] {
        assert_eq!(AsOf::parse(bad).unwrap_err().code, Code::InvalidParameter, "{bad}");
    }
    let (database, _dir) = database();
    let query = Query { as_of: Some(AsOf::Lsn(Lsn(1))), ..Query::new("s", "p", Lens::Recency) };
    assert_eq!(database.query(query).unwrap_err().code(), Code::LsnNotReached);
}

#[test]
fn a_memory_budget_reaches_the_view_and_one_too_small_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options = |bytes| DatabaseOptions::default().with_memory_budget(bytes);
    let refused = Database::create(dir.path().join("small"), options(1 << 20)).unwrap_err().to_string();
    assert!(refused.contains("a memory budget of 1048576 bytes is too small"), "{refused}");
    let database = Database::create(dir.path().join("enough"), options(8 << 20)).unwrap();
    let memory = database.stats().lsm.memory;
    assert_eq!(memory.budget_bytes, 8 << 20);
    assert!(memory.total_bytes() > 0 && memory.peak_bytes <= 8 << 20, "{memory:?}");
}
