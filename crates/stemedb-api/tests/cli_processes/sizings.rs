//! `sizing`: the worked example of its page, and what this machine measures in its place.

use serde_json::Value;

use crate::program::{example, run};

/// The blocks of the page that begin with a command of ours, each with what it prints.
fn blocks() -> Vec<(Vec<String>, String)> {
    let page = example("x").parent().unwrap().join("../../docs/operations/sizing.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut found = Vec::new();
    for block in page.split("```console\n").skip(1) {
        let text = block.split("```").next().unwrap();
        let Some((command, printed)) =
            text.strip_prefix("$ stemedb-api ").and_then(|text| text.split_once('\n'))
        else {
            continue;
        };
        // Without anything below it the command takes its time, and is for the machine that is meant.
        if printed.is_empty() {
            continue;
        }
        let words = command.split_whitespace().map(str::to_owned).collect();
        found.push((words, printed.to_owned()));
    }
    found
}

#[test]
fn the_page_shows_what_the_command_prints() {
    let blocks = blocks();
    assert!(blocks.len() >= 2, "{blocks:?}");
    for (words, printed) in blocks {
        let ran = run(&words).ok();
        assert_eq!(ran.out, printed, "{words:?} must be shown as it prints");
    }
}

#[test]
fn the_json_says_where_each_figure_comes_from() {
    let ran = run([
        "sizing",
        "--claims",
        "10000000",
        "--asserts-per-day",
        "500000",
        "--questions-per-second",
        "200",
        "--json",
    ])
    .ok();
    let seen: Value = serde_json::from_str(&ran.out).unwrap();
    let sizes = &seen["sizes"];
    assert_eq!(sizes["claims"], 10_000_000 + 365 * 500_000);
    let of =
        |pointer: &str| sizes.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}"));
    for pointer in [
        "/disk/journal_bytes",
        "/disk/tables_bytes",
        "/disk/reserve_bytes",
        "/disk/disk_bytes",
        "/memory/memory_mib",
        "/memory/cache_mib",
        "/memory/connections_bytes",
        "/processors/count",
        "/io/syncs_per_second_peak",
        "/io/reads_per_second_peak",
        "/s3/archive_bytes",
        "/s3/backups_bytes",
        "/s3/put_requests_per_month",
        "/recovery/start_s",
        "/recovery/rebuild_s",
        "/recovery/restore_s",
    ] {
        assert!(of(pointer) > 0.0, "{pointer}: {sizes}");
    }
    let figures = seen["figures"].as_object().unwrap();
    assert!(
        figures.values().all(|figure| figure["measured"].as_str().unwrap().starts_with("docs/benchmarks/"))
    );
    assert!(
        run(["sizing"]).code == Some(2) && run(["sizing", "--claims", "1", "--peak", "0"]).code == Some(2)
    );
    assert_eq!(
        run(["sizing", "--claims", "1", "--data-dir", "x"]).code,
        Some(2),
        "a folder is for measuring"
    );
}

#[test]
fn this_machine_puts_its_own_figures_in_the_place_of_the_pages() {
    let dir = tempfile::tempdir().unwrap();
    let (data, pages) = (dir.path().join("db"), dir.path().join("pages"));
    std::fs::create_dir(&pages).unwrap();
    let ran = run([
        "sizing",
        "--claims",
        "1000000",
        "--measure",
        "--measure-claims",
        "4000",
        "--json",
        "--data-dir",
        data.to_str().unwrap(),
        "--save",
        pages.to_str().unwrap(),
    ])
    .ok();
    let seen: Value = serde_json::from_str(&ran.out).unwrap();
    for name in [
        "table_bytes_per_claim",
        "journal_bytes_per_claim",
        "connection_bytes",
        "rebuild_claims_per_second",
        "lone_commits_per_second",
    ] {
        let figure = &seen["figures"][name];
        assert_eq!(figure["measured"], "this machine", "{name}");
        assert!(figure["value"].as_f64().unwrap() > 0.0, "{name}: {figure}");
    }
    assert_eq!(seen["figures"]["question_us"]["measured"], "docs/benchmarks/growth.md");
    let of = |name: &str| seen["figures"][name]["value"].as_f64().unwrap();
    let claim = seen["sizes"]["disk"]["bytes_per_claim"].as_f64().unwrap();
    assert!((claim - of("table_bytes_per_claim") - of("journal_bytes_per_claim")).abs() < 1e-6, "{seen}");
    let saved: Value =
        serde_json::from_str(&std::fs::read_to_string(pages.join("sizing.json")).unwrap()).unwrap();
    assert_eq!(saved["figures"]["connection_bytes"], seen["figures"]["connection_bytes"]["value"]);
    assert!(std::fs::read_to_string(pages.join("sizing.md")).unwrap().contains("connection bytes"));
    assert!(data.join("db").exists(), "a folder that was named stays");
}
