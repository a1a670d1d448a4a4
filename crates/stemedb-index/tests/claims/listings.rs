//! Every listing, in pages, with writes in between, is what a filter over all claims of its moment gives.

use std::cmp::Reverse;

use stemedb_core::{AgentId, Assertion, ClaimId, Command, Cosign, Micros, Object, Signature, SignatureBytes};
use stemedb_env::{Env, Lsn};
use stemedb_index::{
    ClaimReader, Claims, Derive, Error, Position, QuestionKey, SortedValue, StoredClaim, Submission,
    ValueRange,
    claims::Entry,
    keys::{self, Family},
    questions::{Listing, Mark, Page, PageLimits, QuestionSummary},
};
use stemedb_lsm::{
    Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, MemStore, WriteBatch,
};

use super::history::{Dice, Ledger};

const SUBJECTS: [&str; 6] = ["cas:1", "cas:10", "cas:2", "cas", "water", "wäter"];
const PREDICATES: [&str; 4] = ["boiling_point_K", "boiling", "melting_point_K", "name"];
const SOURCES: [&str; 4] = ["CRC", "CR", "IUPAC", "nobody"];

fn agent(dice: &Dice) -> AgentId {
    AgentId([dice.pick(&[1, 2, 3]); 32])
}

fn object(dice: &Dice) -> Object {
    let number = |text: &str| Object::Number(text.to_owned());
    match dice.below(14) {
        0 => number("-1.5e3"),
        1 => number("-0.0"),
        2 => number("1e-300"),
        3 => number("373.15"),
        4 => number("373.150"),
        5 => number("3.7315e2"),
        6 => Object::Integer(373),
        7 => Object::Integer(i64::try_from(dice.below(5)).unwrap() - 2),
        8 => number("373.15000000000000000000000000000001"),
        9 => Object::Boolean(dice.one_in(2)),
        10 => Object::Time("2024-02-29T12:00:00Z".into()),
        11 => Object::Time("2024-02-29T13:00:00+01:00".into()),
        12 => Object::Text(format!("about {}", dice.below(9))),
        _ => Object::Reference("water".into()),
    }
}

fn assertion(dice: &Dice) -> Assertion {
    let (subject, predicate) = (dice.pick(&SUBJECTS), dice.pick(&PREDICATES));
    let mut claim = Assertion::new(subject, predicate, object(dice), dice.pick(&SOURCES));
    if dice.one_in(3) {
        claim.author = Some(agent(dice));
    }
    if dice.one_in(4) {
        let agent = agent(dice);
        claim.signatures = vec![Signature { agent, bytes: SignatureBytes([agent.0[0]; 64]) }];
    }
    // So that claims are seldom the same one again.
    claim.observed_at = Some(Micros(i64::try_from(dice.below(1 << 40)).unwrap()));
    claim.normalize();
    claim
}

/// Adds a submission of several commands.
fn grow<S: KvStore>(ledger: &mut Ledger<S>, known: &mut Vec<ClaimId>, dice: &Dice) {
    let mut submission = Submission::new();
    for _ in 0..=dice.below(12) {
        let command = if known.is_empty() || !dice.one_in(5) {
            Command::Assert(assertion(dice))
        } else {
            let agent = agent(dice);
            let signature = SignatureBytes([u8::try_from(dice.below(3)).unwrap(); 64]);
            Command::Cosign(Cosign { claim: dice.pick(known), agent, signature })
        };
        submission.push(&command).unwrap();
    }
    let outcomes = ledger.commit(submission, 1_000_000).unwrap();
    known.extend(outcomes.iter().filter(|outcome| outcome.created).filter_map(|outcome| outcome.id));
}

/// Everything that the journal says, without any index.
struct Naive {
    claims: Vec<StoredClaim>,
    cosigned: Vec<(Position, ClaimId, AgentId)>,
}

impl Naive {
    fn of(entries: &[Vec<u8>], as_of: Lsn) -> Naive {
        let mut naive = Naive { claims: Vec::new(), cosigned: Vec::new() };
        for (lsn, bytes) in (1..=as_of.0).map(Lsn).zip(entries) {
            let entry = Entry::parse(lsn, bytes).unwrap();
            for (ordinal, command) in (0..).zip(entry.commands().unwrap()) {
                let position = Position { lsn, ordinal };
                match command {
                    Command::Assert(assertion) => naive.claims.push(StoredClaim {
                        id: assertion.id(),
                        position,
                        recorded_at: entry.recorded_at,
                        assertion,
                    }),
                    Command::Cosign(cosign) => naive.cosigned.push((position, cosign.claim, cosign.agent)),
                    _ => {}
                }
            }
        }
        naive
    }

    fn voice(&self, claim: &StoredClaim, agent: &AgentId) -> Option<Position> {
        let of = &claim.assertion;
        if of.author == Some(*agent) || of.signatures.iter().any(|signature| signature.agent == *agent) {
            return Some(claim.position);
        }
        let mine = self.cosigned.iter().filter(|(_, id, by)| *id == claim.id && by == agent);
        mine.map(|(at, ..)| *at).min()
    }

    fn in_range(claim: &StoredClaim, range: &ValueRange) -> bool {
        SortedValue::of(claim.assertion.object.as_ref()).is_some_and(|value| range.contains(&value))
    }

    fn claims(&self, listing: &Listing) -> Vec<StoredClaim> {
        let kept = |keep: &dyn Fn(&StoredClaim) -> bool| -> Vec<StoredClaim> {
            self.claims.iter().filter(|claim| keep(claim)).cloned().collect()
        };
        let by_subject = |mut claims: Vec<StoredClaim>| {
            claims.sort_by_key(|claim| {
                let of = &claim.assertion;
                (of.subject.clone(), of.predicate.clone(), Reverse(claim.position))
            });
            claims
        };
        let by_predicate = |mut claims: Vec<StoredClaim>| {
            claims.sort_by_key(|claim| {
                let of = &claim.assertion;
                (of.predicate.clone(), of.subject.clone(), Reverse(claim.position))
            });
            claims
        };
        match listing {
            Listing::All => by_subject(kept(&|_| true)),
            Listing::Subject(subject) => by_subject(kept(&|claim| claim.assertion.subject == *subject)),
            Listing::Question(question) => by_subject(kept(&|claim| question_of(claim) == *question)),
            Listing::SubjectPrefix(prefix) => {
                by_subject(kept(&|claim| claim.assertion.subject.starts_with(prefix.as_str())))
            }
            Listing::Predicate(predicate) => {
                by_predicate(kept(&|claim| claim.assertion.predicate == *predicate))
            }
            Listing::PredicatePrefix(prefix) => {
                by_predicate(kept(&|claim| claim.assertion.predicate.starts_with(prefix.as_str())))
            }
            Listing::Values { predicate, range } => {
                let mut claims =
                    kept(&|claim| claim.assertion.predicate == *predicate && Naive::in_range(claim, range));
                claims.sort_by(|a, b| {
                    let (x, y) = (&a.assertion, &b.assertion);
                    let order = x.object.value().cmp(&y.object.value());
                    order.then(x.subject.cmp(&y.subject)).then(a.position.cmp(&b.position))
                });
                claims
            }
            Listing::Source(source) => {
                let mut claims = kept(&|claim| claim.assertion.source == *source);
                claims.sort_by_key(|claim| claim.position);
                claims
            }
            Listing::Agent(agent) => {
                let mut claims = kept(&|claim| self.voice(claim, agent).is_some());
                claims.sort_by_key(|claim| self.voice(claim, agent));
                claims
            }
        }
    }

    /// Each question where the first of its claims of the listing stands; those of a question alone are in no order that
    /// matters.
    fn questions(&self, listing: &Listing) -> Vec<QuestionSummary> {
        let mut questions: Vec<QuestionSummary> = Vec::new();
        for claim in self.claims(listing) {
            let question = question_of(&claim);
            if questions.iter().any(|summary| summary.question == question) {
                continue;
            }
            let all: Vec<_> = self.claims.iter().filter(|claim| question_of(claim) == question).collect();
            let newest = all.iter().map(|claim| claim.position).max().unwrap();
            questions.push(QuestionSummary { question, claims: all.len() as u64, newest });
        }
        questions
    }
}

fn question_of(claim: &StoredClaim) -> QuestionKey {
    let of = &claim.assertion;
    QuestionKey { subject: of.subject.clone(), predicate: of.predicate.clone() }
}

fn range(min: Option<Object>, max: Option<Object>) -> ValueRange {
    let value = |object: Object| SortedValue::of(object.as_ref()).unwrap();
    ValueRange::new(min.map(value), max.map(value)).unwrap()
}

fn listings() -> Vec<Listing> {
    let number = |text: &str| Some(Object::Number(text.to_owned()));
    let mut all = vec![
        Listing::All,
        Listing::Subject("cas:1".into()),
        Listing::Subject("nothing".into()),
        Listing::Question(QuestionKey { subject: "cas".into(), predicate: "boiling".into() }),
        Listing::SubjectPrefix("cas:1".into()),
        Listing::SubjectPrefix("w".into()),
        Listing::SubjectPrefix(String::new()),
        Listing::Predicate("boiling".into()),
        Listing::PredicatePrefix("boiling".into()),
        Listing::PredicatePrefix(String::new()),
        Listing::Source("CR".into()),
        Listing::Source("CRC".into()),
        Listing::Agent(AgentId([1; 32])),
        Listing::Agent(AgentId([9; 32])),
    ];
    for range in [
        range(number("-2"), number("373.15")),
        range(number("373.15"), number("373.15")),
        range(number("0"), None),
        range(None, Some(Object::Integer(2))),
        range(Some(Object::Boolean(false)), None),
        range(None, Some(Object::Time("2024-02-29T12:00:00Z".into()))),
    ] {
        all.push(Listing::Values { predicate: "boiling_point_K".into(), range });
    }
    all
}

fn limits(dice: &Dice) -> PageLimits {
    let few = |n: u64| usize::try_from(1 + dice.below(n)).unwrap();
    PageLimits { items: few(9), bytes: few(4000), rows: few(12) }
}

/// Walks over a listing in small pages as of one LSN; between pages `between` may write.
fn walk<T>(mut page: impl FnMut(Option<&Mark>) -> Page<T>, mut between: impl FnMut()) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let Page { items, after: next } = page(after.as_ref());
        all.extend(items);
        assert!(next.is_none() || next != after, "a page went nowhere");
        after = next;
        if after.is_none() {
            return all;
        }
        between();
    }
}

/// Compares every listing, at two moments, with what the journal says; the walks are interrupted by writes.
fn compare<S: KvStore>(store: S, seed: u64, mut upkeep: impl FnMut(&S)) -> usize {
    let dice = Dice::new(seed);
    let (mut ledger, mut known) = (Ledger::new(store), Vec::new());
    for _ in 0..25 {
        grow(&mut ledger, &mut known, &dice);
    }
    upkeep(&ledger.store);
    let mut compared = 0;
    for listing in listings() {
        let newest = ledger.store.published_lsn();
        for as_of in [newest, Lsn(dice.below(newest.0 + 1))] {
            let naive = Naive::of(&ledger.entries, as_of);
            let ledger = std::cell::RefCell::new(&mut ledger);
            let known = std::cell::RefCell::new(&mut known);
            let reader = || ClaimReader::as_of(ledger.borrow().store.snapshot(), as_of).unwrap();
            let write = || {
                if dice.one_in(10) {
                    grow(&mut ledger.borrow_mut(), &mut known.borrow_mut(), &dice);
                }
            };
            let claims = walk(|after| reader().list_claims(&listing, after, limits(&dice)).unwrap(), write);
            assert_eq!(claims, naive.claims(&listing), "{listing:?} as of {as_of}");
            let questions =
                walk(|after| reader().list_questions(&listing, after, limits(&dice)).unwrap(), write);
            assert_eq!(questions, naive.questions(&listing), "{listing:?} as of {as_of}");
            compared += claims.len() + questions.len();
        }
    }
    compared
}

#[test]
fn every_listing_equals_a_filter_over_all_claims_while_others_write() {
    let compared: usize = (0..12).map(|seed| compare(MemStore::new(), seed, |_| ())).sum();
    assert!(compared > 20_000, "only {compared} items");
}

fn tree() -> LsmStore {
    tree_with(LsmOptions { prefix_extractor: Some(Claims::filtered_prefix_bytes), ..LsmOptions::tiny() })
}

fn tree_with(options: LsmOptions) -> LsmStore {
    let (env, _) = Env::sim(7);
    LsmStore::create(env, std::path::Path::new("/kv"), stemedb_env::frame::DatabaseId([1; 16]), options)
        .unwrap()
}

#[test]
fn listings_on_the_tree_equal_a_filter_through_flushes_and_compactions() {
    for seed in 50..53 {
        let compared = compare(tree(), seed, |store| {
            store.flush().unwrap();
            store.compact().unwrap();
        });
        assert!(compared > 1000, "only {compared} items");
    }
}

#[test]
fn a_mark_of_another_listing_is_refused() {
    let dice = Dice::new(3);
    let (mut ledger, mut known) = (Ledger::new(MemStore::new()), Vec::new());
    for _ in 0..10 {
        grow(&mut ledger, &mut known, &dice);
    }
    let reader = ClaimReader::new(ledger.store.snapshot());
    let limits = PageLimits { items: 1, ..PageLimits::of_items(1) };
    let mark = |listing: &Listing| reader.list_claims(listing, None, limits).unwrap().after.unwrap();
    let marks = [Listing::Subject("cas:1".into()), Listing::Predicate("boiling".into())].map(|l| mark(&l));
    let foreign = |listing: Listing, mark: &Mark| {
        let claims = reader.list_claims(&listing, Some(mark), limits);
        assert!(matches!(claims, Err(Error::ForeignMark)), "{claims:?}");
        let questions = reader.list_questions(&listing, Some(mark), limits);
        assert!(matches!(questions, Err(Error::ForeignMark)), "{questions:?}");
    };
    foreign(Listing::Subject("cas:10".into()), &marks[0]);
    foreign(Listing::Source("CRC".into()), &marks[0]);
    foreign(Listing::Predicate("boiling_point_K".into()), &marks[1]);
    foreign(Listing::All, &Mark { key: vec![0xff], inside: None });
    let cut = Mark { key: vec![Family::ByPredicate as u8, b'b'], inside: Some(Position::default()) };
    let broken = reader.list_claims(&Listing::PredicatePrefix(String::new()), Some(&cut), limits);
    assert!(matches!(broken, Err(Error::ForeignMark)), "{broken:?}");
}

#[test]
fn an_entry_posts_a_question_once_and_every_value() {
    let mut ledger = Ledger::new(MemStore::new());
    let mut submission = Submission::new();
    for (source, text) in [("a", "5"), ("b", "5.0"), ("c", "6"), ("d", "50e-1")] {
        let claim = Assertion::new("s", "p", Object::Number(text.into()), source);
        submission.push(&Command::Assert(claim)).unwrap();
    }
    ledger.commit(submission, 0).unwrap();
    let later = Assertion::new("s", "p", Object::Integer(5), "e");
    ledger.one(Command::Assert(later), 0).unwrap();
    let count = |family: Family| {
        let view = ledger.store.snapshot();
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(family)) };
        let mut rows = view.scan(&range, Direction::Forward);
        std::iter::from_fn(|| rows.advance().unwrap().then_some(())).count()
    };
    assert_eq!((count(Family::ByPredicate), count(Family::ByValue)), (2, 5));
    let mut batch = WriteBatch::new();
    Claims.derive(Lsn(1), &ledger.entries[0], &mut batch).unwrap();
    let mut rows = WriteBatch::new();
    Claims.derive(Lsn(1), &ledger.entries[0], &mut rows).unwrap();
    assert!(batch.iter().eq(rows.iter()), "the same entry gives the same rows");
}

#[test]
fn keys_that_an_upgrade_has_yet_to_make_are_refused_and_never_taken_for_absent() {
    let options = |oldest, newest| LsmOptions {
        derivation_version: oldest,
        mixed_with: newest,
        prefix_extractor: Some(Claims::filtered_prefix_bytes),
        ..LsmOptions::tiny()
    };
    let listings = [
        (Listing::All, true),
        (Listing::Subject("cas:1".into()), true),
        (Listing::Source("CRC".into()), true),
        (Listing::Agent(AgentId([1; 32])), true),
        (Listing::Predicate("name".into()), false),
        (Listing::PredicatePrefix("n".into()), false),
        (
            Listing::Values {
                predicate: "name".into(),
                range: ValueRange::new(SortedValue::of(Object::Integer(0).as_ref()), None).unwrap(),
            },
            false,
        ),
    ];
    for (options, is_upgrading) in [(options(1, Some(2)), true), (options(2, None), false)] {
        let reader = ClaimReader::new(tree_with(options).snapshot());
        for (listing, is_old) in &listings {
            let limits = PageLimits::of_items(10);
            let pages = [
                reader.list_claims(listing, None, limits).map(|page| page.items.len()),
                reader.list_questions(listing, None, limits).map(|page| page.items.len()),
            ];
            for page in pages {
                if *is_old || !is_upgrading {
                    assert_eq!(page.unwrap(), 0, "{listing:?}");
                } else {
                    assert!(matches!(page, Err(Error::NotDerivedYet { .. })), "{listing:?}: {page:?}");
                }
            }
        }
    }
}
