//! `debug-bundle`: what it holds of servers and folders in any state, and what it never holds.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use serde_json::Value;

use crate::{
    http,
    program::{Ran, program, run, run_with_input},
    server::Server,
};

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYzyxo";
const TOKEN: &str = "FwoGZXIvYXdzEzyxoTokenOfASession==";
/// What the claims say, and who says it.
const TEXTS: [&str; 9] = [
    "zyxogen:Qwabble-77",
    "frobnicates with",
    "The Purple Wombat Memorandum",
    "WOMBAT-ARCHIVE-9",
    "Because the wombat said so",
    "Dr. Ermintrude Fnordlington",
    "https://wombat.example/memo?id=99",
    "inner wombat text",
    "1f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a7988",
];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn records() -> String {
    let [subject, predicate, value, source, reason, name, uri, inner, agent] = TEXTS;
    let claims = [
        serde_json::json!({"subject": subject, "predicate": predicate, "object": value, "source": source}),
        serde_json::json!({"subject": subject, "predicate": "holds", "object": {"deep": [inner]}, "source": source, "author": agent}),
        serde_json::json!({"record": "source", "id": source, "class": 2, "title": value, "uri": uri}),
        serde_json::json!({"record": "agent", "id": agent, "name": name, "trust": 0.5}),
        serde_json::json!({"record": "epoch", "name": reason}),
    ];
    claims.iter().map(|claim| format!("{claim}\n")).collect()
}

/// A text in every form in which it may get into a log.
fn forms(text: &str) -> Vec<String> {
    let percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let some: String =
        text.bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02x}")
                }
            })
            .collect();
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms =
        vec![text.to_owned(), percent, some, text.replace(' ', "+"), hex.clone(), hex.to_uppercase()];
    forms.extend(["", "x", "xy"].map(|before| base64(&format!("{before}{text}"))));
    forms
}

/// Through the system's own program.
fn base64(text: &str) -> String {
    let mut child = Command::new("base64")
        .arg("-w0")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// Lines of a log that say everything in every form.
fn planted_log(secrets: &[&str]) -> String {
    let mut log = String::new();
    for text in TEXTS.iter().chain(secrets) {
        for form in forms(text) {
            let line = serde_json::json!({
                "timestamp": "2026-11-27T10:00:00Z", "level": "ERROR", "target": "stemedb_hybrid",
                "message": format!("StorageError: Failed to write to KV store of {form} at http://h/?q={form}"),
                "subject": form, "error": format!("cannot open /srv/{form}/kv/000012.sst"), "peer": "192.0.2.77:4711",
            });
            log.push_str(&format!("{line}\nnot JSON {form} refused\n"));
        }
    }
    log
}

/// A bundle, unpacked by the system's own program.
struct Bundle {
    file: PathBuf,
    bytes: Vec<u8>,
    parts: BTreeMap<String, String>,
}

impl Bundle {
    #[track_caller]
    fn open(file: &Path) -> Bundle {
        let into = tempfile::tempdir().unwrap();
        let tar = Command::new("tar").arg("-xf").arg(file).arg("-C").arg(into.path()).output().unwrap();
        assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
        let mut parts = BTreeMap::new();
        for entry in std::fs::read_dir(into.path().join("stemedb-debug")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            parts.insert(name, std::fs::read_to_string(&path).unwrap());
        }
        Bundle { file: file.to_path_buf(), bytes: std::fs::read(file).unwrap(), parts }
    }

    #[track_caller]
    fn json(&self, part: &str) -> Value {
        let text = self.parts.get(part).unwrap_or_else(|| panic!("no {part} in {:?}", self.parts.keys()));
        serde_json::from_str(text).unwrap()
    }

    /// Why a part is missing; empty if it is there.
    #[track_caller]
    fn missing(&self, part: &str) -> String {
        let manifest = self.json("manifest.json");
        let parts = manifest["parts"].as_array().unwrap();
        let entry = parts.iter().find(|entry| entry["part"] == part).unwrap_or_else(|| panic!("no {part}"));
        entry["missing"].as_str().unwrap_or_default().to_owned()
    }

    /// No text in any form, wherever letters are large or small.
    #[track_caller]
    fn has_none_of<'a>(&self, texts: impl IntoIterator<Item = &'a str>) {
        let whole = self.bytes.to_ascii_lowercase();
        let exact = String::from_utf8_lossy(&self.bytes);
        for text in texts {
            for form in forms(text) {
                let lower = form.to_ascii_lowercase();
                let at = whole.windows(lower.len()).position(|part| part == lower.as_bytes());
                assert_eq!(at, None, "{form} in {}", self.file.display());
            }
            // Base64 of it, begun and ended by something else.
            for before in ["x", "xy", "xyz"] {
                let encoded = base64(&format!("{before}{text}"));
                let inner = &encoded[4..encoded.len() - 4];
                assert!(inner.len() < 8 || !exact.contains(inner), "{text} as {inner}");
            }
        }
    }
}

/// Runs it with a configuration of its own, whatever the machine has.
fn bundle(dir: &Path, out: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let config = dir.join("bundle.toml");
    if !config.exists() {
        let log = dir.join("storage.log");
        std::fs::write(&config, format!("[logging]\nstorage_file = \"{}\"\n", text(&log))).unwrap();
    }
    let output = program()
        .envs(variables.iter().copied())
        .args(["debug-bundle", "--config", text(&config), "--out", text(&dir.join(out))])
        .args(arguments)
        .output()
        .unwrap();
    let read = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: read(output.stdout), err: read(output.stderr) }
}

fn files(dir: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::metadata(&path).unwrap();
            found.insert(text(&path).to_owned(), (metadata.len(), metadata.modified().unwrap()));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// A folder with a database of the records, and a key in it.
fn database(dir: &Path) -> (PathBuf, String) {
    let data = dir.join("db");
    let ran = run_with_input(["import", "--data-dir", text(&data), "-"], records().into_bytes());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    run(["compact", "--data-dir", text(&data)]).ok();
    let key = run([
        "keys",
        "create",
        "--data-dir",
        text(&data),
        "--scopes",
        "read,write,admin",
        "--label",
        "Wombat-Reader",
    ])
    .ok();
    (data, key.out.trim().to_owned())
}

#[test]
fn a_running_server_is_described_and_nothing_that_claims_say_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, key) = database(dir.path());
    std::fs::write(dir.path().join("storage.log"), planted_log(&[SECRET, TOKEN, &key])).unwrap();
    let secrets =
        [("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_SESSION_TOKEN", TOKEN), ("STEMEDB_API_KEY", key.as_str())];
    let log = dir.path().join("storage.log");
    let options =
        ["--bind", "127.0.0.1:0", "--auth", "off", "--slow-query-ms", "0", "--storage-log", text(&log)];
    let server = Server::start_in(&data, &options, &secrets[..2]);
    let asked = "/v1/query?subject=zyxogen%3AQwabble-77&predicate=frobnicates%20with";
    assert!(http::get(&server.address, asked).unwrap().body.contains("Wombat"));

    let ran =
        bundle(dir.path(), "b.tar", &["--url", &server.url(), "--data-dir", text(&data)], &secrets).ok();
    assert!(ran.out.contains("none is in it"), "{ran:?}");
    let bundle = Bundle::open(&dir.path().join("b.tar"));
    let private = std::fs::metadata(&bundle.file).unwrap().permissions().mode();
    assert_eq!(private & 0o777, 0o600);

    let secret_of_key = &key["stemedb_".len() + 13..];
    let names = ["Wombat-Reader", "192.0.2.77", text(dir.path())];
    bundle.has_none_of(TEXTS.into_iter().chain([SECRET, TOKEN, secret_of_key]).chain(names));
    let seed = std::fs::read_to_string(data.join("keys/server.key")).unwrap();
    bundle.has_none_of(seed.lines().skip(1));

    assert_eq!(bundle.json("health.json")["status"], "ok");
    assert!(bundle.json("readiness.json")["checks"].as_array().unwrap().len() >= 4);
    assert!(bundle.json("stats.json")["journal"]["segments"].as_u64().is_some());
    let metrics = &bundle.parts["metrics.txt"];
    for series in [
        "stemedb_wal_fsyncs_total",
        "stemedb_storage_operations_total{operation=\"put\"}",
        "stemedb_wal_fsync_latency_seconds_bucket{le=",
    ] {
        assert!(metrics.contains(series), "{series} in {metrics}");
    }
    let slow: Value =
        serde_json::from_str(bundle.parts["slow-queries.jsonl"].lines().next().unwrap()).unwrap();
    assert!(
        slow["duration_ms"].is_number() && slow["subject"].as_str().unwrap().starts_with("text-"),
        "{slow}"
    );
    let process = bundle.json("process.json");
    assert_eq!(process["pid"], server.id());
    assert!(process["limits"]["Max open files"]["soft"].is_string(), "{process}");
    // The flags of the server that runs, not what this command would start.
    let configuration = bundle.json("configuration.json");
    assert_eq!(configuration["of"], "the running server");
    assert_eq!(configuration["keys"]["http.slow_query_ms"]["origin"], "flag --slow-query-ms");
    assert_eq!(configuration["keys"]["security.auth"]["value"], "off");
    assert!(bundle.json("view.json")["tables"].as_array().is_some_and(|tables| !tables.is_empty()));
    assert_eq!(bundle.json("journal.json")["damages"].as_array().map(Vec::len), Some(0));
    assert!(
        bundle.json("machine.json")["kernel"].is_string() && bundle.json("clock.json")["wall"].is_string()
    );
    assert!(bundle.json("doctor.json")["verdict"].is_string());
    // What alerts look for is still in the log.
    assert!(
        bundle.parts["storage-log.jsonl"].contains("StorageError: Failed to write to KV store of … at …")
    );
    let manifest = bundle.json("manifest.json");
    assert_eq!((&manifest["redacted"], &manifest["server_answered"]), (&true.into(), &true.into()));
    let searched = |name: &str| manifest["searched_for"][name].as_u64().unwrap();
    assert!(
        searched("secrets") >= 4 && searched("claim_texts") >= 8 && searched("withheld_texts") > 20,
        "{manifest}"
    );
    for entry in manifest["parts"].as_array().unwrap().iter().filter(|entry| entry["missing"].is_null()) {
        let content = &bundle.parts[entry["part"].as_str().unwrap()];
        assert_eq!(entry["bytes"], content.len());
    }
    // A second one does not take its place.
    let again = self::bundle(dir.path(), "b.tar", &["--url", &server.url()], &[]);
    assert!(again.code == Some(1) && again.err.contains("exists already"), "{again:?}");
}

#[test]
fn a_socket_file_leads_to_a_server_that_asks_everybody_else_for_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = database(dir.path());
    let socket = dir.path().join("admin.sock");
    let options =
        ["--bind", "127.0.0.1:0", "--auth", "required", "--admin-needs-key", "--admin-socket", text(&socket)];
    let server = Server::start_with(&data, &options);
    bundle(dir.path(), "tcp.tar", &["--url", &server.url(), "--data-dir", text(&data)], &[]).ok();
    let refused = Bundle::open(&dir.path().join("tcp.tar")).missing("stats.json");
    assert!(refused.contains("refused with status 401") && refused.contains("--socket"), "{refused}");
    // Found by itself: the running server's flags name it.
    bundle(dir.path(), "found.tar", &["--data-dir", text(&data)], &[]).ok();
    bundle(dir.path(), "named.tar", &["--socket", text(&socket), "--data-dir", text(&data)], &[]).ok();
    for name in ["found.tar", "named.tar"] {
        let bundle = Bundle::open(&dir.path().join(name));
        assert!(bundle.json("stats.json")["sst_file_count"].is_number(), "{name}");
        bundle.has_none_of(TEXTS);
    }
}

#[test]
fn a_dead_server_is_described_by_its_folder_which_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = database(dir.path());
    let server = Server::start_with(&data, &["--bind", "127.0.0.1:0"]);
    let url = server.url();
    server.kill();
    let before = files(&data);
    bundle(dir.path(), "dead.tar", &["--url", &url, "--data-dir", text(&data)], &[]).ok();
    assert_eq!(files(&data), before, "a bundle changes nothing");
    let dead = Bundle::open(&dir.path().join("dead.tar"));
    dead.has_none_of(TEXTS);
    for part in ["health.json", "stats.json", "metrics.txt", "slow-queries.jsonl"] {
        assert!(dead.missing(part).contains("no reply from"), "{part}: {}", dead.missing(part));
    }
    assert!(dead.missing("process.json").contains("no running process"));
    assert_eq!(dead.json("journal.json")["entries"].as_u64(), dead.json("journal.json")["last_lsn"].as_u64());
    assert!(dead.json("files.json")["folders"]["wal"]["count"].as_u64().unwrap() > 0);
    assert!(dead.json("doctor.json")["findings"].as_array().unwrap().iter().any(|f| f["check"] == "server"));
    let inside = bundle(&data, "inside.tar", &["--data-dir", text(&data)], &[]);
    std::fs::remove_file(data.join("bundle.toml")).unwrap();
    assert!(inside.code == Some(1) && inside.err.contains("writes nothing"), "{inside:?}");
}

#[test]
fn a_damaged_database_is_described_as_far_as_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = database(dir.path());
    let spoil = |path: PathBuf| {
        let mut bytes = std::fs::read(&path).unwrap();
        // Of a segment, its first frame.
        let place = if text(&path).ends_with(".wal") { 4096 + 64 } else { bytes.len() / 2 };
        let end = bytes.len().min(place + 64);
        bytes[place..end].fill(0xEE);
        std::fs::write(path, bytes).unwrap();
    };
    let in_folder = |folder: &str, begins: &str| -> Vec<PathBuf> {
        let all = std::fs::read_dir(data.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begins)).collect()
    };
    in_folder("kv", "MANIFEST").into_iter().for_each(spoil);
    in_folder("wal", "live.").into_iter().for_each(spoil);
    bundle(dir.path(), "damaged.tar", &["--data-dir", text(&data)], &[]).ok();
    let damaged = Bundle::open(&dir.path().join("damaged.tar"));
    damaged.has_none_of(TEXTS);
    assert!(damaged.json("view.json")["problem"].is_string(), "{}", damaged.json("view.json"));
    let journal = damaged.json("journal.json");
    let has_damage = journal["damages"].as_array().is_some_and(|damages| !damages.is_empty());
    assert!(has_damage || journal["problem"].is_string(), "{journal}");
    for path in [data.join("IDENTITY.a"), data.join("IDENTITY.b")] {
        spoil(path);
    }
    bundle(dir.path(), "lost.tar", &["--data-dir", text(&data)], &[]).ok();
    let lost = Bundle::open(&dir.path().join("lost.tar"));
    assert_eq!(
        lost.json("view.json")["problem"].as_str().map(|text| text.contains("both copies are damaged")),
        Some(true)
    );
    // Nothing at all.
    bundle(dir.path(), "nothing.tar", &["--data-dir", text(&dir.path().join("nowhere"))], &[]).ok();
    assert!(Bundle::open(&dir.path().join("nothing.tar")).json("view.json")["problem"].is_string());
}

/// Words that the program says itself pass redaction; what they say together must not.
#[test]
fn what_passes_redaction_is_found_by_the_self_check_and_no_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let leaking = "flush before the merge of tables";
    let claim = serde_json::json!({"subject": leaking, "predicate": "p", "object": 1, "source": "s"});
    run_with_input(["import", "--data-dir", text(&data), "-"], format!("{claim}\n").into_bytes()).ok();
    let log = dir.path().join("storage.log");
    let line = |what: &str| format!("{}\n", serde_json::json!({"level": "INFO", "message": what}));
    let secret = "compaction of the journal";
    let refused = |said: &str, variables: &[(&str, &str)], what: &str, form: &str| {
        std::fs::write(&log, line(said)).unwrap();
        let ran = bundle(dir.path(), "leak.tar", &["--data-dir", text(&data)], variables);
        assert_eq!(ran.code, Some(3), "{said}: {ran:?}");
        assert!(
            ran.err.contains("storage-log.jsonl") && ran.err.contains(what) && ran.err.contains(form),
            "{ran:?}"
        );
        assert!(
            !ran.err.contains(leaking) && !ran.err.contains(secret),
            "the text itself is not told: {ran:?}"
        );
        let left: Vec<PathBuf> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.iter().all(|path| !text(path).contains("leak.tar")), "{left:?}");
    };
    let of_secret = [("AWS_SECRET_ACCESS_KEY", secret)];
    refused(&format!("waited for {leaking}"), &[], "a text of a claim", "as it is");
    refused("waited for flush+before+the+merge+of+tables", &[], "a text of a claim", "percent-encoded");
    refused(&format!("waited for {secret}"), &of_secret, "AWS_SECRET_ACCESS_KEY", "as it is");
    // Without that part, and without that text, there is a bundle.
    bundle(dir.path(), "without.tar", &["--data-dir", text(&data), "--without", "storage-log.jsonl"], &[])
        .ok();
    assert!(!Bundle::open(&dir.path().join("without.tar")).parts.contains_key("storage-log.jsonl"));
    std::fs::write(&log, line("compaction finished")).unwrap();
    bundle(dir.path(), "clean.tar", &["--data-dir", text(&data)], &of_secret).ok();
}

#[test]
fn without_redaction_claims_stay_and_secrets_still_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = database(dir.path());
    std::fs::write(dir.path().join("storage.log"), "{\"message\":\"about zyxogen:Qwabble-77\"}\n").unwrap();
    let open = ["--data-dir", text(&data), "--no-redact"];
    bundle(dir.path(), "open.tar", &open, &[("AWS_SECRET_ACCESS_KEY", SECRET)]).ok();
    let bundle_of = Bundle::open(&dir.path().join("open.tar"));
    assert!(bundle_of.parts["storage-log.jsonl"].contains("zyxogen:Qwabble-77"));
    assert_eq!(bundle_of.json("manifest.json")["redacted"], false);
    bundle_of.has_none_of([SECRET]);
    // A secret in a log is refused then, too.
    std::fs::write(dir.path().join("storage.log"), format!("{{\"message\":\"with {SECRET}\"}}\n")).unwrap();
    let leaking = bundle(dir.path(), "secret.tar", &open, &[("AWS_SECRET_ACCESS_KEY", SECRET)]);
    assert!(leaking.code == Some(3) && !dir.path().join("secret.tar").exists(), "{leaking:?}");
    let both = bundle(dir.path(), "both.tar", &["--redact", "--no-redact"], &[]);
    assert_eq!(both.code, Some(2));
}

/// A small file system of its own, as long as this lives.
struct Small(PathBuf);

impl Small {
    fn mount(dir: &Path) -> Option<Small> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "small"]).arg(dir).output();
        mounted.is_ok_and(|ran| ran.status.success()).then(|| Small(dir.to_path_buf()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = database(dir.path());
    let small = dir.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let Some(mounted) = Small::mount(&small) else {
        eprintln!("\n!!! SKIPPED: a full disk, because this user may not mount one\n");
        return;
    };
    let ran = bundle(dir.path(), "small/b.tar", &["--data-dir", text(&data)], &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("No space left on device") && ran.err.contains("--out"), "{ran:?}");
    assert_eq!(std::fs::read_dir(&small).unwrap().count(), 0);
    drop(mounted);
}
