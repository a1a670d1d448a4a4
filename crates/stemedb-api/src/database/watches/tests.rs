//! The folder of watches: power cuts at every step, damage, and what is shared between callers.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stemedb_core::Lens;
use stemedb_env::{
    Env, Lsn,
    clock::{Micros, SimClock},
    frame::DatabaseId,
    fs::{
        SimFs,
        sim::{CrashOptions, Profile},
    },
};
use stemedb_index::{QuestionKey, watches::Watch};
use stemedb_wal::JournalIdentity;

use super::registry::{Change, News, Outcome, Registry, WATCHES_MAX};
use crate::errors::{Code, Error};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };
const DIR: &str = "/db/watches";

fn watch(id: &str) -> Watch {
    Watch::new(id, QuestionKey { subject: format!("s{id}"), predicate: "p".into() }, Lens::Consensus)
}

fn registry(fs: &SimFs) -> Registry {
    let (env, _) = Env::over(fs.clone(), Arc::new(SimClock::new(Micros(0))), 1);
    Registry::new(&env, DIR.into(), IDENTITY)
}

fn disk(profile: Profile) -> SimFs {
    let fs = SimFs::with_profile(profile);
    fs.install_dir(Path::new("/db")).unwrap();
    fs
}

fn add(ids: impl IntoIterator<Item = String>) -> Vec<Change> {
    ids.into_iter().map(|id| Change::Add(Box::new(watch(&id)))).collect()
}

/// Everything that is registered: id and since.
fn all(registry: &Registry) -> BTreeMap<String, u64> {
    let (page, count) = registry.page("", None, usize::MAX).unwrap();
    let all: BTreeMap<String, u64> = page.iter().map(|one| (one.watch.id.clone(), one.since.0)).collect();
    assert_eq!(all.len(), count);
    for one in &page {
        assert_eq!(one.watch, watch(&one.watch.id));
    }
    all
}

/// Requests of a small life: registering, removing, several at once, and enough to write the folder anew.
fn life() -> Vec<Vec<Change>> {
    let remove =
        |from: u32, to: u32| (from..to).map(|n| Change::Remove(format!("m/{n}"))).collect::<Vec<_>>();
    vec![
        add(["a".into()]),
        add(["b".into(), "c".into()]),
        vec![Change::Remove("a".into()), Change::Add(Box::new(watch("d")))],
        vec![Change::Remove("nobody".into())],
        add((0..3000).map(|n| format!("m/{n}"))),
        remove(0, 2500),
        add(["e".into()]),
        vec![Change::Remove("b".into()), Change::Add(Box::new(watch("a")))],
    ]
}

#[test]
fn a_power_cut_at_any_step_leaves_each_request_done_or_not_and_everything_acknowledged() {
    let options = CrashOptions { exhaustive_units: 5, samples: 4, seed: 3 };
    let (mut states, mut moved) = (0, BTreeSet::new());
    for profile in [Profile::Adversarial, Profile::Ext4Like] {
        let fs = disk(profile);
        fs.record(true);
        let first = registry(&fs);
        let mut after = vec![BTreeMap::new()];
        for (index, request) in life().into_iter().enumerate() {
            first.change(request, &|| Lsn(10 * (index as u64 + 1))).unwrap();
            after.push(all(&first));
            fs.note(index as u64 + 1);
        }
        drop(first);
        fs.record(false);
        assert!(fs.paths().iter().any(|path| path.ends_with("000002/HEAD")), "it was written anew");
        let mut seen: BTreeMap<u128, u64> = BTreeMap::new();
        for point in fs.take_crash_points() {
            for state in point.fs.crash_states(&options) {
                if seen.get(&state.hash).is_some_and(|note| *note >= point.note) {
                    continue;
                }
                seen.insert(state.hash, point.note);
                states += 1;
                let what = || format!("{profile:?}: {:?} {:?}", point.operation, state.selection);
                let found = registry(&state.fs);
                let acknowledged = usize::try_from(point.note).unwrap();
                let next = (acknowledged + 1).min(after.len() - 1);
                let is = found.page("", None, 1).map(|_| all(&found));
                let is = is.unwrap_or_else(|error| panic!("{}: {error}", what()));
                let at = (acknowledged..=next).find(|at| after[*at] == is);
                let at = at.unwrap_or_else(|| panic!("{}: neither {acknowledged} nor {next}", what()));
                moved.insert((at, at > acknowledged));
                // It goes on, and the next power cut takes nothing back.
                found.change(add(["last".into()]), &|| Lsn(99)).unwrap();
                drop(found);
                let again = all(&registry(&state.fs.crash_losing_all()));
                let mut expected = is;
                expected.insert("last".into(), 99);
                assert!(again == expected, "{}, again", what());
            }
        }
    }
    println!("{states} states, {moved:?}");
    assert!(states > 500 && moved.iter().any(|(_, more)| *more), "{states} {moved:?}");
}

#[test]
fn what_is_the_same_is_registered_once_and_what_is_not_is_refused_as_a_whole() {
    let fs = disk(Profile::Adversarial);
    let registry = registry(&fs);
    let first = registry.change(add(["x".into()]), &|| Lsn(3)).unwrap();
    assert!(matches!(&first[..], [Outcome::Added(one)] if one.since == Lsn(3)));
    let (groups, lines) = registry.written();
    let again = registry.change(add(["x".into(), "x".into()]), &|| Lsn(5)).unwrap();
    assert!(again.iter().all(|outcome| matches!(outcome, Outcome::Existing(one) if one.since == Lsn(3))));
    assert_eq!(registry.written(), (groups, lines), "nothing was written");
    let mut other = watch("x");
    other.lens = Lens::Recency;
    let mixed = vec![Change::Add(Box::new(watch("y"))), Change::Add(Box::new(other.clone()))];
    let error = registry.change(mixed, &|| Lsn(6)).unwrap_err();
    assert_eq!(error.code(), Code::WatchExists);
    assert!(error.to_string().contains("/1/id"), "{error}");
    assert!(registry.get("y").unwrap().is_none());
    let swapped = vec![Change::Remove("x".into()), Change::Add(Box::new(other))];
    registry.change(swapped, &|| Lsn(7)).unwrap();
    assert_eq!(registry.get("x").unwrap().unwrap().since, Lsn(7));
    assert!(matches!(
        registry.change(vec![Change::Remove("z".into())], &|| Lsn(8)).unwrap()[..],
        [Outcome::Absent]
    ));
}

// Threads that nobody schedules are what it is about.
#[allow(clippy::disallowed_methods)]
#[test]
fn a_hundred_thousand_are_one_sync_and_those_of_many_callers_share_theirs() {
    let fs = disk(Profile::Ext4Like);
    let registry = registry(&fs);
    registry.change(add((0..100_000).map(|n| format!("{n:06}"))), &|| Lsn(1)).unwrap();
    assert_eq!(registry.written(), (1, 100_000));
    let newest = AtomicU64::new(2);
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let (registry, newest) = (&registry, &newest);
            scope.spawn(move || {
                for n in 0..50 {
                    let since = || Lsn(newest.fetch_add(1, Ordering::SeqCst));
                    registry.change(add([format!("c{caller}/{n}")]), &since).unwrap();
                }
            });
        }
    });
    let (groups, lines) = registry.written();
    assert_eq!(lines, 100_400);
    assert!(groups <= 401, "{groups}");
    assert_eq!(registry.page("c3/", None, 1000).unwrap().0.len(), 50);
    assert_eq!(registry.page("c3/", Some("c3/7"), 1000).unwrap().0.len(), 2);
    let too_many = add((0..WATCHES_MAX).map(|n| format!("n{n}")));
    assert_eq!(registry.change(too_many, &|| Lsn(1)).unwrap_err().code(), Code::TooMany);
    assert_eq!(registry.written(), (groups, lines));
}

#[test]
fn followers_wait_for_a_watch_that_counts_for_the_next_entry_and_take_changes_in_order() {
    let fs = disk(Profile::Ext4Like);
    let registry = registry(&fs);
    registry.settle().unwrap();
    let News::All(none, revision) = registry.news(None, Lsn(1)).unwrap() else { panic!() };
    assert!(none.is_empty());
    registry
        .change(add(["a".into()]), &|| {
            // Here the watch is neither written nor in memory.
            Lsn(4)
        })
        .unwrap();
    let News::Changes(changes, revision) = registry.news(Some(revision), Lsn(5)).unwrap() else { panic!() };
    assert_eq!(changes.len(), 1);
    assert!(matches!(registry.news(Some(revision), Lsn(5)).unwrap(), News::None));
    registry.change(add((0..70_000).map(|n| format!("{n}"))), &|| Lsn(5)).unwrap();
    let News::All(all, _) = registry.news(Some(revision), Lsn(6)).unwrap() else { panic!("too far behind") };
    assert_eq!(all.len(), 70_001);
}

/// A disk whose sync fails until the journal gives up: nobody knows whether the watch is there. A follower may not pass the entry
/// for which it would count before that is known.
#[test]
fn a_registration_whose_fate_is_not_known_holds_followers_until_it_is() {
    use stemedb_env::{
        IoOp,
        fs::fault::{Fault, FaultFs, FaultRule},
    };
    let fs = disk(Profile::Ext4Like);
    let faulty = FaultFs::new(Arc::new(fs.clone()), 1);
    let (mut env, _) = Env::over(fs.clone(), Arc::new(SimClock::new(Micros(0))), 1);
    env.fs = Arc::new(faulty.clone());
    let registry = Registry::new(&env, DIR.into(), IDENTITY);
    registry.change(add(["a".into()]), &|| Lsn(1)).unwrap();
    let News::All(_, revision) = registry.news(None, Lsn(2)).unwrap() else { panic!() };
    faulty.add(FaultRule::new(Fault::Eio).on(IoOp::SyncData));
    let error = registry.change(add(["b".into()]), &|| Lsn(2)).unwrap_err();
    assert_eq!(error.code(), Code::Indeterminate, "{error}");
    assert!(matches!(registry.news(Some(revision), Lsn(3)).unwrap(), News::Wait));
    faulty.clear();
    registry.settle().unwrap();
    let News::All(all, _) = registry.news(Some(revision), Lsn(3)).unwrap() else { panic!("read again") };
    assert!(!all.is_empty() && all.len() <= 2);
    registry.change(add(["b".into()]), &|| Lsn(4)).unwrap();
    assert_eq!(registry.page("", None, 9).unwrap().1, 2);
}

#[test]
fn a_folder_without_its_pointer_or_with_a_damaged_line_is_refused() {
    let fs = disk(Profile::Ext4Like);
    registry(&fs).change(add(["a".into()]), &|| Lsn(1)).unwrap();
    let refused = |fs: &SimFs| {
        let error = registry(fs).get("a").unwrap_err();
        assert!(matches!(error, Error::Watches(_) | Error::Engine(_)), "{error}");
        assert_eq!(error.code(), Code::Corruption, "{error}");
    };
    let without = fs.process_killed();
    without.delete(Path::new("/db/watches/CURRENT")).unwrap();
    refused(&without);
    for offset in 0..25 {
        let changed = fs.process_killed();
        changed.corrupt(Path::new("/db/watches/CURRENT"), offset, 1).unwrap();
        refused(&changed);
    }
}

#[test]
fn a_watch_takes_what_the_page_of_limits_says() {
    let bytes = size_of::<stemedb_index::watches::Registered>() + 16;
    assert!(bytes <= 400, "{bytes}");
}
