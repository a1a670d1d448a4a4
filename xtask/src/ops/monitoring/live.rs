//! Faults in a live server, seen by a real Prometheus and told by a real Alertmanager.
//!
//! The rules are those that are shipped, with every duration divided by sixty and none above [`LONGEST_MS`]: what fires within minutes
//! fires within seconds. The real durations are promtool's to test. Thresholds are what they are, but for one that would need
//! 10 GB of tables.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use super::{
    daemon, expr,
    faults::{self, FAULTS},
    receiver::Receiver,
    rules::{self, Rule},
    scene::Scene,
    traffic::Traffic,
};
use crate::steps::{self, Outcome};

const LONGEST_MS: u64 = 20_000;
/// Alert, threshold, and what it is here.
const OTHER_THRESHOLDS: &[(&str, &str, &str)] = &[("LSMCompactionLag", "10e9", "1e5")];
/// Until an alert is told, and until its end is: the longest duration twice over, and a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Fewer would be no proof.
const ENOUGH: usize = 8;

/// The options of the server: tables are merged when somebody asks for it.
const OPTIONS: &[&str] = &["--enable-auto-compaction=false"];

/// Runs all faults.
pub fn run(root: &Path) -> Outcome {
    let mut scene = Scene::new(root, "live", OPTIONS)?;
    let (receiver, port) = Receiver::start()?;
    let alertmanager = daemon::alertmanager(&scene.folder, &routes(root, port)?)?;
    let shorter: Vec<Rule> = rules::read(root)?.into_iter().map(|rule| shortened(rule, &scene)).collect();
    let folder = scene.folder.join("rules");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    daemon::write(&folder, "rules.yml", &rules::written(&shorter))?;
    let configuration = scene.configuration(&folder, &alertmanager.url)?;
    let prometheus = daemon::prometheus(&scene.folder, &configuration)?;
    let _traffic = Traffic::start(&scene.url(""), 4, 2);
    let seen = || daemon::values(&prometheus.url, "up == 1").is_ok_and(|values| values.len() == 2);
    daemon::until("both targets are scraped", Duration::from_secs(30), seen)?;
    let told = |error: String, scene: &Scene| {
        let log = scene.told();
        let newest: Vec<&str> = log.lines().rev().take(20).collect();
        format!(
            "{error}; firing: {:?}; the server's log, newest first:\n{}",
            receiver.firing(),
            newest.join("\n")
        )
    };
    let mut proven: BTreeSet<&str> = BTreeSet::new();
    for fault in FAULTS {
        println!("{}", fault.what);
        let start = Instant::now();
        let mend = (fault.inject)(&mut scene).map_err(|error| told(error, &scene))?;
        let mut waiting: Vec<&str> = fault.alerts.to_vec();
        let all_fire = daemon::until(&format!("{:?} fire", fault.alerts), PATIENCE, || {
            waiting.retain(|name| {
                let fires = receiver.fires(name);
                if fires {
                    println!("  {name} fires after {:.1} s", start.elapsed().as_secs_f64());
                }
                !fires
            });
            waiting.is_empty()
        });
        // Also after a failure: a frozen disk would keep everybody.
        let mended = mend(&mut scene);
        all_fire.and(mended).map_err(|error| told(format!("{error}; missing: {waiting:?}"), &scene))?;
        let start = Instant::now();
        let clear = || !fault.alerts.iter().any(|name| receiver.fires(name));
        daemon::until(&format!("{:?} clear", fault.alerts), PATIENCE, clear)
            .map_err(|error| told(error, &scene))?;
        println!("  clear {:.1} s after it was put right", start.elapsed().as_secs_f64());
        faults::recovered(&scene).map_err(|error| told(error, &scene))?;
        proven.extend(fault.alerts);
    }
    ways(&receiver)?;
    println!("{} alerts have fired and cleared", proven.len());
    if proven.len() < ENOUGH { Err(format!("fewer than {ENOUGH}")) } else { Ok(()) }
}

/// What is shipped for Alertmanager, checked, with a receiver of our own and no waiting.
fn routes(root: &Path, port: u16) -> Result<String, String> {
    let shipped = root.join("deploy/prometheus/alertmanager.yml");
    steps::command(Command::new("amtool").arg("check-config").arg(&shipped))?;
    let mut text = fs::read_to_string(&shipped).map_err(|error| format!("{}: {error}", shipped.display()))?;
    let here = format!("127.0.0.1:{port}");
    let changes: [(&str, &str); 3] =
        [("30s", "500ms"), ("group_interval: 5m", "group_interval: 1s"), ("127.0.0.1:9099", &here)];
    for (from, to) in changes {
        if !text.contains(from) {
            return Err(format!("the shipped alertmanager.yml has no {from}"));
        }
        text = text.replace(from, to);
    }
    Ok(text)
}

/// The same rule for a minute instead of an hour, on this scene's disk.
fn shortened(rule: Rule, scene: &Scene) -> Rule {
    let shorter = |seconds: f64| ((seconds * 1000.0 / 60.0) as u64).clamp(1_000, LONGEST_MS);
    let mut expr = expr::with_durations(&rule.expr, &shorter)
        .replace("/var/lib/stemedb", &scene.disk.dir().display().to_string());
    for (alert, from, to) in OTHER_THRESHOLDS {
        if rule.name == *alert {
            expr = expr.replace(from, to);
        }
    }
    let hold = expr::seconds(&rule.hold).map_or(String::new(), |seconds| format!("{}ms", shorter(seconds)));
    Rule { expr, hold, ..rule }
}

/// Critical ones went to the pager, all others did not.
fn ways(receiver: &Receiver) -> Outcome {
    let ways = receiver.ways();
    let is_right = |(path, severity): &(String, String)| (path == "/pager") == (severity == "critical");
    if ways.len() < 2 || !ways.iter().all(is_right) {
        return Err(format!("alerts went the wrong way: {ways:?}"));
    }
    println!("critical alerts reached the pager, the others the tickets");
    Ok(())
}
