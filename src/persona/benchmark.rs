//! How well judges understand everyday talk: pairs of a right and a wrong reply, and questions that one statement answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Persona, Score, Scorer};
use crate::Result;
use crate::progress::Job;

/// A persona with pairs and questions, as a file of a benchmark has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Everyday {
    /// The persona's name.
    pub name: String,
    /// How its page is written.
    pub style: String,
    /// What is true of it.
    pub statements: Vec<String>,
    /// A right and a wrong reply to a question each.
    pub pairs: Vec<EverydayPair>,
    /// Questions, most of which a statement answers.
    pub questions: Vec<EverydayQuestion>,
}

/// A question with a reply that the persona would give, and one that it would not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EverydayPair {
    /// What the persona is asked.
    pub query: String,
    /// The reply that is true to it.
    pub right: String,
    /// The reply that is not.
    pub wrong: String,
    /// What is wrong with it: a contradiction, a non sequitur, nonsense or an evasion.
    pub kind: String,
    /// The indices of the statements that decide.
    pub statements: Vec<usize>,
}

/// A question, and what answers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EverydayQuestion {
    /// What the persona is asked.
    pub query: String,
    /// The indices of the statements that answer; none if the persona does not know.
    pub statements: Vec<usize>,
    /// The answer in a few words.
    pub answer: String,
    /// Beginnings of words of which a right answer has one.
    pub keys: Vec<String>,
}

/// How many of several were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Those that were.
    pub right: usize,
    /// All.
    pub of: usize,
}

impl Share {
    pub(super) fn count(&mut self, is_right: bool) {
        self.right += usize::from(is_right);
        self.of += 1;
    }

    /// From 0 to 1.
    pub fn rate(&self) -> f64 {
        self.right as f64 / self.of.max(1) as f64
    }
}

/// What judges made of a benchmark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Understanding {
    /// Pairs whose right reply has the higher ΔAPC.
    pub pairs: Share,
    /// The same, by what is wrong with the other reply.
    pub kinds: BTreeMap<String, Share>,
    /// The same, by how the page is written.
    pub styles: BTreeMap<String, Share>,
    /// Questions whose statement is the most relevant of all.
    pub first: Share,
    /// Questions whose statement is among the five most relevant.
    pub among_five: Share,
}

impl Everyday {
    /// Adds what the judges make of this persona's pairs and questions.
    ///
    /// # Errors
    ///
    /// A persona without statements, or a judge that fails.
    pub fn measure(&self, scorer: &Scorer, found: &mut Understanding, job: &Job) -> Result<()> {
        let persona = Persona::new(&self.name, self.statements.clone());
        let answered = self.questions.iter();
        let answered = answered.filter(|question| !question.statements.is_empty());
        let answered: Vec<&EverydayQuestion> = answered.collect();
        let asked = self.pairs.iter().map(|pair| pair.query.as_str());
        let asked = asked.chain(answered.iter().map(|question| question.query.as_str()));
        let asked: Vec<&str> = asked.collect();
        let table = scorer.relevance_of(&persona, &asked, job)?;
        let replies: Vec<(&str, &str)> = self
            .pairs
            .iter()
            .flat_map(|pair| {
                [&pair.right, &pair.wrong].map(|reply| (pair.query.trim(), reply.trim()))
            })
            .collect();
        let judged = scorer.nli.nli(&persona, &replies, job)?;
        for (place, (pair, judged)) in self.pairs.iter().zip(judged.chunks(2)).enumerate() {
            let relevance = &table.rows[place];
            let score = |side: usize| Score::of(&persona, relevance, &judged[side]).delta_apc;
            let is_right = score(0) > score(1);
            found.pairs.count(is_right);
            found
                .kinds
                .entry(pair.kind.clone())
                .or_default()
                .count(is_right);
            found
                .styles
                .entry(self.style.clone())
                .or_default()
                .count(is_right);
        }
        for (place, question) in answered.into_iter().enumerate() {
            let retrieved = table.retrieve(self.pairs.len() + place, 5);
            let answers = |idx: &usize| question.statements.contains(idx);
            found.first.count(retrieved.first().is_some_and(answers));
            found.among_five.count(retrieved.iter().any(answers));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Checkpoint;
    use crate::parallel::Devices;
    use burn::tensor::Device;
    use std::path::Path;

    #[test]
    fn a_persona_without_statements_is_refused_by_name() {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
        let [relevance, nli] =
            ["relevance", "nli"].map(|name| Checkpoint::folder(tiny.join(name)).into());
        let scorer = Scorer::load(&relevance, &nli, &Devices::from(Device::flex())).unwrap();
        let everyday = Everyday {
            name: "Mira".into(),
            style: "prose".into(),
            statements: Vec::new(),
            pairs: Vec::new(),
            questions: Vec::new(),
        };
        let measured = everyday.measure(&scorer, &mut Understanding::default(), &Job::default());
        let error = measured.unwrap_err().to_string();
        assert!(
            error.contains("Mira") && error.contains("statements"),
            "{error}"
        );
    }
}
