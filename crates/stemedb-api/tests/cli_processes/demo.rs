//! The demonstration.

use crate::program::run;

#[test]
fn the_demonstration_shows_every_lens_and_its_folder_can_be_asked_further() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("demo");
    let data = data.to_str().unwrap();
    let shown = run(["demo", "--data-dir", data]).ok().out;
    for lens in ["recency", "consensus", "confidence", "authority", "skeptic", "layered"] {
        assert!(shown.lines().any(|line| line.trim_start().starts_with(lens)), "{lens}: {shown}");
    }
    // Three lenses, three answers.
    for value in ["279.15", "283.2018403", "285.37222"] {
        assert!(shown.contains(value), "{shown}");
    }
    for line in shown.lines().take_while(|line| *line != "Try next") {
        assert!(line.chars().count() <= 80 || line.contains(data), "wider than a terminal: {line}");
    }
    // What is printed to paste works.
    let pasted: Vec<&str> =
        shown.lines().filter(|line| line.starts_with("  ") && line.contains(" query ")).collect();
    assert_eq!(pasted.len(), 4, "{shown}");
    for line in pasted {
        let output = std::process::Command::new("sh").args(["-c", line]).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }
    let again = run(["demo", "--data-dir", data]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("exists already"), "{again:?}");
}
