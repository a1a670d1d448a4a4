//! Which backups there are.

use serde::{Deserialize, Serialize};
use stemedb_env::Micros;

use super::{
    BackupTarget, Content, Error, Hex, Metadata, Result,
    document::{self, damaged},
};

/// How names of backups begin.
const PREFIX: &str = "stemedb-backup-";
/// The object that names the newest verified backup.
const LATEST: &str = "latest";

/// `verified.json`: a backup was restored, and was what the database had been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verified {
    pub format: u32,
    /// Digest of the metadata that it was restored from.
    pub metadata: Hex<32>,
    pub verified_at: i64,
}

/// A backup.
#[derive(Clone, Debug)]
pub struct CatalogEntry {
    /// Its name: `stemedb-backup-YYYYMMDD-HHMMSS`.
    pub name: String,
    /// What it says; or what is wrong with it.
    pub metadata: std::result::Result<Metadata, String>,
    /// It has been restored and compared.
    pub verified: bool,
}

/// Everything in a target.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// The backups, oldest name first.
    pub backups: Vec<CatalogEntry>,
    /// The one that `latest` names.
    pub latest: Option<String>,
}

pub(super) fn metadata_name(backup: &str) -> String {
    format!("{backup}/metadata.json")
}

pub(super) fn verified_name(backup: &str) -> String {
    format!("{backup}/verified.json")
}

/// Digest by which `verified.json` knows the metadata.
pub(super) fn digest_of(metadata: &Metadata) -> Result<Hex<32>> {
    Ok(Hex::from(blake3::hash(&document::encode(metadata)?)))
}

/// The name of a backup that was begun at a time.
pub(super) fn name_at(at: Micros) -> String {
    let text = stemedb_core::Micros(at.0 - at.0.rem_euclid(1_000_000)).to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at_checked(8).unwrap_or((&digits, "0"));
    format!("{PREFIX}{day}-{time}")
}

/// The metadata of one backup, checked.
pub(super) fn metadata_of(target: &dyn BackupTarget, backup: &str) -> Result<Metadata> {
    let name = metadata_name(backup);
    let metadata: Metadata = document::get(target, &name)?
        .ok_or_else(|| Error::NoBackup { target: target.describe(), wanted: format!("named {backup}") })?;
    match metadata.problem() {
        Some(problem) => Err(damaged(target, &name, problem)),
        None => Ok(metadata),
    }
}

fn is_verified(target: &dyn BackupTarget, backup: &str, metadata: &Metadata) -> Result<bool> {
    match document::get::<Verified>(target, &verified_name(backup)) {
        Ok(found) => Ok(found.is_some_and(|found| digest_of(metadata).ok() == Some(found.metadata))),
        // What cannot be read proves nothing.
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error),
    }
}

impl Catalog {
    /// Reads what is in a target. A damaged document makes its backup unusable and nothing else. Cost: two reads a backup.
    pub fn load(target: &dyn BackupTarget) -> Result<Catalog> {
        let mut backups = Vec::new();
        for name in target.folders()?.into_iter().filter(|name| name.starts_with(PREFIX)) {
            let (metadata, verified) = match metadata_of(target, &name) {
                Ok(metadata) => {
                    let verified = is_verified(target, &name, &metadata)?;
                    (Ok(metadata), verified)
                }
                // Not finished: its metadata had not been written.
                Err(Error::NoBackup { .. }) => continue,
                Err(error) if error.is_damage() => (Err(error.to_string()), false),
                Err(error) => return Err(error),
            };
            backups.push(CatalogEntry { name, metadata, verified });
        }
        Ok(Catalog { backups, latest: latest(target)? })
    }

    /// The verified backups, oldest first.
    pub fn verified(&self) -> impl DoubleEndedIterator<Item = (&str, &Metadata)> {
        self.backups.iter().filter(|entry| entry.verified).filter_map(CatalogEntry::usable)
    }

    /// A backup by its name.
    pub fn find(&self, name: &str) -> Option<&CatalogEntry> {
        self.backups.iter().find(|entry| entry.name == name)
    }
}

impl CatalogEntry {
    /// Name and metadata, if that is whole.
    pub fn usable(&self) -> Option<(&str, &Metadata)> {
        self.metadata.as_ref().ok().map(|metadata| (self.name.as_str(), metadata))
    }
}

/// What `latest` names; `None` if there is none or it is nonsense.
pub(super) fn latest(target: &dyn BackupTarget) -> Result<Option<String>> {
    let bytes = target.get(LATEST, 256)?.unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    Ok(Some(text.trim().to_owned()).filter(|name| name.starts_with(PREFIX)))
}

/// Says durably that a backup has been proven, and that it is the newest one.
pub(super) fn mark_verified(
    target: &dyn BackupTarget,
    backup: &str,
    metadata: &Metadata,
    at: Micros,
) -> Result<()> {
    let says = Verified { format: super::FORMAT, metadata: digest_of(metadata)?, verified_at: at.0 };
    document::put(target, &verified_name(backup), &says)?;
    target.settle()?;
    // An older one that is verified once more is not the newest for that.
    if latest(target)?.is_none_or(|latest| latest.as_str() < backup) {
        target.put(LATEST, Content::Bytes(format!("{backup}\n").as_bytes()))?;
        target.settle()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_time_to_the_second() {
        assert_eq!(name_at(Micros(1_800_000_000_999_999)), "stemedb-backup-20270115-080000");
        assert_eq!(name_at(Micros(0)), "stemedb-backup-19700101-000000");
    }
}
