//! Prints a score as a table.

use std::io::IsTerminal;

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};

use crate::Result;
use crate::cli::output::print_as_it_is;
use crate::cli::shown::visible;
use crate::persona::{Score, StatementScore};

/// The label of a reply for a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Honoured,
    Missed,
    Contradicted,
    LeftAlone,
}

impl Verdict {
    fn of(part: &StatementScore) -> Self {
        if part.contradicted > part.neutral.max(part.entailed) {
            Self::Contradicted
        } else if part.entailed > part.neutral {
            Self::Honoured
        } else if part.relevance >= 0.5 {
            Self::Missed
        } else {
            Self::LeftAlone
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Honoured => "+ honoured",
            Self::Missed => "o missed",
            Self::Contradicted => "- contradicted",
            Self::LeftAlone => "  left alone",
        }
    }

    fn color(self) -> Option<Color> {
        match self {
            Self::Honoured => Some(Color::Green),
            Self::Missed => Some(Color::Yellow),
            Self::Contradicted => Some(Color::Red),
            Self::LeftAlone => None,
        }
    }
}

/// Whether to use colours: on a terminal, unless the user turned them off.
fn colored() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints the score of one reply under a title: the sums, then each statement, those that count most first.
pub(super) fn print_score(title: &str, score: &Score) -> Result<()> {
    // The table has escape sequences of its own, colours, and so its texts are made visible one by one.
    print_as_it_is(&format!("{}\n{}", visible(title), score_table(score)))
}

fn score_table(score: &Score) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        table.set_width(120);
    }
    table.set_header([
        "verdict",
        "relevant",
        "entailed",
        "neutral",
        "contradicted",
        "statement",
    ]);
    let mut parts: Vec<&StatementScore> = score.statements.iter().collect();
    parts.sort_by(|a, b| b.relevance.total_cmp(&a.relevance));
    for part in parts {
        let verdict = Verdict::of(part);
        let number = |value: f64| Cell::new(format!("{value:.2}"));
        let mut first = Cell::new(verdict.text());
        if let Some(color) = verdict.color().filter(|_| colored()) {
            first = first.fg(color);
        }
        table.add_row([
            first,
            number(part.relevance),
            number(part.entailed),
            number(part.neutral),
            number(part.contradicted),
            Cell::new(visible(&part.statement)),
        ]);
    }
    format!(
        "APC {:.3} of {}   ΔAPC {:+.3} = active reward {:.3} - passive penalty {:.3}\n{table}",
        score.apc,
        score.statements.len(),
        score.delta_apc,
        score.active_reward,
        score.passive_penalty
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_tells_honoured_missed_contradicted_and_left_alone_apart() {
        let verdict = |relevance, contradicted, entailed| {
            let neutral = 1.0 - contradicted - entailed;
            Verdict::of(&StatementScore {
                statement: String::new(),
                relevance,
                contradicted,
                neutral,
                entailed,
            })
        };
        assert_eq!(verdict(0.9, 0.1, 0.8), Verdict::Honoured);
        assert_eq!(verdict(0.9, 0.1, 0.1), Verdict::Missed);
        assert_eq!(verdict(0.1, 0.8, 0.1), Verdict::Contradicted);
        assert_eq!(verdict(0.1, 0.1, 0.1), Verdict::LeftAlone);
    }
}
