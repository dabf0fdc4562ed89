//! One thing that is true of a persona, and the sentences that tell it.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use super::kinds::Lines;
use super::lexicon;
use super::template::{self, Filling, Person};

/// One thing that is true of a persona.
#[derive(Debug, Clone)]
pub struct Fact {
    /// third person, with the name: "Mira plays the cello in a café on Sundays."
    pub statement: String,
    /// differently worded questions in the second person that the statement answers
    pub questions: Vec<String>,
    /// facts of the same kind may answer each other's questions
    pub kind: usize,
    pub(super) name: String,
    pub(super) woman: bool,
    pub(super) lines: Arc<Lines>,
    pub(super) values: Vec<String>,
    pub(super) positive: bool,
    pub(super) statement_idx: usize,
    pub(super) contracted: bool,
    pub(super) asked: Vec<Asked>,
}

/// What a question is after.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// bits of the slots asked for; 0 in an open question
    pub(super) asks: u8,
    /// whether yes is the right answer, if the question is of that sort
    pub(super) yes_no: Option<bool>,
    /// the wrong value named in the question, and its slot
    pub(super) lure: Option<(usize, String)>,
    pub(super) auxiliary: &'static str,
}

impl Fact {
    pub(super) fn asked_at(&self, question_idx: usize) -> Asked {
        self.asked.get(question_idx).cloned().unwrap_or_default()
    }

    pub(super) fn statement_line(&self) -> &str {
        let lines = if self.positive {
            &self.lines.statements
        } else {
            &self.lines.negatives
        };
        lines.get(self.statement_idx).map_or("", |line| &line.text)
    }

    /// A value for the slot that the fact has nowhere.
    pub(super) fn other_value(&self, slot: usize, rng: &mut ChaCha8Rng) -> String {
        let (section, truth) = (self.lines.slots[slot], &self.values[slot]);
        let mut other = lexicon::other(section, truth, rng);
        for _ in 0..8 {
            if !self.values.contains(&other) {
                break;
            }
            other = lexicon::other(section, truth, rng);
        }
        other
    }

    /// Bits of the slots that the statement names; nothing else may be asked or said of it.
    pub(super) fn stated(&self) -> u8 {
        template::slots(self.statement_line()).0
    }

    pub(super) fn told(
        &self,
        pattern: &str,
        person: Person,
        values: &[String],
        others: &[String],
        marked: bool,
    ) -> String {
        let filling = Filling {
            name: &self.name,
            woman: self.woman,
            values,
            others,
            marked,
        };
        template::render(pattern, person, &filling)
    }
}
