//! `kill -9` at random moments of an import, and what is there after each restart.

use std::{
    io::Write,
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use stemedb_api::{core::Command, json};

use crate::{Arguments, corpus::Corpus, figures::Figures, http, program::Program};

/// Claims of one submission: the default of an import.
const BATCH: usize = 4000;

pub fn measure(program: &Program, arguments: &Arguments, corpus: &Corpus, figures: &mut Figures) {
    let data = arguments.dir.join("killed");
    let acknowledged = AtomicUsize::new(0);
    let (mut from, mut kills, mut seed) = (0, 0, 0x2545_f491_4f6c_dd1du64);
    let mut restarts: Vec<Duration> = Vec::new();
    while kills < arguments.kills && from < corpus.len() {
        let server = program.serve(&data);
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let moment = Duration::from_millis(50 + seed % 900);
        std::thread::scope(|scope| {
            let address = server.address.clone();
            let sender = scope.spawn(|| send(address, corpus, from, &acknowledged));
            std::thread::sleep(moment);
            server.kill();
            // It broke off, or it was done.
            let _ = sender.join().unwrap();
        });
        kills += 1;

        let server = program.serve(&data);
        restarts.push(server.first_answer);
        let safe = acknowledged.load(Ordering::SeqCst);
        for _ in 0..200.min(safe) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let line = (seed % safe as u64) as usize;
            assert!(
                is_there(&server.address, corpus, line),
                "line {line} of {safe} was acknowledged and is lost"
            );
        }
        from = check_submissions(&server.address, corpus, from);
        assert!(from >= safe, "{safe} lines were acknowledged, {from} are there");
        server.kill();
    }
    figures.judge(
        "kills during an import",
        &format!("{}", arguments.kills),
        kills.to_string(),
        kills == arguments.kills,
    );
    figures.note("lines there after the last of them", from.to_string());
    restarts.sort();
    let (median, worst) =
        (restarts[restarts.len() / 2].as_secs_f64(), restarts[restarts.len() - 1].as_secs_f64());
    let measured = format!("median {median:.2} s, worst {worst:.2} s");
    figures.judge("restart to first answer", "<= 2 s", measured, worst <= 2.0);

    let server = program.serve(&data);
    let url = format!("http://{}", server.address);
    let rest = program.run(&["import", "--url", &url, arguments.claims.to_str().unwrap()]);
    let (created, known) = (rest.number("created") as usize, rest.number("already known") as usize);
    let whole = known == from && created == corpus.len() - from;
    figures.judge(
        "the import goes on to its end",
        "every line once",
        format!("{known} known, {created} created"),
        whole,
    );
    server.stop();
}

/// Checks that each submission from a line on is there as a whole or not at all, and that there is no gap. Returns the
/// first line that is not there.
fn check_submissions(address: &str, corpus: &Corpus, from: usize) -> usize {
    let (mut there, mut absent) = (from, 0);
    for start in (from..corpus.len()).step_by(BATCH) {
        let end = (start + BATCH).min(corpus.len()) - 1;
        let probes =
            [start, start + 1, (start + end) / 2, end - 1, end].map(|line| is_there(address, corpus, line));
        assert!(probes.iter().all(|probe| *probe == probes[0]), "half of lines {start}..={end} is there");
        if probes[0] {
            assert_eq!(absent, 0, "lines {start}..={end} came without those before them");
            there = end + 1;
        } else {
            absent += 1;
        }
        if absent == 4 {
            break;
        }
    }
    there
}

fn is_there(address: &str, corpus: &Corpus, line: usize) -> bool {
    let Command::Assert(claim) = json::import_line(corpus.line(line).as_bytes()).unwrap() else {
        unreachable!()
    };
    let reply = http::get(address, &format!("/v1/assertions/{}", claim.id())).unwrap();
    assert!([200, 404].contains(&reply.status), "{}", reply.body);
    reply.status == 200
}

/// Sends the lines from a number on until the connection breaks; counts those with a verdict.
fn send(address: String, corpus: &Corpus, from: usize, acknowledged: &AtomicUsize) -> std::io::Result<()> {
    let body = corpus.rest(from).as_bytes();
    let mut stream = TcpStream::connect(address)?;
    http::begin_import(&mut stream, body.len())?;
    let mut writing = stream.try_clone()?;
    std::thread::scope(|scope| {
        // How far it came is told by the verdicts.
        scope.spawn(move || writing.write_all(body));
        let mut reply = http::Incoming::read_head(stream)?;
        let mut text: Vec<u8> = Vec::new();
        while let Some(part) = reply.next_part()? {
            text.extend(part);
            let Some(last) = text.iter().rposition(|byte| *byte == b'\n') else { continue };
            for verdict in text[..last].split(|byte| *byte == b'\n') {
                let verdict: serde_json::Value = serde_json::from_slice(verdict).unwrap();
                if let Some(line) = verdict["line"].as_u64() {
                    assert!(verdict["id"].is_string(), "{verdict}");
                    acknowledged.store(from + line as usize, Ordering::SeqCst);
                }
            }
            text.drain(..=last);
        }
        Ok(())
    })
}
