//! Into a folder: time, memory, twice, sizes.

use std::path::Path;

use serde_json::Value;

use crate::{Arguments, corpus::Corpus, figures::Figures, program::Program};

pub fn measure(program: &Program, arguments: &Arguments, corpus: &Corpus, figures: &mut Figures) {
    let data = arguments.dir.join("embedded");
    let data = data.to_str().unwrap();
    let (claims, sources) = (arguments.claims.to_str().unwrap(), arguments.sources.to_str().unwrap());
    let import = ["import", "--data-dir", data, claims, "--sources", sources];

    let first = program.run(&import);
    let lines = corpus.len() as u64;
    let seconds = first.elapsed.as_secs_f64();
    let created = first.number("created");
    figures.judge("claims imported", &format!("{lines}"), created.to_string(), created == lines);
    let rate = lines as f64 / seconds;
    figures.judge("import", "<= 60 s", format!("{seconds:.1} s, {rate:.0} claims a second"), seconds <= 60.0);
    let peak = first.text("peak memory");
    figures.judge("its peak memory", "<= 2 GiB", peak.clone(), !peak.contains("GiB"));

    let again = program.run(&import);
    let (created, existing) = (again.number("created"), again.number("already known"));
    let said = again.out.contains("nothing new");
    let measured = format!("{created} created, {existing} known, {:.1} s", again.elapsed.as_secs_f64());
    figures.judge("import again", "adds nothing and says so", measured, created == 0 && said);

    let compacted = program.run(&["compact", "--data-dir", data]);
    figures.note("compaction", format!("{:.1} s", compacted.elapsed.as_secs_f64()));
    let (closed, _) = sizes(Path::new(data));
    let stats: Value =
        serde_json::from_str(&program.run(&["stats", "--data-dir", data, "--json"]).out).unwrap();
    let (live, parts) = sizes(Path::new(data));
    let jsonl = corpus.text.len() as u64;
    let ratio = live as f64 / jsonl as f64;
    let measured = format!("{ratio:.2} x ({live} bytes: {parts}; JSONL {jsonl} bytes)");
    figures.judge("journal + view after compaction", "<= 3 x the JSONL", measured, ratio <= 3.0);
    if closed != live {
        figures.note("of that process, before the next open", format!("{closed} bytes"));
    }
    for family in stats["families"].as_array().unwrap() {
        let bytes = family["key_bytes"].as_u64().unwrap() + family["value_bytes"].as_u64().unwrap();
        let rows = family["rows"].as_u64().unwrap();
        let share = 100.0 * family["share"].as_f64().unwrap();
        let name = family["family"].as_str().unwrap();
        figures.note(&format!("family {name}"), format!("{rows} rows, {bytes} bytes raw, {share:.1} %"));
    }
    let verified = program.run(&["verify", "--data-dir", data]);
    figures.note("verify", verified.out.trim().to_owned());
}

/// Bytes of journal and view, and each of them.
fn sizes(data: &Path) -> (u64, String) {
    let bytes_in = |name: &str| -> u64 {
        let entries = std::fs::read_dir(data.join(name)).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    };
    let (wal, kv) = (bytes_in("wal"), bytes_in("kv"));
    (wal + kv, format!("journal {wal}, view {kv}"))
}
