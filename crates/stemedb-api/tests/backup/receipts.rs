//! A receipt holds on a restored copy.

use std::path::Path;

use stemedb_api::{
    Query, RootCheck,
    backup::{MemoryTarget, Point},
    core::Lens,
};

use crate::setup::{History, reopen, restore_to};

#[test]
fn a_receipt_holds_on_a_restored_copy_which_signs_with_a_key_of_its_own() {
    let mut history = History::begin(77);
    history.write(6);
    let ask = |history: &History| {
        history.database.query_with_receipt(Query::new("s3", "p", Lens::Layered)).unwrap().1
    };
    let early = ask(&history);
    history.write(5);
    history.flush();
    let late = ask(&history);
    let target = MemoryTarget::new();
    history.back_up(&target);
    restore_to(&history.env, &target, Point::Latest, Path::new("/restored")).unwrap();
    let restored = reopen(&history.env, Path::new("/restored"));
    for receipt in [&early, &late] {
        let check = restored.check_receipt(receipt, None, true).unwrap();
        assert_eq!(check.root, RootCheck::Same { rows: receipt.receipt().state.rows });
        assert!(check.claims > 2 && !check.is_own_key);
        assert_eq!(check.timelines, (1, 2));
    }
    assert_ne!(
        restored.server_key().unwrap().agent(),
        history.database.server_key().unwrap().agent(),
        "a backup holds no secrets"
    );
    // Back to a moment before the second receipt: the first one holds, the other is out of reach.
    let lsn = stemedb_env::Lsn(early.receipt().state.lsn);
    restore_to(&history.env, &target, Point::Lsn(lsn), Path::new("/before")).unwrap();
    let before = reopen(&history.env, Path::new("/before"));
    assert!(before.check_receipt(&early, None, true).is_ok());
    assert!(before.check_receipt(&late, None, false).is_err());
}
