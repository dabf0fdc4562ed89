//! How far a task is, in words: for a bar as wide as the terminal, and for plain lines.

use std::time::{Duration, Instant};

use bytesize::ByteSize;
use console::{measure_text_width, pad_str, truncate_str};
use indicatif::HumanDuration;

/// The unit shown in kilobytes, megabytes and so on.
const BYTES: &str = "bytes";
/// A rate means nothing before.
const SETTLED: Duration = Duration::from_secs(1);

/// How far a task is.
pub(super) struct Count {
    label: String,
    pub(super) total: usize,
    unit: &'static str,
    started: Instant,
    /// Units that an earlier run did, which say nothing of this one's speed.
    resumed: usize,
    /// All units that are done.
    pub(super) done: usize,
    /// What is shown beside it.
    pub(super) message: String,
}

impl Count {
    pub(super) fn new(label: &str, total: usize, unit: &'static str) -> Self {
        Self {
            label: label.to_string(),
            total,
            unit,
            started: Instant::now(),
            resumed: 0,
            done: 0,
            message: String::new(),
        }
    }

    pub(super) fn resume(&mut self, units: usize) {
        self.resumed += units;
        self.done += units;
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// An amount of the unit.
    fn amount(&self, units: usize) -> String {
        if self.unit == BYTES {
            ByteSize(units as u64).to_string()
        } else {
            units.to_string()
        }
    }

    /// What is done of all there is.
    fn share(&self) -> String {
        let [done, total] = [self.done, self.total].map(|units| self.amount(units));
        if self.unit == BYTES {
            format!("{done} of {total}")
        } else {
            format!("{done}/{total} {}", self.unit)
        }
    }

    /// Units a second and the time that is left, once enough is done to tell.
    fn speed(&self, elapsed: Duration) -> String {
        let own = self.done - self.resumed;
        if own == 0 || elapsed < SETTLED {
            return String::new();
        }
        let rate = own as f64 / elapsed.as_secs_f64();
        let left = self.total.saturating_sub(self.done) as f64 / rate;
        let rate = if self.unit == BYTES {
            self.amount(rate as usize)
        } else {
            format!("{rate:.1}")
        };
        let left = Duration::try_from_secs_f64(left.ceil()).unwrap_or(Duration::MAX);
        format!(", {rate}/s, {:#} left", HumanDuration(left))
    }

    /// The count with a bar, at most so many columns wide.
    pub(super) fn bar(&self, columns: usize) -> String {
        self.bar_after(self.elapsed(), columns)
    }

    fn bar_after(&self, elapsed: Duration, columns: usize) -> String {
        /// Columns of a label and of a bar, where there is room; and of the shortest bar that shows anything.
        const LABEL: usize = 20;
        const BAR: usize = 30;
        const SHORTEST: usize = 8;
        // In the last column some terminals begin a new line.
        let columns = columns.saturating_sub(1);
        if columns == 0 {
            return String::new();
        }
        let label = pad_str(&self.label, LABEL, console::Alignment::Left, Some("…"));
        let told = self.share() + &self.speed(elapsed);
        let room = columns.saturating_sub(LABEL + measure_text_width(&told) + 2);
        let line = if room < SHORTEST {
            format!("{}: {told}", self.label)
        } else {
            let width = room.min(BAR);
            let share = self.done as f64 / self.total.max(1) as f64;
            let full = ((share * width as f64) as usize).min(width);
            let bar = "█".repeat(full) + &"░".repeat(width - full);
            format!("{label} {bar} {told}  {}", self.message)
        };
        truncate_str(line.trim_end(), columns, "…").into_owned()
    }

    /// The count in a line.
    pub(super) fn line(&self) -> String {
        let mut line = format!(
            "{}: {}{}",
            self.label,
            self.share(),
            self.speed(self.elapsed())
        );
        if !self.message.is_empty() {
            line = format!("{line}, {}", self.message);
        }
        line
    }

    /// What was done, when it is over.
    pub(super) fn last_line(&self) -> String {
        let mut done = self.amount(self.done - self.resumed);
        if self.unit != BYTES {
            done = format!("{done} {}", self.unit);
        }
        let seconds = self.elapsed().as_secs_f64();
        format!("{}: {done} in {seconds:.0} s", self.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(done: usize, resumed: usize) -> Count {
        let mut count = Count::new("evaluation-before", 102, "queries");
        count.resume(resumed);
        count.done += done;
        count
    }

    #[test]
    fn the_rate_counts_this_run_only_and_is_hidden_at_the_start() {
        let second = Duration::from_secs(1);
        assert_eq!(count(0, 0).speed(10 * second), "");
        assert_eq!(count(0, 90).speed(10 * second), "", "all of it resumed");
        assert_eq!(count(50, 0).speed(second / 2), "", "too early to tell");
        assert_eq!(count(2, 90).speed(4 * second), ", 0.5/s, 20s left");
        assert_eq!(count(12, 90).speed(4 * second), ", 3.0/s, 0s left");
    }

    #[test]
    fn a_bar_is_never_wider_than_the_terminal() {
        let mut long = Count::new("日本語の長い名前のファイル.jsonl", 3 << 30, BYTES);
        long.done = 1 << 30;
        long.message = "loss 0.1234, and a message that is longer than any terminal".into();
        for count in [count(7, 3), count(0, 0), count(102, 0), long] {
            for columns in 1..200 {
                let bar = count.bar_after(Duration::from_secs(1000), columns);
                assert!(measure_text_width(&bar) < columns, "{columns}: {bar}");
            }
        }
        let bar = "█".repeat(13) + &"░".repeat(13);
        let told = "51/102 queries, 3.0/s, 17s left";
        assert_eq!(
            count(51, 0).bar_after(Duration::from_secs(17), 80),
            format!("evaluation-before    {bar} {told}")
        );
    }
}
