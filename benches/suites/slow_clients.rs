//! What slow clients cost others: the 99th percentile of a question on one connection, alone and among two thousand clients that
//! send the head of a request byte by byte, or read nothing of what they asked for.
//!
//! Each measurement is the 99th percentile of [`ASKED`] questions, one after the other; the table shows the median of those. The
//! slow ones are cut at their deadlines and come again at once.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, SamplingMode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stemedb_api::{
    RouterOptions,
    http::{ConnectionOptions, serve},
    router,
};
use stemedb_benches::{contested_question, scratch};
use tokio::net::TcpListener;

use super::{Connection, database, percent_encoded};

const SLOW: usize = 2_000;
const SLOW_READERS: usize = 50;
/// So often each of them sends a byte.
const DRIP: Duration = Duration::from_secs(5);
/// Questions of one measurement.
const ASKED: usize = 300;

/// Each connection is a file at both ends, and both ends are here.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = (3 * SLOW as u64).min(limit.maximum.unwrap_or(u64::MAX));
    let current = limit.current.unwrap_or(u64::MAX).max(wanted);
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }).unwrap();
}

/// The slow ones, until it is dropped.
struct Slow {
    is_over: Arc<AtomicBool>,
    dripping: Option<thread::JoinHandle<()>>,
}

impl Slow {
    fn begin(address: SocketAddr, reading: &str) -> Slow {
        let is_over = Arc::new(AtomicBool::new(false));
        let open = |text: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        };
        const HEAD: &str = "GET /livez HTTP/1.1\r\nX-A: ";
        let heads: Vec<TcpStream> = (0..SLOW).map(|_| open(HEAD)).collect();
        let asked = reading.repeat(200);
        let readers: Vec<TcpStream> = (0..SLOW_READERS).map(|_| open(&asked)).collect();
        let over = Arc::clone(&is_over);
        let dripping = thread::spawn(move || {
            let (mut heads, readers) = (heads, readers);
            while !over.load(Ordering::SeqCst) {
                for stream in &mut heads {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    let is_cut = match stream.read(&mut [0; 64]) {
                        Ok(_) => true,
                        Err(error) => error.kind() != ErrorKind::WouldBlock,
                    };
                    if is_cut || stream.write(b"a").is_err() {
                        let again = TcpStream::connect(address);
                        if let Ok(mut again) = again
                            && again.write_all(HEAD.as_bytes()).is_ok()
                            && again.set_nonblocking(true).is_ok()
                        {
                            *stream = again;
                        }
                    }
                    thread::sleep(DRIP / SLOW as u32);
                }
            }
            drop(readers);
        });
        Slow { is_over, dripping: Some(dripping) }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(dripping) = self.dripping.take() {
            dripping.join().unwrap();
        }
    }
}

/// The 99th percentile of so many questions.
fn p99(connection: &mut Connection, request: &str) -> Duration {
    let mut times: Vec<Duration> = (0..ASKED)
        .map(|_| {
            let begun = Instant::now();
            connection.ask(request);
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ASKED * 99 / 100]
}

pub fn p99_among_slow_clients(criterion: &mut Criterion) {
    raise_open_files();
    let (subject, predicate, _) = contested_question();
    let dir = scratch();
    let database = database(&dir.path().join("db"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let deadline = Duration::from_secs(10);
    let options =
        ConnectionOptions { head_timeout: deadline, stall_timeout: deadline, ..ConnectionOptions::default() };
    runtime.spawn(async move {
        serve(listener, router(database, RouterOptions::default()), options, None, std::future::pending())
            .await;
    });
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (subject, predicate) = (percent_encoded(&subject), percent_encoded(&predicate));
    let request = get(&format!("/v1/query?subject={subject}&predicate={predicate}"));

    let mut group = criterion.benchmark_group("query_8_http_p99");
    group.sampling_mode(SamplingMode::Flat);
    let mut measure = |name: &str| {
        let mut connection = Connection::open(address);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| p99(&mut connection, &request)).sum());
        });
    };
    measure("yardstick_alone");
    let slow = Slow::begin(address, &get("/v1/claims?limit=500"));
    measure("among_2000_slow_clients");
    drop(slow);
    measure("alone_again");
    group.finish();
}
