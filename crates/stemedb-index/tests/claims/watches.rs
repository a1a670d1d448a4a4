//! Followers of watched answers, compared with every answer at every entry.

use std::sync::Arc;

use stemedb_core::{
    AgentId, Assertion, Command, Lens, Micros, Nano, Object, SourceClass, Supersession, lens::Counterfactual,
};
use stemedb_env::Lsn;
use stemedb_index::{
    ClaimReader, QuestionKey, Submission,
    watches::{Brief, Crossed, Follower, Notice, Registered, Watch},
};
use stemedb_lsm::{KvStore, MemStore};

use super::history::{Dice, History, Ledger, PREDICATES, SUBJECTS};

fn random_watch(dice: &Dice, number: u64, entries: u64) -> Arc<Registered> {
    let question =
        QuestionKey { subject: dice.pick(&SUBJECTS).into(), predicate: dice.pick(&PREDICATES).into() };
    let mut watch = Watch::new(format!("w/{number:03}"), question, dice.pick(&Lens::ALL));
    let line = |dice: &Dice| Some(Nano(i64::try_from(dice.below(11)).unwrap() * 100_000_000));
    if dice.one_in(2) {
        watch.margin_below = line(dice);
    }
    if dice.one_in(2) {
        watch.conflict_above = line(dice);
    }
    if dice.one_in(4) {
        watch.epoch = Some(dice.pick(&["2019", "2024"]).into());
    }
    if dice.one_in(4) {
        watch.tolerance = "0.5".parse().ok();
    }
    if dice.one_in(4) {
        watch.counterfactual = Counterfactual {
            without_sources: vec!["CRC".into()],
            without_agents: vec![AgentId([1; 32])],
            max_class: SourceClass::new(4).ok(),
        };
    }
    Arc::new(Registered { watch, since: Lsn(dice.below(entries / 2)) })
}

/// What every watch's answer is at every entry, without any thought of what could have changed it.
fn naive<S: KvStore>(history: &History<S>, watches: &[Arc<Registered>]) -> Vec<Notice> {
    let snapshot = history.ledger.store.snapshot();
    let mut notices = Vec::new();
    for registered in watches {
        let watch = &registered.watch;
        let state = |lsn: u64| {
            let reader = ClaimReader::as_of(snapshot.clone(), Lsn(lsn)).unwrap();
            let QuestionKey { subject, predicate } = &watch.question;
            let claims = reader.candidates(subject, predicate, watch.epoch.as_deref()).unwrap();
            let at = if lsn == 0 { i64::MIN } else { history.recorded[lsn as usize - 1] };
            Brief::of(watch, &claims, Micros(at))
        };
        let mut before = state(registered.since.0);
        for lsn in registered.since.0 + 1..=history.recorded.len() as u64 {
            let after = state(lsn);
            let crossed = Crossed::between(watch, &before, &after);
            if !crossed.is_empty() {
                let recorded_at = Micros(history.recorded[lsn as usize - 1]);
                let (watch, lsn, after) = (watch.id.clone(), Lsn(lsn), after.clone());
                notices.push(Notice { watch, lsn, recorded_at, crossed, before, after });
            }
            before = after;
        }
    }
    notices.sort_by(|a, b| (a.lsn, &a.watch).cmp(&(b.lsn, &b.watch)));
    notices
}

fn begin(watches: &[Arc<Registered>], at: u64) -> Follower {
    let mut follower = Follower::new(Lsn(at));
    watches.iter().for_each(|watch| follower.add(Arc::clone(watch)));
    follower
}

fn step<S: KvStore>(follower: &mut Follower, ledger: &Ledger<S>) -> Vec<Notice> {
    let entry = &ledger.entries[follower.position().0 as usize - 1];
    follower.step(entry, &ledger.store.snapshot()).unwrap()
}

#[test]
fn a_follower_tells_what_every_answer_at_every_entry_says_wherever_it_begins_and_ends() {
    let (mut told, mut cut, mut by_line) = (0, 0, [0; 4]);
    for seed in 0..120 {
        let history = History::random(MemStore::new(), seed, 50);
        let entries = history.recorded.len() as u64;
        let dice = Dice::new(seed + 5000);
        let watches: Vec<_> = (0..12).map(|number| random_watch(&dice, number, entries)).collect();
        let expected = naive(&history, &watches);
        let mut follower = begin(&watches, 1);
        let mut found = Vec::new();
        while follower.position().0 <= entries {
            found.extend(step(&mut follower, &history.ledger));
            if dice.one_in(8) {
                // The process ends here and another one goes on.
                follower = begin(&watches, follower.position().0);
                cut += 1;
            }
        }
        assert_eq!(found, expected, "seed {seed}");
        for notice in &found {
            notice.crossed.iter().for_each(|line| by_line[*line as usize] += 1);
        }
        told += found.len();
        // From the middle on alone.
        let from = 1 + dice.below(entries);
        let mut follower = begin(&watches, from);
        let mut found = Vec::new();
        while follower.position().0 <= entries {
            found.extend(step(&mut follower, &history.ledger));
        }
        let later: Vec<Notice> = expected.into_iter().filter(|notice| notice.lsn.0 >= from).collect();
        assert_eq!(found, later, "seed {seed} from {from}");
    }
    println!("{told} notices, {cut} cuts, {by_line:?} by line");
    assert!(
        told > 3_000 && cut > 400 && by_line.iter().all(|count| *count > 100),
        "{told} {cut} {by_line:?}"
    );
}

#[test]
fn watches_that_come_and_go_while_entries_do_are_told_as_if_they_had_always_been_known() {
    let mut told = 0;
    for seed in 200..260 {
        let mut history = History::random(MemStore::new(), seed, 3);
        let dice = Dice::new(seed);
        let mut follower = begin(&[], history.recorded.len() as u64 + 1);
        let (mut watches, mut gone, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..50 {
            let lsn = Lsn(history.recorded.len() as u64);
            if dice.one_in(3) {
                let mut new = (*random_watch(&dice, round, 4)).clone();
                new.since = lsn;
                let new = Arc::new(new);
                follower.add(Arc::clone(&new));
                watches.push(new);
            }
            if dice.one_in(12) && !watches.is_empty() {
                let old = watches.swap_remove(dice.below(watches.len() as u64) as usize);
                follower.remove(&old);
                gone.push((old.watch.id.clone(), lsn));
                watches.push(old);
            }
            history.step();
            while follower.position().0 <= history.recorded.len() as u64 {
                found.extend(step(&mut follower, &history.ledger));
            }
        }
        let mut expected = naive(&history, &watches);
        expected.retain(|notice| gone.iter().all(|(id, lsn)| *id != notice.watch || notice.lsn <= *lsn));
        assert_eq!(found, expected, "seed {seed}");
        told += found.len();
    }
    assert!(told > 500, "{told}");
}

#[test]
fn an_entry_that_touches_nothing_watched_is_not_read_for() {
    let mut ledger = Ledger::new(MemStore::new());
    let claim = |subject: &str, value: i64| Assertion::new(subject, "p", Object::Integer(value), "s");
    let mut now = 0;
    let mut commit = |ledger: &mut Ledger<MemStore>, commands: &[Command]| {
        let mut submission = Submission::new();
        for command in commands {
            submission.push(command).unwrap();
        }
        now += 1;
        ledger.commit(submission, now).unwrap();
    };
    commit(&mut ledger, &[Command::Assert(claim("watched", 1)), Command::Assert(claim("other", 1))]);
    let question = QuestionKey { subject: "watched".into(), predicate: "p".into() };
    let watches: Vec<_> = (0..100)
        .map(|number| {
            let watch = Watch::new(format!("{number:02}"), question.clone(), Lens::Recency);
            Arc::new(Registered { watch, since: Lsn(1) })
        })
        .collect();
    let mut follower = begin(&watches, 2);
    assert!(follower.look(&ledger.store.snapshot(), 1).unwrap());
    assert_eq!((follower.counts().learned, follower.hooks()), (1, 2));
    for value in 2..50 {
        let retract = Command::Supersede(Supersession::retract(claim("other", value - 1).id()));
        commit(&mut ledger, &[Command::Assert(claim("other", value)), retract]);
    }
    while follower.position().0 <= 49 {
        assert_eq!(step(&mut follower, &ledger), []);
    }
    assert_eq!((follower.counts().learned, follower.counts().compared), (1, 0));
    commit(&mut ledger, &[Command::Assert(claim("watched", 2))]);
    let notices = step(&mut follower, &ledger);
    assert_eq!(notices.len(), 100);
    assert!(notices.is_sorted_by_key(|notice| &notice.watch));
    // One reading and one pair of answers for all of them.
    assert_eq!((follower.counts().compared, follower.counts().answers), (1, 2));
    assert_eq!(notices[0].crossed, [Crossed::Value]);
    assert_eq!(
        (&notices[0].before.value, &notices[0].after.value),
        (&Some(Object::Integer(1)), &Some(Object::Integer(2)))
    );
}
