//! What a proxy has written down about each request: how often it was sent on, and to whom.

use std::fs;

use serde_json::Value;

use super::front::{Front, Kind};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As the client has named it.
    pub request_id: String,
    pub method: String,
    pub status: u64,
    /// How often it was sent on.
    pub attempts: usize,
    /// To whom; of Envoy the last one alone.
    pub upstreams: Vec<String>,
}

/// All requests whose ids begin so.
pub fn lines(front: &Front, beginning: &str) -> Result<Vec<Line>, String> {
    let log = front.log();
    let text = fs::read_to_string(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let parsed = text.lines().map(|line| parsed(front.kind, line));
    let is_one = |line: &Result<Line, String>| {
        line.as_ref().map_or(true, |line| line.request_id.starts_with(beginning))
    };
    parsed.filter(is_one).collect()
}

fn parsed(kind: Kind, line: &str) -> Result<Line, String> {
    let value: Value =
        serde_json::from_str(line).map_err(|error| format!("the access log: {error}: {line}"))?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    // nginx parts those that it asked one after the other by a comma, and by a colon where it went to another location between.
    let upstreams: Vec<String> = text("upstream")
        .split([',', ' '])
        .filter(|address| !matches!(*address, "" | ":" | "-"))
        .map(str::to_owned)
        .collect();
    let attempts = match kind {
        Kind::Nginx => upstreams.len(),
        Kind::Envoy => value["attempts"].as_u64().unwrap_or_default() as usize,
    };
    let status = value["status"].as_u64().ok_or_else(|| format!("the access log has no status: {line}"))?;
    Ok(Line { request_id: text("request_id"), method: text("method"), status, attempts, upstreams })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_sent_on_twice_is_seen_in_both_formats() {
        let nginx = r#"{"request_id":"a","method":"GET","status":200,"upstream":"127.0.0.1:1, 127.0.0.1:2"}"#;
        let line = parsed(Kind::Nginx, nginx).unwrap();
        assert_eq!((line.attempts, line.upstreams.len(), line.status), (2, 2, 200));
        let envoy = r#"{"request_id":"a","method":"GET","status":200,"attempts":2,"upstream":"127.0.0.1:2"}"#;
        let line = parsed(Kind::Envoy, envoy).unwrap();
        assert_eq!((line.attempts, &*line.upstreams), (2, &["127.0.0.1:2".to_owned()][..]));
        // Answered by the proxy itself.
        let refused = r#"{"request_id":"a","method":"POST","status":413,"attempts":0,"upstream":null}"#;
        assert_eq!(parsed(Kind::Envoy, refused).unwrap().attempts, 0);
        let refused = r#"{"request_id":"a","method":"POST","status":413,"upstream":""}"#;
        assert_eq!(parsed(Kind::Nginx, refused).unwrap().attempts, 0);
        assert!(parsed(Kind::Envoy, "{}").is_err());
    }
}
