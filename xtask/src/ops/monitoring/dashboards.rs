//! The dashboards in `deploy/grafana`, made of `panels.txt` and the registry of series.

use serde_json::{Value, json};

use super::registry::{Registry, Series};

/// Where they are kept, below the repository's root.
pub const FOLDER: &str = "deploy/grafana";

/// One dashboard.
#[derive(Debug, Default)]
pub struct Dashboard {
    pub uid: String,
    title: String,
    panels: Vec<Panel>,
}

#[derive(Clone, Debug, Default)]
struct Panel {
    /// `row`, `graph` or `stat`.
    kind: String,
    title: String,
    unit: String,
    warn: Option<f64>,
    bad: Option<f64>,
    descriptions: Vec<String>,
    /// Expressions with their legends.
    queries: Vec<(String, String)>,
}

impl Dashboard {
    /// Every query of every panel, with the panel's title.
    pub fn queries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.panels
            .iter()
            .flat_map(|panel| panel.queries.iter().map(|(expr, _)| (panel.title.as_str(), expr.as_str())))
    }

    /// The file that it is kept in.
    pub fn file(&self) -> String {
        format!("{FOLDER}/{}.json", self.uid)
    }
}

/// All dashboards.
pub fn all(registry: &Registry) -> Result<Vec<Dashboard>, String> {
    parse(include_str!("panels.txt"), registry).map_err(|error| format!("panels.txt: {error}"))
}

fn parse(text: &str, registry: &Registry) -> Result<Vec<Dashboard>, String> {
    let mut dashboards: Vec<Dashboard> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let told = |error: &str| format!("line {}: {error}: {line}", at + 1);
        let words = line.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        if let Some(rest) = line.strip_prefix("dashboard ") {
            let (uid, title) = rest.split_once("  ").ok_or_else(|| told("no title"))?;
            let (uid, title) = (uid.to_owned(), title.to_owned());
            dashboards.push(Dashboard { uid, title, panels: Vec::new() });
            continue;
        }
        let panels = &mut dashboards.last_mut().ok_or_else(|| told("no dashboard"))?.panels;
        if !line.starts_with(' ') {
            panels.push(head(line).ok_or_else(|| told("not understood"))?);
            continue;
        }
        let panel = panels.last_mut().ok_or_else(|| told("no panel"))?;
        if let Some(written) = words.strip_prefix("= ") {
            let (expr, legend) = written.split_once("  ").ok_or_else(|| told("no legend"))?;
            let expr = expr.replace('@', CHOSEN).replace("[~]", "[$__rate_interval]");
            panel.queries.push((expr, legend.to_owned()));
        } else if let Some(says) = words.strip_prefix("? ") {
            panel.descriptions.push(says.to_owned());
        } else {
            let (name, by) = words.split_once(" by ").unwrap_or((words, ""));
            let series = registry.get(name).ok_or_else(|| told("no such series"))?;
            add(panel, series, by).map_err(|error| told(&error))?;
        }
    }
    Ok(dashboards)
}

fn head(line: &str) -> Option<Panel> {
    let mut parts = line.split("  ");
    let (kind, title) = parts.next()?.split_once(' ')?;
    let mut panel = Panel { kind: kind.to_owned(), title: title.to_owned(), ..Panel::default() };
    for part in parts {
        match part.split_once(' ')? {
            ("unit", unit) => panel.unit = unit.to_owned(),
            ("warn", number) => panel.warn = Some(number.parse().ok()?),
            ("bad", number) => panel.bad = Some(number.parse().ok()?),
            _ => return None,
        }
    }
    matches!(kind, "row" | "graph" | "stat").then_some(panel)
}

/// The instances that are chosen above a dashboard.
const CHOSEN: &str = "instance=~\"$instance\"";

/// Adds what a series' kind asks for.
fn add(panel: &mut Panel, series: &Series, by: &str) -> Result<(), String> {
    let unit = unit(series);
    if panel.unit.is_empty() {
        panel.unit = unit.to_owned();
    } else if panel.unit != unit && !panel.queries.is_empty() {
        return Err(format!("another unit than the series before: {unit}"));
    }
    if let Some(unknown) =
        by.split(',').find(|label| !label.is_empty() && !series.labels.iter().any(|has| has == label))
    {
        return Err(format!("it has no label {unknown}"));
    }
    panel.descriptions.push(series.help.clone());
    let name = &series.name;
    let labels: Vec<&str> =
        ["instance"].into_iter().chain(by.split(',').filter(|label| !label.is_empty())).collect();
    let (list, each) = (
        labels.join(", "),
        labels.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" "),
    );
    let short = name.trim_start_matches("stemedb_").trim_end_matches("_total").replace('_', " ");
    match series.kind.as_str() {
        "counter" => {
            let expr = format!("sum by ({list}) (rate({name}{{{CHOSEN}}}[$__rate_interval]))");
            panel.queries.push((expr, format!("{each} {short}")));
        }
        "histogram" => {
            for (part, quantile) in [("median", 0.5), ("99 %", 0.99)] {
                let rate = format!("rate({name}_bucket{{{CHOSEN}}}[$__rate_interval])");
                let list = labels.join(", ");
                let expr = format!("histogram_quantile({quantile}, sum by ({list}, le) ({rate}))");
                panel.queries.push((expr, format!("{each} {part}")));
            }
        }
        _ if is_moment(series) => panel.queries.push((format!("time() - {name}{{{CHOSEN}}}"), each)),
        _ => panel.queries.push((format!("{name}{{{CHOSEN}}}"), format!("{each} {short}"))),
    }
    Ok(())
}

fn is_moment(series: &Series) -> bool {
    series.name.ends_with("_timestamp_seconds") || series.name.ends_with("_start_time_seconds")
}

/// Grafana's name of the unit in which a series is drawn.
fn unit(series: &Series) -> &'static str {
    match (series.kind.as_str(), series.unit.as_str()) {
        ("counter", "bytes") => "Bps",
        // Seconds of each second.
        ("counter", "seconds") => "percentunit",
        ("counter", _) => "cps",
        (_, "bytes") => "bytes",
        (_, "seconds") => "s",
        (_, "ratio") if series.name.ends_with("amplification") => "none",
        (_, "ratio") => "percentunit",
        (_, "0 or 1") => "bool_yes_no",
        (_, "LSN") => "none",
        _ => "short",
    }
}

const WIDTH: u64 = 24;

/// What Grafana imports.
pub fn document(dashboard: &Dashboard) -> Value {
    let (mut panels, mut x, mut y, mut row_height) = (Vec::new(), 0, 0, 0);
    for (at, panel) in dashboard.panels.iter().enumerate() {
        let (width, height) = match panel.kind.as_str() {
            "row" => (WIDTH, 1),
            "stat" => (3, 4),
            _ => (8, 7),
        };
        if panel.kind == "row" || x + width > WIDTH {
            (x, y) = (0, y + row_height);
            row_height = 0;
        }
        let place = json!({"x": x, "y": y, "w": width, "h": height});
        panels.push(drawn(panel, at + 1, &place));
        (x, row_height) = (x + width, row_height.max(height));
    }
    json!({
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": "Made by cargo xtask monitoring from docs/operations/metrics.md",
        "tags": ["stemedb"],
        "schemaVersion": 38,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
            {
                "name": "instance", "label": "Server", "type": "query", "datasource": source(),
                "query": {"query": VARIABLE, "refId": "instance"}, "refresh": 2,
                "includeAll": true, "multi": true, "current": {"text": "All", "value": "$__all"},
            },
        ]},
        "panels": panels,
    })
}

/// What the list of servers is made of.
pub const VARIABLE: &str = "label_values(up{job=\"stemedb\"}, instance)";

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn drawn(panel: &Panel, id: usize, place: &Value) -> Value {
    if panel.kind == "row" {
        return json!({"id": id, "type": "row", "title": panel.title, "collapsed": false, "gridPos": place, "panels": []});
    }
    let letters = ('A'..='Z').map(String::from);
    let targets: Vec<Value> = letters
        .zip(&panel.queries)
        .map(|(letter, (expr, legend))| json!({"refId": letter, "expr": expr, "legendFormat": legend, "datasource": source()}))
        .collect();
    let mut defaults = json!({"unit": panel.unit, "thresholds": thresholds(panel)});
    if panel.kind == "graph" {
        defaults["custom"] = json!({"fillOpacity": 8, "lineWidth": 1, "showPoints": "never"});
        if panel.bad.is_some() {
            defaults["custom"]["thresholdsStyle"] = json!({"mode": "line"});
        }
    }
    let (kind, options) = match panel.kind.as_str() {
        "stat" => ("stat", json!({"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"})),
        _ => (
            "timeseries",
            json!({"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list", "placement": "bottom"}}),
        ),
    };
    json!({
        "id": id, "type": kind, "title": panel.title, "description": panel.descriptions.join("; "), "gridPos": place,
        "datasource": source(), "targets": targets, "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    })
}

fn thresholds(panel: &Panel) -> Value {
    let step = |color: &str, value: Option<f64>| json!({"color": color, "value": value});
    let steps = match (panel.warn, panel.bad) {
        // Less is worse: red from the bottom, yellow from the one, green from the other.
        (Some(warn), Some(bad)) if warn > bad => {
            vec![step("red", None), step("yellow", Some(bad)), step("green", Some(warn))]
        }
        (warn, bad) => {
            let steps = [("yellow", warn), ("red", bad)].into_iter().filter(|(_, value)| value.is_some());
            std::iter::once(step("green", None))
                .chain(steps.map(|(color, value)| step(color, value)))
                .collect()
        }
    };
    json!({"mode": "absolute", "steps": steps})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let series = |name: &str, kind: &str, unit: &str, labels: &[&str]| Series {
            name: name.to_owned(),
            kind: kind.to_owned(),
            unit: unit.to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            help: format!("What {name} says"),
        };
        let series = vec![
            series("stemedb_a_total", "counter", "count", &["x"]),
            series("stemedb_b_seconds", "histogram", "seconds", &[]),
            series("stemedb_c", "gauge", "bytes", &[]),
        ];
        Registry { series, ..Registry::default() }
    }

    #[test]
    fn a_series_is_drawn_as_its_kind_asks() {
        let text = "dashboard u  T\nrow R\ngraph G\n  stemedb_a_total by x\nstat H  warn 5  bad 9\n  stemedb_b_seconds\n";
        let dashboards = parse(text, &registry()).unwrap();
        let document = document(&dashboards[0]);
        let panels = document["panels"].as_array().unwrap();
        assert_eq!(
            panels[1]["targets"][0]["expr"],
            "sum by (instance, x) (rate(stemedb_a_total{instance=~\"$instance\"}[$__rate_interval]))"
        );
        assert_eq!(panels[1]["fieldConfig"]["defaults"]["unit"], "cps");
        assert_eq!(panels[1]["description"], "What stemedb_a_total says");
        assert_eq!(panels[2]["targets"].as_array().unwrap().len(), 2);
        assert_eq!(panels[2]["fieldConfig"]["defaults"]["thresholds"]["steps"][2]["value"], 9.0);
        assert_eq!(panels[2]["gridPos"], serde_json::json!({"x": 8, "y": 1, "w": 3, "h": 4}));
    }

    #[test]
    fn unknown_series_labels_and_mixed_units_are_refused() {
        let refused =
            |lines: &str| parse(&format!("dashboard u  T\ngraph G\n{lines}"), &registry()).unwrap_err();
        assert!(refused("  stemedb_z\n").starts_with("line 3: no such series"));
        assert!(refused("  stemedb_a_total by y\n").contains("no label y"));
        assert!(refused("  stemedb_a_total\n  stemedb_c\n").contains("another unit"));
    }
}
