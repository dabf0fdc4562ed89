//! Progress on stderr: bars on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::cli::count::Count;
use crate::cli::flags::with_flags;
use crate::cli::shown::{tell, visible};
use crate::progress::{Progress, Task};

/// Shorter tasks are not reported.
const SHORT: Duration = Duration::from_secs(2);
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
        let count = Count::new(&visible(label), total, unit);
        match &self.bars {
            Some(bars) => Box::new(Bar::new(bars, count)),
            None => Box::new(Lines(Mutex::new((count, Instant::now())))),
        }
    }

    fn note(&self, line: &str) {
        let line = with_flags(line);
        match &self.bars {
            // A terminal that has gone away is no reason to stop.
            Some(bars) => drop(bars.println(visible(&line))),
            None => tell(&line),
        }
    }
}

struct Bar {
    bar: ProgressBar,
    count: Arc<Mutex<Count>>,
}

impl Bar {
    fn new(bars: &MultiProgress, count: Count) -> Self {
        let bar = ProgressBar::new(count.total as u64);
        let count = Arc::new(Mutex::new(count));
        let drawn = count.clone();
        let draw = move |_: &ProgressState, line: &mut dyn std::fmt::Write| {
            // Asked each time: the window may have another size now.
            let size = console::Term::stderr().size_checked();
            let columns = size.map_or(80, |(_, columns)| usize::from(columns));
            if let Ok(count) = drawn.lock() {
                let _ = line.write_str(&count.bar(columns));
            }
        };
        let style = ProgressStyle::with_template("{line}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("line", draw);
        let bar = bars.add(bar.with_style(style));
        Self { bar, count }
    }

    fn change(&self, change: impl FnOnce(&mut Count)) {
        if let Ok(mut count) = self.count.lock() {
            change(&mut count);
        }
    }
}

impl Task for Bar {
    fn advance(&self, units: usize) {
        self.change(|count| count.done += units);
        self.bar.inc(units as u64);
    }

    fn resume(&self, units: usize) {
        self.change(|count| count.resume(units));
        self.bar.inc(units as u64);
    }

    fn message(&self, message: &str) {
        self.change(|count| count.message = visible(message).into_owned());
        self.bar.tick();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A count, and when it was last told.
struct Lines(Mutex<(Count, Instant)>);

impl Task for Lines {
    fn advance(&self, units: usize) {
        let Ok(mut state) = self.0.lock() else {
            return;
        };
        state.0.done += units;
        if state.1.elapsed() > BETWEEN_LINES {
            state.1 = Instant::now();
            tell(&state.0.line());
        }
    }

    fn resume(&self, units: usize) {
        if let Ok(mut state) = self.0.lock() {
            state.0.resume(units);
        }
    }

    fn message(&self, message: &str) {
        if let Ok(mut state) = self.0.lock() {
            state.0.message = message.to_string();
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Ok(state) = self.0.lock()
            && state.0.elapsed() > SHORT
        {
            tell(&state.0.last_line());
        }
    }
}
