//! Headers of an operator's own, such as the key of a collector.

use std::path::Path;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use stemedb_env::{Env, fs::read_file};

use super::OtlpError;

/// No file of headers is longer.
const FILE_MAX_BYTES: u64 = 64 << 10;

/// Reads headers from a file: `Name: value` a line; empty lines and those that begin with `#` say nothing. Values count as secret.
///
/// # Errors
/// The file cannot be read or is longer than 64 KiB; a line is of another form.
pub fn read_headers(env: &Env, file: &Path) -> Result<HeaderMap, OtlpError> {
    let bytes = read_file(&*env.fs, file, FILE_MAX_BYTES)?;
    let mut headers = HeaderMap::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let (name, value) = header(line).ok_or(OtlpError::NotAHeader { line: at + 1 })?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = HeaderName::from_bytes(name).ok()?;
    let mut value =
        HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok().filter(|value| !value.is_empty())?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use stemedb_env::OpenMode;

    use super::*;

    fn read(text: &str) -> Result<HeaderMap, OtlpError> {
        let (env, _sim) = Env::sim(1);
        env.fs
            .open(Path::new("/headers"), OpenMode::CreateNew)
            .unwrap()
            .write_all_at(text.as_bytes(), 0)
            .unwrap();
        read_headers(&env, Path::new("/headers"))
    }

    #[test]
    fn headers_are_read_line_by_line_and_never_shown() {
        let headers =
            read("# the collector's key\nAuthorization: Bearer a:b\r\n\nX-Tenant:  seven \n").unwrap();
        assert_eq!(
            (headers["authorization"].as_bytes(), headers["x-tenant"].as_bytes()),
            (&b"Bearer a:b"[..], &b"seven"[..])
        );
        assert_eq!(headers.len(), 2);
        assert!(!format!("{headers:?}").contains("seven"));
        for (text, at) in
            [("Authorization", 1), ("A: b\n: c", 2), ("\n\nA b: c", 3), ("A:", 1), ("A: \u{1}", 1)]
        {
            let error = read(text).unwrap_err();
            assert!(matches!(error, OtlpError::NotAHeader { line } if line == at), "{text}: {error}");
            assert!(!error.to_string().contains("Authorization"), "{error}");
        }
    }
}
