//! Whether a client has used every operation that the server describes, and with success: by the server's own count.

use std::collections::BTreeSet;

use stemedb_client::Client;

/// Operations that a client does not have, each with the reason.
const LEFT_OUT: [(&str, &str, &str); 1] =
    [("POST", "/v1/admin/promote", "once in the life of a server, by an operator: `stemedb-api promote`")];

/// `(GET, /v1/query)` …
type Operation = (String, String);

/// Every operation of the OpenAPI document.
fn described(client: &Client) -> BTreeSet<Operation> {
    let document = client.openapi().unwrap();
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            operations.insert((method.to_uppercase(), path.clone()));
        }
    }
    assert!(operations.len() >= 49, "{operations:?}");
    operations
}

/// Every operation that was answered with a success.
fn used(client: &Client) -> BTreeSet<Operation> {
    let metrics = client.metrics().unwrap();
    let label = |line: &str, name: &str| {
        let rest = line.split_once(&format!("{name}=\""))?.1;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let lines = metrics.lines().filter(|line| line.starts_with("stemedb_http_requests_total{"));
    let succeeded = lines.filter(|line| label(line, "status").is_some_and(|status| status.starts_with('2')));
    succeeded.filter_map(|line| Some((label(line, "method")?, label(line, "path")?))).collect()
}

/// Panics with what the server's users since its start have not used.
#[track_caller]
pub fn is_whole(url: &str) {
    let client = Client::new(url).unwrap();
    // In this order: what is asked here is not the user's.
    let used = used(&client);
    let described = described(&client);
    let left_out: BTreeSet<Operation> =
        LEFT_OUT.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    let missing: Vec<&Operation> =
        described.difference(&used).filter(|one| !left_out.contains(*one)).collect();
    assert!(missing.is_empty(), "no success of {missing:?}");
    let needless: Vec<&Operation> = left_out.intersection(&used).collect();
    assert!(needless.is_empty(), "left out and used {needless:?}");
}
