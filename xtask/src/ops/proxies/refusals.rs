//! Two servers that refuse everything, as overloaded ones do: clients must hear it from them, and not a proxy's own word that nobody
//! is there.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{front::Front, load::Door};
use crate::{http::Request, steps::Outcome};

const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/problem+json\r\n\
                       Content-Length: 21\r\n\r\n{\"code\":\"overloaded\"}";
const QUESTIONS: usize = 12;

/// Something that answers every request with a refusal, until it is dropped.
pub struct Refuser {
    /// Where.
    pub address: String,
    asked: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Refuser {
    /// Begins.
    pub fn start() -> Result<Refuser, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        let (asked, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ends) = (Arc::clone(&asked), Arc::clone(&is_over));
        let listening = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let count = Arc::clone(&count);
                thread::spawn(move || refuse(stream, &count));
            }
        });
        Ok(Refuser { address, asked, is_over, listening: Some(listening) })
    }
}

impl Drop for Refuser {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // It waits for somebody.
        let _ = TcpStream::connect(&self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn refuse(stream: TcpStream, count: &AtomicUsize) {
    let Ok(mut to) = stream.try_clone() else { return };
    let mut from = BufReader::new(stream).lines();
    // A head ends with an empty line; questions have no body.
    while let Some(Ok(line)) = from.next() {
        if line.starts_with("GET /v1/") {
            count.fetch_add(1, Ordering::SeqCst);
        }
        if line.is_empty() && to.write_all(REFUSAL.as_bytes()).is_err() {
            return;
        }
    }
}

/// Every question is answered with a server's own refusal.
pub fn check(front: &Front, door: &Door, refusers: &[Refuser; 2]) -> Outcome {
    let mut connection = door.open("127.0.0.1").map_err(|error| error.to_string())?;
    for number in 0..QUESTIONS {
        let target = format!("/v1/query?subject=s{number}&predicate=p");
        let request = Request { method: "GET", target: &target, ..Request::default() };
        let reply = connection.ask(&request).map_err(|error| format!("question {number}: {error}"))?;
        if reply.status != 503 || !reply.body.contains("overloaded") {
            return Err(format!("two servers refuse, and question {number} is answered with {reply:?}"));
        }
    }
    let asked: usize = refusers.iter().map(|refuser| refuser.asked.load(Ordering::SeqCst)).sum();
    println!(
        "{}: {QUESTIONS} questions to two overloaded servers are all refused by them, who were asked {asked} times",
        front.kind.name()
    );
    // Asking again must not become a storm.
    if asked <= 3 * QUESTIONS { Ok(()) } else { Err("that is too often".to_owned()) }
}
