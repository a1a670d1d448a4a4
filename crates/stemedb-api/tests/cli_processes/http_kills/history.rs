//! Whether one order of events explains everything that was seen.
//!
//! Every reply names a position of the journal: that is where the operation is put. A write is put where its entry stands, a
//! read behind the entry that it names. Such an order is a proof if
//!
//! - it agrees with the clock: whoever was called after another had returned does not stand before it ([`in_real_time`]);
//! - every read is what the oracle answers there ([`as_the_oracle_answers`]);
//! - every entry was sent by somebody, once, and every write that was acknowledged is where its reply said ([`entries`]).
//!
//! A write without a reply may have happened at any time after its call, or not at all; the journal says which.

use std::collections::{BTreeMap, BTreeSet};

use stemedb_api::core::{Command, Object};
use stemedb_oracle as oracle;

/// Something that a client did. Times are nanoseconds of one clock.
#[derive(Clone, Debug)]
pub struct Operation {
    pub called: u64,
    /// `None`: there was no reply.
    pub returned: Option<u64>,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Write(Box<Write>),
    Read(Box<Answer>),
}

#[derive(Clone, Debug)]
pub struct Write {
    pub command: Command,
    pub told: Option<Told>,
}

/// What a reply says of a write.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Where it stands.
    pub lsn: u64,
    /// False: it had been said before.
    pub created: bool,
}

/// What a question was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub subject: String,
    pub lens: &'static str,
    pub lsn: u64,
    pub status: String,
    pub winners: Vec<String>,
    pub considered: usize,
    /// Sorted.
    pub set_aside: Vec<String>,
}

/// An entry of the journal. Requests have one command each, and so have entries.
#[derive(Clone, Debug)]
pub struct Entry {
    pub lsn: u64,
    pub recorded_at_us: i64,
    pub command: Command,
}

/// What is wrong.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Acknowledged, and not there.
    pub lost: Vec<String>,
    pub wrong: Vec<String>,
    /// Writes without a reply that are there.
    pub unknown_kept: usize,
}

/// Compares what was seen with what is in the journal.
pub fn check(journal: &[Entry], operations: &[Operation]) -> Verdict {
    let mut verdict = Verdict::default();
    let places = entries(journal, operations, &mut verdict);
    in_real_time(&places, operations, &mut verdict);
    as_the_oracle_answers(journal, operations, &mut verdict);
    verdict
}

/// What makes a command this one and no other.
fn name(command: &Command) -> String {
    match command {
        Command::Assert(claim) => format!("claim {}", claim.id()),
        Command::Vote(vote) => format!("vote of {} on {}", vote.agent, vote.assertion),
        Command::Supersede(change) => format!("retraction of {}", change.old),
        other => format!("{other:?}"),
    }
}

/// Where each command stands.
fn entries(journal: &[Entry], operations: &[Operation], verdict: &mut Verdict) -> BTreeMap<String, u64> {
    let mut places = BTreeMap::new();
    for (at, entry) in journal.iter().enumerate() {
        if entry.lsn != at as u64 + 1 {
            verdict.wrong.push(format!("entry {} stands where {} should", entry.lsn, at + 1));
        }
        let name = name(&entry.command);
        if let Some(first) = places.insert(name.clone(), entry.lsn) {
            verdict.wrong.push(format!("{name} stands at {first} and at {}", entry.lsn));
        }
    }
    let mut sent = BTreeSet::new();
    let mut created = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    for operation in operations {
        let What::Write(write) = &operation.what else { continue };
        let name = name(&write.command);
        match (write.told, places.get(&name)) {
            (Some(told), None) => verdict.lost.push(format!("{name}, acknowledged at {}", told.lsn)),
            (Some(told), Some(place)) if told.lsn != *place => {
                verdict.wrong.push(format!("{name} was acknowledged at {} and stands at {place}", told.lsn));
            }
            (Some(told), Some(_)) if told.created && !created.insert(name.clone()) => {
                verdict.wrong.push(format!("{name} was new twice"));
            }
            (None, found) => {
                if unknown.insert(name.clone()) {
                    verdict.unknown_kept += usize::from(found.is_some());
                }
            }
            (Some(_), Some(_)) => {}
        }
        sent.insert(name);
    }
    for name in places.keys() {
        if !sent.contains(name) {
            verdict.wrong.push(format!("nobody said {name}"));
        } else if !created.contains(name) && !unknown.contains(name) {
            verdict.wrong.push(format!("{name} was new to nobody"));
        }
    }
    places
}

fn in_real_time(places: &BTreeMap<String, u64>, operations: &[Operation], verdict: &mut Verdict) {
    // What must stand at or before what is called later: (time of return, place).
    let mut returns: Vec<(u64, u64)> = operations
        .iter()
        .filter_map(|operation| {
            let place = match &operation.what {
                What::Write(write) => write.told?.lsn,
                What::Read(answer) => answer.lsn,
            };
            Some((operation.returned?, place))
        })
        .collect();
    returns.sort_unstable();
    let mut calls: Vec<&Operation> = operations.iter().collect();
    calls.sort_by_key(|operation| operation.called);
    // What had been seen when a command was sent by whom it was new to; else when it was first sent without a reply: one of
    // those was the one that was heard.
    let mut floors = BTreeMap::<String, u64>::new();
    let mut is_new_to_somebody = BTreeSet::new();
    let (mut next, mut floor) = (0, 0);
    for operation in calls {
        while let Some((returned, place)) = returns.get(next)
            && *returned < operation.called
        {
            floor = floor.max(*place);
            next += 1;
        }
        match &operation.what {
            What::Read(answer) if answer.lsn < floor => {
                let Answer { subject, lsn, .. } = &**answer;
                verdict.wrong.push(format!("{subject} was read at {lsn} after {floor} had been seen"));
            }
            What::Read(_) => {}
            What::Write(write) => {
                let name = name(&write.command);
                match write.told {
                    Some(Told { created: true, .. }) => {
                        floors.insert(name.clone(), floor);
                        is_new_to_somebody.insert(name);
                    }
                    Some(_) => {}
                    None if is_new_to_somebody.contains(&name) => {}
                    None => {
                        floors.entry(name).or_insert(floor);
                    }
                }
            }
        }
    }
    for (name, floor) in floors {
        if let Some(place) = places.get(&name).filter(|place| **place <= floor) {
            verdict.wrong.push(format!("{name} stands at {place}, called after {floor} had been seen"));
        }
    }
}

fn as_the_oracle_answers(journal: &[Entry], operations: &[Operation], verdict: &mut Verdict) {
    let world = world(journal);
    for operation in operations {
        let What::Read(answer) = &operation.what else { continue };
        let Answer { subject, lens, lsn, .. } = &**answer;
        if *lsn > journal.len() as u64 {
            verdict.lost.push(format!("{subject} was read at {lsn}, the journal ends at {}", journal.len()));
            continue;
        }
        let expected = world.ask(subject, "p", lens, *lsn, 0, false, None);
        // The oracle lists them in the order of their positions.
        let mut set_aside: Vec<String> = expected.set_aside.into_iter().map(|(id, _)| id).collect();
        set_aside.sort_unstable();
        let expected = (&expected.winners, &expected.status, expected.considered, &set_aside);
        let found = (&answer.winners, &answer.status, answer.considered, &answer.set_aside);
        if found != expected {
            verdict.wrong.push(format!("{subject} at {lsn}, {lens}: {found:?} must be {expected:?}"));
        }
    }
}

fn world(journal: &[Entry]) -> oracle::World {
    let mut world = oracle::World::default();
    for Entry { lsn, recorded_at_us, command } in journal {
        let (lsn, ordinal) = (*lsn, 0);
        match command {
            Command::Assert(claim) => {
                let Object::Integer(value) = &claim.object else { panic!("{claim:?}") };
                world.assert(oracle::Claim {
                    id: claim.id().to_string(),
                    lsn,
                    recorded_at_us: *recorded_at_us,
                    subject: claim.subject.clone(),
                    predicate: claim.predicate.clone(),
                    object: oracle::Value::Integer(value.to_string()),
                    source: claim.source.clone(),
                    ..oracle::Claim::default()
                });
            }
            Command::Vote(vote) => world.vote(oracle::Vote {
                lsn,
                ordinal,
                claim: vote.assertion.to_string(),
                agent: vote.agent.to_string(),
                weight_nano: vote.weight.0,
            }),
            Command::Supersede(change) => {
                let old = change.old.to_string();
                world.supersede(oracle::Supersession { lsn, ordinal, old, new: None });
            }
            other => panic!("no client says {other:?}"),
        }
    }
    world
}

#[cfg(test)]
mod tests {
    use stemedb_api::core::Assertion;

    use super::*;

    fn claim(number: i64) -> Command {
        Command::Assert(Assertion::new("q", "p", Object::Integer(number), format!("s{number}")))
    }

    fn journal(numbers: &[i64]) -> Vec<Entry> {
        let entry = |(at, number): (usize, &i64)| Entry {
            lsn: at as u64 + 1,
            recorded_at_us: 0,
            command: claim(*number),
        };
        numbers.iter().enumerate().map(entry).collect()
    }

    fn write(called: u64, returned: u64, number: i64, lsn: u64) -> Operation {
        let told = Some(Told { lsn, created: true });
        let what = What::Write(Box::new(Write { command: claim(number), told }));
        Operation { called, returned: Some(returned), what }
    }

    fn unknown(called: u64, number: i64) -> Operation {
        let what = What::Write(Box::new(Write { command: claim(number), told: None }));
        Operation { called, returned: None, what }
    }

    /// What is answered where these have been said, newest last.
    fn read(called: u64, returned: u64, lsn: u64, said: &[i64]) -> Operation {
        let newest = said.last().map(|number| match claim(*number) {
            Command::Assert(claim) => claim.id().to_string(),
            _ => String::new(),
        });
        let status = ["unknown", "unanimous", "contested"][said.len().min(2)].to_owned();
        let winners = newest.into_iter().collect();
        let answer = Answer {
            subject: "q".into(),
            lens: "recency",
            lsn,
            status,
            winners,
            considered: said.len(),
            set_aside: Vec::new(),
        };
        Operation { called, returned: Some(returned), what: What::Read(Box::new(answer)) }
    }

    fn wrong(journal: &[Entry], operations: &[Operation]) -> Vec<String> {
        let verdict = check(journal, operations);
        verdict.lost.into_iter().chain(verdict.wrong).collect()
    }

    #[test]
    fn what_one_order_explains_is_accepted() {
        let all = [
            write(0, 10, 1, 1),
            read(11, 20, 1, &[1]),
            // At the same time: either may be first.
            write(21, 30, 2, 2),
            read(21, 30, 1, &[1]),
            read(21, 30, 2, &[1, 2]),
            unknown(31, 3),
            unknown(31, 4),
            read(40, 50, 3, &[1, 2, 4]),
        ];
        let verdict = check(&journal(&[1, 2, 4]), &all);
        assert!(verdict.lost.is_empty() && verdict.wrong.is_empty(), "{verdict:?}");
        assert_eq!(verdict.unknown_kept, 1);
    }

    #[test]
    fn every_kind_of_lie_is_noticed() {
        let first = || write(0, 10, 1, 1);
        for (what, journal, operations) in [
            ("acknowledged at", journal(&[]), vec![first()]),
            ("stands at 2", journal(&[2, 1]), vec![first(), write(0, 10, 2, 2)]),
            ("nobody said", journal(&[1, 2]), vec![first()]),
            ("new twice", journal(&[1]), vec![first(), write(20, 30, 1, 1)]),
            ("after 1 had been seen", journal(&[1]), vec![first(), read(20, 30, 0, &[])]),
            ("must be", journal(&[1]), vec![first(), read(20, 30, 1, &[])]),
            ("must be", journal(&[1, 2]), vec![first(), unknown(5, 2), read(20, 30, 2, &[1])]),
            ("the journal ends", journal(&[1]), vec![first(), unknown(5, 2), read(6, 7, 2, &[1, 2])]),
            // Two after each other, in the wrong order.
            ("had been seen", journal(&[2, 1]), vec![write(0, 10, 1, 2), write(20, 30, 2, 1)]),
            // It was read that it is not there, and then it had been there before.
            (
                "had been seen",
                journal(&[2, 1]),
                vec![write(0, 10, 1, 2), read(12, 14, 2, &[2, 1]), unknown(20, 2)],
            ),
        ] {
            let found = wrong(&journal, &operations);
            assert!(found.iter().any(|problem| problem.contains(what)), "{what}: {found:?}");
        }
    }
}
