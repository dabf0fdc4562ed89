//! How a judge is asked: the one text that it reads.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::{self, Checkpoint};
use crate::text::filled;
use crate::{Error, Result};

/// What a judge is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgeInput<'a> {
    /// The character's name.
    pub character: &'a str,
    /// What is true of the character.
    pub statement: &'a str,
    /// What the character was asked.
    pub query: &'a str,
    /// The reply; empty where relevance is judged.
    pub response: &'a str,
}

impl<'a> JudgeInput<'a> {
    pub(super) fn value(&self, placeholder: Placeholder) -> &'a str {
        match placeholder {
            Placeholder::Character => self.character,
            Placeholder::Statement => self.statement,
            Placeholder::Query => self.query,
            Placeholder::Response => self.response,
        }
    }
}

/// What a template names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    Character,
    Statement,
    Query,
    Response,
}

impl Placeholder {
    const ALL: [Self; 4] = [
        Self::Character,
        Self::Statement,
        Self::Query,
        Self::Response,
    ];

    fn text(self) -> &'static str {
        match self {
            Self::Character => "{character}",
            Self::Statement => "{statement}",
            Self::Query => "{query}",
            Self::Response => "{response}",
        }
    }
}

/// How statement, query and reply become the one text that a judge reads; lies beside its weights as `judge.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeTemplate {
    /// A text with `{character}`, `{statement}`, `{query}` and, for NLI, `{response}`.
    pub template: String,
}

impl JudgeTemplate {
    const FILE: &'static str = "judge.json";

    /// The template of the judges that this program trains: for relevance.
    pub fn relevance() -> Self {
        Self {
            template: "Statement: {statement} Question: {query}".into(),
        }
    }

    /// The template of the judges that this program trains: for NLI.
    pub fn nli() -> Self {
        Self {
            template: "Statement: {statement} Question: {query} Reply: {response}".into(),
        }
    }

    /// Whether a checkpoint says how its judge is asked.
    pub fn is_in(checkpoint: &Checkpoint) -> bool {
        checkpoint.has(Self::FILE)
    }

    /// Reads a judge's template.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        if !checkpoint.has(Self::FILE) {
            let reason = "has no judge.json, which says how statement and query become one text; \
                          add one: {\"template\": \"… {statement} … {query} … {response} …\"}, or name a file with \
                          `judge_templates`";
            return Err(Error::invalid(checkpoint.name(), reason));
        }
        checkpoint.read_json(Self::FILE)
    }

    /// Writes the template into a judge's folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        files::write_json(&folder.join(Self::FILE), self)
    }

    /// The text that the judge reads.
    pub fn render(&self, input: &JudgeInput<'_>) -> String {
        let (frame, gaps) = self.frame();
        let fillings: Vec<&str> = gaps.into_iter().map(|gap| input.value(gap)).collect();
        filled(&frame, &fillings)
    }

    /// The fixed texts before, between and after the placeholders, and the placeholders in their order.
    pub(super) fn frame(&self) -> (Vec<&str>, Vec<Placeholder>) {
        let mut rest = self.template.as_str();
        let (mut frame, mut gaps) = (Vec::new(), Vec::new());
        while let Some((at, gap)) = Placeholder::ALL
            .into_iter()
            .filter_map(|gap| Some((rest.find(gap.text())?, gap)))
            .min_by_key(|(at, _)| *at)
        {
            frame.push(&rest[..at]);
            gaps.push(gap);
            rest = &rest[at + gap.text().len()..];
        }
        frame.push(rest);
        (frame, gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_inside_a_value_stays_as_it_is() {
        let text = JudgeTemplate::nli().render(&JudgeInput {
            character: "Mira",
            statement: "Mira sings {query}.",
            query: "What?",
            response: "I sing.",
        });
        assert_eq!(
            text,
            "Statement: Mira sings {query}. Question: What? Reply: I sing."
        );
    }
}
