//! What was measured, as a page, a drawing and JSON.

use std::{
    fmt::{self, Write as _},
    fs,
    path::Path,
};

use serde_json::json;

use crate::{
    Failure,
    cost::{Cost, Writes},
    ground::Ground,
};

/// A damaged table is whole again after so long, however large the database is.
const HEALED_GOAL_MS: f64 = 5_000.0;
/// No read of the broken place takes longer.
const WORST_GOAL_MS: f64 = 1_000.0;
const CLAIMS_GOAL: f64 = 180_000.0;
/// CPU time with everything on, by that with it off.
const COST_GOAL: f64 = 1.03;

/// One case in one database.
#[derive(Clone, Debug)]
pub struct Row {
    pub case: &'static str,
    pub gb: f64,
    pub table_bytes: u64,
    pub open_ms: f64,
    /// Until the first right answer about the broken place.
    pub first_ms: Option<f64>,
    /// The longest answer about it.
    pub worst_ms: Option<f64>,
    /// Until everything was whole again; of a rebuild, how long it took.
    pub healed_ms: Option<f64>,
    pub reads: u64,
    pub refused: u64,
    pub claims_per_second: Option<f64>,
}

impl Row {
    pub fn new(case: &'static str, ground: &Ground, table_bytes: u64) -> Row {
        Row {
            case,
            gb: ground.gb,
            table_bytes,
            open_ms: 0.0,
            first_ms: None,
            worst_ms: None,
            healed_ms: None,
            reads: 0,
            refused: 0,
            claims_per_second: None,
        }
    }

    pub fn is_good(&self) -> bool {
        let within = |found: Option<f64>, goal: f64| found.is_none_or(|found| found <= goal);
        let whole_view = matches!(self.case, "view" | "view-live" | "rebuild");
        let healed =
            whole_view || (within(self.healed_ms, HEALED_GOAL_MS) && within(self.worst_ms, WORST_GOAL_MS));
        healed && self.claims_per_second.is_none_or(|rate| rate >= CLAIMS_GOAL)
    }

    pub fn line(&self) -> String {
        let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
        format!(
            "{:<11} {:>4.1} GB: open {:.1} ms, first answer {} ms, longest {} ms, whole after {} ms, {} reads, {} refused",
            self.case,
            self.gb,
            self.open_ms,
            shown(self.first_ms),
            shown(self.worst_ms),
            shown(self.healed_ms),
            self.reads,
            self.refused
        )
    }
}

impl Cost {
    /// True if the goal is met as far as it can be told.
    pub fn is_good(&self) -> bool {
        self.verdict() != "MISSED"
    }

    fn verdict(&self) -> &'static str {
        // Segments are rotated and merges cut by time too: a few syncs more or less say nothing.
        let is_same = |Writes { syncs_on, syncs_off, .. }| syncs_on <= syncs_off + syncs_off / 200;
        let (low, high) = self.between;
        match self.writes.is_none_or(is_same) {
            true if high <= COST_GOAL => "met",
            true if low <= COST_GOAL => "not told apart",
            _ => "MISSED",
        }
    }
}

/// What health costs.
pub fn of_costs(costs: &[Cost]) -> String {
    if costs.is_empty() {
        return String::new();
    }
    let mut text = "\n## What a healthy database pays for it\n\n\
         CPU time of the whole process per unit of work: with everything on that watches and heals (the default), and without \
         sidecars, scrubber and fallback view. The two alternate; the ratio is the median of the pairs, and beside it the interval \
         that holds that median with a confidence of 95 %.\n\n\
         | work | on, ns | off, ns | on / off | between | |\n|---|---:|---:|---:|---:|---|\n"
        .to_owned();
    for cost in costs {
        let Cost { work, per, on_ns, off_ns, ratio, between: (low, high), .. } = cost;
        let verdict = cost.verdict();
        let _ = writeln!(
            text,
            "| {work}, per {per} | {on_ns:.0} | {off_ns:.0} | {ratio:.3} | {low:.3}–{high:.3} | {verdict} |"
        );
    }
    for writes in costs.iter().filter_map(|cost| cost.writes) {
        let Writes { syncs_on, syncs_off, bytes_on, bytes_off, own_syncs, own_bytes } = writes;
        let _ = write!(
            text,
            "\nJournal and view, on: {syncs_on} syncs, {bytes_on} bytes written; off: {syncs_off} and {bytes_off}. Sidecars and the \
             scrubber's place: {own_syncs} syncs and {own_bytes} bytes beside that.\n"
        );
    }
    let _ = write!(text, "\nGoal: at most {COST_GOAL} times the CPU time.\n");
    text
}

pub fn markdown(rows: &[Row], costs: &[Cost]) -> String {
    let mut page = "# Damage, and how it ends\n\n\
         Made by `cargo xtask bench healing`. Claims in tables of 64 MiB; one place is broken and nobody helps. Beside it one \
         thread reads 2,000 keys spread over the broken table and all of its middle, and every value is compared; in the end the root of the whole \
         view is that of the unbroken one.\n\n\
         | broken | tables, GB | open, ms | first answer, ms | longest answer, ms | whole again, ms | reads | refused | |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---|\n"
        .to_owned();
    for row in rows {
        let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
        let remark = match row.claims_per_second {
            Some(rate) => format!("{rate:.0} claims/s"),
            None => String::new(),
        };
        let _ = writeln!(
            page,
            "| {} | {:.1} | {:.1} | {} | {} | {} | {} | {} | {remark}{} |",
            row.case,
            row.gb,
            row.open_ms,
            shown(row.first_ms),
            shown(row.worst_ms),
            shown(row.healed_ms),
            row.reads,
            row.refused,
            if row.is_good() { "" } else { " MISSED" },
        );
    }
    let _ = write!(
        page,
        "\nGoals: a damaged table whole within {HEALED_GOAL_MS:.0} ms in a database of any size, no answer longer than \
         {WORST_GOAL_MS:.0} ms; a rebuild of at least {CLAIMS_GOAL:.0} claims/s.\n\n![Whole again after](healing.svg)\n"
    );
    page.push_str(&of_costs(costs));
    page
}

pub fn write(folder: &Path, rows: &[Row], costs: &[Cost]) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("healing.md"), markdown(rows, costs))?;
    let mut svg = String::new();
    draw(rows, &mut svg)?;
    fs::write(folder.join("healing.svg"), svg)?;
    let list: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "case": row.case, "gb": row.gb, "table_bytes": row.table_bytes, "open_ms": row.open_ms,
                "first_ms": row.first_ms, "worst_ms": row.worst_ms, "healed_ms": row.healed_ms, "reads": row.reads,
                "refused": row.refused, "claims_per_second": row.claims_per_second,
            })
        })
        .collect();
    let costs: Vec<_> = costs
        .iter()
        .map(|cost| {
            let Cost { work, on_ns, off_ns, ratio, between, .. } = cost;
            json!({ "work": work, "on_ns": on_ns, "off_ns": off_ns, "ratio": ratio, "between": [between.0, between.1] })
        })
        .collect();
    let all = json!({ "damage": list, "cost": costs });
    fs::write(folder.join("healing.json"), serde_json::to_string_pretty(&all)?)?;
    Ok(())
}

/// Bars on a logarithmic scale: a table and a whole view lie far apart.
fn draw(rows: &[Row], svg: &mut String) -> fmt::Result {
    const WIDTH: f64 = 900.0;
    const LEFT: f64 = 190.0;
    const RIGHT: f64 = 90.0;
    const BAR: f64 = 26.0;
    const LEAST_MS: f64 = 0.1;
    let height = 110.0 + BAR * rows.len() as f64;
    let most = rows.iter().filter_map(|row| row.healed_ms).fold(10.0, f64::max);
    let decades = (most / LEAST_MS).log10().ceil();
    let x = |ms: f64| LEFT + (ms.max(LEAST_MS) / LEAST_MS).log10() / decades * (WIDTH - LEFT - RIGHT);
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif">"#
    )?;
    writeln!(svg, r##"<rect width="{WIDTH}" height="{height}" fill="#fcfcfa"/>"##)?;
    writeln!(
        svg,
        r##"<text x="28" y="38" font-size="21" font-weight="600" fill="#1d2a33">Whole again after</text>"##
    )?;
    writeln!(
        svg,
        r##"<text x="28" y="58" font-size="13" fill="#54626c">logarithmic; the mark is the longest answer meanwhile</text>"##
    )?;
    let mut tick = LEAST_MS;
    while tick <= LEAST_MS * 10_f64.powf(decades) * 1.001 {
        let at = x(tick);
        let label = if tick < 1_000.0 { format!("{tick} ms") } else { format!("{} s", tick / 1_000.0) };
        writeln!(svg, r##"<path d="M{at:.1} 72V{:.1}" stroke="#e3e7ea"/>"##, height - 30.0)?;
        writeln!(
            svg,
            r##"<text x="{at:.1}" y="{:.1}" font-size="11" text-anchor="middle" fill="#54626c">{label}</text>"##,
            height - 14.0
        )?;
        tick *= 10.0;
    }
    for (nth, row) in rows.iter().enumerate() {
        let top = 80.0 + BAR * nth as f64;
        writeln!(
            svg,
            r##"<text x="{:.1}" y="{:.1}" font-size="13" text-anchor="end" fill="#1d2a33">{} · {:.1} GB</text>"##,
            LEFT - 10.0,
            top + 14.0,
            row.case,
            row.gb
        )?;
        let Some(healed) = row.healed_ms else { continue };
        let end = x(healed);
        writeln!(
            svg,
            r##"<rect x="{LEFT}" y="{top:.1}" width="{:.1}" height="18" fill="#1f6f8b"/>"##,
            end - LEFT
        )?;
        let shown =
            if healed < 1_000.0 { format!("{healed:.1} ms") } else { format!("{:.2} s", healed / 1_000.0) };
        writeln!(
            svg,
            r##"<text x="{:.1}" y="{:.1}" font-size="12" fill="#1d2a33">{shown}</text>"##,
            end + 6.0,
            top + 14.0
        )?;
        if let Some(worst) = row.worst_ms {
            writeln!(
                svg,
                r##"<path d="M{:.1} {:.1}v22" stroke="#c8553d" stroke-width="2"/>"##,
                x(worst),
                top - 2.0
            )?;
        }
    }
    writeln!(svg, "</svg>")
}
