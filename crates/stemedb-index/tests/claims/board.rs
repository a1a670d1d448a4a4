//! The board that follows entries and the clock is the board that a full scan makes.

use stemedb_core::Micros;
use stemedb_env::Lsn;
use stemedb_index::{
    Claims, Derive,
    questions::{BoardPage, BoardPlace, ConflictBoard, Contested, MomentGone},
};
use stemedb_lsm::{KvStore, MemStore, WriteBatch};

use super::history::{DAY_US, Dice, History};

const ROOM: usize = 64 << 20;

fn built<S: KvStore>(history: &History<S>, room: usize, lsn: Lsn, at: i64) -> ConflictBoard {
    let mut board = ConflictBoard::begin(7, room, lsn, Micros(at));
    while !board.build_step(history.ledger.store.snapshot(), 3).unwrap() {}
    board
}

/// Tells the board every entry that it was not told of.
fn tell<S: KvStore>(board: &mut ConflictBoard, history: &History<S>) {
    for lsn in board.noted().0 + 1..=history.ledger.entries.len() as u64 {
        let mut rows = WriteBatch::new();
        Claims.derive(Lsn(lsn), &history.ledger.entries[lsn as usize - 1], &mut rows).unwrap();
        board.note(Lsn(lsn), &rows).unwrap();
    }
}

/// Everything of one moment, page by page.
fn all(board: &ConflictBoard, items: usize) -> Vec<Contested> {
    rest(board, None, items).unwrap()
}

fn rest(
    board: &ConflictBoard,
    mut after: Option<BoardPlace>,
    items: usize,
) -> Result<Vec<Contested>, MomentGone> {
    let mut found = Vec::new();
    loop {
        let page = board.page(after.as_ref(), 0, items)?;
        found.extend(page.items);
        after = page.after;
        if after.is_none() {
            return Ok(found);
        }
    }
}

#[test]
fn following_entries_and_the_clock_equals_scanning_everything() {
    let (mut followed, mut begun_again, mut contested, mut moved_by_time) = (0, 0, 0, 0);
    for seed in 0..40 {
        let mut history = History::random(MemStore::new(), seed, 10);
        let dice = Dice::new(seed + 1000);
        let mut now = *history.recorded.last().unwrap();
        let mut board = built(&history, ROOM, history.ledger.store.published_lsn(), now);
        for _ in 0..40 {
            let quiet = dice.one_in(3);
            if !quiet {
                history.step();
            }
            now += i64::try_from(dice.below(3)).unwrap() * DAY_US;
            tell(&mut board, &history);
            let to = history.ledger.store.published_lsn();
            let before = (quiet, all(&board, 100));
            if board.refresh(history.ledger.store.snapshot(), to, Micros(now)).unwrap() {
                followed += 1;
            } else {
                assert!(board.is_outdated());
                board = built(&history, ROOM, to, now);
                begun_again += 1;
            }
            let fresh = built(&history, ROOM, to, now);
            assert_eq!(board.knowledge(), fresh.knowledge(), "seed {seed} at {to}");
            assert_eq!(all(&board, 2), all(&fresh, 100), "seed {seed} at {to}");
            assert_eq!((board.lsn(), board.evaluated_at()), (to, Micros(now)));
            contested += all(&board, 100).len();
            moved_by_time += usize::from(before.0 && before.1 != all(&board, 100));
        }
    }
    // Epoch records that supersede begin the board again; everything else is followed.
    assert!(followed > 1000 && begun_again > 20, "{followed} followed, {begun_again} begun again");
    assert!(contested > 2000 && moved_by_time > 5, "{contested} contested, {moved_by_time} by time");
}

#[test]
fn entries_that_come_while_the_board_scans_are_not_lost() {
    let mut followed = 0;
    for seed in 0..20 {
        let mut history = History::random(MemStore::new(), seed, 30);
        let now = *history.recorded.last().unwrap() + DAY_US;
        let lsn = history.ledger.store.published_lsn();
        let mut board = ConflictBoard::begin(7, ROOM, lsn, Micros(now));
        loop {
            history.step();
            tell(&mut board, &history);
            if board.build_step(history.ledger.store.snapshot(), 8).unwrap() {
                break;
            }
        }
        assert!(board.progress().done && board.progress().claims > 0);
        let to = history.ledger.store.published_lsn();
        assert!(to > lsn);
        // Not where an epoch ended meanwhile.
        if board.refresh(history.ledger.store.snapshot(), to, Micros(now)).unwrap() {
            let fresh = built(&history, ROOM, to, now);
            assert_eq!((board.knowledge(), all(&board, 5)), (fresh.knowledge(), all(&fresh, 5)));
            followed += 1;
        }
    }
    assert!(followed > 3, "{followed}");
}

#[test]
fn a_walk_over_the_board_sees_the_moment_it_began_at() {
    let mut history = History::random(MemStore::new(), 21, 60);
    let mut now = *history.recorded.last().unwrap();
    let mut board = built(&history, ROOM, history.ledger.store.published_lsn(), now);
    let (mut walked, mut changed) = (0, 0);
    let (mut first_place, mut id) = (None, 7);
    for _ in 0..60 {
        let whole = all(&board, 100);
        let first = board.page(None, 0, 1).unwrap();
        history.step();
        now += DAY_US;
        tell(&mut board, &history);
        let to = history.ledger.store.published_lsn();
        if !board.refresh(history.ledger.store.snapshot(), to, Micros(now)).unwrap() {
            id += 1;
            board = ConflictBoard::begin(id, ROOM, to, Micros(now));
            while !board.build_step(history.ledger.store.snapshot(), 100).unwrap() {}
            if let Some(place) = &first.after {
                assert_eq!(board.page(Some(place), 0, 1), Err(MomentGone), "of another board");
            }
            first_place = None;
            continue;
        }
        if let Some(place) = first.after {
            let mut again = first.items;
            again.extend(rest(&board, Some(place.clone()), 1).unwrap());
            assert_eq!(again, whole);
            walked += 1;
            changed += usize::from(whole != all(&board, 100));
            first_place = first_place.or(Some((place, whole)));
        }
    }
    assert!(walked > 10 && changed > 5, "{walked} walked, {changed} changed meanwhile");
    if let Some((place, whole)) = first_place {
        let later = rest(&board, Some(place), 1).unwrap();
        assert_eq!(later[..], whole[1..], "many revisions later");
    }
}

#[test]
fn a_board_without_room_for_all_holds_the_most_contested_ones_and_says_so() {
    let history = History::random(MemStore::new(), 5, 80);
    let (lsn, now) = (history.ledger.store.published_lsn(), *history.recorded.last().unwrap());
    let whole = all(&built(&history, ROOM, lsn, now), 100);
    assert!(whole.len() > 3);
    let small = built(&history, 700, lsn, now);
    let BoardPage { items, complete, knowledge, .. } = small.page(None, 0, 100).unwrap();
    assert!(!complete && !items.is_empty() && items.len() < whole.len());
    assert_eq!(items[..], whole[..items.len()]);
    assert_eq!(knowledge, *built(&history, ROOM, lsn, now).knowledge(), "sums do not depend on room");
    let least = whole[1].score;
    let above = built(&history, ROOM, lsn, now).page(None, least, 100).unwrap();
    assert!(above.complete && above.items.iter().all(|contested| contested.score >= least));
    assert_eq!(above.items.len(), whole.iter().filter(|contested| contested.score >= least).count());
}
