//! What looks like a secret or an address, whosever it is.

/// Something that must not stand in any bundle.
pub fn secret(bytes: &[u8]) -> Option<&'static str> {
    let lower = bytes.to_ascii_lowercase();
    if places(&lower, b"stemedb_").any(is_key) {
        return Some("an API key");
    }
    if places(&lower, b"-----begin ").next().is_some() {
        return Some("a key or certificate in PEM");
    }
    if [b"AKIA", b"ASIA"].into_iter().any(|begin| places(bytes, begin).any(is_access_key)) {
        return Some("an access key of AWS");
    }
    if places(&lower, b"bearer ").any(|rest| run(rest, is_token) >= 16) {
        return Some("a bearer token");
    }
    places(&lower, b"://").any(has_password).then_some("an address with a password")
}

/// Something that must not stand in a redacted bundle: keys and ids of claims and agents, addresses of machines. `own` are the
/// digests that the manifest itself gives.
pub fn identifying(bytes: &[u8], own: &[String]) -> Option<&'static str> {
    let digits = bytes.split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() >= 64);
    for run in digits {
        if !own.iter().any(|own| own.as_bytes() == run) {
            return Some("64 hexadecimal digits: the id of a claim or an agent");
        }
    }
    let numbers = bytes.split(|byte| !(byte.is_ascii_digit() || *byte == b'.'));
    for text in numbers.filter(|text| text.len() >= 7).filter_map(|text| std::str::from_utf8(text).ok()) {
        let address = text.trim_matches('.').parse::<std::net::Ipv4Addr>();
        if address.is_ok_and(|address| !address.is_loopback() && !address.is_unspecified()) {
            return Some("an IP address");
        }
    }
    None
}

/// What stands behind each place of a text.
fn places<'a>(bytes: &'a [u8], text: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    bytes
        .windows(text.len())
        .enumerate()
        .filter(move |(_, part)| *part == text)
        .filter_map(move |(at, _)| bytes.get(at + text.len()..))
}

fn run(bytes: &[u8], is_in: fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !is_in(*byte)).unwrap_or(bytes.len())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// `0123456789ab_…` behind `stemedb_`, with something of the secret. The id alone is public.
fn is_key(rest: &[u8]) -> bool {
    let id = run(rest, |byte| byte.is_ascii_hexdigit());
    id == 12
        && rest.get(id) == Some(&b'_')
        && run(rest.get(id + 1..).unwrap_or_default(), |byte| byte.is_ascii_hexdigit()) >= 8
}

fn is_access_key(rest: &[u8]) -> bool {
    run(rest, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) == 16
}

/// `name:password@` behind `://`.
fn has_password(rest: &[u8]) -> bool {
    let end = run(rest, |byte| !matches!(byte, b'/' | b'"' | b'\\' | b' ' | b'\n' | b'?'));
    let authority = rest.get(..end).unwrap_or_default();
    let Some(at) = authority.iter().rposition(|byte| *byte == b'@') else { return false };
    authority.iter().take(at).position(|byte| *byte == b':').is_some_and(|colon| colon > 0 && colon + 1 < at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_looks() {
        for text in [
            "k=stemedb_0123456789ab_00ff00ff00ff",
            "-----BEGIN PRIVATE KEY-----",
            "id AKIAIOSFODNN7EXAMPLE.",
            "Authorization: Bearer abcdefghijklmnop",
            "s3 at https://user:pass@host/x",
        ] {
            assert!(secret(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "stemedb_0123456789ab_…",
            "stemedb_wal_fsyncs_total",
            "AKIA",
            "Bearer of news",
            "http://host:80/@x",
            "http://h:1/a b@c",
        ] {
            assert_eq!(secret(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn ids_and_addresses_are_known_by_their_looks() {
        let id = "ab".repeat(32);
        assert!(identifying(format!("x {id} y").as_bytes(), &[]).is_some());
        assert_eq!(identifying(format!("x {id} y").as_bytes(), &[id]), None);
        assert!(identifying(b"from 10.1.2.3:4711", &[]).is_some());
        for text in ["127.0.0.1:18180", "0.0.0.0", "Linux 6.18.44-1", "1.2.3.4.5", "4096.5", "999.1.1.1"] {
            assert_eq!(identifying(text.as_bytes(), &[]), None, "{text}");
        }
    }
}
