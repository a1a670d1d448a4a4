//! The admin plane on a socket file.

use std::{
    net::TcpStream,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use crate::{http, program::run, server::Server};

/// Status of a request with curl; on the socket file if there is one.
fn curl(socket: Option<&Path>, url: &str, options: &[&str]) -> u16 {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "30"]).args(options);
    if let Some(socket) = socket {
        curl.arg("--unix-socket").arg(socket);
    }
    let said = curl.arg(url).output().unwrap();
    String::from_utf8(said.stdout).unwrap().parse().unwrap()
}

#[test]
fn who_may_open_the_socket_file_needs_no_key_and_the_audit_log_knows_who_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (data, socket) = (dir.path().join("db"), dir.path().join("admin.sock"));
    let options = ["--bind", "127.0.0.1:0", "--auth", "required", "--admin-needs-key", "--admin-socket"];
    let server = Server::start_with(&data, &[&options[..], &[socket.to_str().unwrap()]].concat());
    let found = std::fs::metadata(&socket).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o660);

    let stats = "/v1/admin/storage/stats";
    // The name is anything: nothing is resolved.
    let here = format!("http://stemedb{stats}");
    assert_eq!(curl(Some(&socket), &here, &[]), 200);
    assert_eq!(curl(None, &format!("{}{stats}", server.url()), &[]), 401, "over TCP a key is asked for");
    // A proxy in front of it speaks for somebody else, and a page of a browser does not come this way.
    for header in ["X-Forwarded-For: 192.0.2.1", "Via: 1.1 proxy", "Origin: http://stemedb"] {
        assert_eq!(curl(Some(&socket), &here, &["-H", header]), 401, "{header}");
    }
    // The data plane asks for what it asks everybody.
    assert_eq!(curl(Some(&socket), "http://stemedb/v1/claims", &[]), 401);
    assert_eq!(curl(Some(&socket), "http://stemedb/readyz", &[]), 200);

    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!socket.exists(), "it goes with its server");
    let (user, group) = (found.uid(), found.gid());
    let text = std::fs::read_to_string(data.join("audit.log")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_socket = |line: &&serde_json::Value| {
        let peer = line["peer"].as_str().unwrap_or_default();
        let pid = peer.strip_prefix(&format!("unix uid={user} gid={group} pid="));
        pid.is_some_and(|pid| pid.parse::<u32>().is_ok())
    };
    let told: Vec<u64> =
        lines.iter().filter(of_socket).map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(told, [200, 401, 401, 401, 401], "{text}");
}

#[test]
fn a_socket_that_nobody_listens_on_is_taken_over_and_anything_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let options =
        ["--bind", "127.0.0.1:0", "--max-connections", "1", "--admin-socket", socket.to_str().unwrap()];
    let ask = || curl(Some(&socket), "http://stemedb/v1/admin/storage/stats", &[]);
    let first = Server::start_with(&dir.path().join("one"), &options);
    assert_eq!(ask(), 200);
    first.kill();
    assert!(socket.exists(), "a killed server leaves it");
    let second = Server::start_with(&dir.path().join("one"), &options);
    assert_eq!(ask(), 200);

    // Another server does not take it away from this one.
    let other = dir.path().join("other");
    let serve = |socket: &Path| {
        let data = other.to_str().unwrap();
        let ours = ["serve", "--init", "--data-dir", data, "--bind", "127.0.0.1:0", "--admin-socket"];
        run([&ours[..], &[socket.to_str().unwrap()]].concat())
    };
    let refused = serve(&socket);
    assert!(refused.code == Some(1) && refused.err.contains("somebody listens on it"), "{refused:?}");
    assert_eq!(ask(), 200);

    // Its places are its own: an operator gets in where all others are taken.
    let held = TcpStream::connect(&second.address).unwrap();
    while http::get(&second.address, "/livez").is_ok_and(|reply| reply.status == 200) {}
    assert_eq!(ask(), 200);
    drop(held);
    assert_eq!(second.stop().0, Some(0));

    let letter = dir.path().join("letter");
    std::fs::write(&letter, "dear reader").unwrap();
    let refused = serve(&letter);
    assert!(refused.code == Some(1) && refused.err.contains("is no socket"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&letter).unwrap(), "dear reader");
    let nowhere = serve(&dir.path().join("absent/admin.sock"));
    assert!(nowhere.code == Some(1) && nowhere.err.contains("absent"), "{nowhere:?}");
}

#[test]
fn the_program_looks_after_a_server_through_its_socket_file_where_tcp_asks_for_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let (data, socket, target) =
        (dir.path().join("db"), dir.path().join("admin.sock"), dir.path().join("backups"));
    let paths = [socket.to_str().unwrap(), target.to_str().unwrap()];
    let options =
        ["--bind", "127.0.0.1:0", "--admin-needs-key", "--admin-socket", paths[0], "--backup-to", paths[1]];
    let server = Server::start_with(&data, &options);
    let here = format!("unix:{}", socket.display());
    let tcp = run(["verify", "--url", &server.url()]);
    assert!(tcp.code == Some(1) && tcp.err.contains("key_required"), "{tcp:?}");
    let verified = run(["verify", "--url", &here]).ok();
    assert!(verified.out.starts_with("no damage: "), "{verified:?}");
    let made = run(["backup", "create", "--url", &here]).ok();
    assert!(made.out.contains("\"verified\": true"), "{made:?}");
    run(["wal", "archive", "--url", &here, "--rotate"]).ok();
    run(["keys", "list", "--url", &here]).ok();
    assert_eq!(server.stop().0, Some(0));
    let gone = run(["verify", "--url", &here]);
    assert!(gone.code == Some(1) && gone.err.contains("is the server running?"), "{gone:?}");
    assert_eq!(run(["verify", "--url", "unix:admin.sock"]).code, Some(2), "relative to what?");
}
