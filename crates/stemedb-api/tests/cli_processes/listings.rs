//! Listings and conflicts, from a folder and from a server.

use crate::{
    program::{import_sample, run},
    server::Server,
};

#[test]
fn lists_and_conflicts_are_the_same_from_a_folder_and_from_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    let commands: [&[&str]; 8] = [
        &["list", "claims", "--subject", "cas:7732-18-5"],
        &["list", "claims", "--predicate", "boiling_point_K", "--min", "373.12", "--max", "373.2"],
        &["list", "claims", "--predicate", "boiling_point_K", "--min", "-1", "--limit", "3", "--json"],
        &["list", "questions", "--prefix", "cas:77", "--all"],
        &["list", "questions", "--predicate-prefix", "boil", "--limit", "5"],
        &["list", "claims", "--source", "CRC_ORG", "--json", "--limit", "1200"],
        &["conflicts", "--limit", "7"],
        &["conflicts", "--min-score", "0.9", "--all", "--json"],
    ];
    let local: Vec<String> = commands
        .iter()
        .map(|command| run([command, &["--data-dir", data.to_str().unwrap()][..]].concat()).ok().out)
        .collect();
    for text in local.iter().filter(|text| !text.starts_with('{')) {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "wider than a terminal: {line}");
        }
    }
    let water = &local[0];
    assert!(water.contains("boiling_point_K") && !water.contains("cas:50-00-0"), "{water}");
    let near: Vec<&str> = local[1].lines().filter(|line| line.contains("boiling_point_K")).collect();
    assert!(near.len() > 1 && near.iter().any(|line| line.contains("cas:7732-18-5")), "{}", local[1]);
    assert_eq!(local[2].lines().count(), 3);
    assert!(local[4].contains("5 questions, there may be more"), "{}", local[4]);
    assert!(local[6].contains("open conflicts") && local[6].contains("unsigned"), "{}", local[6]);
    for line in local[7].lines() {
        let contested: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(contested["conflict_score"].as_f64().unwrap() >= 0.9);
    }
    let stats = run(["stats", "--data-dir", data.to_str().unwrap(), "--knowledge"]).ok().out;
    assert!(stats.contains("open conflicts") && stats.contains("by_value"), "{stats}");
    let wrong = run(["list", "claims", "--data-dir", data.to_str().unwrap(), "--min", "1"]);
    assert_eq!(wrong.code, Some(1));
    let last = wrong.err.lines().last().unwrap();
    assert_eq!(last, "error: parameter predicate: is required with min and max");
    assert!(wrong.out.is_empty(), "{wrong:?}");

    let server = Server::start(&data);
    for (command, expected) in commands.iter().zip(&local) {
        let remote = run([command, &["--url", server.url().as_str()][..]].concat()).ok().out;
        assert_eq!(&remote, expected, "{command:?}");
    }
}
