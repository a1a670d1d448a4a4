//! Agents, sources and epochs as records: the newest counts, and the past stays as it was known.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use stemedb_core::{
    Agent, AgentId, Assertion, ClaimId, Command, Epoch, Nano, Object, Source, SourceClass, Supersession,
    SupersessionKind, Vote,
    lens::{Candidate, SetAside},
};
use stemedb_env::Lsn;
use stemedb_index::{
    ClaimReader, Claims, Derive, Submission,
    claims::{ChainEnd, LINEAGE_MAX, Remark},
};
use stemedb_lsm::{Direction, KeyRange, KvSnapshot, KvStore, MemStore, Value, WriteBatch};

use super::history::Ledger;

type MemSnapshot = <MemStore as KvStore>::Snapshot;

/// A view that counts what is asked of it.
#[derive(Clone)]
struct Counted {
    view: MemSnapshot,
    /// Lookups and scans.
    asked: Arc<AtomicU64>,
}

impl Counted {
    fn ask(&self) -> &MemSnapshot {
        self.asked.fetch_add(1, Ordering::Relaxed);
        &self.view
    }
}

impl KvSnapshot for Counted {
    type Iter = <MemSnapshot as KvSnapshot>::Iter;

    fn lsn(&self) -> Lsn {
        self.view.lsn()
    }

    fn get(&self, key: &[u8]) -> stemedb_lsm::Result<Option<Value>> {
        self.ask().get(key)
    }

    fn scan(&self, range: &KeyRange, direction: Direction) -> Self::Iter {
        self.ask().scan(range, direction)
    }
}

fn claim(n: i64) -> Assertion {
    Assertion::new("water", "boiling_point_K", Object::Integer(n), "A")
}

fn from(parents: &[&Assertion], mut claim: Assertion) -> Assertion {
    claim.parents = parents.iter().map(|parent| parent.id()).collect();
    claim.normalize();
    claim
}

fn agent(n: u8) -> AgentId {
    AgentId([n; 32])
}

fn trusted(n: u8, trust: i64) -> Command {
    Command::Agent(Agent { trust: Some(Nano(trust)), ..Agent::new(agent(n)) })
}

fn as_of(ledger: &Ledger<MemStore>, lsn: u64) -> ClaimReader<MemSnapshot> {
    ClaimReader::as_of(ledger.store.snapshot(), Lsn(lsn)).unwrap()
}

fn candidate(ledger: &Ledger<MemStore>, lsn: u64, claim: &Assertion) -> Candidate {
    let candidates = as_of(ledger, lsn).candidates(&claim.subject, &claim.predicate, None).unwrap();
    candidates.into_iter().find(|candidate| candidate.id == claim.id()).unwrap()
}

fn retract(claim: &Assertion) -> Command {
    Command::Supersede(Supersession::retract(claim.id()))
}

#[test]
fn an_agent_is_what_its_newest_record_says_as_a_whole() {
    let mut ledger = Ledger::new(MemStore::new());
    let own = Assertion { author: Some(agent(1)), ..claim(1) };
    ledger.one(Command::Assert(own.clone()), 1).unwrap();
    let full = Agent {
        id: agent(1),
        name: Some("Ada".into()),
        class: SourceClass::new(1).ok(),
        trust: Some(Nano(900_000_000)),
    };
    assert!(ledger.one(Command::Agent(full.clone()), 2).unwrap().created);
    assert!(!ledger.one(Command::Agent(full.clone()), 3).unwrap().created, "the same again is nothing new");
    ledger.one(trusted(1, 100_000_000), 4).unwrap();
    ledger.one(trusted(2, 0), 5).unwrap();
    ledger.one(Command::Agent(Agent::new(agent(1))), 6).unwrap();
    let trust = |lsn| candidate(&ledger, lsn, &own).trust.0;
    assert_eq!([1, 2, 3, 4, 5].map(trust), [500_000_000, 900_000_000, 100_000_000, 100_000_000, 500_000_000]);
    let known = |lsn, id| as_of(&ledger, lsn).agent(id).unwrap().map(|(at, record)| (at.lsn.0, record));
    assert_eq!(known(1, agent(1)), None);
    assert_eq!(known(2, agent(1)), Some((2, full)));
    assert_eq!(known(5, agent(1)), Some((5, Agent::new(agent(1)))));
    assert_eq!(known(5, agent(3)), None);
}

#[test]
fn switching_an_epoch_writes_one_row_and_the_old_one_stays_readable() {
    let mut ledger = Ledger::new(MemStore::new());
    let of = |n, epoch: &str| Command::Assert(Assertion { epoch: Some(epoch.into()), ..claim(n) });
    let mut old = Submission::new();
    for n in 0..500 {
        old.push(&of(n, "2019")).unwrap();
    }
    ledger.commit(old, 1).unwrap();
    ledger.one(of(1000, "2024"), 2).unwrap();
    let switch = Epoch { supersedes: Some("2019".into()), ..Epoch::new("2024") };
    ledger.one(Command::Epoch(switch), 3).unwrap();
    let mut rows = WriteBatch::new();
    Claims.derive(Lsn(3), &ledger.entries[2], &mut rows).unwrap();
    assert_eq!(rows.len(), 2, "the record and its entry, whatever there is of claims");
    let answering = |lsn, epoch| {
        let candidates = as_of(&ledger, lsn).candidates("water", "boiling_point_K", epoch).unwrap();
        candidates.iter().filter(|candidate| candidate.set_aside != Some(SetAside::OutOfEpoch)).count()
    };
    assert_eq!(answering(2, None), 501, "before the switch both");
    assert_eq!(answering(3, None), 1);
    assert_eq!(answering(3, Some("2019")), 500, "the old one, by its name");
    assert_eq!(answering(3, Some("2024")), 1);
}

#[test]
fn a_source_has_the_class_that_was_known_at_the_moment_asked_for() {
    let mut ledger = Ledger::new(MemStore::new());
    ledger.one(Command::Assert(claim(1)), 1).unwrap();
    for (class, now) in [(3, 2), (0, 3), (4, 4)] {
        let record = Source::new("A", SourceClass::new(class).unwrap());
        ledger.one(Command::Source(record), now).unwrap();
    }
    let class = |lsn| candidate(&ledger, lsn, &claim(1)).class.number();
    assert_eq!([1, 2, 3, 4].map(class), [5, 3, 0, 4]);
}

#[test]
fn a_retraction_marks_everything_behind_it_from_then_on() {
    let mut ledger = Ledger::new(MemStore::new());
    let a = claim(1);
    let b = from(&[&a], claim(2));
    let c = from(&[&b], claim(3));
    let d = from(&[&a, &c], claim(4));
    let apart = claim(5);
    for claim in [&a, &b, &c, &d, &apart] {
        ledger.one(Command::Assert(claim.clone()), 1).unwrap();
    }
    ledger.one(retract(&a), 2).unwrap();
    ledger.one(retract(&c), 3).unwrap();
    let tainted = |lsn, claim: &Assertion| candidate(&ledger, lsn, claim).tainted;
    for claim in [&a, &b, &c, &d, &apart] {
        assert_eq!(tainted(5, claim), None, "not yet");
    }
    assert_eq!(
        [&a, &b, &c, &d, &apart].map(|claim| tainted(6, claim)),
        [None, Some(a.id()), Some(a.id()), Some(a.id()), None]
    );
    // Both parents of d are retracted now: the one with the smaller id is named.
    assert_eq!(tainted(7, &d), Some(a.id().min(c.id())));
    assert_eq!(candidate(&ledger, 7, &b).set_aside, None, "it takes part all the same");
}

#[test]
fn a_successor_is_no_retraction() {
    let mut ledger = Ledger::new(MemStore::new());
    let (a, better) = (claim(1), claim(2));
    let b = from(&[&a], claim(3));
    for claim in [&a, &better, &b] {
        ledger.one(Command::Assert(claim.clone()), 1).unwrap();
    }
    let refined = Supersession::replace(a.id(), better.id(), SupersessionKind::Refines);
    ledger.one(Command::Supersede(refined), 2).unwrap();
    assert_eq!(candidate(&ledger, 4, &b).tainted, None);
}

#[test]
fn a_parent_that_comes_later_is_unknown_until_then() {
    let mut ledger = Ledger::new(MemStore::new());
    let parent = Assertion { author: Some(agent(1)), ..claim(1) };
    let child = Assertion { author: Some(agent(2)), ..from(&[&parent], claim(2)) };
    ledger.one(trusted(2, 900_000_000), 1).unwrap();
    ledger.one(trusted(1, 800_000_000), 2).unwrap();
    ledger.one(Command::Assert(child.clone()), 3).unwrap();
    ledger.one(Command::Assert(parent.clone()), 4).unwrap();
    assert_eq!(candidate(&ledger, 3, &child).trust, Nano::HALF);
    assert_eq!(candidate(&ledger, 4, &child).trust, Nano(800_000_000));
}

#[test]
fn a_long_line_is_followed_up_to_its_bound_and_says_so() {
    let mut ledger = Ledger::new(MemStore::new());
    let mut line = vec![claim(0)];
    let mut submission = Submission::new();
    for n in 1..=LINEAGE_MAX as i64 + 1 {
        let parent = line.last().unwrap();
        line.push(from(&[parent], claim(n)));
    }
    for claim in &line {
        submission.push(&Command::Assert(claim.clone())).unwrap();
    }
    ledger.commit(submission, 1).unwrap();
    ledger.one(retract(&line[0]), 2).unwrap();
    let reader = as_of(&ledger, 2);
    let lineage = |n: usize| reader.lineage(line[n].id()).unwrap().unwrap();
    let last = lineage(LINEAGE_MAX);
    assert_eq!((last.tainted, last.ancestors, last.cut), (Some(line[0].id()), LINEAGE_MAX, false));
    let beyond = lineage(LINEAGE_MAX + 1);
    assert_eq!((beyond.tainted, beyond.ancestors, beyond.cut), (None, LINEAGE_MAX, true));
    assert_eq!(lineage(0).ancestors, 0);
    assert!(reader.lineage(ClaimId([9; 32])).unwrap().is_none());
    let all = reader.candidates("water", "boiling_point_K", None).unwrap();
    assert_eq!(all.iter().filter(|candidate| candidate.lineage_cut).count(), 1);
    assert_eq!(all.iter().filter(|candidate| candidate.tainted.is_some()).count(), LINEAGE_MAX);
}

#[test]
fn a_history_tells_everything_in_order_and_what_came_of_it() {
    let mut ledger = Ledger::new(MemStore::new());
    let parent = claim(0);
    let (old, new) = (from(&[&parent], claim(1)), claim(2));
    for claim in [&parent, &old, &new] {
        ledger.one(Command::Assert(claim.clone()), 10).unwrap();
    }
    let vote = |n: u8, weight| Command::Vote(Vote::new(old.id(), agent(n), weight));
    ledger.one(vote(2, Nano::ONE), 20).unwrap();
    ledger.one(vote(1, Nano::ONE), 30).unwrap();
    ledger.one(vote(2, Nano::MINUS_ONE), 40).unwrap();
    let replaced = Supersession::replace(old.id(), new.id(), SupersessionKind::Corrects);
    ledger.one(Command::Supersede(replaced), 50).unwrap();
    ledger.one(retract(&parent), 60).unwrap();
    let history = as_of(&ledger, 8).history(old.id()).unwrap().unwrap();
    assert_eq!((history.claim.position.lsn, history.claim.recorded_at.0), (Lsn(2), 10));
    let told: Vec<_> = history
        .remarks
        .iter()
        .map(|remarked| {
            let what = match &remarked.remark {
                Remark::Vote(vote) => (vote.agent.0[0], vote.weight.0),
                Remark::Supersede(_) => (0, 0),
                Remark::Cosign(_) => (9, 9),
            };
            (remarked.position.lsn.0, remarked.recorded_at.0, what)
        })
        .collect();
    let one = Nano::ONE.0;
    assert_eq!(told, [(4, 20, (2, one)), (5, 30, (1, one)), (6, 40, (2, -one)), (7, 50, (0, 0))]);
    assert_eq!(history.chain.end, ChainEnd::Head(new.id()));
    assert_eq!(history.lineage.tainted, Some(parent.id()));
    let before = as_of(&ledger, 5).history(old.id()).unwrap().unwrap();
    assert_eq!((before.remarks.len(), before.chain.end), (2, ChainEnd::Head(old.id())));
    assert_eq!(before.lineage.tainted, None);
    assert!(as_of(&ledger, 1).history(old.id()).unwrap().is_none());
}

#[test]
fn authors_and_lineages_are_looked_up_once_a_question_and_cost_nothing_where_there_are_none() {
    let mut ledger = Ledger::new(MemStore::new());
    let parent = Assertion { author: Some(agent(1)), ..Assertion::new("x", "y", Object::Integer(0), "A") };
    ledger.one(Command::Assert(parent.clone()), 1).unwrap();
    let about = |subject: &str, n: i64| Assertion::new(subject, "p", Object::Integer(n), "A");
    for n in 0..8 {
        ledger.one(Command::Assert(about("plain", n)), 1).unwrap();
        let written = Assertion { author: Some(agent(1)), ..about("written", n) };
        ledger.one(Command::Assert(written), 1).unwrap();
        ledger.one(Command::Assert(from(&[&parent], about("derived", n))), 1).unwrap();
    }
    let asked = |subject: &str| {
        let view = Counted { view: ledger.store.snapshot(), asked: Arc::default() };
        let reader = ClaimReader::new(view.clone());
        assert_eq!(reader.candidates(subject, "p", None).unwrap().len(), 8);
        view.asked.load(Ordering::Relaxed)
    };
    // The claims, three probes for each, their source.
    let plain = 1 + 8 * 3 + 1;
    assert_eq!(asked("plain"), plain);
    assert_eq!(asked("written"), plain + 1, "and their author");
    assert_eq!(
        asked("derived"),
        plain + 4,
        "and the claim behind them: its place, itself, what set it aside, its author"
    );
}
