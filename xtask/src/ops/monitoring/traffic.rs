//! Requests as clients make them, until the value is dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::http;

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(40);

/// What each reader asks in turn; `#` stands for a number.
const QUESTIONS: &[&str] = &[
    "/v1/query?subject=s#&predicate=p&lens=recency",
    "/v1/query?subject=s#&predicate=p&lens=consensus",
    "/v1/query?subject=s#&predicate=p&lens=confidence",
    "/v1/query?subject=s#&predicate=p&lens=authority",
    "/v1/skeptic?subject=s#&predicate=p",
    "/v1/layered?subject=s#&predicate=p",
    "/v1/claims?subject=s#",
    "/v1/health",
];

/// Clients that write and ask.
pub struct Traffic {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Begins. Writers and readers are threads of their own: who waits for a disk keeps nobody else.
    pub fn start(url: &str, writers: u64, readers: u64) -> Traffic {
        let (is_over, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |is_writer: bool| {
            let (url, is_over, number) = (url.to_owned(), Arc::clone(&is_over), Arc::clone(&number));
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    // Refusals are what this is here for; those who ask look at the metrics.
                    let _ = match is_writer {
                        true => write(&url, number.fetch_add(1, Ordering::Relaxed)),
                        false => ask(&url, number.load(Ordering::Relaxed)),
                    };
                    thread::sleep(PAUSE);
                }
            })
        };
        let clients = (0..writers + readers).map(|at| client(at < writers)).collect();
        Traffic { is_over, clients }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

fn write(url: &str, number: u64) -> Result<(u16, String), String> {
    http::ask("POST", &format!("{url}/v1/assert"), &line("live", number))
}

fn ask(url: &str, number: u64) -> Result<(u16, String), String> {
    let question =
        QUESTIONS.iter().cycle().nth(number as usize % QUESTIONS.len()).copied().unwrap_or_default();
    http::ask("GET", &format!("{url}{}", question.replace('#', &number.saturating_sub(9).to_string())), "")
}

/// A claim, each of its own question.
pub fn line(kind: &str, number: u64) -> String {
    let source = number % 7;
    let subject = if kind == "live" { format!("s{number}") } else { format!("{kind}{number}") };
    format!(
        "{{\"subject\":\"{subject}\",\"predicate\":\"p\",\"object\":{number}.5,\"source\":\"t{source}\"}}"
    )
}

/// Imports so many claims of their own.
pub fn import(url: &str, kind: &str, count: u64) -> Result<(), String> {
    let lines: Vec<String> = (0..count).map(|number| line(kind, number)).collect();
    let (status, body) = http::ask("POST", &format!("{url}/v1/import"), &lines.join("\n"))?;
    if status == 200 { Ok(()) } else { Err(format!("import: {status}: {body}")) }
}
