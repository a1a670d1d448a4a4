//! How far something long has come, on standard error: a bar on a terminal, else a plain line every few seconds.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stemedb_env::{Clock, Env};

use super::paint::thousands;

const LINE_EVERY: Duration = Duration::from_secs(5);

/// A running display.
pub struct Progress {
    clock: Arc<dyn Clock>,
    started: Duration,
    said: Duration,
    /// What is counted, in the plural.
    unit: &'static str,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts the display and the time.
    pub fn start(env: &Env, unit: &'static str) -> Progress {
        let clock = Arc::clone(&env.clock);
        let started = clock.monotonic();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{spinner} {msg}"));
            bar
        });
        Progress { clock, started, said: started, unit, bar }
    }

    /// Shows that `count` things are done; `part` is the part of the whole that has been read, where it is known.
    pub fn at(&mut self, count: u64, part: Option<(u64, u64)>) {
        let now = self.clock.monotonic();
        let elapsed = now.saturating_sub(self.started);
        let rate = (count as f64 / elapsed.as_secs_f64().max(1e-3)) as u64;
        let done = format!("{} {} ({} a second)", thousands(count), self.unit, thousands(rate));
        let left = part.and_then(|part| left(elapsed, part));
        match &self.bar {
            Some(bar) => {
                if let Some((read, whole)) = part {
                    if bar.length() != Some(whole) {
                        bar.set_style(style("[{bar:24}] {percent:>3} % {msg}"));
                        bar.set_length(whole);
                    }
                    bar.set_position(read.min(whole));
                }
                let eta = left.map_or(String::new(), |left| format!(", {} s left", left.as_secs()));
                bar.set_message(format!("{done}{eta}"));
                bar.tick();
            }
            None if now.saturating_sub(self.said) >= LINE_EVERY => {
                self.said = now;
                let percent = part.filter(|(_, whole)| *whole > 0).map(|(read, whole)| read * 100 / whole);
                let percent = percent.map_or(String::new(), |percent| format!(", {percent} %"));
                let eta = left.map_or(String::new(), |left| format!(", about {} s left", left.as_secs()));
                eprintln!("{done}{percent}{eta}");
            }
            None => {}
        }
    }

    /// Ends the display; returns how long it ran.
    pub fn finish(self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.clock.monotonic().saturating_sub(self.started)
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates above are right; the fallback is what anyone would get without one.
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("█▉▊▋▌▍▎▏ ")
}

/// Time left at the pace so far.
fn left(elapsed: Duration, (read, whole): (u64, u64)) -> Option<Duration> {
    if read == 0 || read >= whole || elapsed < Duration::from_secs(1) {
        return None;
    }
    Some(elapsed.mul_f64((whole - read) as f64 / read as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_pace_so_far() {
        let elapsed = Duration::from_secs(10);
        assert_eq!(left(elapsed, (25, 100)), Some(Duration::from_secs(30)));
        assert_eq!(left(elapsed, (0, 100)), None);
        assert_eq!(left(elapsed, (100, 100)), None);
    }
}
