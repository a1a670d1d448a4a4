//! What is new, what was there, and what is refused.

use stemedb_core::{
    AgentId, Assertion, ClaimId, Command, Nano, Object, Signature, SignatureBytes, Source, SourceClass,
    Supersession, Vote,
};
use stemedb_index::{ClaimReader, Error, Submission};
use stemedb_lsm::{KvStore, MemStore};

use super::history::{Dice, Ledger, command};

fn claim(text: &str) -> Command {
    Command::Assert(Assertion::new("water", "boiling_point_K", Object::Text(text.into()), "CRC"))
}

fn id(command: &Command) -> ClaimId {
    match command {
        Command::Assert(assertion) => assertion.id(),
        other => panic!("not a claim: {other:?}"),
    }
}

#[test]
fn the_same_claim_again_names_the_first_and_journals_nothing() {
    let mut ledger = Ledger::new(MemStore::new());
    let first = ledger.one(claim("a"), 1).unwrap();
    assert!(first.created);
    let again = ledger.one(claim("a"), 2).unwrap();
    assert!(!again.created);
    assert_eq!((again.position, again.id), (first.position, first.id));
    assert_eq!(ledger.entries.len(), 1);
}

#[test]
fn a_claim_in_flight_is_found_before_it_is_in_the_view() {
    let mut ledger = Ledger::new(MemStore::new());
    let first = ledger.admit(Submission::of(&claim("a")).unwrap(), 1).unwrap()[0];
    let again = ledger.admit(Submission::of(&claim("a")).unwrap(), 1).unwrap()[0];
    assert_eq!((first.created, again.created), (true, false));
    assert_eq!(again.position, first.position);
    ledger.apply();
    assert_eq!(ledger.entries.len(), 1);
}

#[test]
fn the_same_claim_twice_in_one_submission_is_recorded_once() {
    let mut ledger = Ledger::new(MemStore::new());
    let mut submission = Submission::new();
    submission.push(&claim("a")).unwrap();
    submission.push(&claim("b")).unwrap();
    submission.push(&claim("a")).unwrap();
    let outcomes = ledger.commit(submission, 1).unwrap();
    assert_eq!(outcomes.iter().map(|o| o.created).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(outcomes[2].position.ordinal, 0);
}

#[test]
fn a_refused_submission_leaves_nothing_in_flight() {
    let mut ledger = Ledger::new(MemStore::new());
    let mut submission = Submission::new();
    submission.push(&claim("a")).unwrap();
    submission.push(&Command::Vote(Vote::new(ClaimId([9; 32]), AgentId([1; 32]), Nano::ONE))).unwrap();
    match ledger.commit(submission, 1) {
        Err(Error::UnknownClaim { field: "/assertion", id }) => assert_eq!(id, ClaimId([9; 32]).to_string()),
        other => panic!("{other:?}"),
    }
    assert!(ledger.entries.is_empty());
    assert!(
        ledger.one(claim("a"), 1).unwrap().created,
        "the claim of the refused submission was never recorded"
    );
}

#[test]
fn votes_and_supersessions_need_their_claims() {
    let mut ledger = Ledger::new(MemStore::new());
    let known = ledger.one(claim("a"), 1).unwrap().id.unwrap();
    let unknown = ClaimId([9; 32]);
    let mut new_missing = Supersession::replace(known, unknown, stemedb_core::SupersessionKind::Replaces);
    new_missing.reason = Some("why".into());
    for (command, expected) in [
        (Command::Supersede(Supersession::retract(unknown)), "/old"),
        (Command::Supersede(new_missing), "/new"),
    ] {
        match ledger.one(command, 2) {
            Err(Error::UnknownClaim { field, .. }) => assert_eq!(field, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_claim_and_a_vote_on_it_may_come_in_one_submission() {
    let mut ledger = Ledger::new(MemStore::new());
    let mut submission = Submission::new();
    submission.push(&claim("a")).unwrap();
    submission.push(&Command::Vote(Vote::new(id(&claim("a")), AgentId([1; 32]), Nano::ONE))).unwrap();
    assert!(ledger.commit(submission, 1).unwrap().iter().all(|outcome| outcome.created));
}

#[test]
fn a_vote_back_and_forth_is_three_votes_and_a_repeated_one_is_none() {
    let mut ledger = Ledger::new(MemStore::new());
    let target = ledger.one(claim("a"), 1).unwrap().id.unwrap();
    let vote = |weight| Command::Vote(Vote::new(target, AgentId([1; 32]), weight));
    let created: Vec<bool> = [Nano::ONE, Nano::ONE, Nano::MINUS_ONE, Nano::ONE]
        .map(|weight| ledger.one(vote(weight), 2).unwrap().created)
        .to_vec();
    assert_eq!(created, [true, false, true, true]);
    let reader = ClaimReader::new(ledger.store.snapshot());
    assert_eq!(reader.votes(target).unwrap().len(), 3, "history keeps all");
    let candidate = &reader.candidates("water", "boiling_point_K", None).unwrap()[0];
    assert_eq!(candidate.votes.len(), 1, "the newest counts");
    assert_eq!(candidate.votes[0].weight, Nano::ONE);
}

#[test]
fn a_known_claim_with_a_new_signature_gains_a_cosigner() {
    let mut ledger = Ledger::new(MemStore::new());
    let signed = |agents: &[u8]| {
        let Command::Assert(mut assertion) = claim("a") else { unreachable!() };
        assertion.signatures = agents
            .iter()
            .map(|agent| Signature { agent: AgentId([*agent; 32]), bytes: SignatureBytes([*agent; 64]) })
            .collect();
        Command::Assert(assertion)
    };
    assert!(ledger.one(signed(&[1]), 1).unwrap().created);
    let again = ledger.one(signed(&[1]), 2).unwrap();
    assert_eq!((again.created, again.cosigned), (false, 0));
    let second = ledger.one(signed(&[1, 2]), 3).unwrap();
    assert_eq!((second.created, second.cosigned), (false, 1));
    assert_eq!(ledger.one(signed(&[2]), 4).unwrap().cosigned, 0);
    assert_eq!(ledger.entries.len(), 2);
    let reader = ClaimReader::new(ledger.store.snapshot());
    assert_eq!(reader.candidates("water", "boiling_point_K", None).unwrap()[0].cosigners, [AgentId([2; 32])]);
}

#[test]
fn a_source_registered_later_gives_its_class_to_claims_that_were_there() {
    let mut ledger = Ledger::new(MemStore::new());
    ledger.one(claim("a"), 1).unwrap();
    let class_at = |ledger: &Ledger<MemStore>, lsn: u64| {
        let reader = ClaimReader::as_of(ledger.store.snapshot(), stemedb_env::Lsn(lsn)).unwrap();
        reader.candidates("water", "boiling_point_K", None).unwrap()[0].class
    };
    assert_eq!(class_at(&ledger, 1), SourceClass::ANECDOTAL);
    ledger.one(Command::Source(Source::new("CRC", SourceClass::REGULATORY)), 2).unwrap();
    assert_eq!(class_at(&ledger, 2), SourceClass::REGULATORY);
    assert_eq!(class_at(&ledger, 1), SourceClass::ANECDOTAL, "the past stays as it was known");
    assert!(!ledger.one(Command::Source(Source::new("CRC", SourceClass::REGULATORY)), 3).unwrap().created);
    assert!(!ledger.one(claim("a"), 4).unwrap().created, "the class is not part of the id");
}

#[test]
fn importing_a_whole_history_again_adds_nothing() {
    let dice = Dice::new(3);
    let mut ledger = Ledger::new(MemStore::new());
    let mut known = Vec::new();
    let claims: Vec<Command> = (0..300).map(|_| command(&dice, 1_000_000_000, &[])).collect();
    for claim in &claims {
        known.extend(ledger.one(claim.clone(), 1).unwrap().id);
    }
    let entries = ledger.entries.len();
    for claim in &claims {
        assert!(!ledger.one(claim.clone(), 2).unwrap().created);
    }
    assert_eq!(ledger.entries.len(), entries);
    assert!(known.len() == 300);
}

#[test]
fn a_submission_beyond_one_entry_is_refused() {
    let mut submission = Submission::new();
    let text = "x".repeat(60 << 10);
    for i in 0..300 {
        submission.push(&claim(&format!("{i} {text}"))).unwrap();
    }
    let mut ledger = Ledger::new(MemStore::new());
    assert!(matches!(ledger.commit(submission, 1), Err(Error::TooLarge { .. })));
    assert!(ledger.one(claim("a"), 1).unwrap().created);
}
