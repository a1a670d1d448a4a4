//! The report: Markdown, JSON, a plot.

use std::{fmt::Write, io, path::Path};

use stemedb_core::Lens;

use super::{CANDIDATES, Loaded, Measured, Options, Outcome, data::BATCH_CLAIMS, process::Memory, stemedb};
use crate::{
    commits::statistics::median,
    engine::Kind,
    report::{
        json,
        machine::Machine,
        svg::{Bar, Chart, Panel, Tone},
        table::{Table, grouped, micros, ratio},
    },
};

const STEMEDB: &str = stemedb::PLAIN;
/// How many times as long as StemeDB a peer must take.
const RATIOS: [(&str, f64); 3] = [("sqlite", 3.0), ("postgres", 20.0), ("rocksdb", 2.0)];
/// Whom it must not load more slowly than.
const LOADS: [&str; 2] = ["sqlite", "postgres"];
/// For real and for generated claims: from how many on, and the most seconds that loading may take.
const LOAD_SECONDS: [(bool, u64, f64); 2] = [(false, 1_000_000, 20.0), (true, 10_000_000, 240.0)];
/// Longest time of a question without a cache of answers.
const MOST_US: f64 = 50.0;
/// By how much a question may take longer with ten times as many claims.
const MOST_GROWTH: f64 = 1.3;

/// What the report is about.
pub struct Report<'a> {
    /// What was run.
    pub options: &'a Options,
    /// The command line.
    pub command: &'a str,
    /// Where.
    pub machine: &'a Machine,
    /// What came out, one per size.
    pub outcomes: &'a [Outcome],
}

/// One requirement and what became of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Verdict {
    /// In words.
    pub requirement: String,
    /// The worst lens, or the worst step.
    pub measured: f64,
    /// Whether it is met.
    pub met: bool,
}

#[derive(serde::Serialize)]
struct Document<'a> {
    workload: &'static str,
    command: &'a str,
    rounds: usize,
    machine: &'a Machine,
    outcomes: &'a [Outcome],
    requirements: Vec<Verdict>,
}

impl Measured {
    fn ask(&self, lens: usize) -> f64 {
        self.ask_us.get(lens).and_then(|slices| median(slices)).unwrap_or(f64::NAN)
    }

    fn slowest(&self) -> f64 {
        (0..Lens::ALL.len()).map(|lens| self.ask(lens)).fold(0.0, f64::max)
    }
}

impl Loaded {
    fn until_settled(&self) -> f64 {
        self.load_s + self.settle_s
    }
}

impl Outcome {
    fn title(&self) -> String {
        let kind = if self.generated { "generated" } else { "real" };
        format!("{} {kind} claims", grouped(self.claims as f64))
    }

    fn store(&self, name: &str) -> Option<&Measured> {
        self.stores.iter().find(|store| store.name == name)
    }
}

impl Report<'_> {
    /// Holds the run against what is required.
    pub fn requirements(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for outcome in self.outcomes {
            let Some(ours) = outcome.store(STEMEDB) else { continue };
            let claims = outcome.title();
            verdicts.push(Verdict {
                requirement: format!("{claims}: the slowest lens takes at most {MOST_US} µs"),
                measured: ours.slowest(),
                met: ours.slowest() <= MOST_US,
            });
            for (name, least) in RATIOS {
                let Some(peer) = outcome.store(name) else { continue };
                let worst = (0..Lens::ALL.len())
                    .map(|lens| peer.ask(lens) / ours.ask(lens))
                    .fold(f64::INFINITY, f64::min);
                verdicts.push(Verdict {
                    requirement: format!(
                        "{claims}: {name} takes at least {least} times as long, through every lens"
                    ),
                    measured: worst,
                    met: worst >= least,
                });
            }
            let loaded = |name: &str| outcome.store(name).and_then(|store| store.loaded);
            if let (Some(ours), Some(sqlite)) = (ours.loaded, loaded("sqlite")) {
                let part = ours.disk_bytes as f64 / sqlite.disk_bytes as f64;
                verdicts.push(Verdict {
                    requirement: format!("{claims}: on disk at most what sqlite takes"),
                    measured: part,
                    met: part <= 1.0,
                });
            }
            for (is_generated, claims_at_least, most_s) in LOAD_SECONDS {
                if let Some(loaded) = ours.loaded
                    && outcome.generated == is_generated
                    && outcome.claims >= claims_at_least
                {
                    verdicts.push(Verdict {
                        requirement: format!("{claims}: loaded durably in at most {most_s} s"),
                        measured: loaded.load_s,
                        met: loaded.load_s <= most_s,
                    });
                }
            }
            for name in LOADS {
                let (Some(ours), Some(peer)) = (ours.loaded, loaded(name)) else { continue };
                let part = ours.until_settled() / peer.until_settled();
                verdicts.push(Verdict {
                    requirement: format!(
                        "{claims}: loaded durably and settled in at most the time of {name}"
                    ),
                    measured: part,
                    met: part <= 1.0,
                });
            }
        }
        let generated: Vec<&Outcome> = self.outcomes.iter().filter(|outcome| outcome.generated).collect();
        for pair in generated.windows(2) {
            if let [less, more] = pair
                && let (Some(before), Some(after)) = (less.store(STEMEDB), more.store(STEMEDB))
            {
                let decades = (more.claims as f64 / less.claims as f64).log10();
                let growth = (after.slowest() / before.slowest()).powf(1.0 / decades);
                verdicts.push(Verdict {
                    requirement: format!(
                        "from {} to {} claims: at most {MOST_GROWTH} times as long per decade",
                        grouped(less.claims as f64),
                        grouped(more.claims as f64)
                    ),
                    measured: growth,
                    met: growth <= MOST_GROWTH,
                });
            }
        }
        verdicts
    }

    /// The report in text, as Markdown.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# Questions about claims\n\nGenerated by `{}`; do not edit.\n\n{}. Medians of {} rounds; the stores take turns. A \
             question has {CANDIDATES} claims, with votes and supersessions; time from the question to the answer of the lens, with \
             decay, one thread, blocks in memory, no answer cached but in `{}`, which no requirement looks at. All stores gave \
             equal answers, to the last figure, to all questions that were compared. Each is a process of its own.\n\n\
             All store the same claims, votes, supersessions and sources, with whatever a claim is found by: its question, id, \
             source and predicate. StemeDB has more than that: every command once more in a journal that is kept, claims by value \
             in the order of numbers, and by author and parent where they have one. A batch of {BATCH_CLAIMS} claims is durable, \
             in the sense of a power cut, before the next begins. Generated claims are about subjects of which a few have very \
             many (Zipf), and a question has 1 to 16 of them; real ones are facts about substances from several sources. To both, \
             votes and supersessions are added, the same in every run.\n\n\
             Memory is that of the processes of a contender, PostgreSQL's server included, without pages of mapped files and \
             with some MB of the program itself; of a file, it holds up to 20 bytes a claim while it loads. Two contenders share a folder: the one with cached \
             answers is asked last, when the other has closed it. On disk is counted when what goes on behind the writers has \
             ended, of StemeDB when it is closed: open, two files of the journal are prepared for what comes next, 128 MiB. \
             64 MiB of its figure are kept free for a full disk.\n",
            self.command,
            self.machine,
            self.options.rounds,
            stemedb::CACHED
        );
        for outcome in self.outcomes {
            section(&mut text, outcome);
        }
        let mut table = Table::new(&["required", "measured", ""]);
        for verdict in self.requirements() {
            // Ratios, and one time in µs.
            let met = if verdict.met { "met" } else { "MISSED" };
            table.row(vec![verdict.requirement, ratio(verdict.measured), met.to_owned()]);
        }
        let _ = writeln!(text, "\n## Requirements\n\n{table}");
        if let Some(growth) = self.growth() {
            let _ = writeln!(text, "\n## Growth\n\n{growth}");
        }
        let _ = writeln!(text, "\n## Stores\n");
        for store in self.outcomes.first().map(|outcome| outcome.stores.as_slice()).unwrap_or_default() {
            let _ = writeln!(text, "- **{}**: {}", store.name, store.configuration);
        }
        for (name, why) in self.outcomes.first().map(|outcome| outcome.missing.as_slice()).unwrap_or_default()
        {
            let _ = writeln!(text, "- **{name}** did not run: {why}");
        }
        text
    }

    /// Products and their versions, each once.
    fn versions(&self) -> Vec<&str> {
        let mut versions = Vec::new();
        for store in self.outcomes.iter().flat_map(|outcome| &outcome.stores) {
            if !versions.contains(&store.version.as_str()) {
                versions.push(store.version.as_str());
            }
        }
        versions
    }

    /// What a question costs over ever more claims, lens by lens: StemeDB without caches.
    fn growth(&self) -> Option<Table> {
        let curve: Vec<(&Outcome, &Measured)> = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.generated)
            .filter_map(|outcome| Some((outcome, outcome.store(STEMEDB)?)))
            .collect();
        if curve.len() < 2 {
            return None;
        }
        let mut header = vec!["generated claims".to_owned()];
        header.extend(Lens::ALL.iter().map(|lens| format!("{}, µs", lens.name())));
        let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
        for (outcome, store) in curve {
            let mut row = vec![grouped(outcome.claims as f64)];
            row.extend((0..Lens::ALL.len()).map(|lens| micros(store.ask(lens))));
            table.row(row);
        }
        Some(table)
    }

    /// Writes everything to a file.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let Report { options, command, machine, outcomes } = *self;
        let requirements = self.requirements();
        json::write(
            path,
            &Document {
                workload: "questions",
                command,
                rounds: options.rounds,
                machine,
                outcomes,
                requirements,
            },
        )
    }

    /// A panel of bars for each size.
    pub fn chart(&self) -> Chart {
        let panel = |outcome: &Outcome| {
            let bars = outcome.stores.iter().map(|store| {
                let all: Vec<f64> = (0..Lens::ALL.len()).map(|lens| store.ask(lens)).collect();
                let least = all.iter().copied().fold(f64::INFINITY, f64::min);
                let value = store.slowest();
                Bar {
                    label: store.name.to_owned(),
                    value,
                    range: (least, value),
                    tone: if store.kind == Kind::Ours { Tone::Ours } else { Tone::Peer },
                    note: format!("{} to {} µs", micros(least), micros(value)),
                }
            });
            Panel { title: outcome.title(), bars: bars.collect() }
        };
        Chart {
            title: "One question, eight claims that disagree".to_owned(),
            subtitle: "from the question to the answer: the slowest of six lenses, the whisker begins at the fastest".to_owned(),
            limits: "",
            footer: vec![
                format!("{}.", self.machine),
                format!(
                    "Medians of {} rounds; blocks in memory. All loaded durably, batch by batch: a synced log.",
                    self.options.rounds
                ),
                format!("{}.", self.versions().join(", ")),
            ],
            panels: self.outcomes.iter().map(panel).collect(),
        }
    }
}

fn section(text: &mut String, outcome: &Outcome) {
    let compared = outcome.stores.iter().map(|store| store.compared).min().unwrap_or(0);
    let _ = writeln!(
        text,
        "\n## {}, {} questions\n\n{} questions measured, {} compared.\n",
        outcome.title(),
        grouped(outcome.questions as f64),
        grouped(outcome.measured as f64),
        grouped(compared as f64)
    );
    let mut header = vec!["µs a question"];
    header.extend(outcome.stores.iter().map(|store| store.name));
    let mut table = Table::new(&header);
    for (at, lens) in Lens::ALL.into_iter().enumerate() {
        let mut row = vec![lens.name().to_owned()];
        row.extend(outcome.stores.iter().map(|store| micros(store.ask(at))));
        table.row(row);
    }
    let mut row = |title: &str, figure: &dyn Fn(&Measured) -> String| {
        let mut cells = vec![title.to_owned()];
        cells.extend(outcome.stores.iter().map(figure));
        table.row(cells);
    };
    let loaded = |figure: fn(&Loaded) -> String| {
        move |store: &Measured| store.loaded.as_ref().map_or_else(|| "same folder".to_owned(), figure)
    };
    row("durable load, s", &loaded(|loaded| format!("{:.1}", loaded.load_s)));
    row("settling, s", &loaded(|loaded| format!("{:.1}", loaded.settle_s)));
    row("disk, MB", &loaded(|loaded| megabytes(loaded.disk_bytes)));
    row("memory loading, peak, MB", &loaded(|loaded| memory(loaded.memory, |memory| memory.own_bytes)));
    row("memory asked, MB", &|store| memory(store.asked_memory, |memory| memory.own_bytes));
    row("with mapped pages, MB", &|store| memory(store.asked_memory, |memory| memory.resident_bytes));
    let _ = writeln!(text, "{table}");
}

fn megabytes(bytes: u64) -> String {
    grouped(bytes as f64 / 1e6)
}

fn memory(memory: Option<Memory>, figure: fn(&Memory) -> u64) -> String {
    memory.as_ref().map_or_else(|| "unknown".to_owned(), |memory| megabytes(figure(memory)))
}
