//! What is known about who copies whom, read beside a question.

use stemedb_core::{
    Candidate, Micros,
    lens::{Evidence, Origin},
};
use stemedb_index::ClaimReader;
use stemedb_lsm::KvSnapshot;

use crate::errors::Result;

/// Most of the subject's other questions that are compared, the first by the bytes of their predicates.
const NEIGHBOURS_MAX: usize = 64;
/// Most claims of other questions that are read.
const NEIGHBOUR_CLAIMS_MAX: usize = 4096;

/// Hosts that resolve names or keep what others publish: two sources there have nothing in common.
const SHARED_HOSTS: [&str; 13] = [
    "archive.org",
    "arxiv.org",
    "doi.org",
    "dx.doi.org",
    "figshare.com",
    "github.com",
    "hdl.handle.net",
    "n2t.net",
    "ncbi.nlm.nih.gov",
    "purl.org",
    "w3id.org",
    "web.archive.org",
    "zenodo.org",
];

/// The origins of the candidates' sources, and the subject's neighbouring questions, as known at the reader's moment.
///
/// Cost: one lookup a source, and one scan over the subject that ends at [`NEIGHBOURS_MAX`] questions or
/// [`NEIGHBOUR_CLAIMS_MAX`] claims.
pub(super) fn gather<S: KvSnapshot>(
    reader: &ClaimReader<S>,
    subject: &str,
    predicate: &str,
    candidates: &[Candidate],
    evaluated_at: Micros,
) -> Result<Evidence> {
    let mut evidence = Evidence::default();
    let mut sources: Vec<&str> =
        candidates.iter().map(|candidate| candidate.assertion.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    for id in sources {
        let Some((_, source)) = reader.source(id)? else { continue };
        if let Some(hash) = source.content_hash {
            evidence.origin(id, Origin::Content(hash));
        }
        if let Some(host) = source.uri.as_deref().and_then(publisher) {
            evidence.origin(id, Origin::Host(host));
        }
    }
    let mut questions = reader.questions_about(subject);
    let (mut count, mut claims) = (0, 0);
    while count < NEIGHBOURS_MAX
        && claims < NEIGHBOUR_CLAIMS_MAX
        && let Some((question, neighbours)) = questions.next_question()?
    {
        if question.predicate != predicate {
            evidence.neighbour(&neighbours, evaluated_at);
            (count, claims) = (count + 1, claims + neighbours.len());
        }
    }
    Ok(evidence)
}

/// The host of a URI in lower case, without `www.`, user and port; `None` without one, or for one that only resolves or keeps
/// what others publish.
fn publisher(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    if scheme.is_empty() {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // An IPv6 address keeps its brackets; a port is digits behind the last colon.
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let host = host.strip_prefix("www.").unwrap_or(&host);
    (!host.is_empty() && !SHARED_HOSTS.contains(&host)).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_is_a_host_that_is_not_shared() {
        let of = |uri: &str| publisher(uri);
        assert_eq!(of("https://WebBook.NIST.gov/cgi?x"), Some("webbook.nist.gov".into()));
        assert_eq!(of("http://me@www.example.org.:8080/a@b"), Some("example.org".into()));
        assert_eq!(of("https://[::1]:443/"), Some("[::1]".into()));
        assert_eq!(of("https://[::1]"), Some("[::1]".into()));
        for none in [
            "https://doi.org/10.1/x",
            "https://www.ncbi.nlm.nih.gov/x",
            "urn:isbn:1",
            "://x",
            "https:///x",
            "",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
        assert!(SHARED_HOSTS.is_sorted());
    }
}
