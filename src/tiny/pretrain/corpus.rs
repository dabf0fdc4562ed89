//! Everyday talk with characters, written by hand: a file a persona, a statement a line; see `models/corpus/README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::recipe::example_rng;
use super::whether::{Whether, whether};
use crate::{Error, Result, files};

/// One personas in so many is held out, the last by name.
const HELD_OUT_OF: usize = 19;
/// Of so many personas in a row each pair of judges leaves one out, and another one than the other pair.
const SHARES: usize = 10;
/// With fewer personas the judges that grade would learn from the same as those that reward, or from one alone.
const FEWEST: usize = 4;

/// A statement of a persona, with what is asked about it and replied.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// Empty where nothing in the persona answers.
    #[serde(rename = "s")]
    pub(super) statement: String,
    #[serde(rename = "q")]
    pub(super) questions: Vec<String>,
    #[serde(rename = "e", default)]
    pub(super) entailed: Vec<String>,
    #[serde(rename = "c", default)]
    pub(super) contradicted: Vec<String>,
    #[serde(rename = "n", default)]
    pub(super) neutral: Vec<String>,
    /// A yes-or-no question about the statement, made by rules; none where either answer would be ambiguous.
    #[serde(skip)]
    pub(super) whether: Option<Whether>,
}

impl Line {
    /// Whether the line has a statement of the persona.
    pub(super) fn is_about_something(&self) -> bool {
        !self.statement.is_empty()
    }

    /// The question that the reply at a place of its list answers.
    pub(super) fn question(&self, place: usize) -> &str {
        let last = self.questions.len().saturating_sub(1);
        self.questions
            .get(place.min(last))
            .map_or("", String::as_str)
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let lists = [
            &self.questions,
            &self.entailed,
            &self.contradicted,
            &self.neutral,
        ];
        let texts = lists.into_iter().flatten().map(String::as_str);
        std::iter::once(self.statement.as_str()).chain(texts)
    }
}

/// What one file tells of a persona.
#[derive(Clone, Debug)]
pub(super) struct Persona {
    pub(super) lines: Vec<Line>,
}

impl Persona {
    /// Returns the name, with which most statements begin.
    pub(super) fn name(&self) -> &str {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for statement in self.statements() {
            let first = statement.split_whitespace().next().unwrap_or_default();
            let name = first.trim_end_matches("'s").trim_end_matches('\'');
            *counts.entry(name).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        most.map_or("", |(name, _)| name)
    }

    /// All statements.
    pub(super) fn statements(&self) -> Vec<&str> {
        let lines = self.lines.iter().filter(|line| line.is_about_something());
        lines.map(|line| line.statement.as_str()).collect()
    }
}

/// The personas of a folder, in the order of their files' names.
#[derive(Clone, Debug)]
pub(super) struct Corpus {
    personas: Vec<Persona>,
}

impl Corpus {
    /// Reads all `.jsonl` files of a folder.
    pub(super) fn load(folder: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let path = entry.map_err(Error::io("read", folder))?.path();
            if path.extension().is_some_and(|ending| ending == "jsonl") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.len() < FEWEST {
            let reason = format!(
                "has {} files of personas (.jsonl), but judges need {FEWEST} or more to learn from and to be held out",
                paths.len()
            );
            return Err(Error::invalid(folder, reason));
        }
        let personas = paths.iter().map(read_persona).collect::<Result<_>>()?;
        Ok(Self { personas })
    }

    /// Every statement in it.
    pub(super) fn statements(&self) -> impl Iterator<Item = &str> {
        let lines = self.personas.iter().flat_map(|persona| &persona.lines);
        lines.map(|line| line.statement.as_str())
    }

    /// What tells it from another corpus.
    pub(super) fn checksum(&self) -> String {
        files::checksum_of(format!("{:?}", self.personas))
    }

    /// Every text in it.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let lines = self.personas.iter().flat_map(|persona| &persona.lines);
        lines.flat_map(Line::texts)
    }

    /// The personas that no judge learns from.
    pub(super) fn held_out(&self) -> &[Persona] {
        &self.personas[self.n_learnt()..]
    }

    /// The personas that models may learn from.
    pub(super) fn learnt(&self) -> &[Persona] {
        &self.personas[..self.n_learnt()]
    }

    /// The personas that judges learn from, but for one in ten.
    ///
    /// - left_out: the place of the one that is left out, among ten
    pub(super) fn share(&self, left_out: usize) -> Vec<Persona> {
        let learnt = self.learnt().iter().enumerate();
        let kept = learnt.filter(|(place, _)| place % SHARES != left_out % SHARES);
        kept.map(|(_, persona)| persona.clone()).collect()
    }

    /// The personas that [`Self::share`] leaves out.
    pub(super) fn left_out(&self, left_out: usize) -> Vec<Persona> {
        let learnt = self.personas[..self.n_learnt()].iter().enumerate();
        let kept = learnt.filter(|(place, _)| place % SHARES == left_out % SHARES);
        kept.map(|(_, persona)| persona.clone()).collect()
    }

    fn n_learnt(&self) -> usize {
        self.personas.len() - (self.personas.len() / HELD_OUT_OF).max(1)
    }
}

fn read_persona(path: &PathBuf) -> Result<Persona> {
    let mut persona = Persona {
        lines: files::read_jsonl(path)?,
    };
    if let Some(at) = (persona.lines.iter()).position(|line| line.questions.is_empty()) {
        let reason = format!(
            "line {} asks nothing; give it a question in \"q\", or take it out",
            at + 1
        );
        return Err(Error::invalid(path, reason));
    }
    if persona.statements().len() < 2 {
        let reason = "has fewer than two statements (\"s\"), so that no reply is about another one";
        return Err(Error::invalid(path, reason));
    }
    let name = persona.name().to_string();
    for (number, line) in (0..).zip(&mut persona.lines) {
        line.whether = whether(&name, &line.statement, &mut example_rng(0, number));
    }
    Ok(persona)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder with so many personas of two statements, two questions each, and a question that nothing answers.
    pub(in crate::tiny::pretrain) fn small_corpus(n_personas: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for persona in 0..n_personas {
            let line = |thing: &str| {
                format!(
                    "{{\"s\": \"Persona{persona} has a {thing}.\", \"q\": [\"What have you got, {thing} or not?\", \
                     \"Anything of {thing}?\"], \"e\": [\"I have got a {thing} at home.\", \"Yes, a {thing}, so I have.\"], \
                     \"c\": [\"I never had a {thing}.\", \"No {thing}, never.\"], \"n\": [\"It is late.\", \"Who knows, my friend?\"]}}\n"
                )
            };
            let open = "{\"s\": \"\", \"q\": [\"How tall?\"], \"e\": [\"I could not say.\"], \"c\": [], \"n\": []}\n";
            let text = line("boat") + &line("cello") + open;
            fs::write(folder.path().join(format!("p{persona:03}.jsonl")), text).unwrap();
        }
        folder
    }

    /// A line with this statement and a question.
    pub(in crate::tiny::pretrain) fn line(statement: &str) -> Line {
        let line = serde_json::json!({"s": statement, "q": ["And?"]});
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn the_last_personas_are_held_out_and_the_two_pairs_of_judges_leave_different_ones_out() {
        let folder = small_corpus(38);
        let corpus = Corpus::load(folder.path()).unwrap();
        let names = |personas: &[Persona]| -> Vec<String> {
            let statements = personas.iter().map(|persona| persona.statements()[0]);
            statements
                .map(|statement| statement.split(' ').next().unwrap().to_string())
                .collect()
        };
        assert_eq!(names(corpus.held_out()), ["Persona36", "Persona37"]);
        let names_of_all: Vec<&str> = corpus.learnt().iter().map(Persona::name).collect();
        assert_eq!(names_of_all.len(), 36);
        assert_eq!(names_of_all[35], "Persona35");
        let [rewarding, grading] = [0, 1].map(|left_out| names(&corpus.share(left_out)));
        assert_eq!(rewarding.len(), 32);
        assert!(!rewarding.contains(&"Persona10".to_string()));
        assert!(grading.contains(&"Persona10".to_string()));
        assert!(!grading.contains(&"Persona11".to_string()));
        assert_eq!(corpus.texts().count(), 38 * (2 * 9 + 3));
    }

    #[test]
    fn a_reply_beyond_the_questions_answers_the_last() {
        let folder = small_corpus(4);
        let corpus = Corpus::load(folder.path()).unwrap();
        let line = &corpus.personas[0].lines[0];
        assert_eq!(line.question(0), line.questions[0]);
        assert_eq!(line.question(7), line.questions[1]);
    }

    #[test]
    fn what_cannot_be_learnt_from_is_told_with_file_and_line() {
        let folder = small_corpus(3);
        let told = |folder: &Path| Corpus::load(folder).unwrap_err().to_string();
        assert!(told(folder.path()).contains("3 files of personas"));
        let path = folder.path().join("q.jsonl");
        for (text, expected) in [
            ("{\"s\": \"A.\", \"q\": []}", "line 1 asks nothing"),
            (
                "{\"s\": \"A.\", \"q\": [\"B?\"]}",
                "fewer than two statements",
            ),
            (
                "{\"s\": \"A.\", \"q\": [\"B?\"], \"x\": 1}",
                "unknown field `x`",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let told = told(folder.path());
            assert!(
                told.contains(expected) && told.contains("q.jsonl"),
                "{told}"
            );
        }
    }
}
