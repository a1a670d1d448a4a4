//! Old backups, and what nobody names any more.

use std::collections::BTreeSet;

use super::{
    BackupTarget, Catalog, CatalogEntry, Error, Result,
    catalog::{metadata_name, verified_name},
};

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CleanReport {
    /// Backups, oldest first.
    pub backups: Vec<String>,
    /// Objects that no backup names any more.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Removes backups that are older than the newest `keep` verified ones of their database and timeline, and then every part
/// that no backup names. Others' parts stay.
///
/// Only verified backups count: where there are fewer than `keep` nothing is removed. Refuses while somebody writes into
/// the target, unless `force` says that he is known to be dead, and when any backup's metadata cannot be read: what that
/// one needs is not known. Cost: a list of all objects.
///
/// Errors: [`Error::Refused`]; those of the target. If it is cut short, running it again goes on.
pub fn clean(target: &dyn BackupTarget, keep: usize, force: bool) -> Result<CleanReport> {
    if keep == 0 {
        return Err(Error::Refused("at least one backup must be kept".to_owned()));
    }
    let writers = target.list("writing/")?;
    if let Some(writer) = writers.first().filter(|_| !force) {
        let what = format!("{} says that a backup is being written into {}", writer.name, target.describe());
        return Err(Error::Refused(what));
    }
    let catalog = Catalog::load(target)?;
    if let Some(CatalogEntry { name, metadata: Err(problem), .. }) =
        catalog.backups.iter().find(|entry| entry.metadata.is_err())
    {
        return Err(Error::Refused(format!("it is not known what {name} needs: {problem}")));
    }
    let mut report = CleanReport::default();
    let mut needed = BTreeSet::new();
    for (name, metadata) in catalog.backups.iter().filter_map(CatalogEntry::usable) {
        let newer = catalog
            .verified()
            .filter(|(other, found)| {
                found.database == metadata.database && found.timeline == metadata.timeline && *other > name
            })
            .count();
        if newer >= keep {
            report.backups.push(name.to_owned());
        } else {
            needed.extend(metadata.files.iter().flat_map(|file| &file.parts).map(super::Part::object));
        }
    }
    for name in &report.backups {
        // What it names may be gone from now on.
        target.delete(&verified_name(name))?;
        target.delete(&metadata_name(name))?;
    }
    target.settle()?;
    for object in target.list("blobs/")? {
        if !needed.contains(&object.name) {
            target.delete(&object.name)?;
            report.objects += 1;
            report.bytes = report.bytes.saturating_add(object.bytes);
        }
    }
    for object in target.list("tmp/")?.into_iter().chain(writers) {
        target.delete(&object.name)?;
    }
    target.settle()?;
    Ok(report)
}
