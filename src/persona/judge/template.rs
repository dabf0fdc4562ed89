//! How a judge is asked: the text that it reads, or the pair of texts.

use serde::{Deserialize, Serialize};

use super::JudgeTask;
use crate::text::filled;

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

/// How statement, query and reply become what a judge reads: one text, or a pair, such as premise and hypothesis, between
/// whose two the tokenizer puts its own separators. Each is a text with `{character}`, `{statement}`, `{query}` and, for NLI,
/// `{response}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JudgeTemplate {
    /// One text.
    Text(String),
    /// Two texts.
    Pair([String; 2]),
}

/// The fixed texts before, between and after the placeholders of a text, and the placeholders in their order.
pub(super) type Frame<'a> = (Vec<&'a str>, Vec<Placeholder>);

impl JudgeTemplate {
    /// The template of the judges that this program trains: for relevance.
    pub fn relevance() -> Self {
        Self::Text("Statement: {statement} Question: {query}".into())
    }

    /// The template of the judges that this program trains: for NLI.
    pub fn nli() -> Self {
        Self::Text("Statement: {statement} Question: {query} Reply: {response}".into())
    }

    /// Reads a template as a user writes it: a text, or two in a JSON array.
    ///
    /// # Errors
    ///
    /// The reason.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let is_array = text
            .trim_start()
            .strip_prefix('[')
            .is_some_and(|inside| inside.trim_start().starts_with('"'));
        let template = match serde_json::from_str::<[String; 2]>(text) {
            Ok(pair) => Self::Pair(pair),
            Err(error) if is_array => {
                return Err(format!("a template in a JSON array has two texts: {error}"));
            }
            Err(_) => Self::Text(text.to_string()),
        };
        template.check()?;
        Ok(template)
    }

    /// Checks that the template names nothing that a judge is not told.
    ///
    /// # Errors
    ///
    /// The placeholder that is not known, or that there is none at all.
    pub fn check(&self) -> std::result::Result<(), String> {
        let known = Placeholder::ALL.map(Placeholder::text).join(", ");
        for text in self.texts() {
            if let Some(found) = unknown_placeholder(text) {
                return Err(format!(
                    "a template has the placeholder {found}, but only {known} are known"
                ));
            }
        }
        if self.frames().iter().all(|(_, gaps)| gaps.is_empty()) {
            return Err(format!("a template has no placeholder; {known} are known"));
        }
        Ok(())
    }

    /// The same, and that a judge of `task` is told what it judges.
    ///
    /// # Errors
    ///
    /// Also the placeholder that is missing.
    pub fn check_for(&self, task: JudgeTask) -> std::result::Result<(), String> {
        self.check()?;
        let needed = match task {
            JudgeTask::Relevance => ["{statement}", "{query}"],
            JudgeTask::Nli => ["{statement}", "{response}"],
        };
        let lacks = |word: &&str| !self.texts().iter().any(|text| text.contains(*word));
        match needed.into_iter().find(lacks) {
            Some(word) => Err(format!(
                "the template has no {word}, without which a judge cannot judge; add it, or change `{}`",
                task.settings()
            )),
            None => Ok(()),
        }
    }

    /// The one text or both.
    pub(super) fn texts(&self) -> &[String] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::Pair(pair) => pair,
        }
    }

    /// What the judge reads; the two texts of a pair are on lines of their own.
    pub fn render(&self, input: &JudgeInput<'_>) -> String {
        let texts = self.frames().into_iter().map(|(frame, gaps)| {
            let fillings: Vec<&str> = gaps.into_iter().map(|gap| input.value(gap)).collect();
            filled(&frame, &fillings)
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    fn frames(&self) -> Vec<Frame<'_>> {
        self.texts().iter().map(|text| frame(text)).collect()
    }
}

/// Splits a text at its placeholders.
pub(super) fn frame(mut rest: &str) -> Frame<'_> {
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

/// The first word in braces that is no placeholder, such as one that is misspelt.
fn unknown_placeholder(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        rest = &rest[at..];
        let end = rest[1..].find(['{', '}']).map(|end| end + 1);
        if let Some(end) = end
            && rest[end..].starts_with('}')
        {
            let (found, name) = (&rest[..=end], rest[1..end].trim());
            let is_word = !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_alphanumeric() || "_- ".contains(c));
            if is_word && !Placeholder::ALL.iter().any(|known| known.text() == found) {
                return Some(found);
            }
        }
        rest = &rest[1..];
    }
    None
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

    #[test]
    fn a_template_that_names_something_unknown_is_refused_by_name() {
        for (text, found) in [
            ("{statment} {query}", "{statment}"),
            ("{Statement} {query}", "{Statement}"),
            ("{statement } {query}", "{statement }"),
            (r#"["{statement}", "{answer}"]"#, "{answer}"),
            ("no place", "no placeholder"),
        ] {
            let error = JudgeTemplate::parse(text).unwrap_err();
            assert!(error.contains(found), "{text}: {error}");
        }
        for text in [
            "{statement}",
            r#"{"a": 1} {query} {} { {{response}} }"#,
            r#"["{statement}", "{response}"]"#,
        ] {
            JudgeTemplate::parse(text).unwrap();
        }
        let pair = JudgeTemplate::parse(r#"["{statement}", "{response}"]"#).unwrap();
        assert_eq!(
            pair,
            JudgeTemplate::Pair(["{statement}", "{response}"].map(String::from))
        );
    }
}
