//! The names of the formats.

use std::{fmt, path::Path, str::FromStr};

/// A format of import and export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON record a line: everything, without loss.
    #[default]
    Jsonl,
    /// Claims as a table.
    Csv,
    /// RDF quads, one a line.
    NQuads,
    /// RDF quads, with prefixes, graph by graph.
    TriG,
    /// Nanopublications in TriG.
    Nanopub,
}

/// A word that names no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is none of jsonl, csv, nquads, trig, nanopub")]
pub struct UnknownFormat;

impl Format {
    /// Every format.
    pub const ALL: [Format; 5] = [Format::Jsonl, Format::Csv, Format::NQuads, Format::TriG, Format::Nanopub];

    /// Its name in options and parameters.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
            Format::NQuads => "nquads",
            Format::TriG => "trig",
            Format::Nanopub => "nanopub",
        }
    }

    /// The media type that an export is sent with.
    pub const fn media_type(self) -> &'static str {
        match self {
            Format::Jsonl => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::NQuads => "application/n-quads",
            Format::TriG | Format::Nanopub => "application/trig",
        }
    }

    /// The format that a media type (without parameters) means, where it means one.
    pub fn of_media_type(essence: &str) -> Option<Format> {
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        match () {
            () if is("application/x-ndjson") || is("application/jsonl") || is("application/json") => {
                Some(Format::Jsonl)
            }
            () if is("text/csv") => Some(Format::Csv),
            () if is("application/n-quads") => Some(Format::NQuads),
            () if is("application/trig") => Some(Format::TriG),
            () => None,
        }
    }

    /// The format that a file's name means, `.gz` and `.zst` at its end apart.
    pub fn of_path(path: &Path) -> Option<Format> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let (_, extension) = name.rsplit_once('.')?;
        Some(match extension {
            "jsonl" | "ndjson" | "json" => Format::Jsonl,
            "csv" => Format::Csv,
            "nq" | "nquads" => Format::NQuads,
            "trig" => Format::TriG,
            "nanopub" | "np" => Format::Nanopub,
            _ => return None,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        Format::ALL.into_iter().find(|format| format.name() == name).ok_or(UnknownFormat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_format_whatever_it_is_compressed_with() {
        for (path, format) in [
            ("a/claims.jsonl", Some(Format::Jsonl)),
            ("claims.CSV.gz", Some(Format::Csv)),
            ("x.nq.zst", Some(Format::NQuads)),
            ("x.trig", Some(Format::TriG)),
            ("x.nanopub", Some(Format::Nanopub)),
            ("claims.txt", None),
            ("-", None),
            ("trig", None),
        ] {
            assert_eq!(Format::of_path(Path::new(path)), format, "{path}");
        }
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
    }
}
