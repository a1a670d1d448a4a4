//! What the name of a sidecar says.

use std::ops::RangeInclusive;

use stemedb_env::Lsn;

use super::format::MadeFrom;

/// First and last LSN that a sidecar covers, and what it was made from. Names sort by the first LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SidecarName {
    pub first: Lsn,
    pub last: Lsn,
    pub made_from: MadeFrom,
}

impl SidecarName {
    pub fn lsns(&self) -> RangeInclusive<Lsn> {
        self.first..=self.last
    }

    /// True if some LSN is covered by both.
    pub fn meets(&self, other: &SidecarName) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    pub fn file_name(&self) -> String {
        let made_from = match self.made_from {
            MadeFrom::Table => "table",
            MadeFrom::Journal => "journal",
        };
        format!("{:020}-{:020}.{made_from}.keys", self.first.0, self.last.0)
    }

    /// `None` for other files.
    pub fn parse(name: &str) -> Option<SidecarName> {
        let (lsns, made_from) = name.strip_suffix(".keys")?.split_once('.')?;
        let made_from = match made_from {
            "table" => MadeFrom::Table,
            "journal" => MadeFrom::Journal,
            _ => return None,
        };
        let (first, last) = lsns.split_once('-')?;
        let lsn = |digits: &str| {
            let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| plain).map(Lsn)
        };
        let name = SidecarName { first: lsn(first)?, last: lsn(last)?, made_from };
        (Lsn::ZERO < name.first && name.first <= name.last).then_some(name)
    }
}

/// The name of a file that is being written.
pub(super) fn temporary_name(nonce: u64) -> String {
    format!("next.{nonce:016x}.tmp")
}

/// True for the names of the files of the folder, temporary ones too.
pub(crate) fn is_sidecar_name(name: &str) -> bool {
    SidecarName::parse(name).is_some() || (name.starts_with("next.") && name.ends_with(".tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_taken() {
        for made_from in [MadeFrom::Table, MadeFrom::Journal] {
            let name = SidecarName { first: Lsn(7), last: Lsn::MAX, made_from };
            assert_eq!(SidecarName::parse(&name.file_name()), Some(name));
            assert!(is_sidecar_name(&name.file_name()));
        }
        let others = [
            "7-9.table.keys",
            "00000000000000000009-00000000000000000007.table.keys",
            "00000000000000000000-00000000000000000007.table.keys",
            "00000000000000000007-00000000000000000009.keys",
            "00000000000000000007-00000000000000000009.table.keys.tmp",
            "notes.txt",
        ];
        assert!(others.iter().all(|name| SidecarName::parse(name).is_none() && !is_sidecar_name(name)));
        assert!(is_sidecar_name(&temporary_name(3)));
    }
}
