//! An archive that lets go of what its standbys have is no loss to them.

use std::{path::Path, sync::Arc, time::Duration};

use stemedb_api::{
    Database,
    backup::{BackupTarget, Keeper, MemoryTarget, Shipper},
    replication::Follower,
};
use stemedb_env::Lsn;

use super::{
    setup::History,
    standbys::{at_once, make, shared, ship},
    stores::id_of,
};

/// Removes what an operator, or a rule of the bucket, removes after its time: whole segments up to an entry, with their records.
fn prune(target: &MemoryTarget, database: &Database, upto: Lsn) -> usize {
    let mut removed = 0;
    for record in stemedb_api::backup::archived(target, &id_of(database), 1).unwrap() {
        if record.last_lsn <= upto.0 {
            let of_it = format!("/segment.{:06}.", record.segment);
            let objects = target.list("wal-archive/").unwrap();
            for object in objects.iter().filter(|object| object.name.contains(&of_it)) {
                target.delete(&object.name).unwrap();
            }
            removed += 1;
        }
    }
    removed
}

#[test]
fn a_standby_whose_position_lies_in_a_segment_that_was_archived_whole_and_removed_goes_on() {
    let mut problems = Vec::new();
    let mut pruned = 0;
    for order in 0..32u32 {
        let mut history = History::begin(31);
        let target = MemoryTarget::new();
        let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
        let mut keeper = Keeper::new(&history.database, shared(&target), Duration::ZERO);
        history.write(3);
        ship(&mut shipper);
        let standby = make(&history.env, &target, Path::new("/standby"));
        let mut follower = Follower::new(&standby, shared(&target), 1);
        follower.step().unwrap();
        for idle in 0..3 {
            let is = |bit: u32| order & (1 << bit) != 0;
            if is(0) && idle == 1 {
                history.write(2);
                ship(&mut shipper);
                follower.step().unwrap();
            }
            history.database.engine().journal().rotate().unwrap();
            history.flush();
            if is(1) {
                ship(&mut shipper);
            }
            if is(2)
                && let Err(error) = follower.step()
            {
                problems.push(format!("{order:05b}.{idle} before: {error}"));
            }
            keeper.step().unwrap();
            keeper.step().unwrap();
            pruned += prune(&target, &history.database, history.database.published_lsn());
            if is(3) {
                ship(&mut shipper);
            }
            if is(4) {
                follower = Follower::new(&standby, Arc::new(target.clone()), 1);
            }
            for _ in 0..2 {
                match follower.step() {
                    Ok(lsn) => assert_eq!(lsn, history.database.published_lsn()),
                    Err(error) => problems.push(format!("{order:05b}.{idle}: {error}")),
                }
            }
        }
        history.write(1);
        let upto = ship(&mut shipper);
        match follower.step() {
            Ok(lsn) => assert_eq!(lsn, upto),
            Err(error) => problems.push(format!("{order:05b} after: {error}")),
        }
    }
    assert!(problems.is_empty(), "{} pruned\n{}", pruned, problems.join("\n"));
    assert!(pruned > 40, "{pruned}");
}
