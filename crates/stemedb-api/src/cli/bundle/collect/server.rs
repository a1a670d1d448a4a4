//! What a running server says of itself.

use serde_json::Value;
use stemedb_api::metrics::{Series, all_series};

use crate::cli::{
    bundle::{
        parts::Part,
        redact::{
            Redactor,
            shape::{Kind, Shape},
            words,
        },
    },
    client::{Client, ClientError},
    failure::Failure,
};

const HEALTH: Shape = &[
    ("status", Kind::Text),
    ("version", Kind::Text),
    ("timeline", Kind::Number),
    ("durable_lsn", Kind::Number),
    ("published_lsn", Kind::Number),
    ("flushed_lsn", Kind::Number),
    ("repair_floor_lsn", Kind::Number),
    ("primary", Kind::Text),
    ("fallback", Kind::Text),
    ("fallback_mode", Kind::Text),
    ("views[].name", Kind::Text),
    ("views[].state", Kind::Text),
    ("views[].published_lsn", Kind::Number),
    ("views[].flushed_lsn", Kind::Number),
    ("views[].cause", Kind::Text),
    ("views[].progress", Kind::Numbers),
    ("upgrade.from_version", Kind::Number),
    ("upgrade.to_version", Kind::Number),
    ("upgrade.readable", Kind::Number),
    ("upgrade.progress", Kind::Numbers),
    ("upgrade.stuck", Kind::Text),
    ("readable", Kind::Number),
    ("writable", Kind::Number),
    ("refusing_writes", Kind::Text),
    ("scrub", Kind::Numbers),
    ("space.available_bytes", Kind::Number),
    ("space.total_bytes", Kind::Number),
    ("space.level", Kind::Text),
    ("space.refuses_below_bytes", Kind::Number),
    ("space.accepts_from_bytes", Kind::Number),
    ("stall.kind", Kind::Text),
    ("stall.file", Kind::File),
    ("stall.for_ms", Kind::Number),
];

const READINESS: Shape = &[
    ("status", Kind::Text),
    ("code", Kind::Text),
    ("title", Kind::Text),
    ("checks[].name", Kind::Text),
    ("checks[].ok", Kind::Number),
    ("checks[].warning", Kind::Number),
    ("checks[].detail", Kind::Text),
];

const STATS: Shape = &[
    ("sst_file_count", Kind::Number),
    ("total_bytes", Kind::Number),
    ("pending_compaction_bytes", Kind::Number),
    ("index_memory_bytes", Kind::Number),
    ("cache_memory_bytes", Kind::Number),
    ("memtable_bytes", Kind::Number),
    ("write_amplification", Kind::Number),
    ("damaged_tables", Kind::Number),
    ("verdict", Kind::Text),
    ("checks[].name", Kind::Text),
    ("checks[].value", Kind::Number),
    ("checks[].healthy_below", Kind::Number),
    ("checks[].healthy_from", Kind::Number),
    ("checks[].failing_above", Kind::Number),
    ("checks[].verdict", Kind::Text),
    ("levels", Kind::Numbers),
    ("memory", Kind::Numbers),
    ("flushes", Kind::Numbers),
    ("compactions", Kind::Numbers),
    ("reads", Kind::Numbers),
    ("journal", Kind::Numbers),
    ("commits", Kind::Numbers),
    ("operations[].operation", Kind::Text),
    ("operations[].total", Kind::Number),
    ("operations[].errors", Kind::Number),
];

const EVENTS: Shape = &[
    ("newest", Kind::Number),
    ("events[].number", Kind::Number),
    ("events[].at", Kind::Text),
    ("events[].kind", Kind::Text),
    ("events[].file", Kind::File),
    ("events[].text", Kind::Text),
];

const SLOW_QUERY: Shape = &[
    ("at", Kind::Text),
    ("duration_ms", Kind::Number),
    ("lens", Kind::Text),
    ("candidates", Kind::Number),
    ("considered", Kind::Number),
    ("memory_mb", Kind::Number),
    ("subject", Kind::Pseudonym),
    ("predicate", Kind::Pseudonym),
    ("lsn", Kind::Number),
    ("stages_ms", Kind::Numbers),
    ("block_reads", Kind::Number),
    ("cache_hits", Kind::Number),
];

const JOBS: Shape = &[
    ("jobs[].job", Kind::Number),
    ("jobs[].kind", Kind::Text),
    ("jobs[].state", Kind::Text),
    ("jobs[].began_at", Kind::Text),
    ("jobs[].ended_at", Kind::Text),
    ("jobs[].parameters", Kind::Numbers),
    ("jobs[].done_bytes", Kind::Number),
    ("jobs[].total_bytes", Kind::Number),
    ("jobs[].result", Kind::Numbers),
    ("jobs[].problem.code", Kind::Text),
    ("jobs[].problem.detail", Kind::Text),
];

/// Of the last backup or archiving: what it was and how it ended, not where it went.
const BACKUPS: Shape = &[
    ("state", Kind::Text),
    ("kind", Kind::Text),
    ("job", Kind::Number),
    ("began_at", Kind::Text),
    ("ended_at", Kind::Text),
    ("done_bytes", Kind::Number),
    ("total_bytes", Kind::Number),
    ("result", Kind::Numbers),
    ("problem.code", Kind::Text),
    ("problem.detail", Kind::Text),
];

const SCRUB: Shape = &[
    ("enabled", Kind::Number),
    ("running", Kind::Number),
    ("round", Kind::Number),
    ("started", Kind::Text),
    ("last_full_round", Kind::Text),
    ("bytes_done", Kind::Number),
    ("bytes_total", Kind::Number),
    ("files_left", Kind::Number),
    ("round_findings", Kind::Number),
    ("findings", Kind::Number),
    ("healed", Kind::Number),
    ("bytes_read", Kind::Number),
    ("rereads", Kind::Number),
    ("transient_errors", Kind::Number),
    ("late", Kind::Number),
    ("reading", Kind::File),
    ("damage[].at", Kind::Text),
    ("damage[].class", Kind::Text),
    ("damage[].file", Kind::File),
    ("damage[].offset", Kind::Number),
    ("damage[].text", Kind::Text),
    ("damage[].healed", Kind::Number),
];

/// Documents: the part, what it is, where it is asked for, what stays of it.
const DOCUMENTS: [(&str, &str, &str, Shape); 7] = [
    ("health.json", "how the server is: GET /v1/health", "/v1/health", HEALTH),
    (
        "readiness.json",
        "whether requests should be sent there, check by check: GET /readyz",
        "/readyz?verbose",
        READINESS,
    ),
    ("stats.json", "the storage in figures: GET /v1/admin/storage/stats", "/v1/admin/storage/stats", STATS),
    (
        "events.json",
        "what happened to the files: GET /v1/admin/storage/events",
        "/v1/admin/storage/events",
        EVENTS,
    ),
    ("jobs.json", "long work: GET /v1/admin/jobs", "/v1/admin/jobs", JOBS),
    (
        "backups.json",
        "the last backup or archiving: GET /v1/admin/backup/status",
        "/v1/admin/backup/status",
        BACKUPS,
    ),
    (
        "scrub.json",
        "how reading everything back goes: GET /v1/admin/storage/scrub",
        "/v1/admin/storage/scrub",
        SCRUB,
    ),
];

/// What parts are of [`ask`].
const SLOW_QUERIES: (&str, &str) =
    ("slow-queries.jsonl", "questions that took long, the newest first: GET /v1/admin/slow-queries");
const METRICS: (&str, &str) = ("metrics.txt", "every series once: GET /metrics");

/// Asks for everything; true if the server answers. What it refuses is a part that is missing, and the rest goes on.
pub fn ask(client: &mut Client, redactor: &Redactor, parts: &mut Vec<Part>) -> bool {
    let mut answers = false;
    for (name, about, path, shape) in DOCUMENTS {
        let part = match get(client, path, &mut answers) {
            // A probe that fails says why in its body.
            Ok((200 | 503, body)) => match serde_json::from_slice(&body) {
                Ok(document) => Part::json(name, about, redactor.document(shape, &document)),
                Err(_) => Part::missing(name, about, "the reply is no JSON".to_owned()),
            },
            Ok((status, body)) => Part::missing(name, about, refusal(status, &body, redactor)),
            Err(why) => Part::missing(name, about, redactor.text(&why)),
        };
        parts.push(part);
    }
    let (name, about) = SLOW_QUERIES;
    parts.push(match get(client, "/v1/admin/slow-queries", &mut answers) {
        Ok((200, body)) => Part::text(name, about, slow_queries(&body, redactor)),
        Ok((status, body)) => Part::missing(name, about, refusal(status, &body, redactor)),
        Err(why) => Part::missing(name, about, redactor.text(&why)),
    });
    let (name, about) = METRICS;
    parts.push(match get(client, "/metrics", &mut answers) {
        Ok((200, body)) => {
            let text = String::from_utf8_lossy(&body);
            Part::text(name, about, if redactor.is_on() { metrics(&text) } else { text.into_owned() })
        }
        Ok((status, body)) => Part::missing(name, about, refusal(status, &body, redactor)),
        Err(why) => Part::missing(name, about, redactor.text(&why)),
    });
    answers
}

/// The same parts where there is no server to ask.
pub fn nobody(why: &str, parts: &mut Vec<Part>) {
    for (name, about) in
        DOCUMENTS.iter().map(|(name, about, ..)| (*name, *about)).chain([SLOW_QUERIES, METRICS])
    {
        parts.push(Part::missing(name, about, why.to_owned()));
    }
}

fn get(client: &mut Client, path: &str, answers: &mut bool) -> Result<(u16, Vec<u8>), String> {
    match client.get_whatever(path) {
        Ok((status, body)) => {
            *answers = true;
            Ok((status, body.to_vec()))
        }
        Err(ClientError::Connection(why)) => Err(why),
        Err(ClientError::Refused(refusal)) => Err(refusal.to_string()),
    }
}

fn refusal(status: u16, body: &[u8], redactor: &Redactor) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = redactor.text(problem["code"].as_str().unwrap_or_default());
    let hint = match status {
        401 | 403 => ": put an admin key into STEMEDB_API_KEY or STEMEDB_API_KEY_FILE, or use --socket",
        _ => "",
    };
    format!("refused with status {status} {code}{hint}")
}

fn slow_queries(body: &[u8], redactor: &Redactor) -> String {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let lines = document["queries"].as_array().into_iter().flatten();
    lines.map(|query| format!("{}\n", redactor.document(SLOW_QUERY, query))).collect()
}

/// Records of a server, one a line of JSON, until there are enough.
pub fn records(client: &mut Client, bytes_max: usize, line: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
    let mut reply = client.get_streaming("/v1/export")?;
    let (mut rest, mut seen) = (Vec::new(), 0);
    while let Some(part) = reply.next_part()? {
        seen += part.len();
        rest.extend_from_slice(&part);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = rest.drain(..=end).collect();
            line(&whole);
        }
        if seen >= bytes_max {
            break;
        }
    }
    Ok(())
}

/// Known series with known labels, whose values are the program's own.
fn metrics(text: &str) -> String {
    let series: Vec<&Series> = all_series().collect();
    let routes: Vec<&str> = stemedb_api::http::route_list().into_iter().map(|(_, path)| path).collect();
    let mut out = String::new();
    for line in text.lines() {
        if let Some(kept) = sample(line, &series, &routes) {
            out.push_str(&kept);
            out.push('\n');
        }
    }
    out
}

fn sample(line: &str, series: &[&Series], routes: &[&str]) -> Option<String> {
    if let Some(rest) = line.strip_prefix("# TYPE ") {
        let (name, kind) = rest.split_once(' ')?;
        let is_known = series
            .iter()
            .any(|known| known.name.trim_end_matches("_total") == name.trim_end_matches("_total"));
        return (is_known && words::is_own(kind)).then(|| line.to_owned());
    }
    let (head, value) = line.rsplit_once(' ')?;
    value.parse::<f64>().ok()?;
    let (name, labels) =
        head.split_once('{').map_or((head, ""), |(name, labels)| (name, labels.trim_end_matches('}')));
    let of_histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
    let known = series.iter().find(|known| known.name == name || of_histogram == Some(known.name))?;
    let mut kept = Vec::new();
    for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
        let (label, text) = pair.split_once('=')?;
        let text = text.trim_matches('"');
        let is_own = match label {
            "le" | "quantile" => text == "+Inf" || text.parse::<f64>().is_ok(),
            "path" => routes.contains(&text) || words::is_own(text),
            _ => words::is_own(text),
        };
        let is_known = label == "le" || known.labels.contains(&label);
        kept.push(format!("{label}=\"{}\"", if is_own && is_known { text } else { words::WITHHELD }));
    }
    let labels = if kept.is_empty() { String::new() } else { format!("{{{}}}", kept.join(",")) };
    Some(format!("{name}{labels} {value}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stemedb_env::Env;

    use super::*;

    #[test]
    fn series_keep_what_is_the_programs_own() {
        let text = "# HELP stemedb_http_requests HTTP requests answered of Zyxobenzene\n\
            # TYPE stemedb_http_requests counter\n\
            stemedb_http_requests_total{method=\"GET\",path=\"/v1/assertions/{id}\",status=\"200\"} 3\n\
            stemedb_http_requests_total{method=\"GET\",path=\"/v1/Zyxobenzene\",status=\"200\"} 4\n\
            stemedb_query_latency_seconds_bucket{le=\"0.1\",lens=\"consensus\"} 5\n\
            stemedb_zyxobenzene 6\n\
            stemedb_flushed_lsn zyxobenzene\n\
            stemedb_flushed_lsn 7\n";
        assert_eq!(
            metrics(text),
            "# TYPE stemedb_http_requests counter\n\
            stemedb_http_requests_total{method=\"GET\",path=\"/v1/assertions/{id}\",status=\"200\"} 3\n\
            stemedb_http_requests_total{method=\"GET\",path=\"…\",status=\"200\"} 4\n\
            stemedb_query_latency_seconds_bucket{le=\"0.1\",lens=\"consensus\"} 5\n\
            stemedb_flushed_lsn 7\n"
        );
    }

    #[test]
    fn slow_questions_keep_their_cost_and_lose_their_texts() {
        let query = |subject: &str| {
            json!({"at": "2026-11-27T10:00:00Z", "duration_ms": 120.5, "lens": "consensus", "candidates": 8, "considered": 8,
                "memory_mb": 0.1, "subject": subject, "predicate": "boils", "as_of": "x", "lsn": 4, "request_id": "Zyxobenzene",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "stages_ms": {"gather": 1.5, "lens": 2.0}, "block_reads": 3, "cache_hits": 4})
        };
        let document = json!({"queries": [query("Zyxobenzene"), query("other"), query("Zyxobenzene")]});
        let redactor = Redactor::new(&Env::real(), true);
        let text = slow_queries(document.to_string().as_bytes(), &redactor);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!text.to_lowercase().contains("benzene") && !text.contains("4bf92f35"), "{text}");
        assert_eq!((&lines[0]["duration_ms"], &lines[0]["stages_ms"]["lens"]), (&json!(120.5), &json!(2.0)));
        // Which are about the same is still seen.
        assert_eq!(lines[0]["subject"], lines[2]["subject"]);
        assert_ne!(lines[0]["subject"], lines[1]["subject"]);
    }
}
