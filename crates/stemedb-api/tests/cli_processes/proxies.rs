//! Behind a real nginx, with the configuration of `deploy/nginx/`: a server is stopped and started again under load, and no
//! question fails.

use std::{
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{corpus, http, http_kills::client::Connection, program::run_with_input, server::Server};

const CLAIMS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A running nginx, stopped when it is dropped.
struct Nginx {
    master: Child,
    address: String,
    dir: PathBuf,
}

impl Nginx {
    /// Starts it before servers at these addresses.
    fn start(dir: &Path, first: &str, second: &str) -> Nginx {
        let committed = [env!("CARGO_MANIFEST_DIR"), "..", "..", "deploy", "nginx", "stemedb.conf"]
            .iter()
            .collect::<PathBuf>();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut text = std::fs::read_to_string(committed).unwrap();
        for (ours, here) in [
            ("server 127.0.0.1:18180 ", format!("server {first} ")),
            ("server 127.0.0.1:18181 ", format!("server {second} ")),
            ("listen 443 ssl;", format!("listen {address};")),
        ] {
            assert!(text.contains(ours), "{ours}");
            text = text.replace(ours, &here);
        }
        // `cargo xtask ops --only proxies` has both.
        let is_kept =
            |line: &&str| !["ssl_", "access_log "].iter().any(|start| line.trim_start().starts_with(*start));
        let text = text.lines().filter(is_kept).collect::<Vec<_>>().join("\n");
        std::fs::write(dir.join("stemedb.conf"), text).unwrap();
        // Its workers give up root, and could not enter the folder then.
        let user = if std::fs::metadata(dir).unwrap().uid() == 0 { "user root;" } else { "" };
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {0}/{kind};", dir.display()))
            .join(" ");
        let whole = format!(
            "daemon off; {user} worker_processes 2; pid {0}/nginx.pid; events {{ worker_connections 512; }}\n\
             http {{ access_log off; {temporary} include {0}/stemedb.conf; }}\n",
            dir.display()
        );
        std::fs::write(dir.join("nginx.conf"), whole).unwrap();
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let program =
            program.unwrap_or_else(|| panic!("nginx is not installed (Debian: apt-get install nginx)"));
        let master = Command::new(program)
            .arg("-e")
            .arg(dir.join("error.log"))
            .arg("-c")
            .arg(dir.join("nginx.conf"))
            .spawn()
            .unwrap();
        let nginx = Nginx { master, address, dir: dir.to_path_buf() };
        let begun = Instant::now();
        while !http::get(&nginx.address, "/livez").is_ok_and(|reply| reply.status == 200) {
            assert!(begun.elapsed() < PATIENCE, "{}", nginx.log());
            thread::sleep(Duration::from_millis(20));
        }
        nginx
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers; killed, it would leave them.
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.master.id())]).status();
        let _ = self.master.wait();
    }
}

/// What clients do while it lasts, and what became of it.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    /// Nobody records anything: the server that is written to is away.
    only_questions: AtomicBool,
    recording: AtomicUsize,
    answered: AtomicUsize,
    recorded: AtomicUsize,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    /// Asks one question after the other, on a connection that is kept or on a new one each time.
    fn ask(&self, address: &str, keeps: bool) {
        let mut connection = None;
        let mut number = 0;
        while self.goes_on() {
            number = (number + 37) % CLAIMS;
            let path = format!("/v1/query?subject=s{number}&predicate=p");
            let open = match &mut connection {
                Some(open) => open,
                None => connection.insert(Connection::open(address).unwrap()),
            };
            let (status, answer) = open.ask("GET", &path, "").unwrap();
            assert_eq!((status, &answer["considered"]), (200, &json!(1)), "{answer}");
            self.answered.fetch_add(1, Ordering::SeqCst);
            // nginx closes a connection now and then, and says so.
            if !keeps || open.is_closing {
                connection = None;
            }
        }
    }

    /// Records claims that nobody else does.
    fn record(&self, address: &str, who: usize) {
        let mut connection = Connection::open(address).unwrap();
        for number in 0.. {
            if !self.goes_on() {
                return;
            }
            self.recording.fetch_add(1, Ordering::SeqCst);
            if self.only_questions.load(Ordering::SeqCst) {
                self.recording.fetch_sub(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(10));
                continue;
            }
            let claim =
                json!({ "subject": "new", "predicate": format!("p{who}"), "object": number, "source": "x" });
            let (status, reply) = connection.ask("POST", "/v1/assert", &claim.to_string()).unwrap();
            assert_eq!(status, 201, "{reply}");
            if connection.is_closing {
                connection = Connection::open(address).unwrap();
            }
            self.recorded.fetch_add(1, Ordering::SeqCst);
            self.recording.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Until so many more questions have been answered.
    fn lasts(&self, questions: usize) {
        let (begun, from) = (Instant::now(), self.answered.load(Ordering::SeqCst));
        while self.answered.load(Ordering::SeqCst) < from + questions {
            assert!(self.goes_on() && begun.elapsed() < PATIENCE, "nobody is answered any more");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_server_is_stopped_and_started_again_behind_nginx_and_no_request_fails() {
    let dir = tempfile::tempdir().unwrap();
    let folders = ["one", "two"].map(|name| dir.path().join(name));
    for folder in &folders {
        let claims = corpus::lines(0..CLAIMS).into_bytes();
        run_with_input(["import", "--data-dir", folder.to_str().unwrap(), "-"], claims).ok();
    }
    let serve = |which: usize, bind: &str| {
        let options = [
            "--bind",
            bind,
            "--drain-wait-seconds",
            "1",
            "--trusted-proxies",
            "127.0.0.1",
            "--auth",
            "off",
            "--rate-limits",
            "reads=off,writes=off",
        ];
        Server::start_with(&folders[which], &options)
    };
    let mut servers = [serve(0, "127.0.0.1:0"), serve(1, "127.0.0.1:0")].map(Some);
    let addresses = [0, 1].map(|which: usize| servers[which].as_ref().unwrap().address.clone());
    let nginx_dir = dir.path().join("nginx");
    std::fs::create_dir(&nginx_dir).unwrap();
    let nginx = Nginx::start(&nginx_dir, &addresses[0], &addresses[1]);
    assert_eq!(http::get(&nginx.address, "/v1/admin/keys").unwrap().status, 403, "not from outside");

    let load = Load::default();
    let mut restart = |which: usize| {
        let server = servers[which].take().unwrap();
        server.terminate();
        let (code, log) = server.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("requests are finished") && !log.contains("they are cut"), "{log}");
        load.lasts(200);
        servers[which] = Some(serve(which, &addresses[which]));
        // Longer than nginx leaves a server alone that has failed.
        thread::sleep(Duration::from_millis(2_200));
        load.lasts(200);
    };
    thread::scope(|scope| {
        // A thread that fails ends the load, so that the others end, and fails the test when it is joined.
        struct Ends<'a>(&'a Load);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    self.0.is_over.store(true, Ordering::SeqCst);
                }
            }
        }
        let (load, address) = (&load, &*nginx.address);
        for client in 0..4 {
            scope.spawn(move || {
                let _ends = Ends(load);
                load.ask(address, client % 2 == 0);
            });
        }
        for client in 0..2 {
            scope.spawn(move || {
                let _ends = Ends(load);
                load.record(address, client);
            });
        }
        let _ends = Ends(load);
        load.lasts(200);
        // The copy: nobody notices.
        restart(1);
        // The one that is written to: questions go on at the copy.
        load.only_questions.store(true, Ordering::SeqCst);
        while load.recording.load(Ordering::SeqCst) > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        restart(0);
        load.only_questions.store(false, Ordering::SeqCst);
        let recorded = load.recorded.load(Ordering::SeqCst);
        let begun = Instant::now();
        while load.recorded.load(Ordering::SeqCst) < recorded + 20 {
            assert!(begun.elapsed() < PATIENCE, "nothing is recorded any more");
            thread::sleep(Duration::from_millis(5));
        }
        load.is_over.store(true, Ordering::SeqCst);
    });

    let count = |address: &str| {
        let considered = |who: usize| -> u64 {
            let path = format!("/v1/query?subject=new&predicate=p{who}");
            let answer: Value = serde_json::from_str(&http::get(address, &path).unwrap().body).unwrap();
            answer["considered"].as_u64().unwrap()
        };
        considered(0) + considered(1)
    };
    let recorded = load.recorded.load(Ordering::SeqCst) as u64;
    assert_eq!(
        (count(&addresses[0]), count(&addresses[1])),
        (recorded, 0),
        "each once, and at one server alone"
    );
    println!(
        "{} questions and {recorded} records through nginx, 0 failed",
        load.answered.load(Ordering::SeqCst)
    );
}
