//! Who may set what aside, and that nothing runs in circles: also of what is in flight, and compared with the plainest model.

use std::collections::BTreeMap;

use stemedb_core::{
    Agent, AgentId, Assertion, AuthorityPolicy, ClaimId, Command, Object, Source, SourceClass, Supersession,
    SupersessionKind,
};
use stemedb_index::{
    ClaimReader, Error, Submission,
    claims::{CHAIN_MAX, ChainEnd},
};
use stemedb_lsm::{KvStore, MemStore};

use super::history::{Dice, Ledger};

fn class(number: u8) -> SourceClass {
    SourceClass::new(number).unwrap()
}

fn claim(n: i64, source: &str) -> Assertion {
    Assertion::new("water", "boiling_point_K", Object::Integer(n), source)
}

fn agent(n: u8) -> AgentId {
    AgentId([n; 32])
}

fn ranked(n: u8, rank: u8) -> Command {
    Command::Agent(Agent { class: Some(class(rank)), ..Agent::new(agent(n)) })
}

fn source(id: &str, rank: u8) -> Command {
    Command::Source(Source::new(id, class(rank)))
}

fn retract(old: &Assertion, by: Option<u8>) -> Command {
    Command::Supersede(Supersession { agent: by.map(agent), ..Supersession::retract(old.id()) })
}

fn replace(old: &Assertion, new: &Assertion) -> Command {
    Command::Supersede(Supersession::replace(old.id(), new.id(), SupersessionKind::Replaces))
}

fn all(commands: &[Command]) -> Submission {
    let mut submission = Submission::new();
    for command in commands {
        submission.push(command).unwrap();
    }
    submission
}

fn is_too_low<T: std::fmt::Debug>(result: Result<T, Error>, needed: u8, has: u8) {
    match result {
        Err(Error::AuthorityTooLow { reason, .. }) => {
            assert_eq!((reason.needed.number(), reason.has.number()), (needed, has));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lower_class_never_sets_a_higher_one_aside() {
    let mut ledger = Ledger::new(MemStore::new());
    let regulator = claim(1, "IUPAC");
    ledger.commit(all(&[source("IUPAC", 0), Command::Assert(regulator.clone())]), 1).unwrap();
    is_too_low(ledger.one(retract(&regulator, None), 2), 0, 5);
    is_too_low(ledger.one(retract(&regulator, Some(1)), 2), 0, 5);
    ledger.one(ranked(1, 1), 2).unwrap();
    is_too_low(ledger.one(retract(&regulator, Some(1)), 2), 0, 1);
    assert_eq!(ledger.entries.len(), 2, "nothing of what was refused was journaled");
    ledger.one(ranked(1, 0), 3).unwrap();
    assert!(ledger.one(retract(&regulator, Some(1)), 4).unwrap().created);
    // The agent loses his rank: saying the same again still changes nothing, saying more is refused.
    ledger.one(ranked(1, 4), 5).unwrap();
    assert!(!ledger.one(retract(&regulator, Some(1)), 6).unwrap().created);
    let mut again = Supersession { agent: Some(agent(1)), ..Supersession::retract(regulator.id()) };
    again.reason = Some("again".into());
    is_too_low(ledger.one(Command::Supersede(again), 6), 0, 4);
}

#[test]
fn a_successor_speaks_with_the_class_of_its_source_as_it_is_known_now() {
    let mut ledger = Ledger::new(MemStore::new());
    let (old, new) = (claim(1, "WEBBOOK"), claim(2, "TRC"));
    let claims = [Command::Assert(old.clone()), Command::Assert(new.clone())];
    ledger.commit(all(&claims), 1).unwrap();
    ledger.one(source("WEBBOOK", 1), 2).unwrap();
    is_too_low(ledger.one(replace(&old, &new), 3), 1, 5);
    ledger.one(source("TRC", 1), 4).unwrap();
    assert!(ledger.one(replace(&old, &new), 5).unwrap().created);
    // What the claim says itself counts before its source.
    let stated = Assertion { source_class: Some(class(0)), ..claim(3, "nobody") };
    ledger.one(Command::Assert(stated.clone()), 6).unwrap();
    is_too_low(ledger.one(replace(&stated, &new), 7), 0, 1);
    assert!(ledger.one(replace(&new, &stated), 8).unwrap().created);
}

#[test]
fn an_author_may_always_take_back_what_he_wrote() {
    let mut ledger = Ledger::new(MemStore::new());
    let own = Assertion { author: Some(agent(1)), source_class: Some(class(0)), ..claim(1, "IUPAC") };
    ledger.one(Command::Assert(own.clone()), 1).unwrap();
    is_too_low(ledger.one(retract(&own, Some(2)), 2), 0, 5);
    is_too_low(ledger.one(retract(&own, None), 2), 0, 5);
    assert!(ledger.one(retract(&own, Some(1)), 2).unwrap().created);
}

#[test]
fn without_the_policy_whoever_writes_may() {
    let mut ledger = Ledger::new(MemStore::new());
    let regulator = Assertion { source_class: Some(class(0)), ..claim(1, "IUPAC") };
    ledger.one(Command::Assert(regulator.clone()), 1).unwrap();
    let submission = all(&[retract(&regulator, None)]).under(AuthorityPolicy::Off);
    assert!(ledger.commit(submission, 2).unwrap()[0].created);
}

#[test]
fn what_is_in_flight_counts_and_what_was_given_up_does_not() {
    let mut ledger = Ledger::new(MemStore::new());
    let (old, new) = (claim(1, "A"), claim(2, "B"));
    // In one submission: the claim, the class of its source, and an agent who may.
    let everything = [
        Command::Assert(old.clone()),
        source("A", 2),
        ranked(1, 2),
        Command::Assert(new.clone()),
        retract(&old, Some(1)),
    ];
    let outcomes = ledger.admit(all(&everything), 1).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.created));
    // In flight, of a submission before: the claim's class and the agent's rank.
    let second = claim(3, "A");
    ledger.admit(all(&[Command::Assert(second.clone())]), 1).unwrap();
    is_too_low(ledger.admit(all(&[retract(&second, Some(2))]), 1), 2, 5);
    assert!(ledger.admit(all(&[retract(&second, Some(1))]), 1).unwrap()[0].created);
    // A submission that is refused gives nobody a rank.
    is_too_low(ledger.admit(all(&[ranked(3, 0), retract(&new, None), retract(&old, None)]), 1), 2, 5);
    is_too_low(ledger.admit(all(&[retract(&old, Some(3))]), 1), 2, 5);
    ledger.apply();
    is_too_low(ledger.one(retract(&old, Some(3)), 2), 2, 5);
}

#[test]
fn what_was_abandoned_gives_neither_rank_nor_class() {
    let mut ledger = Ledger::new(MemStore::new());
    let (gone, regulator) = (claim(1, "lost"), claim(2, "IUPAC"));
    // The same LSNs twice: first for what is given up, then for what stays.
    let lost = [Command::Assert(gone), ranked(1, 0), source("IUPAC", 5)];
    ledger.admit(all(&lost), 1).unwrap();
    ledger.admit(all(&[Command::Assert(claim(3, "lost"))]), 1).unwrap();
    ledger.abandon();
    let stays = Assertion { source_class: Some(class(0)), ..regulator };
    ledger.admit(all(&[Command::Assert(stays.clone())]), 1).unwrap();
    is_too_low(ledger.admit(all(&[retract(&stays, Some(1))]), 1), 0, 5);
    ledger.admit(all(&[ranked(1, 0)]), 1).unwrap();
    assert!(ledger.admit(all(&[retract(&stays, Some(1))]), 1).unwrap()[0].created);
    ledger.apply();
    assert_eq!(ledger.entries.len(), 3);
}

#[test]
fn a_circle_of_supersessions_is_refused_in_the_view_and_in_flight() {
    for apply in [true, false] {
        let mut ledger = Ledger::new(MemStore::new());
        let claims: Vec<Assertion> = (0..5).map(|n| claim(n, "A")).collect();
        let mut send = |commands: &[Command]| {
            let admitted = ledger.admit(all(commands), 1);
            if apply {
                ledger.apply();
            }
            admitted
        };
        for claim in &claims {
            send(&[Command::Assert(claim.clone())]).unwrap();
        }
        for pair in claims.windows(2) {
            send(&[replace(&pair[0], &pair[1])]).unwrap();
        }
        for (old, new) in [(4, 0), (4, 3), (3, 0), (1, 0)] {
            match send(&[replace(&claims[old], &claims[new])]) {
                Err(Error::SupersessionCycle { old: named, .. }) => {
                    assert_eq!(named, claims[old].id().to_string());
                }
                other => panic!("{old} by {new}: {other:?}"),
            }
        }
        // A shortcut is no circle; and a circle inside one submission is one too.
        send(&[replace(&claims[0], &claims[4])]).unwrap();
        let (x, y) = (claim(10, "A"), claim(11, "A"));
        let both = [Command::Assert(x.clone()), Command::Assert(y.clone()), replace(&x, &y), replace(&y, &x)];
        assert!(matches!(send(&both), Err(Error::SupersessionCycle { .. })));
        assert!(send(&both[..3]).unwrap().iter().all(|outcome| outcome.created));
    }
}

#[test]
fn a_chain_leads_from_any_claim_to_what_stands_for_it_now() {
    let mut ledger = Ledger::new(MemStore::new());
    let claims: Vec<Assertion> = (0..4).map(|n| claim(n, "A")).collect();
    let asserted: Vec<Command> = claims.iter().cloned().map(Command::Assert).collect();
    ledger.commit(all(&asserted), 1).unwrap();
    ledger.one(replace(&claims[0], &claims[1]), 2).unwrap();
    ledger.one(replace(&claims[1], &claims[2]), 3).unwrap();
    let chain = |ledger: &Ledger<MemStore>, lsn: u64, n: usize| {
        let reader = ClaimReader::as_of(ledger.store.snapshot(), stemedb_env::Lsn(lsn)).unwrap();
        let chain = reader.chain(claims[n].id()).unwrap();
        (chain.links.len(), chain.end)
    };
    let id = |n: usize| claims[n].id();
    assert_eq!(chain(&ledger, 3, 0), (2, ChainEnd::Head(id(2))));
    assert_eq!(chain(&ledger, 2, 0), (1, ChainEnd::Head(id(1))), "as it was known then");
    assert_eq!(chain(&ledger, 1, 0), (0, ChainEnd::Head(id(0))));
    // The newest successor counts, and a retraction ends it.
    ledger.one(replace(&claims[1], &claims[3]), 4).unwrap();
    assert_eq!(chain(&ledger, 4, 0), (2, ChainEnd::Head(id(3))));
    ledger.one(retract(&claims[3], None), 5).unwrap();
    assert_eq!(chain(&ledger, 5, 0), (2, ChainEnd::Retracted(id(3))));
    ledger.one(retract(&claims[1], None), 6).unwrap();
    assert_eq!(chain(&ledger, 6, 0), (1, ChainEnd::Retracted(id(1))));
}

#[test]
fn a_chain_beyond_the_bound_is_left_where_it_is_and_no_successor_is_taken_from_its_start() {
    let mut ledger = Ledger::new(MemStore::new());
    let long = i64::try_from(CHAIN_MAX).unwrap() + 2;
    let claims: Vec<Assertion> = (0..long).map(|n| claim(n, "A")).collect();
    let mut commands: Vec<Command> = claims.iter().cloned().map(Command::Assert).collect();
    // From the end, so that each successor has nothing behind it but what is there already.
    commands.extend(claims.windows(2).map(|pair| replace(&pair[0], &pair[1])));
    ledger.commit(all(&commands), 1).unwrap();
    let reader = ClaimReader::new(ledger.store.snapshot());
    let chain = reader.chain(claims[0].id()).unwrap();
    assert_eq!((chain.links.len(), chain.end), (CHAIN_MAX, ChainEnd::Cut(claims[CHAIN_MAX].id())));
    assert_eq!(reader.chain(claims[1].id()).unwrap().links.len(), CHAIN_MAX);
    assert_eq!(reader.chain(claims[2].id()).unwrap().end, ChainEnd::Head(claims[CHAIN_MAX + 1].id()));
    let other = claim(-1, "A");
    ledger.one(Command::Assert(other.clone()), 2).unwrap();
    assert!(matches!(ledger.one(replace(&other, &claims[0]), 3), Err(Error::ChainTooLong { .. })));
    assert!(ledger.one(replace(&other, &claims[9]), 3).unwrap().created);
}

/// The rule over plain maps.
#[derive(Default)]
struct Plain {
    claims: BTreeMap<ClaimId, Assertion>,
    sources: BTreeMap<String, u8>,
    agents: BTreeMap<AgentId, u8>,
    successors: BTreeMap<ClaimId, Vec<ClaimId>>,
    said: Vec<Supersession>,
}

impl Plain {
    fn class(&self, id: ClaimId) -> u8 {
        let claim = &self.claims[&id];
        let of_source = || self.sources.get(&claim.source).copied().unwrap_or(5);
        claim.source_class.map_or_else(of_source, SourceClass::number)
    }

    fn leads(&self, from: ClaimId, to: ClaimId) -> bool {
        from == to || self.successors.get(&from).into_iter().flatten().any(|next| self.leads(*next, to))
    }

    fn allows(&self, change: &Supersession) -> bool {
        let old = &self.claims[&change.old];
        let own = change.agent.is_some() && change.agent == old.author;
        let rank = change.agent.and_then(|agent| self.agents.get(&agent)).copied().unwrap_or(5);
        let best = change.new.map_or(rank, |new| rank.min(self.class(new)));
        let circle = change.new.is_some_and(|new| self.leads(new, change.old));
        self.said.contains(change) || ((own || best <= self.class(change.old)) && !circle)
    }

    fn take(&mut self, command: &Command) {
        match command {
            Command::Assert(claim) => drop(self.claims.insert(claim.id(), claim.clone())),
            Command::Source(source) => drop(self.sources.insert(source.id.clone(), source.class.number())),
            Command::Agent(agent) => drop(self.agents.insert(agent.id, agent.rank().number())),
            Command::Supersede(change) => {
                self.successors.entry(change.old).or_default().extend(change.new);
                self.said.push(change.clone());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn random_supersessions_are_allowed_exactly_when_the_plain_model_says_so() {
    let (mut allowed, mut refused) = (0, 0);
    for seed in 0..40 {
        let dice = Dice::new(seed);
        let mut ledger = Ledger::new(MemStore::new());
        let mut plain = Plain::default();
        let byte = |below: u64| u8::try_from(dice.below(below)).unwrap();
        for step in 0..150 {
            let ids: Vec<ClaimId> = plain.claims.keys().copied().collect();
            let pick = || ids[usize::try_from(dice.below(ids.len() as u64)).unwrap()];
            let command = match dice.below(10) {
                _ if ids.len() < 3 => Command::Assert(claim(step, "A")),
                0 | 1 => {
                    let mut claim = claim(step, ["A", "B", "C"][usize::from(byte(3))]);
                    claim.source_class = (byte(3) == 0).then(|| class(byte(6)));
                    claim.author = (byte(2) == 0).then(|| agent(byte(3)));
                    Command::Assert(claim)
                }
                2 => source(["A", "B", "C"][usize::from(byte(3))], byte(6)),
                3 => ranked(byte(3), byte(6)),
                _ => {
                    let (old, new) = (pick(), pick());
                    let mut change = if old == new || byte(3) == 0 {
                        Supersession::retract(old)
                    } else {
                        Supersession::replace(old, new, SupersessionKind::Refines)
                    };
                    change.agent = (byte(3) > 0).then(|| agent(byte(3)));
                    Command::Supersede(change)
                }
            };
            let expected = match &command {
                Command::Supersede(change) => plain.allows(change),
                _ => true,
            };
            // Now and then several are in flight at once.
            let result = ledger.admit(all(std::slice::from_ref(&command)), step);
            if dice.below(3) == 0 {
                ledger.apply();
            }
            match result {
                Ok(_) if expected => {
                    plain.take(&command);
                    allowed += u64::from(matches!(command, Command::Supersede(_)));
                }
                Err(Error::AuthorityTooLow { .. } | Error::SupersessionCycle { .. }) if !expected => {
                    refused += 1;
                }
                other => panic!("seed {seed}, step {step}, to be allowed {expected}: {command:?}, {other:?}"),
            }
        }
    }
    assert!(allowed > 500 && refused > 500, "{allowed} allowed, {refused} refused");
}
