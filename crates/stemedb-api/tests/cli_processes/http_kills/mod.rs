//! `kill -9` of a real server under eight clients that read and write over HTTP, and what they saw compared with the journal.
//!
//! ```text
//! clients   ask ─ reply ─ ask ─ reply ─ ask ─┤killed├─ ask again … ─ ask ─ reply ─ …      each with when it was asked and answered
//! server    start ──────── random moment ─ SIGKILL   start ──────────────── … ─ SIGTERM
//! then      journal ─▶ every acknowledged write, in its place, and nothing that nobody sent
//!                   ─▶ one order that explains every reply (linearizable): history.rs
//!                   ─▶ every answer is the oracle's at the position that it names
//!                   ─▶ the view's state root is that of the rows that follow from the journal
//! ```
//!
//! With every change a few rounds; `cargo xtask torture --deep --only http-kills` takes sixty.

pub mod client;
mod examine;
mod history;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use self::{
    client::{Client, Shared},
    history::What,
};
use crate::server::Server;

const CLIENTS: usize = 8;
const ROUNDS: usize = 6;
/// How many rounds, instead. Not one of `STEMEDB_…`: the servers inherit it, and refuse what they do not know.
const ROUNDS_VARIABLE: &str = "HTTP_KILLS_ROUNDS";
/// A server is killed so long after it began to listen: at least, and how much more at most.
const LIVES_MS: (u64, u64) = (30, 450);

#[test]
fn eight_clients_see_one_order_of_events_through_kills_and_lose_nothing() {
    let rounds = std::env::var(ROUNDS_VARIABLE).map_or(ROUNDS, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let begun = Instant::now();
    let mut server = Server::start(&data);
    let address = server.address.clone();
    let shared = Arc::new(Shared {
        address: address.clone(),
        begun,
        round: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || Client::new(number, shared).run())
        })
        .collect();
    let mut dice = client::Dice((u64::from(std::process::id()) << 20) | 1);
    for round in 1..=rounds {
        thread::sleep(Duration::from_millis(LIVES_MS.0 + dice.below(LIVES_MS.1)));
        server.kill();
        shared.round.store(round, Ordering::SeqCst);
        server = Server::start_at(&data, &address);
    }
    // The last life answers what the kill before it has left open.
    thread::sleep(Duration::from_millis(300));
    shared.is_over.store(true, Ordering::SeqCst);
    let operations: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");

    let journal = examine::journal(&data);
    let verdict = history::check(&journal, &operations);
    let count = |is: &dyn Fn(&What) -> bool| operations.iter().filter(|one| is(&one.what)).count();
    let writes = count(&|what| matches!(what, What::Write(_)));
    let unknown = count(&|what| matches!(what, What::Write(write) if write.told.is_none()));
    // A line of its own, for the ledger.
    println!(
        "\nsuite=http-kills tier={} rounds={rounds} clients={CLIENTS} writes={writes} unknown={unknown} unknown_kept={} \
         reads={} entries={} faults=kill:{rounds} lost={} wrong={} seconds={:.1}",
        if rounds > ROUNDS { "deep" } else { "push" },
        verdict.unknown_kept,
        operations.len() - writes,
        journal.len(),
        verdict.lost.len(),
        verdict.wrong.len(),
        begun.elapsed().as_secs_f64(),
    );
    let problems = || verdict.lost.iter().chain(&verdict.wrong).take(20).collect::<Vec<_>>();
    assert!(verdict.lost.is_empty() && verdict.wrong.is_empty(), "{:#?}", problems());
    examine::the_view_is_what_the_journal_says(&data);
    // Kills that meet nobody prove nothing.
    assert!(unknown >= rounds && journal.len() > 20 * rounds, "{unknown} of {writes} writes were cut off");
}
