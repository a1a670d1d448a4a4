//! The rules of `deploy/prometheus/rules`, read.
//!
//! Prometheus reads any YAML; this reads the one shape that the files here are written in and refuses everything else, so that it
//! never reads anything but what Prometheus reads. A run against a real Prometheus compares the two.

use std::{fs, path::Path};

/// Below the repository's root.
pub const FOLDER: &str = "deploy/prometheus/rules";

/// An alert, or a series that is computed ahead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub file: String,
    pub group: String,
    pub name: String,
    pub is_alert: bool,
    pub expr: String,
    /// For how long it must be so, as Prometheus writes durations; empty: at once.
    pub hold: String,
    pub labels: Vec<(String, String)>,
    pub annotations: Vec<(String, String)>,
}

impl Rule {
    /// The value of an annotation; empty if it has none.
    pub fn annotation(&self, name: &str) -> &str {
        value(&self.annotations, name)
    }

    /// The value of a label; empty if it gives none.
    pub fn label(&self, name: &str) -> &str {
        value(&self.labels, name)
    }
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// All rules, file by file in the order of their names.
pub fn read(root: &Path) -> Result<Vec<Rule>, String> {
    let mut rules = Vec::new();
    for (name, text) in files(root)? {
        rules.extend(parse(&name, &text)?);
    }
    Ok(rules)
}

/// Name and text of each file of rules.
pub fn files(root: &Path) -> Result<Vec<(String, String)>, String> {
    let folder = root.join(FOLDER);
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push((name, fs::read_to_string(&path).map_err(told)?));
    }
    files.sort();
    Ok(files)
}

/// Reads one file.
pub fn parse(file: &str, text: &str) -> Result<Vec<Rule>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut rules: Vec<Rule> = Vec::new();
    let (mut group, mut list) = (String::new(), "");
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        let refused = || format!("{file}:{at}: not in the shape of these files: {line}");
        let words = line.trim_start();
        if words.is_empty() || words.starts_with('#') || *line == "groups:" || *line == "    rules:" {
            continue;
        }
        let indent = line.len() - words.len();
        let (key, said) = words.split_once(':').ok_or_else(refused)?;
        let said = said.trim();
        if indent <= 6 {
            match (indent, key) {
                (2, "- name") => group = said.to_owned(),
                (6, "- alert" | "- record") => rules.push(Rule {
                    file: file.to_owned(),
                    group: group.clone(),
                    name: said.to_owned(),
                    is_alert: key == "- alert",
                    ..Rule::default()
                }),
                _ => return Err(refused()),
            }
            continue;
        }
        let rule = rules.last_mut().ok_or_else(refused)?;
        match (indent, key) {
            (8, "expr") if said == "|" => {
                let block = lines.get(at..).unwrap_or_default().iter();
                let block: Vec<&str> = block.map_while(|line| line.strip_prefix("          ")).collect();
                at += block.len();
                rule.expr = block.join("\n");
            }
            (8, "expr") => rule.expr = said.to_owned(),
            (8, "for") => rule.hold = said.to_owned(),
            (8, "labels" | "annotations") if said.is_empty() => list = key,
            (10, _) if list == "labels" => rule.labels.push((key.to_owned(), scalar(said))),
            (10, _) if list == "annotations" => rule.annotations.push((key.to_owned(), scalar(said))),
            _ => return Err(refused()),
        }
    }
    match rules.iter().find(|rule| rule.expr.is_empty() || rule.group.is_empty()) {
        Some(rule) => Err(format!("{file}: {} has no expression or no group", rule.name)),
        None => Ok(rules),
    }
}

/// A plain text, or one in double quotes.
fn scalar(said: &str) -> String {
    match said.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => said.to_owned(),
    }
}

/// A text that YAML reads as this one and nothing else.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Writes rules as a file that Prometheus reads.
pub fn written(rules: &[Rule]) -> String {
    let mut text = String::from("groups:\n");
    let mut group = "";
    for rule in rules {
        if rule.group != group {
            group = &rule.group;
            text += &format!("  - name: {group}\n    rules:\n");
        }
        let key = if rule.is_alert { "alert" } else { "record" };
        text += &format!(
            "      - {key}: {}\n        expr: {}\n",
            rule.name,
            quoted(&rule.expr.replace('\n', " "))
        );
        if !rule.hold.is_empty() {
            text += &format!("        for: {}\n", rule.hold);
        }
        for (name, pairs) in [("labels", &rule.labels), ("annotations", &rule.annotations)] {
            if !pairs.is_empty() {
                text += &format!("        {name}:\n");
            }
            for (key, value) in pairs {
                text += &format!("          {key}: {}\n", quoted(value));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# What.
groups:
  - name: g
    rules:
      # Why.
      - alert: A
        expr: |
          x
            > 1
        for: 5m
        labels:
          severity: critical
        annotations:
          summary: \"{{ $labels.instance }} says \\\"no\\\"\"

      - record: r
        expr: x{y=\"z\"}
";

    #[test]
    fn a_file_is_read_and_written_to_the_same_rules() {
        let rules = parse("f.yml", FILE).unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!((rules[0].expr.as_str(), rules[0].hold.as_str()), ("x\n  > 1", "5m"));
        assert_eq!(rules[0].annotation("summary"), "{{ $labels.instance }} says \"no\"");
        assert_eq!((rules[1].is_alert, rules[1].expr.as_str()), (false, "x{y=\"z\"}"));
        let written = written(&rules);
        assert!(written.contains("expr: 'x   > 1'") && written.contains("severity: 'critical'"), "{written}");
    }

    #[test]
    fn another_shape_is_refused_with_its_line() {
        let error =
            parse("f.yml", &FILE.replace("        for: 5m", "        keep_firing_for: 5m")).unwrap_err();
        assert!(error.starts_with("f.yml:10:"), "{error}");
    }
}
