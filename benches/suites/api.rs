//! The facade and the server: a question of eight candidates asked in the process, and over loopback on one connection.
#![allow(missing_docs, clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

mod slow_clients;

use std::{
    hint::black_box,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stemedb_api::{Database, DatabaseOptions, Query, RouterOptions, router};
use stemedb_benches::{contested_question, sample, scratch, sources};
use stemedb_core::Micros;
use stemedb_core::lens::{Lens, LensParams, resolve};

/// The whole sample, flushed.
fn database(dir: &std::path::Path) -> Database {
    let database = Database::create(dir, DatabaseOptions::default()).unwrap();
    let commands: Vec<_> = sources().into_iter().chain(sample()).collect();
    for chunk in commands.chunks(500) {
        database.submit(chunk).unwrap();
    }
    database.flush().unwrap();
    database
}

fn embedded(criterion: &mut Criterion) {
    let (subject, predicate, _) = contested_question();
    let dir = scratch();
    let database = database(&dir.path().join("db"));
    let mut group = criterion.benchmark_group("query_8_embedded");
    group.throughput(Throughput::Elements(1));
    for lens in [Lens::Consensus, Lens::Layered] {
        group.bench_function(lens.name(), |bencher| {
            bencher.iter(|| {
                let query = Query::new(subject.as_str(), predicate.as_str(), lens);
                black_box(database.query(query).unwrap())
            });
        });
    }
    // What the facade is made of: the candidates and the lens.
    group.bench_function("yardstick_reader_and_lens", |bencher| {
        bencher.iter(|| {
            let candidates = database.reader(None).unwrap().candidates(&subject, &predicate, None).unwrap();
            let params = LensParams::at(Micros(1_767_225_600_000_000)).with_decay(true);
            black_box(resolve(Lens::Consensus, &candidates, &params))
        });
    });
    group.finish();
}

/// One connection that is kept open.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    /// Sends a prepared request and reads the whole response; returns the length of its body.
    fn ask(&mut self, request: &str) -> usize {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        let mut body_bytes = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                body_bytes = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; body_bytes];
        self.0.read_exact(&mut body).unwrap();
        body_bytes
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn over_http(criterion: &mut Criterion) {
    let (subject, predicate, _) = contested_question();
    let dir = scratch();
    let database = database(&dir.path().join("db"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        let routes = router(database, RouterOptions::default());
        axum::serve(listener, routes.into_make_service_with_connect_info::<std::net::SocketAddr>())
            .await
            .unwrap();
    });
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut connection = Connection::open(address);
    let mut group = criterion.benchmark_group("query_8_http");
    group.throughput(Throughput::Elements(1));
    for lens in [Lens::Consensus, Lens::Skeptic] {
        let (subject, predicate) = (percent_encoded(&subject), percent_encoded(&predicate));
        let request = get(&format!("/v1/query?subject={subject}&predicate={predicate}&lens={lens}"));
        assert!(connection.ask(&request) > 100);
        group.bench_function(lens.name(), |bencher| bencher.iter(|| black_box(connection.ask(&request))));
    }
    // The server without a question.
    let alive = get("/livez");
    group.bench_function("yardstick_livez", |bencher| bencher.iter(|| black_box(connection.ask(&alive))));
    group.finish();
}

criterion_group!(benches, embedded, over_http, slow_clients::p99_among_slow_clients);
criterion_main!(benches);
