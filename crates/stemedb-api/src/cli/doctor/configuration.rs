//! What the server is configured to be.

use stemedb_api::config::{self, Settings, Sources};
use stemedb_env::Env;

use super::{DoctorArgs, Finding, Report, Runbook};

/// Reads the configuration as `serve` would. What is wrong with it is found; then what is built in stands in for it.
pub(super) fn look(env: &Env, args: &DoctorArgs, report: &mut Report) -> Settings {
    // Of a server that may be anywhere the configuration of this machine says nothing.
    if args.url.is_some() && args.config.is_none() {
        return Settings::default();
    }
    let mut settings = match config::load(env, &Sources::of_process(args.config.clone(), Vec::new())) {
        Ok(config) => {
            report.looked_at(match config.file() {
                Some(path) => path.display().to_string(),
                None => format!("no configuration file ({} is not there)", config::DEFAULT_FILE),
            });
            let settings = config.settings();
            judge(&settings, report);
            settings
        }
        Err(problems) => {
            report.looked_at("the configuration");
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let text = format!("the server would not start with this configuration: {}", all.join("; "));
            report.push(Finding::critical("configuration", text, Runbook::ServerWontStart));
            Settings::default()
        }
    };
    if let Some(dir) = &args.data_dir {
        settings.data_dir.clone_from(dir);
    }
    settings
}

/// Settings that are allowed, and mostly left over from a repair.
fn judge(settings: &Settings, report: &mut Report) {
    if !settings.database.engine.lsm.enable_auto_compaction {
        let text =
            "enable_auto_compaction is false: tables are merged on request alone, and their number grows";
        report.push(Finding::warning("auto_compaction", text, Runbook::HighStorageErrorRate));
    }
    if settings.init {
        let text = "init is true: a disk that is not mounted becomes a new, empty database";
        report.push(Finding::warning("init", text, Runbook::ServerWontStart));
    }
}
