//! Kinds of facts: the sentence patterns in which a thing about a persona is stated, asked and answered.
//!
//! `text/kinds_*.txt` holds the hand-made kinds. `# name` opens a kind (the same name again: another variant of it),
//! `! both` says that the negative may be the fact, `! many a` that other values may be true as well, `a section` names the section of the first value; then, by letter:
//! `s` statements, `r` replies as full as a statement, `n` negative statements, `m` negative replies,
//! `p` sentences with part of the content, `f` fragments that answer only the question about their value,
//! `qa` questions for the values listed (`q` alone: open), `q+` only when the fact is positive,
//! `y` yes/no questions, `x` chit-chat that says nothing either way.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::{lexicon, template};

const TEXTS: [&str; 9] = [
    include_str!("text/kinds_origin.txt"),
    include_str!("text/kinds_work.txt"),
    include_str!("text/kinds_people.txt"),
    include_str!("text/kinds_daily.txt"),
    include_str!("text/kinds_likes.txt"),
    include_str!("text/kinds_things.txt"),
    include_str!("text/kinds_inner.txt"),
    include_str!("text/kinds_deeds.txt"),
    include_str!("text/kinds_life.txt"),
];

/// A sentence pattern and the slots it uses, as bits.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: Cow<'static, str>,
    pub(super) values: u8,
    pub(super) others: u8,
}

/// A question pattern.
#[derive(Debug)]
pub(super) struct QuestionLine {
    pub(super) text: Cow<'static, str>,
    /// bits of the values asked for; 0 in an open question
    pub(super) asks: u8,
    /// bits of the values named
    pub(super) names: u8,
    pub(super) yes_no: bool,
    pub(super) only_positive: bool,
}

/// All the patterns of one kind of fact.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) kind: usize,
    pub(super) both: bool,
    /// bits of the slots of which more than one value may be true ("afraid of heights", and of dogs): another value
    /// contradicts the fact only in reply to a question for it
    pub(super) many: u8,
    /// whether another first value neither follows from nor contradicts the fact ("likes rice", "can swim")
    pub(super) open: bool,
    /// sections of the values
    pub(super) slots: Vec<usize>,
    pub(super) statements: Vec<Line>,
    pub(super) replies: Vec<Line>,
    pub(super) negatives: Vec<Line>,
    pub(super) negative_replies: Vec<Line>,
    pub(super) partials: Vec<Line>,
    pub(super) fragments: Vec<Line>,
    pub(super) questions: Vec<QuestionLine>,
    pub(super) chatter: Vec<Line>,
}

impl Lines {
    /// Adds the pattern `text` under the letters `code`; false if the code is unknown.
    pub(super) fn add(&mut self, code: &str, text: Cow<'static, str>) -> bool {
        let (values, others) = template::slots(&text);
        let line = |text| Line {
            text,
            values,
            others,
        };
        match code {
            "s" => self.statements.push(line(text)),
            "r" => self.replies.push(line(text)),
            "n" => self.negatives.push(line(text)),
            "m" => self.negative_replies.push(line(text)),
            "p" => self.partials.push(line(text)),
            "f" => self.fragments.push(line(text)),
            "x" => self.chatter.push(line(text)),
            "y" => self.questions.push(QuestionLine {
                text,
                asks: values,
                names: values,
                yes_no: true,
                only_positive: false,
            }),
            _ if code.starts_with('q') => {
                let letters = code[1..].trim_start_matches('+');
                let asks = slot_bits(letters);
                self.questions.push(QuestionLine {
                    text,
                    asks,
                    names: values,
                    yes_no: false,
                    only_positive: code.contains('+'),
                });
            }
            _ => return false,
        }
        true
    }
}

/// The hand-made kinds; variants of one kind share its number.
pub(super) static KINDS: LazyLock<Vec<Arc<Lines>>> = LazyLock::new(|| {
    let mut kinds: Vec<Lines> = Vec::new();
    for line in TEXTS.iter().flat_map(|text| text.lines()) {
        if let Some(name) = line.strip_prefix("# ") {
            kinds.push(Lines {
                kind: number(name).unwrap_or_default(),
                ..Lines::default()
            });
        } else if let (Some((code, text)), Some(lines)) = (line.split_once(' '), kinds.last_mut()) {
            read_line(lines, code, text);
        }
    }
    kinds.into_iter().map(Arc::new).collect()
});

/// The slots named by letters, as bits.
fn slot_bits(letters: &str) -> u8 {
    letters.bytes().fold(0, |bits, letter| {
        bits | 1 << (letter.saturating_sub(b'a') & 7)
    })
}

static NUMBERS: LazyLock<HashMap<&str, usize>> = LazyLock::new(|| {
    let mut numbers = HashMap::new();
    for name in TEXTS
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("# "))
    {
        let next = numbers.len();
        numbers.entry(name.trim()).or_insert(next);
    }
    numbers
});

/// The number of the hand-made kind called `name`.
pub(super) fn number(name: &str) -> Option<usize> {
    NUMBERS.get(name.trim()).copied()
}

fn read_line(lines: &mut Lines, code: &str, text: &'static str) -> bool {
    if let ("!", Some(letters)) = (code, text.strip_prefix("many ")) {
        lines.many = slot_bits(letters);
        return true;
    }
    if code == "!" {
        (lines.both, lines.open, lines.many) = (true, true, u8::MAX);
        return text == "both";
    }
    let next_slot = code.len() == 1 && code.as_bytes()[0] == b'a' + lines.slots.len() as u8;
    if next_slot && let Some(section) = lexicon::section(text.trim()) {
        lines.slots.push(section);
        return true;
    }
    lines.add(code, Cow::Borrowed(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_kinds_is_understood() {
        for line in TEXTS
            .iter()
            .flat_map(|text| text.lines())
            .filter(|line| !line.is_empty() && !line.starts_with("# "))
        {
            let known = line.split_once(' ').is_some_and(|(code, text)| {
                let slot = code.len() == 1
                    && ("a"..="e").contains(&code)
                    && lexicon::section(text).is_some();
                slot || read_line(&mut Lines::default(), code, text)
            });
            assert!(known, "{line}");
        }
    }

    #[test]
    fn every_kind_has_enough_of_everything() {
        for lines in KINDS.iter() {
            let first = &lines.statements[0].text;
            assert!(lines.statements.len() >= 2, "statements of {first}");
            assert!(
                lines
                    .questions
                    .iter()
                    .filter(|line| !line.only_positive)
                    .count()
                    >= 4,
                "questions of {first}"
            );
            assert!(
                !lines.negatives.is_empty() || !lines.negative_replies.is_empty(),
                "negation of {first}"
            );
            assert!(
                lines.replies.len() + lines.partials.len() >= 2,
                "replies of {first}"
            );
            assert!(!lines.chatter.is_empty(), "chatter of {first}");
            let all = (1_u16 << lines.slots.len()) - 1;
            let used = lines
                .statements
                .iter()
                .chain(&lines.replies)
                .chain(&lines.partials)
                .chain(&lines.fragments);
            for line in used.chain(&lines.negatives).chain(&lines.chatter) {
                assert!(
                    u16::from(line.values | line.others) & !all == 0,
                    "unknown slot in {}",
                    line.text
                );
                assert_eq!(
                    line.text.matches('<').count(),
                    line.text.matches('>').count(),
                    "{}",
                    line.text
                );
                assert_eq!(
                    line.text.matches('[').count(),
                    line.text.matches(']').count(),
                    "{}",
                    line.text
                );
            }
            for line in lines.negatives.iter().chain(&lines.negative_replies) {
                assert!(
                    line.text.contains('<'),
                    "what makes it negative in {}",
                    line.text
                );
            }
            if lines.both {
                assert!(
                    lines.statements.iter().all(|line| line.text.contains('<')),
                    "{first}"
                );
                assert!(!lines.negatives.is_empty(), "{first}");
            }
        }
    }
}
