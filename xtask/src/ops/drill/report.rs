//! What all scenarios have come to, as one page.

use std::{fmt::Write as _, fs, process::Command, time::Duration};

use super::scenarios::Found;

/// About a run.
pub struct Run {
    /// What was archived into.
    pub target: &'static str,
    /// Between two times at which what is durable is sent.
    pub interval: Duration,
    /// Claims of each scenario before anything happens.
    pub claims: usize,
    /// How the program was built.
    pub build: &'static str,
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|rest| rest.trim_start_matches([' ', '\t', ':']).trim().to_owned())
    };
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    let model = value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory = value(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let gib =
        memory.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1_048_576.0;
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    format!("{processors} processors ({model}), {gib:.0} GiB of memory, Linux {kernel}")
}

fn today() -> String {
    let told = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    told.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The page.
pub fn page(run: &Run, found: &[Found]) -> String {
    let lost: usize = found.iter().map(|one| one.kept.lost_counted).sum();
    let rpo = found.iter().map(|one| one.kept.rpo).max().unwrap_or_default();
    let acknowledged: usize = found.iter().map(|one| one.kept.acknowledged).sum();
    let mut page = format!(
        "# Disasters, done\n\n\
         What happens to what was acknowledged when a disk, a table, a part of the target, its key, or the agreement on who writes is lost. Each \
         scenario is done to processes of the program; nothing below was written by hand.\n\n\
         Made by `cargo xtask drill --write`; `cargo xtask ops --only drill` does the same and fails where anything that had counted as archived is \
         lost, or more than 10 s of what had not. What is promised, and why: [a standby, and promotion](../design/standby.md).\n\n\
         | | |\n|---|---|\n\
         | date | {} |\n| machine | {}; servers, clients and target share it |\n| target | {} |\n\
         | archive interval | {} s |\n| claims at the beginning | {} in each scenario |\n| program | {} |\n\
         | acknowledged meanwhile | {acknowledged} claims, each looked for afterwards |\n\
         | **lost of what counted as archived** | **{lost}** |\n| **longest RPO** | **{}** |\n\n",
        today(),
        machine(),
        run.target,
        run.interval.as_secs(),
        run.claims,
        run.build,
        seconds(rpo),
    );
    page.push_str(
        "| scenario | RPO | RTO | acknowledged | of them counted | lost of those | lost of the others |\n|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for Found { name, kept, rto, .. } in found {
        let _ = writeln!(
            page,
            "| [{name}](#{}) | {} | {} | {} | {} | {} | {} |",
            name.to_lowercase().replace(' ', "-"),
            seconds(kept.rpo),
            seconds(*rto),
            kept.acknowledged,
            kept.counted,
            kept.lost_counted,
            kept.lost
        );
    }
    page.push_str(
        "\n*RPO*: from the first acknowledged claim that is lost to the last acknowledged one. *Counted*: the writer had said that it is archived \
         (the archive's `lsn` in `/v1/health`) before the disaster.\n",
    );
    for Found { name, injected, seen, rto_is, .. } in found {
        let _ = write!(page, "\n## {}\n\n*Done*: {injected}. *RTO*: {rto_is}.\n\n", capitalised(name));
        for line in seen {
            let _ = writeln!(page, "- {line}");
        }
    }
    page
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::{super::clients::Kept, *};

    #[test]
    fn the_page_has_a_row_and_a_section_for_each_scenario_and_adds_up() {
        let found = |name, lost_counted, rpo| Found {
            name,
            injected: "it is done",
            seen: vec!["this is seen".to_owned()],
            kept: Kept { acknowledged: 10, counted: 7, lost_counted, lost: 2, rpo: Duration::from_secs(rpo) },
            rto: Duration::from_millis(1_500),
            rto_is: "from here to there",
        };
        let run = Run { target: "a folder", interval: Duration::from_secs(5), claims: 3, build: "somehow" };
        let page = page(&run, &[found("lost disk", 0, 4), found("corrupt SST", 1, 3)]);
        for text in [
            "| acknowledged meanwhile | 20 claims",
            "counted as archived** | **1** |",
            "**longest RPO** | **4.0 s** |",
            "| [lost disk](#lost-disk) | 4.0 s | 1.5 s | 10 | 7 | 0 | 2 |",
            "| [corrupt SST](#corrupt-sst) | 3.0 s |",
            "\n## Lost disk\n\n*Done*: it is done. *RTO*: from here to there.\n\n- this is seen\n",
        ] {
            assert!(page.contains(text), "{text}\n{page}");
        }
    }
}
