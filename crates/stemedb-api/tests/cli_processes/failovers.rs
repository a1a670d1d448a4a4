//! A writer that archives, a standby that follows, and what it costs to lose the one.

use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    http::get,
    http_kills::client::Connection,
    program::{Ran, run},
    server::Server,
};

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn writer(data: &Path, archive: &Path) -> Server {
    let options = ["--bind", "127.0.0.1:0", "--archive-interval-seconds", "1", "--archive-to", text(archive)];
    Server::start_with(data, &options)
}

fn standby(data: &Path, archive: &Path) -> Server {
    let options = ["--bind", "127.0.0.1:0", "--archive-interval-seconds", "1", "--standby", text(archive)];
    Server::start_with(data, &options)
}

fn health(server: &Server) -> Value {
    serde_json::from_str(&get(&server.address, "/v1/health").unwrap().body).unwrap()
}

fn say(connection: &mut Connection, client: u64, n: u64) -> std::io::Result<(u16, Value)> {
    let claim = json!({"subject": format!("s{}", n % 50), "predicate": "p", "object": n, "source": format!("c{client}")});
    connection.ask("POST", "/v1/assert", &claim.to_string())
}

fn say_once(server: &Server, n: u64) -> (u16, Value) {
    say(&mut Connection::open(&server.address).unwrap(), 99, n).unwrap()
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn promote(server: &Server) -> Ran {
    run(["promote", "--url", &server.url()])
}

#[test]
fn a_writer_is_killed_under_load_and_everything_that_counted_is_on_the_standby() {
    let dir = tempfile::tempdir().unwrap();
    let [data, copy, archive] = ["db", "copy", "archive"].map(|name| dir.path().join(name));
    let first = writer(&data, &archive);
    until("it has its turn", || health(&first)["archive"]["epoch"] == 1);
    let second = standby(&copy, &archive);
    let (is_over, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::<(u64, String)>::new()));
    let mut counted = 0;
    thread::scope(|scope| {
        for client in 0..4 {
            let (is_over, acknowledged, address) = (&is_over, &acknowledged, first.address.clone());
            scope.spawn(move || {
                let mut connection = Connection::open(&address).unwrap();
                for n in 0.. {
                    // The kill ends it.
                    let Ok((status, told)) = say(&mut connection, client, n) else { break };
                    assert_eq!(status, 201, "{told}");
                    let said = (told["lsn"].as_u64().unwrap(), told["id"].as_str().unwrap().to_owned());
                    acknowledged.lock().unwrap().push(said);
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
        }
        let begun = Instant::now();
        let mut most_lag = 0;
        while begun.elapsed() < Duration::from_secs(5) {
            let archive = health(&first)["archive"].clone();
            counted = counted.max(archive["lsn"].as_u64().unwrap());
            most_lag = most_lag.max(archive["lag_ms"].as_u64().unwrap());
            thread::sleep(Duration::from_millis(50));
        }
        println!("the archive was at most {most_lag} ms behind");
        first.kill();
        is_over.store(true, Ordering::SeqCst);
    });
    let killed = Instant::now();
    let promoted = promote(&second).ok();
    assert!(promoted.out.contains("the writer before is fenced"), "{promoted:?}");
    let (status, told) = say_once(&second, 1_000_000);
    let took = killed.elapsed();
    assert_eq!(status, 201, "{told}");

    let acknowledged = acknowledged.into_inner().unwrap();
    let mut connection = Connection::open(&second.address).unwrap();
    let (mut checked, mut kept, mut lost) = (0, 0, 0);
    for (lsn, id) in &acknowledged {
        let (status, claim) = connection.ask("GET", &format!("/v1/assertions/{id}"), "").unwrap();
        if *lsn <= counted {
            assert_eq!((status, claim["lsn"].as_u64()), (200, Some(*lsn)), "LSN {lsn} of {counted}: {claim}");
            checked += 1;
        } else if status == 200 {
            kept += 1;
        } else {
            lost += 1;
        }
    }
    println!(
        "\nsuite=failover acknowledged={} counted={checked} lost_of_counted=0 kept_beyond={kept} lost_beyond={lost} \
         rto_ms={}",
        acknowledged.len(),
        took.as_millis()
    );
    assert!(checked > 100, "{checked} of {}", acknowledged.len());

    // The old writer comes back, and is none.
    let back = writer(&data, &archive);
    let (status, problem) = say_once(&back, 2_000_000);
    assert_eq!((status, &problem["code"]), (503, &json!("fenced")), "{problem}");
    let told = health(&back);
    assert_eq!((&told["role"], &told["writable"]), (&json!("fenced"), &json!(false)), "{told}");
    assert!(told["refusing_writes"].as_str().unwrap().contains("epoch 2"), "{told}");
    assert_eq!(get(&back.address, "/readyz").unwrap().status, 503);
    assert_eq!(get(&back.address, "/v1/query?subject=s1&predicate=p").unwrap().status, 200);
    let (code, log) = back.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("no write is acknowledged any more"), "{log}");

    // The new one goes on after a restart, also with the same command line.
    assert_eq!(say_once(&second, 3_000_000).0, 201);
    assert_eq!(second.stop().0, Some(0));
    let second = standby(&copy, &archive);
    assert_eq!(say_once(&second, 4_000_000).0, 201);
    until("all is archived", || {
        let told = health(&second);
        told["role"] == "writer" && told["archive"]["lsn"] == told["durable_lsn"]
    });
    assert_eq!(second.stop().0, Some(0));
}

#[test]
fn a_running_writer_is_fenced_by_a_promotion_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let [data, copy, archive] = ["db", "copy", "archive"].map(|name| dir.path().join(name));
    let first = writer(&data, &archive);
    assert_eq!(say_once(&first, 1).0, 201);
    until("it is archived", || health(&first)["archive"]["lsn"] == 1);
    let second = standby(&copy, &archive);
    assert_eq!(say_once(&first, 2).0, 201);
    until("it follows", || health(&second)["published_lsn"] == 2);
    let told = health(&second);
    assert_eq!((&told["role"], &told["timeline"]), (&json!("standby"), &json!(1)), "{told}");
    assert!(told["standby"]["lag_ms"].as_u64().unwrap() < 60_000 && told["standby"]["failing"] == false);
    let (status, problem) = say_once(&second, 3);
    assert_eq!((status, &problem["code"]), (503, &json!("standby")), "{problem}");
    let metrics = get(&second.address, "/metrics").unwrap().body;
    for series in ["stemedb_standby 1", "stemedb_standby_lsn 2", "stemedb_standby_errors_total 0"] {
        assert!(metrics.lines().any(|line| line == series), "{series}\n{metrics}");
    }
    assert_eq!(get(&second.address, "/readyz").unwrap().status, 503);
    let promoted = promote(&second).ok();
    assert!(promoted.out.contains("timeline     2, from LSN 3 on"), "{promoted:?}");
    assert!(promote(&second).ok().out.contains("nothing to do"));
    assert_eq!(get(&second.address, "/readyz").unwrap().status, 200);
    assert_eq!(say_once(&second, 4).0, 201);
    until("the old one notices", || health(&first)["role"] == "fenced");
    assert_eq!(say_once(&first, 5).1["code"], "fenced");
    let metrics = get(&first.address, "/metrics").unwrap().body;
    assert!(metrics.contains("\nstemedb_archive_fenced 1\n"), "{metrics}");
    assert_eq!(first.stop().0, Some(0));
    assert_eq!(second.stop().0, Some(0));
}

#[test]
fn a_standbys_folder_is_served_as_one_or_promoted_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let [data, copy, archive] = ["db", "copy", "archive"].map(|name| dir.path().join(name));
    let nobody =
        run(["serve", "--bind", "127.0.0.1:0", "--data-dir", text(&copy), "--standby", text(&archive)]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.err.contains("nobody archives into it yet"), "{nobody:?}");
    let first = writer(&data, &archive);
    assert_eq!(say_once(&first, 1).0, 201);
    let (code, log) = first.stop();
    assert_eq!(code, Some(0), "{log}");
    let second = standby(&copy, &archive);
    assert_eq!(health(&second)["published_lsn"], 1, "what was acknowledged was sent before the end");
    assert_eq!(second.stop().0, Some(0));
    let plain = run(["serve", "--bind", "127.0.0.1:0", "--data-dir", text(&copy)]);
    assert_eq!(plain.code, Some(1));
    assert!(plain.err.contains("standby's folder"), "{plain:?}");
    let promote = || run(["promote", "--data-dir", text(&copy), "--from", text(&archive)]);
    assert!(promote().ok().out.contains("timeline     2, from LSN 2 on"));
    assert!(promote().ok().out.contains("nothing to do"));
    let second = writer(&copy, &archive);
    assert_eq!(say_once(&second, 2).0, 201);
    assert_eq!(second.stop().0, Some(0));
    let wrong = run(["promote", "--data-dir", text(&copy)]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}
