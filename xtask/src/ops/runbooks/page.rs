//! A runbook or a guide, read: its blocks, by the scenarios that they belong to. `docs/operations/runbooks/README.md` describes the
//! format of the one, `docs/operations/README.md` that of the other.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::expect::Pattern;

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Begins a scenario: brings the fault about.
    Fault,
    /// Ends what no command on the machine can end.
    FaultEnds,
    /// Looks.
    Diagnose,
    /// Puts it right.
    Mitigate,
    /// Looks whether it is right.
    Clears,
    /// Keeps it from coming again.
    Prevent,
    /// Is written somewhere else, and does not do what it should: it is run to show that.
    Original,
    /// Cannot run here.
    Manual,
    /// Begins a scenario of a guide: nothing is wrong.
    Begin,
    /// A step of a guide.
    Run,
    /// Looks whether a step has done what it should.
    Look,
}

const KINDS: [(&str, Kind); 11] = [
    ("fault", Kind::Fault),
    ("fault-ends", Kind::FaultEnds),
    ("diagnose", Kind::Diagnose),
    ("mitigate", Kind::Mitigate),
    ("clears", Kind::Clears),
    ("prevent", Kind::Prevent),
    ("original", Kind::Original),
    ("manual", Kind::Manual),
    ("begin", Kind::Begin),
    ("run", Kind::Run),
    ("look", Kind::Look),
];

impl Kind {
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("?", |(name, _)| name)
    }

    /// Looking changes nothing, so it is done until it shows what it should.
    pub fn is_look(self) -> bool {
        matches!(self, Kind::Diagnose | Kind::Clears | Kind::Look)
    }

    /// Whether a scenario begins with it.
    pub fn begins(self) -> bool {
        matches!(self, Kind::Fault | Kind::Begin)
    }

    /// Whether it is a block of a guide, where the others are of runbooks.
    fn is_of_guides(self) -> bool {
        matches!(self, Kind::Begin | Kind::Run | Kind::Look)
    }
}

/// One block.
#[derive(Clone, Debug)]
pub struct Block {
    pub kind: Kind,
    /// The line in the page where its text begins.
    pub line: usize,
    pub script: String,
    attributes: Vec<(String, String)>,
    pub expect: Vec<Pattern>,
}

impl Block {
    /// What its info string says under a name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A number of seconds.
    pub fn seconds(&self, name: &str) -> Result<Option<Duration>, String> {
        let read = |text: &str| text.parse().map(Duration::from_secs);
        self.attribute(name)
            .map(read)
            .transpose()
            .map_err(|_| format!("line {}: {name} is no number", self.line))
    }
}

/// A fault, and everything up to its end; or the steps of a guide. The first block is the fault, or the beginning.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub blocks: Vec<Block>,
}

/// A runbook, or a guide.
#[derive(Clone, Debug)]
pub struct Page {
    pub path: PathBuf,
    pub name: String,
    pub scenarios: Vec<Scenario>,
    /// Blocks that cannot run, each with its reason.
    pub manual: Vec<(usize, String)>,
}

impl Page {
    /// Reads a page.
    pub fn read(path: &Path) -> Result<Page, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let page = Page::parse(&name, &text).map_err(|error| format!("{name}: {error}"))?;
        Ok(Page { path: path.to_path_buf(), ..page })
    }

    pub(super) fn parse(name: &str, text: &str) -> Result<Page, String> {
        let path = PathBuf::from(name);
        let mut page = Page { path, name: name.to_owned(), scenarios: Vec::new(), manual: Vec::new() };
        for fence in fences(text) {
            page.take(fence)?;
        }
        page.scenarios.iter().try_for_each(check)?;
        Ok(page)
    }

    fn take(&mut self, fence: Fence) -> Result<(), String> {
        let Fence { line, info, text } = fence;
        let at = |what: &str| format!("line {line}: {what}");
        if info == "text expect" {
            let block = self.scenarios.last_mut().and_then(|scenario| scenario.blocks.last_mut());
            let block = block.ok_or_else(|| at("an `expect` without a block before it"))?;
            block.expect = text.lines().filter(|line| !line.trim().is_empty()).map(Pattern::parse).collect();
            return Ok(());
        }
        let Some(info) = info.strip_prefix("sh").filter(|rest| rest.is_empty() || rest.starts_with(' '))
        else {
            return Ok(());
        };
        let (word, attributes) = info_string(info).map_err(|what| at(&what))?;
        let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == word) else {
            return Err(at(&format!("a block of commands must say what it is for: {word:?} is not known")));
        };
        let block = Block { kind: *kind, line, script: text, attributes, expect: Vec::new() };
        match kind {
            Kind::Fault | Kind::Begin => {
                let name =
                    block.attribute("scenario").ok_or_else(|| at("a scenario needs scenario=\"…\""))?;
                self.scenarios.push(Scenario { name: name.to_owned(), blocks: vec![block] });
            }
            Kind::Manual => {
                let reason = block.attribute("reason").filter(|reason| reason.len() > 10);
                let reason = reason.ok_or_else(|| at("a manual block needs reason=\"…\""))?;
                self.manual.push((line, reason.to_owned()));
            }
            _ => {
                if *kind == Kind::Original && block.attribute("reason").is_none() {
                    return Err(at("an original block needs reason=\"…\""));
                }
                let scenario =
                    self.scenarios.last_mut().ok_or_else(|| at("a block before the first fault"))?;
                if scenario.is_of_guides() != kind.is_of_guides() {
                    return Err(at(&format!("{} is no block of such a scenario", kind.name())));
                }
                scenario.blocks.push(block);
            }
        }
        Ok(())
    }

    /// How many blocks are run.
    pub fn executed(&self) -> usize {
        self.scenarios.iter().map(|scenario| scenario.blocks.len()).sum()
    }
}

impl Scenario {
    /// Whether it is one of a guide.
    pub fn is_of_guides(&self) -> bool {
        self.blocks.first().is_some_and(|block| block.kind.is_of_guides())
    }
}

/// A scenario that shows nothing proves nothing.
fn check(scenario: &Scenario) -> Result<(), String> {
    let name = &scenario.name;
    let needed: &[(Kind, &str)] = if scenario.is_of_guides() {
        &[(Kind::Look, "look")]
    } else {
        &[(Kind::Diagnose, "diagnosis"), (Kind::Clears, "proof that it is over")]
    };
    for (kind, what) in needed.iter().copied() {
        let is_shown = |block: &Block| block.kind == kind && !block.expect.is_empty();
        if !scenario.blocks.iter().any(is_shown) {
            return Err(format!("scenario {name} has no {what} with an `expect`"));
        }
    }
    let silent =
        |block: &&Block| (block.kind.is_look() || block.kind == Kind::Original) && block.expect.is_empty();
    match scenario.blocks.iter().find(silent) {
        Some(block) => Err(format!("line {}: what should it show? (no `text expect` behind it)", block.line)),
        None => Ok(()),
    }
}

/// A fenced block.
pub struct Fence {
    /// The line of the page where its text begins.
    pub line: usize,
    pub info: String,
    pub text: String,
}

/// The fenced blocks of a page. Their indentation is taken away.
pub fn fences(page: &str) -> Vec<Fence> {
    let mut found = Vec::new();
    let mut open: Option<(String, usize, Fence)> = None;
    for (number, line) in page.lines().enumerate() {
        let trimmed = line.trim_start();
        let ticks: String = trimmed.chars().take_while(|c| *c == '`').collect();
        match &mut open {
            None if ticks.len() >= 3 => {
                let info = trimmed[ticks.len()..].trim().to_owned();
                let fence = Fence { line: number + 2, info, text: String::new() };
                open = Some((ticks, line.len() - trimmed.len(), fence));
            }
            Some((closing, ..)) if trimmed.trim_end() == *closing => {
                found.extend(open.take().map(|(_, _, fence)| fence));
            }
            Some((_, indent, fence)) => {
                let spaces = line.len() - trimmed.len();
                fence.text.push_str(&line[(*indent).min(spaces)..]);
                fence.text.push('\n');
            }
            None => {}
        }
    }
    found
}

/// The first word of an info string, and `name="value"` pairs behind it.
pub fn info_string(info: &str) -> Result<(String, Vec<(String, String)>), String> {
    let info = info.trim();
    let (word, mut rest) = info.split_once(' ').unwrap_or((info, ""));
    let mut attributes = Vec::new();
    while !rest.trim().is_empty() {
        let (name, behind) =
            rest.split_once("=\"").ok_or_else(|| format!("{rest:?} is not name=\"value\""))?;
        let (value, behind) = behind.split_once('"').ok_or_else(|| format!("{rest:?} has no end"))?;
        attributes.push((name.trim().to_owned(), value.to_owned()));
        rest = behind;
    }
    Ok((word.to_owned(), attributes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Page\n\n```sh fault scenario=\"one\" disk=\"tmpfs:64m\"\nfill\n```\n\n1. Look:\n   ```sh diagnose within=\"5\"\n   df\n     -h\n   ```\n   ```text expect\n   100%\n   not: 0%\n   ```\n```sh manual reason=\"there is no disk here\"\nsmartctl\n```\n```yaml\nnot: looked at\n```\n```sh clears\ncurl\n```\n```text expect\nok\n```\n";

    #[test]
    fn blocks_belong_to_the_fault_before_them() {
        let page = Page::parse("p.md", PAGE).unwrap();
        assert_eq!((page.scenarios.len(), page.executed(), page.manual.len()), (1, 3, 1));
        let scenario = &page.scenarios[0];
        assert_eq!(
            (scenario.name.as_str(), scenario.blocks[0].attribute("disk")),
            ("one", Some("tmpfs:64m"))
        );
        let look = &scenario.blocks[1];
        assert_eq!((look.kind, look.script.as_str(), look.line), (Kind::Diagnose, "df\n  -h\n", 9));
        assert_eq!(look.expect, [Pattern::parse("100%"), Pattern::parse("not: 0%")]);
        assert_eq!(look.seconds("within"), Ok(Some(Duration::from_secs(5))));
    }

    #[test]
    fn a_block_that_says_nothing_or_proves_nothing_is_refused() {
        let refused = |from: &str, to: &str, what: &str| {
            let error = Page::parse("p.md", &PAGE.replace(from, to)).unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        refused("```sh diagnose within=\"5\"", "```sh", "must say what it is for");
        refused(" reason=\"there is no disk here\"", "", "needs reason");
        refused("```text expect\nok\n```\n", "", "no proof that it is over");
        refused("```sh fault scenario=\"one\" disk=\"tmpfs:64m\"\nfill\n```\n", "", "before the first fault");
        refused("within=\"5\"", "within=5", "is not name");
        refused("```sh clears", "```sh run", "run is no block of such a scenario");
    }

    #[test]
    fn a_guide_has_steps_and_looks_and_no_fault() {
        let guide = "```sh begin scenario=\"one\"\ncd /\n```\n```sh run\nls\n```\n```sh look\npwd\n```\n```text expect\n/\n```\n";
        let page = Page::parse("g.md", guide).unwrap();
        assert!(page.scenarios[0].is_of_guides() && page.executed() == 3);
        let refused = |from: &str, to: &str, what: &str| {
            let error = Page::parse("g.md", &guide.replace(from, to)).unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        refused("```text expect\n/\n```\n", "", "has no look with an `expect`");
        refused("```sh run", "```sh mitigate", "mitigate is no block of such a scenario");
        assert!(Page::parse("p.md", "no commands").unwrap().scenarios.is_empty());
    }
}
