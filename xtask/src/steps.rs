//! Runs steps one after the other, measures them, and stops at the first that fails.

use std::{
    fmt::Write as _,
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// What a step gives: nothing, or one line (or a few) saying what is wrong.
pub type Outcome = Result<(), String>;

/// Steps with a common time budget.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// What is measured together.
    pub name: &'static str,
    /// How long all steps of this budget may take on two cores, from a cold start.
    pub seconds: u64,
}

struct Done {
    name: String,
    budget: Budget,
    took: Duration,
}

/// The steps so far.
#[derive(Default)]
pub struct Runner {
    done: Vec<Done>,
}

impl Runner {
    /// Runs a step and remembers how long it took.
    pub fn step(&mut self, name: &str, budget: Budget, step: impl FnOnce() -> Outcome) -> Outcome {
        println!("\n── {name} ──");
        let start = Instant::now();
        let outcome = step();
        let took = start.elapsed();
        self.done.push(Done { name: name.to_owned(), budget, took });
        match outcome {
            Ok(()) => {
                println!("── {name}: ok in {} ──", seconds(took));
                Ok(())
            }
            Err(message) => Err(format!("step `{name}` failed after {}: {message}", seconds(took))),
        }
    }

    /// A table of all steps, and of the budgets they share.
    pub fn summary(&self) -> String {
        let mut text = String::from("\nstep                              took\n");
        for step in &self.done {
            let _ = writeln!(text, "{:<30} {:>8}   {}", step.name, seconds(step.took), step.budget.name);
        }
        let mut budgets: Vec<Budget> = Vec::new();
        for step in &self.done {
            if !budgets.contains(&step.budget) {
                budgets.push(step.budget);
            }
        }
        for budget in budgets {
            let took: Duration = self.done.iter().filter(|s| s.budget == budget).map(|s| s.took).sum();
            let over = if took.as_secs() > budget.seconds { "  OVER BUDGET" } else { "" };
            let _ = writeln!(
                text,
                "{:<30} {:>8}   of {} s{over}",
                format!("budget {}", budget.name),
                seconds(took),
                budget.seconds
            );
        }
        let all: Duration = self.done.iter().map(|step| step.took).sum();
        let _ = writeln!(text, "{:<30} {:>8}", "all", seconds(all));
        text
    }
}

/// As a text.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Runs a command to its end; an error names the command line.
pub fn command(command: &mut Command) -> Outcome {
    println!("$ {}", shown(command));
    let status = command.status().map_err(|error| format!("`{}`: {error}", shown(command)))?;
    finished(command, status)
}

/// Runs a command that must end within `limit`. It gets a process group of its own: what it left running is ended with
/// it.
pub fn command_within(command: &mut Command, limit: Duration) -> Outcome {
    println!("$ {}", shown(command));
    let mut child =
        command.process_group(0).spawn().map_err(|error| format!("`{}`: {error}", shown(command)))?;
    let status = wait(&mut child, limit);
    end_group(child.id());
    match status {
        Ok(Some(status)) => finished(command, status),
        Ok(None) => {
            let _ = child.wait();
            Err(format!("`{}` did not end within {} s", shown(command), limit.as_secs()))
        }
        Err(error) => Err(format!("`{}`: {error}", shown(command))),
    }
}

fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}

fn end_group(group: u32) {
    // The group may be gone already; then there is nothing to end and nothing to say.
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{group}")])
        .stderr(std::process::Stdio::null())
        .status();
}

fn finished(command: &Command, status: ExitStatus) -> Outcome {
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", shown(command))) }
}

fn shown(command: &Command) -> String {
    let mut words: Vec<String> = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={:?}", name.to_string_lossy(), value));
        }
    }
    words.push(command.get_program().to_string_lossy().into_owned());
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_ended_with_everything_it_started() {
        let start = Instant::now();
        let error = command_within(
            Command::new("bash").args(["-c", "sleep 60 & sleep 60"]),
            Duration::from_millis(300),
        );
        assert!(error.unwrap_err().contains("did not end"));
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn the_summary_says_which_budget_was_exceeded() {
        let mut runner = Runner::default();
        let tight = Budget { name: "tight", seconds: 0 };
        runner
            .step("slow", tight, || {
                thread::sleep(Duration::from_millis(1_100));
                Ok(())
            })
            .unwrap();
        assert!(runner.summary().contains("OVER BUDGET"));
    }
}
