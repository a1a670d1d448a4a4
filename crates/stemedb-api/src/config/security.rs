//! `[security]` and `[audit]`: the forms of their texts, and what a router is told.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use axum::http::HeaderValue;
use ipnet::IpNet;

use super::Settings;
use crate::http::{AuditOptions, AuthMode, AuthOptions, Group, LimitOptions, Rate, SecurityOptions};

/// A list without members, as all layers write it: an empty text would be a slip.
const NONE: &str = "none";

/// Who may do what, beside when keys are asked for; and what is written down of it.
#[derive(Clone, Debug, Default)]
pub struct SecuritySettings {
    /// The admin plane asks also programs on this machine for a key.
    pub admin_needs_key: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whose pages may read replies.
    pub cors_origins: Vec<HeaderValue>,
    /// What one caller may ask for.
    pub limits: LimitOptions,
    /// Where it is written down who did what.
    pub audit: AuditSettings,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Where it is.
    pub place: AuditPlace,
    /// Size at which a new file is begun, in bytes.
    pub file_bytes: u64,
    /// How many complete files are kept; 0: all.
    pub keep_files: usize,
}

/// Where the audit log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditPlace {
    /// `audit.log` in the database's folder.
    DataDir,
    /// This file, and complete ones beside it.
    File(PathBuf),
    /// Nowhere: nothing is written down.
    Off,
}

impl Default for AuditSettings {
    fn default() -> AuditSettings {
        AuditSettings { place: AuditPlace::DataDir, file_bytes: 64 << 20, keep_files: 0 }
    }
}

impl AuditPlace {
    /// What a path means: `off` is none.
    pub(super) fn of(path: PathBuf) -> AuditPlace {
        if path == Path::new("off") { AuditPlace::Off } else { AuditPlace::File(path) }
    }
}

impl Settings {
    /// True where others than programs on this machine reach the server: by its address, or through a proxy.
    pub fn is_reachable_by_others(&self) -> bool {
        !self.bind.ip().is_loopback() || self.is_tls_terminated_by_proxy
    }

    /// What a router is told. Without a word from its operator a server that others can reach asks for keys.
    pub fn security_options(&self) -> SecurityOptions {
        let unsaid = if self.is_reachable_by_others() { AuthMode::Required } else { AuthMode::Auto };
        SecurityOptions {
            auth: AuthOptions {
                mode: self.auth.unwrap_or(unsaid),
                local_admin: !self.security.admin_needs_key,
                trusted_proxies: self.security.trusted_proxies.clone(),
            },
            limits: self.security.limits,
            cors_origins: self.security.cors_origins.clone(),
        }
    }

    /// How the audit log is opened; `None` if there is none.
    pub fn audit_options(&self) -> Option<AuditOptions> {
        let AuditSettings { place, file_bytes, keep_files } = &self.security.audit;
        let file = match place {
            AuditPlace::Off => return None,
            AuditPlace::File(file) => file.clone(),
            AuditPlace::DataDir => self.data_dir.join("audit.log"),
        };
        Some(AuditOptions { file, rotate_bytes: *file_bytes, keep: *keep_files })
    }
}

/// What [`networks`] takes, for people.
pub(super) const NETWORKS_FORM: &str =
    "networks such as 10.0.0.0/8 or addresses, with commas between them, or none";

/// Reads networks; `None` where one of them is none.
pub(super) fn networks(text: &str) -> Option<Vec<IpNet>> {
    let network = |part: &str| {
        let address = || part.parse::<IpAddr>().map(IpNet::from);
        part.parse::<IpNet>().or_else(|_| address()).ok()
    };
    list(text, network)
}

/// What [`origins`] takes, for people.
pub(super) const ORIGINS_FORM: &str =
    "origins such as https://app.example without a path, with commas between them, or none";

/// Reads origins as browsers send them; `None` where one of them is none.
pub(super) fn origins(text: &str) -> Option<Vec<HeaderValue>> {
    let origin = |part: &str| {
        let host = part.strip_prefix("https://").or_else(|| part.strip_prefix("http://"))?;
        let is_host = !host.is_empty() && !host.contains(['/', '*', ' ', '?', '#', '@']);
        is_host.then(|| HeaderValue::try_from(part).ok())?
    };
    list(text, origin)
}

/// What [`limits`] takes, for people.
pub(super) const LIMITS_FORM: &str = "reads, writes, bulk or admin, = units/seconds or off, with commas between them, such as reads=100/1,bulk=off";

/// Reads limits; the groups that it does not name keep what is built in. `None` where it is of no such form, or names a group
/// twice.
pub(super) fn limits(text: &str) -> Option<LimitOptions> {
    let mut limits = LimitOptions::default();
    let mut named = Vec::new();
    for (group, rate) in list(text, limit)? {
        if named.contains(&group) {
            return None;
        }
        named.push(group);
        let place = match group {
            Group::Reads => &mut limits.reads,
            Group::Writes => &mut limits.writes,
            Group::Bulk => &mut limits.bulk,
            Group::Admin => &mut limits.admin,
        };
        *place = rate;
    }
    (!named.is_empty()).then_some(limits)
}

fn limit(text: &str) -> Option<(Group, Option<Rate>)> {
    let (name, limit) = text.split_once('=')?;
    let group = Group::ALL.into_iter().find(|group| group.name() == name)?;
    if limit == "off" {
        return Some((group, None));
    }
    let (quota, window) = limit.split_once('/')?;
    match (number(quota)?, number(window)?) {
        (quota @ 1.., window_seconds @ 1..=86_400) => Some((group, Some(Rate { quota, window_seconds }))),
        _ => None,
    }
}

/// Digits alone: `parse` would take a plus sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn list<T>(text: &str, member: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    if text == NONE {
        return Some(Vec::new());
    }
    text.split(',').map(|part| member(part.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_strictly_and_leave_other_groups_alone() {
        let rate = |quota, window_seconds| Some(Rate { quota, window_seconds });
        let read = limits("reads=10/60, bulk=off").unwrap();
        assert_eq!((read.reads, read.bulk), (rate(10, 60), None));
        assert_eq!((read.writes, read.admin), (LimitOptions::default().writes, rate(600, 60)));
        for bad in [
            "",
            "none",
            "reads",
            "reads=",
            "reads=0/1",
            "reads=1/0",
            "reads=1",
            "other=1/1",
            "reads=-1/1",
            "reads=+1/1",
            "reads=1/1,reads=2/1",
            "reads=1/1,",
            "reads=1/86401",
        ] {
            assert!(limits(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn networks_and_origins_are_read_strictly() {
        let nets = networks("10.0.0.0/8, fd00::/8,127.0.0.1").unwrap();
        let shown: Vec<String> = nets.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"]);
        assert_eq!((networks("none"), origins("none")), (Some(Vec::new()), Some(Vec::new())));
        for bad in ["", "10.0.0.0/33", "localhost", "10.0.0.0/8,", "none,10.0.0.0/8"] {
            assert!(networks(bad).is_none(), "{bad}");
        }
        assert_eq!(origins("https://app.example,http://localhost:3000").unwrap().len(), 2);
        for bad in ["", "*", "https://app.example/", "app.example", "https://", "https://*.example", "null"] {
            assert!(origins(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn whoever_is_reachable_by_others_asks_for_keys_unless_told_otherwise() {
        let mode = |bind: &str, is_tls_terminated_by_proxy, auth| {
            let bind = bind.parse().unwrap();
            let settings = Settings { bind, is_tls_terminated_by_proxy, auth, ..Settings::default() };
            settings.security_options().auth.mode
        };
        assert_eq!(mode("127.0.0.1:1", false, None), AuthMode::Auto);
        assert_eq!(mode("[::1]:1", false, None), AuthMode::Auto);
        assert_eq!(mode("127.0.0.1:1", true, None), AuthMode::Required);
        assert_eq!(mode("0.0.0.0:1", false, None), AuthMode::Required);
        assert_eq!(mode("0.0.0.0:1", false, Some(AuthMode::Writes)), AuthMode::Writes);
    }

    #[test]
    fn the_audit_log_lies_beside_the_database_elsewhere_or_nowhere() {
        let of = |place| {
            let mut settings = Settings { data_dir: "/data".into(), ..Settings::default() };
            settings.security.audit.place = place;
            settings.audit_options().map(|options| options.file)
        };
        assert_eq!(of(AuditPlace::DataDir), Some("/data/audit.log".into()));
        assert_eq!(of(AuditPlace::of("/log/a".into())), Some("/log/a".into()));
        assert_eq!(of(AuditPlace::of("off".into())), None);
    }
}
