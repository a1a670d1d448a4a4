//! A database that is given the entries of another one.

use std::path::Path;

use stemedb_env::{Env, Lsn, Micros};
use stemedb_hybrid::{ClaimEngine, Error, HybridOptions};
use stemedb_index::{Claims, Derive};
use stemedb_wal::{Journal, JournalReader};

use super::setup::{assert_claims, create, found, submission};

fn copy() -> &'static Path {
    Path::new("/copy")
}

fn following() -> HybridOptions {
    HybridOptions { follows: true, ..HybridOptions::tiny() }
}

/// Entries of a database from one on.
fn entries(engine: &ClaimEngine, from: Lsn) -> Vec<Vec<u8>> {
    let mut reader = engine.journal().read_from(from).unwrap();
    std::iter::from_fn(|| reader.next_entry().unwrap()).map(|entry| entry.bytes.to_vec()).collect()
}

fn reopen(env: &Env) -> ClaimEngine {
    ClaimEngine::open(env, copy(), Claims, &following()).unwrap().0
}

#[test]
fn a_follower_shows_what_it_is_given_and_takes_no_requests_before_that_has_ended() {
    let (writer, env, sim) = create(1);
    let follower = ClaimEngine::create(&env, copy(), Claims, &following()).unwrap();
    assert!(follower.is_following() && !writer.is_following());
    let mut follower = follower;
    for round in 0..12u64 {
        assert_claims(&writer, round * 10..round * 10 + 6);
        if round % 3 == 0 {
            assert_claims(&writer, [round * 10 + 7]);
        }
        let first = follower.durable_lsn().next();
        let given = entries(&writer, first);
        assert_eq!(follower.follow(first, given).unwrap(), writer.published_lsn());
        assert_eq!(follower.published_lsn(), writer.published_lsn());
        assert_eq!(follower.state_root().unwrap(), writer.state_root().unwrap());
        let refused = follower.commit(submission([900])).unwrap_err();
        assert!(matches!(refused, Error::ReadOnly { .. }), "{refused}");
        assert!(follower.health().read_only.unwrap().contains("follows"));
        if round % 4 == 3 {
            follower.flush().unwrap();
            sim.tasks.settle(100);
            if round == 7 {
                follower.close().unwrap()
            } else {
                drop(follower)
            }
            follower = reopen(&env);
            assert_eq!(follower.published_lsn(), writer.published_lsn());
        }
    }
    assert_eq!(found(&follower), found(&writer));
    // Not the next one, and nobody's.
    let last = follower.durable_lsn();
    for wrong in [last, last.next().next(), Lsn(1)] {
        let refused = follower.follow(wrong, entries(&writer, last)).unwrap_err();
        assert!(matches!(refused, Error::JournalGap { .. }), "{refused}");
    }
    assert!(matches!(writer.follow(last.next(), vec![vec![1]]), Err(Error::ReadOnly { .. })));
    assert_eq!(follower.durable_lsn(), last);

    // The clock of this machine is behind that of the other one.
    let newest = entries(&writer, last).pop().unwrap();
    let recorded = Claims.recorded_at(last, &newest).unwrap().unwrap();
    sim.clock.set_wall(Micros(recorded.0 - 5_000_000));
    follower.end_following();
    assert!(!follower.is_following() && follower.health().read_only.is_none());
    assert_claims(&follower, [901]);
    assert_eq!(follower.published_lsn(), last.next());
    let own = entries(&follower, last.next()).pop().unwrap();
    assert!(Claims.recorded_at(last.next(), &own).unwrap().unwrap() >= recorded);
    assert!(env.clock.wall() < recorded);
    assert!(matches!(follower.follow(last.next().next(), vec![newest]), Err(Error::ReadOnly { .. })));
    follower.verify().unwrap();
    follower.close().unwrap();
}
