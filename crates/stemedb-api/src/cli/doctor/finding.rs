//! What was found, and how it is said.

use std::io::Write;

use serde::Serialize;

use super::{Failure, paint};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// Good to know; nothing to do.
    Info,
    /// To be looked after before it gets worse.
    Warning,
    /// Something does not work, or may be lost.
    Critical,
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// The page that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runbook {
    DiskFull,
    HighQueryLatency,
    HighStorageErrorRate,
    MemoryExhaustion,
    RestoreFromBackup,
    ServerWontStart,
    SlowFsync,
    WalFsyncFailure,
}

impl Runbook {
    /// Its path in the sources.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Runbook::DiskFull => "docs/operations/runbooks/disk-full.md",
            Runbook::HighQueryLatency => "docs/operations/runbooks/high-query-latency.md",
            Runbook::HighStorageErrorRate => "docs/operations/runbooks/high-storage-error-rate.md",
            Runbook::MemoryExhaustion => "docs/operations/runbooks/memory-exhaustion.md",
            Runbook::RestoreFromBackup => "docs/operations/runbooks/restore-from-backup.md",
            Runbook::ServerWontStart => "docs/operations/runbooks/server-wont-start.md",
            Runbook::SlowFsync => "docs/operations/runbooks/slow-fsync.md",
            Runbook::WalFsyncFailure => "docs/operations/runbooks/wal-fsync-failure.md",
        }
    }
}

impl Serialize for Runbook {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.path())
    }
}

/// One thing that was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// What was looked at: a stable word for scripts.
    pub(super) check: &'static str,
    pub(super) text: String,
    pub(super) runbook: Runbook,
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        check: &'static str,
        text: impl Into<String>,
        runbook: Runbook,
    ) -> Finding {
        Finding { severity, check, text: text.into(), runbook }
    }

    pub(super) fn info(check: &'static str, text: impl Into<String>, runbook: Runbook) -> Finding {
        Finding::new(Severity::Info, check, text, runbook)
    }

    pub(super) fn warning(check: &'static str, text: impl Into<String>, runbook: Runbook) -> Finding {
        Finding::new(Severity::Warning, check, text, runbook)
    }

    pub(super) fn critical(check: &'static str, text: impl Into<String>, runbook: Runbook) -> Finding {
        Finding::new(Severity::Critical, check, text, runbook)
    }
}

/// Everything that was found, and what was looked at.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    findings: Vec<Finding>,
    looked_at: Vec<String>,
}

impl Report {
    /// Adds a finding. Of two about the same thing the worse one stays: a full disk is seen by the server and in its folder.
    pub(super) fn push(&mut self, finding: Finding) {
        match self.findings.iter_mut().find(|found| found.check == finding.check) {
            Some(found) if found.severity < finding.severity => *found = finding,
            Some(_) => {}
            None => self.findings.push(finding),
        }
    }

    /// Says that something was looked at, whatever was found there.
    pub(super) fn looked_at(&mut self, what: impl Into<String>) {
        self.looked_at.push(what.into());
    }

    /// How many findings ask for something.
    pub(super) fn to_do(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity > Severity::Info).count()
    }

    fn verdict(&self) -> &'static str {
        match self.findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Critical) => "critical",
            Some(Severity::Warning) => "warning",
            Some(Severity::Info) | None => "healthy",
        }
    }

    /// As JSON, the worst first.
    pub(super) fn json(&mut self) -> serde_json::Value {
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let mut line = serde_json::json!({ "verdict": self.verdict() });
        if let (Some(line), Ok(serde_json::Value::Object(report))) =
            (line.as_object_mut(), serde_json::to_value(&*self))
        {
            line.extend(report);
        }
        line
    }

    /// Prints it, the worst first.
    pub(super) fn print(&mut self, json: bool) -> Result<(), Failure> {
        let line = self.json();
        let mut out = anstream::stdout().lock();
        if json {
            writeln!(out, "{line}")?;
            return Ok(());
        }
        for Finding { severity, check, text, runbook } in &self.findings {
            let style = match severity {
                Severity::Critical => paint::ERROR,
                Severity::Warning => paint::WARN,
                Severity::Info => paint::FAINT,
            };
            let name = paint::paint(style, &paint::left(severity.name(), 9));
            writeln!(out, "{name} {}: {}", check, paint::visible(text))?;
            writeln!(out, "          {}", runbook.path())?;
        }
        writeln!(out, "looked at {}", self.looked_at.join(", "))?;
        let verdict = match self.to_do() {
            0 => paint::paint(paint::GOOD, "nothing to do"),
            _ => paint::paint(paint::STRONG, self.verdict()),
        };
        writeln!(out, "verdict   {verdict}")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Runbook; 8] = [
        Runbook::DiskFull,
        Runbook::HighQueryLatency,
        Runbook::HighStorageErrorRate,
        Runbook::MemoryExhaustion,
        Runbook::RestoreFromBackup,
        Runbook::ServerWontStart,
        Runbook::SlowFsync,
        Runbook::WalFsyncFailure,
    ];

    #[test]
    #[allow(clippy::disallowed_methods)] // the sources are what is looked at
    fn every_page_that_is_named_is_there() {
        let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for runbook in ALL {
            let path = sources.join(runbook.path());
            assert!(std::fs::metadata(&path).is_ok_and(|found| found.len() > 500), "{}", path.display());
        }
    }

    #[test]
    fn of_two_findings_about_the_same_the_worse_one_stays() {
        let mut report = Report::default();
        report.push(Finding::warning("disk_space", "low", Runbook::DiskFull));
        report.push(Finding::critical("disk_space", "full", Runbook::DiskFull));
        report.push(Finding::info("disk_space", "so", Runbook::DiskFull));
        report.push(Finding::info("other", "so", Runbook::DiskFull));
        assert_eq!((report.to_do(), report.verdict()), (1, "critical"));
        assert_eq!(report.findings[0].text, "full");
    }
}
