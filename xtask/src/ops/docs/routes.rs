//! Routes in a text, with the methods before them.

/// The routes that a text names, with the method before them where one stands there.
pub fn routes_of(text: &str) -> Vec<(Option<String>, String)> {
    let mut found = Vec::new();
    for begin in ["/v1/", "/livez", "/readyz", "/metrics", "/openapi.json"] {
        for (at, _) in text.match_indices(begin) {
            let before = text[..at].chars().next_back();
            // A part of a longer path, which is no route; the port of an address stands before one.
            if before
                .is_some_and(|c| c.is_alphabetic() || matches!(c, '/' | '.' | '_' | '-' | '{' | '}' | '…'))
            {
                continue;
            }
            let rest = &text[at..];
            let is_inside = |c: char| {
                c.is_ascii_alphanumeric()
                    || matches!(c, '/' | '-' | '_' | '.' | '{' | '}' | '%' | '$' | '<' | '>' | ':')
            };
            let end = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
            let path = rest[..end].trim_end_matches(['.', ':', ',']);
            let words =
                text[..at].split(|c: char| c.is_whitespace() || c == '`').rev().find(|word| !word.is_empty());
            let method = words
                .filter(|word| matches!(*word, "GET" | "POST" | "PUT" | "DELETE" | "PATCH"))
                .map(str::to_owned);
            // `/metrics` may be a folder of somebody's.
            if path == begin.trim_end_matches('/') || begin == "/v1/" {
                found.push((method, path.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_found_with_their_methods() {
        let found = routes_of(
            "`POST /v1/admin/storage/compact` and http://localhost:18180/v1/jobs/1?x=1, `/readyz`.",
        );
        let route = |method: Option<&str>, path: &str| (method.map(str::to_owned), path.to_owned());
        assert_eq!(
            found,
            [
                route(Some("POST"), "/v1/admin/storage/compact"),
                route(None, "/v1/jobs/1"),
                route(None, "/readyz")
            ]
        );
        assert_eq!(routes_of("src/metrics/table.rs docs/v1/x"), []);
    }
}
