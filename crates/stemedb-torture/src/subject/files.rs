//! What the files of a journal's folder are, by their names (`docs/formats/journal.md`).

use std::path::Path;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// `live.NNNNNN.wal`
    Live(u64),
    /// `segment.NNNNNN.wal`
    Released(u64),
    /// `segment.NNNNNN.wal.zst`, or whatever a released segment is packed into
    Packed(u64),
    /// `HEAD`
    Head,
    /// Anything that ends in `.tmp`: nobody may rely on it.
    Temporary,
    /// Anything else.
    Other,
}

impl FileKind {
    /// The kind of the file at `path`.
    pub fn of(path: &Path) -> FileKind {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let number = |prefix: &str| name.strip_prefix(prefix)?.strip_suffix(".wal")?.parse().ok();
        let packed = || name.strip_prefix("segment.")?.split_once(".wal.")?.0.parse().ok();
        if name == "HEAD" {
            FileKind::Head
        } else if name.ends_with(".tmp") {
            FileKind::Temporary
        } else if let Some(id) = number("live.") {
            FileKind::Live(id)
        } else if let Some(id) = number("segment.") {
            FileKind::Released(id)
        } else if let Some(id) = packed() {
            FileKind::Packed(id)
        } else {
            FileKind::Other
        }
    }

    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            FileKind::Live(_) => "live",
            FileKind::Released(_) => "released",
            FileKind::Packed(_) => "packed",
            FileKind::Head => "head",
            FileKind::Temporary => "temporary",
            FileKind::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_kind() {
        let kind = |name: &str| FileKind::of(&Path::new("/db/wal").join(name));
        assert_eq!(kind("live.000007.wal"), FileKind::Live(7));
        assert_eq!(kind("segment.000001.wal"), FileKind::Released(1));
        assert_eq!(kind("segment.000001.wal.zst"), FileKind::Packed(1));
        assert_eq!(kind("HEAD"), FileKind::Head);
        assert_eq!(kind("next.000008.tmp"), FileKind::Temporary);
    }
}
