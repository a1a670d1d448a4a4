//! The verdict, as a page, a drawing and JSON.

use std::{
    fmt::{self, Write as _},
    fs,
    path::Path,
};

use serde_json::json;

use crate::{Failure, load::Totals, sample::Sample};

/// A commit may take so much longer than the syncs that ran meanwhile.
const STALL_GOAL_MS: f64 = 100.0;
const WRITE_AMPLIFICATION_GOAL: f64 = 10.0;
const FILES_GOAL: f64 = 100.0;
/// What [`growth`] may be and still count as flat.
const FLAT: f64 = 1.10;

/// Title, unit and figure of a curve.
type Panel = (&'static str, &'static str, fn(&Sample) -> f64);

struct Goal {
    what: &'static str,
    found: f64,
    goal: f64,
    unit: &'static str,
}

impl Goal {
    fn is_met(&self) -> bool {
        self.found <= self.goal
    }
}

pub struct Report {
    keys: u64,
    samples: Vec<Sample>,
    totals: Totals,
    goals: Vec<Goal>,
}

/// The value below which `part` of the sorted values lie.
fn percentile(sorted: &[u32], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).map_or(0.0, |us| f64::from(*us))
}

/// How much more of something there is at most after the later storms than after the earlier ones.
///
/// Figures rise and fall with every storm and every merge, so neither moments nor single maxima can be compared: the most
/// between one storm and the next is one figure, and the medians of the earlier and of the later half of these are compared. A
/// run with fewer than four storms is cut into eight parts instead.
fn growth(samples: &[Sample], figure: fn(&Sample) -> f64) -> f64 {
    let begins =
        |index: usize| samples[index].storm && index.checked_sub(1).is_none_or(|at| !samples[at].storm);
    let mut starts: Vec<usize> = (0..samples.len()).filter(|index| begins(*index)).collect();
    // The run may end in a storm that has only begun.
    if let [.., before, last] = starts.as_slice()
        && samples.len() - last < (last - before) / 2
    {
        starts.pop();
    }
    if starts.len() < 4 {
        starts = (0..8).map(|part| part * samples.len() / 8).collect();
    }
    let ends = starts.iter().skip(1).copied().chain([samples.len()]);
    let most: Vec<f64> = starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            samples.get(*start..end).unwrap_or_default().iter().map(figure).fold(0.0, f64::max)
        })
        .collect();
    let (early, late) = most.split_at(most.len() / 2);
    let (early, late) = (median(early.iter().copied()), median(late.iter().copied()));
    if early > 0.0 { late / early } else { 1.0 }
}

/// The median; of an even number the mean of the two in the middle.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.len() % 2, values.get(half), half.checked_sub(1).and_then(|before| values.get(before))) {
        (0, Some(upper), Some(lower)) => (upper + lower) / 2.0,
        (_, Some(middle), _) => *middle,
        _ => 0.0,
    }
}

impl Report {
    pub fn new(keys: u64, samples: Vec<Sample>, totals: &Totals) -> Report {
        let mut totals = totals.clone();
        totals.commit_us.sort_unstable();
        totals.beyond_us.sort_unstable();
        let growth = |figure: fn(&Sample) -> f64| growth(&samples, figure);
        let last = samples.last();
        let goals = vec![
            Goal {
                what: "longest commit beyond the syncs that ran meanwhile",
                found: percentile(&totals.beyond_us, 1.0) / 1e3,
                goal: STALL_GOAL_MS,
                unit: "ms",
            },
            Goal {
                what: "write amplification (flushes and compactions over what was applied)",
                found: last.map_or(0.0, |sample| sample.write_amplification),
                goal: WRITE_AMPLIFICATION_GOAL,
                unit: "×",
            },
            Goal {
                what: "most tables at any time",
                found: samples.iter().map(|sample| sample.tables).max().unwrap_or(0) as f64,
                goal: FILES_GOAL,
                unit: "",
            },
            Goal {
                what: "files: after a storm, later against earlier ones",
                found: growth(|sample| sample.files as f64),
                goal: FLAT,
                unit: "×",
            },
            Goal {
                what: "bytes of tables and journal: after a storm, later against earlier ones",
                found: growth(|sample| (sample.table_bytes + sample.journal_bytes) as f64),
                goal: FLAT,
                unit: "×",
            },
            Goal {
                what: "anonymous memory: after a storm, later against earlier ones",
                found: growth(|sample| sample.anonymous_bytes as f64),
                goal: FLAT,
                unit: "×",
            },
        ];
        Report { keys, samples, totals, goals }
    }

    pub fn is_good(&self) -> bool {
        self.goals.iter().all(Goal::is_met)
    }

    pub fn markdown(&self) -> String {
        let minutes = self.samples.last().map_or(0.0, |sample| sample.second) / 60.0;
        let mut page = format!(
            "# Everything at once, for {minutes:.0} minutes\n\n\
             Made by `cargo xtask bench soak`. {} keys of 24 + 256 bytes; four writers, 20 000 rows/s in durable batches of 100 \
             (one row in sixteen removes its key), now and then 20 s without limit in batches of 1000; one reader beside \
             them: fresh gets, 100 keys at once, prefix scans of 100, a snapshot held for 30 s and compared with what it showed \
             at first. Every value read was checked against its key.\n\n\
             | goal | found | allowed | |\n|---|---:|---:|---|\n",
            self.keys
        );
        for goal in &self.goals {
            let verdict = if goal.is_met() { "met" } else { "MISSED" };
            let _ = writeln!(
                page,
                "| {} | {:.2} {} | {:.2} {} | {verdict} |",
                goal.what, goal.found, goal.unit, goal.goal, goal.unit
            );
        }
        let t = &self.totals;
        let ms = |sorted: &[u32], part| percentile(sorted, part) / 1e3;
        let _ = write!(
            page,
            "\n| | |\n|---|---:|\n\
             | rows written | {} |\n| commits | {} |\n| keys read | {} |\n\
             | commit at the steady rate, median / p99 / p99.9 / longest | {:.2} / {:.2} / {:.2} / {:.1} ms |\n\
             | commits beyond the syncs, p99.9 / p99.99 / longest | {:.1} / {:.1} / {:.1} ms |\n\
             | rows/s in the storms, median of seconds | {:.0} |\n\
             | longest get of any second, median / longest | {:.2} / {:.1} ms |\n\
             | anonymous memory, largest | {} MiB |\n| tables and journal, largest | {} MiB |\n\n![The run](soak.svg)\n",
            t.rows,
            t.commits,
            t.gets,
            ms(&t.commit_us, 0.5),
            ms(&t.commit_us, 0.99),
            ms(&t.commit_us, 0.999),
            ms(&t.commit_us, 1.0),
            ms(&t.beyond_us, 0.999),
            ms(&t.beyond_us, 0.9999),
            ms(&t.beyond_us, 1.0),
            median(self.samples.iter().filter(|s| s.storm).map(|s| s.interval.rows as f64)),
            median(self.samples.iter().map(|s| s.interval.worst_get.as_secs_f64() * 1e3)),
            self.samples.iter().map(|s| s.interval.worst_get.as_secs_f64() * 1e3).fold(0.0, f64::max),
            self.samples.iter().map(|s| s.anonymous_bytes).max().unwrap_or(0) >> 20,
            self.samples.iter().map(|s| s.table_bytes + s.journal_bytes).max().unwrap_or(0) >> 20,
        );
        page
    }

    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("soak.md"), self.markdown())?;
        let mut svg = String::new();
        self.draw(&mut svg)?;
        fs::write(folder.join("soak.svg"), svg)?;
        let seconds: Vec<_> = self.samples.iter().map(Sample::json).collect();
        let goals: Vec<_> = self
            .goals
            .iter()
            .map(|goal| json!({"what": goal.what, "found": goal.found, "allowed": goal.goal, "met": goal.is_met()}))
            .collect();
        let mut text = json!({"keys": self.keys, "goals": goals, "seconds": seconds}).to_string();
        // One second a line: differences of two runs can be read.
        text = text.replace("},{", "},\n{");
        fs::write(folder.join("soak.json"), text)?;
        Ok(())
    }

    fn draw(&self, svg: &mut String) -> fmt::Result {
        let panels: [Panel; 7] = [
            ("rows written per second", "k/s", |s| s.interval.rows as f64 / 1e3),
            ("longest commit of each second", "ms", |s| s.interval.worst_commit.as_secs_f64() * 1e3),
            ("the same, beyond the syncs that ran meanwhile", "ms", |s| {
                s.interval.worst_beyond_sync.as_secs_f64() * 1e3
            }),
            ("tables", "", |s| s.tables as f64),
            ("bytes of tables and journal", "MiB", |s| {
                (s.table_bytes + s.journal_bytes) as f64 / f64::from(1 << 20)
            }),
            ("what compaction has before it", "MiB", |s| s.debt_bytes as f64 / f64::from(1 << 20)),
            ("anonymous memory", "MiB", |s| s.anonymous_bytes as f64 / f64::from(1 << 20)),
        ];
        const WIDTH: f64 = 900.0;
        const LEFT: f64 = 70.0;
        const RIGHT: f64 = 24.0;
        const PANEL: f64 = 104.0;
        const PLOT: f64 = 62.0;
        let height = 84.0 + PANEL * panels.len() as f64;
        let end = self.samples.last().map_or(1.0, |sample| sample.second).max(1.0);
        let x = |second: f64| LEFT + second / end * (WIDTH - LEFT - RIGHT);
        writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif">"#
        )?;
        writeln!(svg, r##"<rect width="{WIDTH}" height="{height}" fill="#fcfcfa"/>"##)?;
        writeln!(
            svg,
            r##"<text x="28" y="38" font-size="21" font-weight="600" fill="#1d2a33">Everything at once, for {:.0} minutes</text>"##,
            end / 60.0
        )?;
        writeln!(
            svg,
            r##"<text x="28" y="58" font-size="13" fill="#54626c">20 000 rows/s, durable; shaded: writers without limit</text>"##
        )?;
        for (index, (title, unit, figure)) in panels.iter().enumerate() {
            let top = 84.0 + PANEL * index as f64;
            let bottom = top + 18.0 + PLOT;
            let most = self.samples.iter().map(figure).fold(0.0, f64::max).max(1e-9);
            let y = |value: f64| bottom - value / most * PLOT;
            for sample in self.samples.iter().filter(|sample| sample.storm) {
                let from = x(sample.second - 1.0);
                writeln!(
                    svg,
                    r##"<rect x="{from:.1}" y="{:.1}" width="{:.2}" height="{PLOT}" fill="#ece4d4"/>"##,
                    top + 18.0,
                    x(sample.second) - from + 0.2
                )?;
            }
            writeln!(
                svg,
                r##"<text x="{LEFT}" y="{:.1}" font-size="13" font-weight="600" fill="#1d2a33">{title}</text>"##,
                top + 11.0
            )?;
            for (value, at) in [(most, y(most) + 9.0), (0.0, bottom)] {
                let shown = if most < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
                writeln!(
                    svg,
                    r##"<text x="{:.1}" y="{at:.1}" font-size="11" text-anchor="end" fill="#54626c">{shown} {unit}</text>"##,
                    LEFT - 6.0
                )?;
            }
            writeln!(
                svg,
                r##"<path d="M{LEFT} {bottom}H{:.1}" stroke="#9fb0bd" fill="none"/>"##,
                WIDTH - RIGHT
            )?;
            let points: Vec<String> = self
                .samples
                .iter()
                .map(|sample| format!("{:.1},{:.1}", x(sample.second), y(figure(sample))))
                .collect();
            writeln!(
                svg,
                r##"<polyline points="{}" fill="none" stroke="#1f6f8b" stroke-width="1"/>"##,
                points.join(" ")
            )?;
        }
        writeln!(svg, "</svg>")
    }
}
