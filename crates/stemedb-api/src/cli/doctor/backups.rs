//! How old the newest backup is that was proven by restoring it.

use stemedb_api::backup::{self, Catalog};
use stemedb_env::{Env, Micros};

use super::{DoctorArgs, Finding, Report, Runbook};

/// Looks into the target, if one is known.
pub(super) fn look(env: &Env, target: Option<&str>, args: &DoctorArgs, report: &mut Report) {
    let Some(text) = target else {
        // A server that is asked alone says itself whether it has a target.
        if args.url.is_none() {
            let text =
                "no target of backups is configured (`to` of [backup]), and none was named with --backups";
            report.push(Finding::warning("backups", text, Runbook::RestoreFromBackup));
        }
        return;
    };
    let found = backup::open_target(env, text).and_then(|target| {
        report.looked_at(format!("backups in {}", target.describe()));
        Catalog::load(&*target)
    });
    let finding = match found {
        Ok(catalog) => judge(&catalog, env.clock.wall(), args.backup_hours),
        Err(error) => Some(Finding::critical(
            "backups",
            format!("the backups cannot be looked at: {error}"),
            Runbook::RestoreFromBackup,
        )),
    };
    if let Some(finding) = finding {
        report.push(finding);
    }
}

fn judge(catalog: &Catalog, now: Micros, hours: u64) -> Option<Finding> {
    let Some((name, newest)) = catalog.verified().next_back() else {
        let text = match catalog.backups.len() {
            0 => "there is no backup".to_owned(),
            more => format!("none of {more} backups was proven by restoring it"),
        };
        return Some(Finding::warning("backups", text, Runbook::RestoreFromBackup));
    };
    let age_hours = (now.0 - newest.created_at).max(0) as u64 / 3_600_000_000;
    if age_hours >= hours {
        let text = format!("the newest proven backup, {name}, is {age_hours} hours old");
        return Some(Finding::warning("backups", text, Runbook::RestoreFromBackup));
    }
    let damaged: Vec<&str> = catalog
        .backups
        .iter()
        .filter(|entry| entry.metadata.is_err())
        .map(|entry| entry.name.as_str())
        .collect();
    if damaged.is_empty() {
        return None;
    }
    let text = format!("of these backups the description is damaged: {}", damaged.join(", "));
    Some(Finding::warning("backups", text, Runbook::RestoreFromBackup))
}
