//! The files as they are sent: with their tags, and compressed.

use std::{io::Write, sync::LazyLock};

use axum::{
    body::Bytes,
    http::{HeaderMap, header},
};
use flate2::{Compression, write::GzEncoder};

use super::assets::{ASSETS, Asset};

/// How a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Gzip,
}

impl Coding {
    /// Gzip where the client says that it reads it.
    pub fn for_request(request: &HeaderMap) -> Coding {
        let accepted =
            request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let is_gzip = |one: &str| {
            let mut parts = one.split(';').map(str::trim);
            let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            is_named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        };
        match accepted.flat_map(|list| list.split(',')).any(is_gzip) {
            true => Coding::Gzip,
            false => Coding::Plain,
        }
    }
}

/// A file with what is sent of it. Made at the first request, once: some milliseconds and some dozen kilobytes.
#[derive(Debug)]
pub(super) struct Packed {
    asset: &'static Asset,
    /// Strong tags: each names one sequence of bytes.
    tag: String,
    gzip_tag: String,
    gzip: Bytes,
}

static PACKED: LazyLock<Vec<Packed>> = LazyLock::new(|| ASSETS.iter().map(Packed::new).collect());

impl Packed {
    /// The file of that name.
    pub fn named(name: &str) -> Option<&'static Packed> {
        PACKED.iter().find(|packed| packed.asset.name == name)
    }

    fn new(asset: &'static Asset) -> Packed {
        let hash = blake3::hash(asset.bytes).to_hex();
        let hash = hash.get(..32).unwrap_or_default();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing into memory does not fail; if it did, the client would get what cannot be unpacked, and say so.
        let gzip = encoder.write_all(asset.bytes).and_then(|()| encoder.finish()).unwrap_or_default();
        Packed { asset, tag: format!("\"{hash}\""), gzip_tag: format!("\"{hash}-gz\""), gzip: gzip.into() }
    }

    pub fn media_type(&self) -> &'static str {
        self.asset.media_type
    }

    pub fn tag(&self, coding: Coding) -> &str {
        match coding {
            Coding::Plain => &self.tag,
            Coding::Gzip => &self.gzip_tag,
        }
    }

    pub fn body(&self, coding: Coding) -> Bytes {
        match coding {
            Coding::Plain => Bytes::from_static(self.asset.bytes),
            Coding::Gzip => self.gzip.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::http::HeaderValue;

    use super::*;

    fn coding(accept: &'static str) -> Coding {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
        Coding::for_request(&headers)
    }

    #[test]
    fn gzip_is_sent_to_whoever_reads_it() {
        assert_eq!(coding("br, GZIP;q=0.8"), Coding::Gzip);
        assert_eq!(coding("gzip;q=0, identity"), Coding::Plain);
        assert_eq!(coding("br"), Coding::Plain);
        assert_eq!(Coding::for_request(&HeaderMap::new()), Coding::Plain);
    }

    #[test]
    fn every_file_unpacks_to_itself_has_tags_of_its_own_and_all_are_small() {
        let mut tags: Vec<&str> = Vec::new();
        let mut bytes = 0;
        for packed in PACKED.iter() {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&*packed.gzip).read_to_end(&mut plain).unwrap();
            assert!(!plain.is_empty() && plain == packed.asset.bytes, "{}", packed.asset.name);
            tags.extend([packed.tag(Coding::Plain), packed.tag(Coding::Gzip)]);
            bytes += packed.gzip.len();
        }
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 2 * ASSETS.len());
        assert!(bytes < 64 << 10, "{bytes} bytes are sent for the whole console");
    }
}
