//! `kill -9` of a process during its upgrade, over real files.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use stemedb_env::{Env, Lsn, fs::FaultFs};
use stemedb_hybrid::{DerivedBy, FallbackMode, HybridOptions};
use stemedb_lsm::KvSnapshot;

use super::{One, Two, entry, fresh_root, options, shown};

/// Names the folder for the process that is killed.
const FOLDER: &str = "STEMEDB_TEST_UPGRADE";
const ENTRIES: u64 = 12_000;
/// So many kills within the upgrade must have been seen.
const KILLS: u32 = 3;

fn tiny() -> HybridOptions {
    options(FallbackMode::Off)
}

/// What the killed process does: nothing in an ordinary run of the tests.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (engine, _) = Two::open(&Env::real(), Path::new(&folder), super::Rows, &tiny()).unwrap();
    let mut n = engine.published_lsn().0;
    while engine.health().upgrade.is_some() {
        n += 1;
        assert_eq!(engine.commit(entry(n)).unwrap(), Lsn(n));
        println!("acknowledged {n}");
    }
    println!("upgraded");
}

/// The last entry that the child says was acknowledged, and whether it came to its end.
fn told(output: &str) -> (u64, bool) {
    let whole = output.rfind('\n').map_or("", |end| &output[..end]);
    let last =
        whole.lines().rev().find_map(|line| line.strip_prefix("acknowledged ")).map(|n| n.parse().unwrap());
    (last.unwrap_or(0), whole.lines().any(|line| line == "upgraded"))
}

#[test]
fn a_killed_upgrade_goes_on_and_loses_nothing_that_was_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("db");
    let engine = One::create(&Env::real(), &folder, super::Rows, &tiny()).unwrap();
    // A few at a time: on a busy machine a long queue runs into the bound of waiting.
    for first in (1..=ENTRIES).step_by(500) {
        let last = ENTRIES.min(first + 499);
        let tickets: Vec<_> = (first..=last).map(|n| engine.submit(entry(n)).unwrap()).collect();
        tickets.into_iter().for_each(|ticket| _ = ticket.wait().unwrap());
    }
    engine.close().unwrap();
    let said = home.path().join("said");
    let (mut kills, mut acknowledged) = (0, ENTRIES);
    for round in 0..400u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "versions::kills::child", "--nocapture"])
            .env(FOLDER, &folder)
            .stdout(std::fs::File::create(&said).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From the first moments of the open to the last ones of the upgrade.
        std::thread::sleep(Duration::from_millis(20 + round * 9 % 400));
        let _ = child.kill();
        child.wait().unwrap();
        let (last, ended) = told(&std::fs::read_to_string(&said).unwrap());
        acknowledged = acknowledged.max(last);
        // Looked at only: the upgrade is the child's.
        let real = Env::real();
        let faults = Arc::new(FaultFs::new(Arc::clone(&real.fs), round));
        super::hold_back(&faults);
        let env = Env { fs: faults, ..real };
        let (engine, report) = Two::open(&env, &folder, super::Rows, &tiny()).unwrap();
        let recovered = report.journal.last_lsn.0;
        assert!(recovered >= acknowledged, "round {round}: {recovered} of {acknowledged}");
        let snapshot = engine.snapshot().unwrap();
        assert_eq!(shown(&snapshot), (1..=recovered).collect::<Vec<_>>(), "round {round}");
        match report.upgrade {
            Some(_) => kills += 1,
            None => {
                assert_eq!(snapshot.derived_by(), Some(DerivedBy::one(2)));
                assert_eq!(engine.state_root().unwrap(), fresh_root(&engine));
                assert!(!folder.join("kv.next").exists() && !folder.join("kv.old").exists());
                println!("{kills} kills within the upgrade, {recovered} entries, ended by itself: {ended}");
                assert!(kills >= KILLS, "{kills}");
                return;
            }
        }
    }
    panic!("it does not end: {kills} kills");
}
