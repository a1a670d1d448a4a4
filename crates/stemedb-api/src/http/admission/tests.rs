//! Places, bytes and waiting, without a server.

use super::*;

fn admission(max_in_flight: usize, max_in_flight_bytes: u64) -> Arc<Admission> {
    Arc::new(Admission::new(AdmissionOptions {
        max_in_flight,
        max_in_flight_bytes,
        reads_at_once: NonZeroUsize::new(2),
        queue_max: Duration::from_millis(10),
    }))
}

#[test]
fn neither_reads_nor_writes_can_take_the_share_that_is_kept_for_the_other() {
    for (many, other) in [(Group::Reads, Group::Writes), (Group::Writes, Group::Reads)] {
        let admission = admission(16, 1000);
        let held: Vec<Place> = (0..20).filter_map(|_| admission.enter(many, 0).ok()).collect();
        assert_eq!(held.len(), 14);
        assert_eq!(admission.enter(many, 0).unwrap_err(), Refusal::Places);
        let others: Vec<Place> = (0..20).filter_map(|_| admission.enter(other, 0).ok()).collect();
        assert_eq!(others.len(), 2);
        assert_eq!(admission.enter(Group::Admin, 0).unwrap_err(), Refusal::Places);
        assert_eq!(admission.in_flight(), 16);
        drop((held, others));
        assert_eq!(admission.in_flight(), 0);
        assert_eq!(admission.bytes.load(Ordering::Acquire), 0);
        assert!(admission.enter(many, 0).is_ok());
    }
}

#[test]
fn bodies_are_let_in_up_to_their_bytes_and_what_is_refused_holds_none() {
    let admission = admission(16, 100);
    let first = admission.enter(Group::Writes, 60).unwrap();
    assert_eq!(admission.enter(Group::Writes, 41).unwrap_err(), Refusal::Bytes);
    let second = admission.enter(Group::Writes, 40).unwrap();
    assert_eq!(admission.enter(Group::Writes, 1).unwrap_err(), Refusal::Bytes);
    // Reads have no body, and an import is read piece by piece.
    assert!(admission.enter(Group::Reads, 0).is_ok());
    assert!(admission.enter(Group::Bulk, u64::MAX).is_ok());
    drop(first);
    let third = admission.enter(Group::Writes, 60).unwrap();
    drop((second, third));
    assert_eq!(admission.bytes.load(Ordering::Acquire), 0);
    // One that is longer than all that may be in flight comes alone.
    let long = admission.enter(Group::Writes, 101).unwrap();
    assert_eq!(admission.enter(Group::Writes, 1).unwrap_err(), Refusal::Bytes);
    drop(long);
    assert_eq!(admission.bytes.load(Ordering::Acquire), 0);
}

#[test]
fn a_read_that_would_wait_too_long_is_refused_when_it_comes() {
    let admission = admission(64, 100);
    // Before anything was measured everybody is let in.
    let before: Vec<Place> = (0..20).map(|_| admission.enter(Group::Reads, 0).unwrap()).collect();
    drop(before);
    (0..500).for_each(|_| admission.note_read(Duration::from_millis(1)));
    // Two at once, a millisecond each: behind 21 others it is ten rounds, behind 22 it is eleven.
    let held: Vec<Place> = (0..22).map(|_| admission.enter(Group::Reads, 0).unwrap()).collect();
    assert_eq!(admission.enter(Group::Reads, 0).unwrap_err(), Refusal::Queue);
    assert!(admission.enter(Group::Writes, 0).is_ok(), "a write waits elsewhere");
    drop(held);
    assert!(admission.enter(Group::Reads, 0).is_ok());
}

#[test]
fn one_place_is_a_place_for_every_kind() {
    let admission = admission(1, 100);
    for group in Group::ALL {
        assert!(admission.enter(group, 0).is_ok(), "{group:?}");
    }
}

#[test]
fn a_turn_comes_when_another_ends_and_not_later_than_patience_lasts() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let admission = admission(16, 100);
        let first = admission.turn().await.unwrap();
        let _second = admission.turn().await.unwrap();
        let begin = tokio::time::Instant::now();
        assert_eq!(admission.turn().await.unwrap_err(), Refusal::Queue);
        assert_eq!(begin.elapsed(), Duration::from_millis(40));
        drop(first);
        assert!(admission.turn().await.is_ok());
    });
}
