//! Whether dashboards show everything, and whether everything that they show is there.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    daemon,
    dashboards::Dashboard,
    expr, http,
    registry::Registry,
    rules,
    scene::Scene,
    traffic::{self, Traffic},
};
use crate::steps::Outcome;

/// Until every query has data.
const PATIENCE: Duration = Duration::from_secs(120);

/// Series that are on no panel, and what panels name that does not exist.
pub fn missing(all: &[Dashboard], registry: &Registry) -> Vec<String> {
    let named: BTreeSet<String> =
        all.iter().flat_map(Dashboard::queries).flat_map(|(_, query)| expr::series(query)).collect();
    let is_shown = |name: &str| named.contains(name) || named.contains(&format!("{name}_bucket"));
    let hidden = registry.series.iter().filter(|series| !is_shown(&series.name));
    let mut problems: Vec<String> = hidden.map(|series| format!("{}: on no panel", series.name)).collect();
    // Series with a colon are computed by rules; a run against Prometheus shows whether they are.
    let unknown = named.iter().filter(|name| !registry.has(name) && !name.contains(':'));
    problems.extend(unknown.map(|name| format!("{name}: on a panel, and no such series")));
    problems
}

/// Asks a real Prometheus, beside a live server, for every query of every panel and every series that rules name.
pub fn with_data(root: &Path, all: &[Dashboard]) -> Outcome {
    let scene = Scene::new(root, "dashboards", &["--slow-query-ms", "0"])?;
    let configuration = scene.configuration(&root.join(rules::FOLDER), "127.0.0.1:1")?;
    let prometheus = daemon::prometheus(&scene.folder, &configuration)?;
    traffic::import(&scene.url(""), "first", 5_000)?;
    let watch = "{\"subject\":\"s1\",\"predicate\":\"p\"}";
    scene.ask("PUT", "/v1/watches/one", watch)?;
    let _traffic = Traffic::start(&scene.url(""), 2, 2);
    let rules = rules::read(root)?;
    same_rules(&prometheus.url, &rules)?;
    let mut wanted: Vec<(String, String)> = Vec::new();
    for dashboard in all {
        let queries = dashboard.queries();
        wanted
            .extend(queries.map(|(panel, query)| (format!("{}, {panel}", dashboard.uid), query.to_owned())));
        wanted.push((format!("{}, list of servers", dashboard.uid), "up{job=\"stemedb\"}".to_owned()));
    }
    let (queries, mut named) = (wanted.len(), BTreeSet::new());
    for rule in &rules {
        named.extend(expr::series(&rule.expr));
    }
    let names = named.len();
    wanted.extend(named.into_iter().map(|name| (format!("a rule names {name}"), format!("count({name})"))));
    let start = Instant::now();
    while !wanted.is_empty() && start.elapsed() < PATIENCE {
        // Compactions and conflicts are only there when somebody asks for them.
        let _ = scene.ask("POST", "/v1/admin/storage/compact", "{\"force\":true}");
        let _ = http::ask("GET", &scene.url("/v1/conflicts?limit=1"), "");
        wanted.retain(|(_, query)| !has_data(&prometheus.url, query, scene.disk.dir()));
        std::thread::sleep(Duration::from_secs(1));
    }
    let absent: Vec<String> =
        wanted.iter().map(|(what, query)| format!("{what}: no data for {query}")).collect();
    if !absent.is_empty() {
        return Err(format!("\n{}\n{}", absent.join("\n"), prometheus.told()));
    }
    println!(
        "{queries} queries of panels and {names} series of rules have data after {} s",
        start.elapsed().as_secs()
    );
    Ok(())
}

/// True if there is at least one number.
fn has_data(prometheus: &str, query: &str, disk: &Path) -> bool {
    let query = query
        .replace("$instance", ".*")
        .replace("$__rate_interval", "15s")
        .replace("/var/lib/stemedb", &disk.display().to_string());
    daemon::values(prometheus, &query).is_ok_and(|values| values.iter().any(|value| !value.is_nan()))
}

/// What Prometheus reads in the files of rules is what is read here.
fn same_rules(prometheus: &str, read: &[rules::Rule]) -> Outcome {
    let reply = http::json("GET", &format!("{prometheus}/api/v1/rules"), "")?;
    let groups = reply["data"]["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut problems = Vec::new();
    let mut count = 0;
    for rule in
        groups.iter().flat_map(|group| group["rules"].as_array().map(Vec::as_slice).unwrap_or_default())
    {
        count += 1;
        let name = rule["name"].as_str().unwrap_or_default();
        let Some(ours) = read.iter().find(|ours| ours.name == name) else {
            problems.push(format!("{name}: Prometheus alone reads it"));
            continue;
        };
        let hold = expr::seconds(&ours.hold).unwrap_or(0.0);
        let pairs = |value: &serde_json::Value, ours: &[(String, String)]| {
            ours.iter().all(|(key, text)| value[key].as_str() == Some(text))
        };
        let query = rule["query"].as_str().unwrap_or_default();
        if ours.is_alert
            && !(rule["duration"].as_f64() == Some(hold)
                && pairs(&rule["labels"], &ours.labels)
                && pairs(&rule["annotations"], &ours.annotations))
            || expr::series(query) != expr::series(&ours.expr)
        {
            problems.push(format!("{name}: Prometheus reads {rule}"));
        }
    }
    if count != read.len() {
        problems.push(format!("Prometheus reads {count} rules, and there are {}", read.len()));
    }
    println!("Prometheus reads the same {count} rules");
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::monitoring::{dashboards, registry::Series};

    #[test]
    fn a_series_on_no_panel_is_told() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut registry = Registry::read(root).unwrap();
        let all = dashboards::all(&registry).unwrap();
        assert_eq!(missing(&all, &registry), Vec::<String>::new());
        let more = Series { name: "stemedb_new_total".to_owned(), ..registry.series[0].clone() };
        registry.series.push(more);
        registry.series.retain(|series| series.name != "stemedb_ready");
        let told = missing(&all, &registry).join("\n");
        assert!(told.contains("stemedb_new_total: on no panel"), "{told}");
        assert!(told.contains("stemedb_ready: on a panel, and no such series"), "{told}");
    }
}
