//! Progress on stderr: bars on a terminal, plain lines elsewhere.

#![expect(
    clippy::print_stderr,
    reason = "drawing progress is what this file is for"
)]

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::flags::with_flags;
use crate::progress::{Progress, Task};

/// Shorter tasks are not reported.
const SHORT: Duration = Duration::from_secs(2);
/// The unit shown in kilobytes, megabytes and so on.
const BYTES: &str = "bytes";
/// Time between two plain lines of one task.
const BETWEEN_LINES: Duration = Duration::from_secs(15);

pub(super) struct Terminal {
    bars: Option<MultiProgress>,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self {
            bars: std::io::stderr().is_terminal().then(MultiProgress::new),
        }
    }
}

impl Progress for Terminal {
    fn task(&self, label: &str, total: usize, unit: &'static str) -> Box<dyn Task> {
        match &self.bars {
            Some(bars) => {
                let template = if unit == BYTES {
                    "{prefix:20} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left  {msg}"
                        .to_string()
                } else {
                    format!(
                        "{{prefix:20}} {{bar:30}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left  {{msg}}"
                    )
                };
                let style = ProgressStyle::with_template(&template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = ProgressBar::new(total as u64)
                    .with_style(style)
                    .with_prefix(label.to_string());
                Box::new(Bar(bars.add(bar)))
            }
            None => {
                let now = Instant::now();
                let state = State {
                    done: 0,
                    told: now,
                    message: String::new(),
                };
                Box::new(Lines {
                    label: label.to_string(),
                    total,
                    unit,
                    started: now,
                    state: Mutex::new(state),
                })
            }
        }
    }

    fn note(&self, line: &str) {
        let line = with_flags(line);
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

struct Bar(ProgressBar);

impl Task for Bar {
    fn advance(&self, units: usize) {
        self.0.inc(units as u64);
    }

    fn message(&self, message: &str) {
        self.0.set_message(message.to_string());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

struct Lines {
    label: String,
    total: usize,
    unit: &'static str,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    done: usize,
    told: Instant,
    message: String,
}

impl Lines {
    fn tell(&self, state: &State) {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = state.done as f64 / seconds;
        let left = (self.total.saturating_sub(state.done)) as f64 / rate.max(1e-9);
        let message = if state.message.is_empty() {
            String::new()
        } else {
            format!(", {}", state.message)
        };
        let label = &self.label;
        if self.unit == BYTES {
            let [done, total, rate] =
                [state.done as u64, self.total as u64, rate as u64].map(ByteSize);
            eprintln!("{label}: {done} of {total}, {rate}/s, {left:.0} s left{message}");
        } else {
            eprintln!(
                "{label}: {}/{} {}, {rate:.1}/s, {left:.0} s left{message}",
                state.done, self.total, self.unit
            );
        }
    }
}

impl Task for Lines {
    fn advance(&self, units: usize) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        state.done += units;
        if state.told.elapsed() > BETWEEN_LINES {
            state.told = Instant::now();
            self.tell(&state);
        }
    }

    fn message(&self, message: &str) {
        if let Ok(mut state) = self.state.lock() {
            state.message = message.to_string();
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if self.started.elapsed() > SHORT
            && let Ok(state) = self.state.lock()
        {
            let done = if self.unit == BYTES {
                ByteSize(state.done as u64).to_string()
            } else {
                format!("{} {}", state.done, self.unit)
            };
            let seconds = self.started.elapsed().as_secs_f64();
            eprintln!("{}: {done} in {seconds:.0} s", self.label);
        }
    }
}
