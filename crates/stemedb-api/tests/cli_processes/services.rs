//! What a service manager is told, over a real socket.

use std::{os::unix::net::UnixDatagram, path::Path, time::Duration};

use crate::{program::run, server::Server};

struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(dir: &Path) -> Manager {
        let path = dir.join("notify.socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Manager { socket, path: path.to_str().unwrap().to_owned() }
    }

    /// The next message.
    fn hear(&self) -> String {
        let mut message = [0; 4096];
        let bytes = self.socket.recv(&mut message).unwrap();
        String::from_utf8(message[..bytes].to_vec()).unwrap()
    }

    /// Messages until one has this line.
    fn hear_until(&self, line: &str) -> Vec<String> {
        let mut heard = Vec::new();
        while !heard.last().is_some_and(|message: &String| message.lines().any(|found| found == line)) {
            heard.push(self.hear());
        }
        heard
    }
}

#[test]
fn the_service_manager_is_told_of_readiness_of_progress_and_of_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new(dir.path());
    let variables = [("NOTIFY_SOCKET", manager.path.as_str()), ("WATCHDOG_USEC", "300000")];
    let server = Server::start_in(&dir.path().join("db"), &["--bind", "127.0.0.1:0"], &variables);
    let ready = manager.hear();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    assert!(ready.contains(&format!("STATUS=answering at {}", server.address)), "{ready}");
    for _ in 0..3 {
        assert_eq!(manager.hear().trim(), "WATCHDOG=1", "nobody waits for a commit, so it makes progress");
    }
    server.terminate();
    let heard = manager.hear_until("STOPPING=1");
    assert!(heard.iter().rev().skip(1).all(|message| message.trim() == "WATCHDOG=1"), "{heard:?}");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn without_a_watchdog_none_is_fed_and_without_a_manager_nobody_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::new(dir.path());
    let variables = [("NOTIFY_SOCKET", manager.path.as_str())];
    let server = Server::start_in(&dir.path().join("db"), &["--bind", "127.0.0.1:0"], &variables);
    assert!(manager.hear().contains("READY=1"));
    server.terminate();
    assert!(manager.hear().contains("STOPPING=1"), "the next thing said");
    assert_eq!(server.wait().0, Some(0));
    let (code, log) = Server::start(&dir.path().join("db")).stop();
    assert!(code == Some(0) && !log.contains("service manager"), "{log}");
    run(["verify", "--data-dir", dir.path().join("db").to_str().unwrap()]).ok();
}
