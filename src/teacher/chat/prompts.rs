//! Prompts for a chat model, in the language of the page.

use std::sync::LazyLock;

use minijinja::{Environment, Value};

/// The language in which a chat model is asked, and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English, and whatever else has no prompts of its own.
    English,
    /// Chinese.
    Chinese,
    /// Japanese.
    Japanese,
}

impl Language {
    const ALL: [Self; 3] = [Self::English, Self::Chinese, Self::Japanese];

    /// Detects the language of a page: Japanese if a fair part of it is kana, Chinese if most of it is Han characters.
    pub fn of(page: &str) -> Self {
        let count = |holds: fn(char) -> bool| page.chars().filter(|&c| holds(c)).count();
        let letters = count(char::is_alphabetic);
        let kana = count(|c| matches!(c, '\u{3041}'..='\u{30ff}'));
        let han = count(|c| matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'));
        if kana * 10 > letters {
            Self::Japanese
        } else if han * 2 > letters {
            Self::Chinese
        } else {
            Self::English
        }
    }

    /// The two letters of ISO 639-1.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
            Self::Japanese => "ja",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Self::English => include_str!("prompts/en.j2"),
            Self::Chinese => include_str!("prompts/zh.j2"),
            Self::Japanese => include_str!("prompts/ja.j2"),
        }
    }
}

static PROMPTS: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut prompts = Environment::new();
    for language in Language::ALL {
        prompts
            .add_template(language.code(), language.source())
            .expect("the prompts are templates");
    }
    prompts
});

/// The prompt of a name with its values.
pub(super) fn prompt(language: Language, name: &str, values: &[Value]) -> String {
    let rendered = PROMPTS.get_template(language.code()).and_then(|template| {
        template
            .render_captured(())?
            .state()
            .call_macro(name, values)
    });
    rendered.expect("every language has every prompt")
}

/// Splits a page into parts of about `chars` characters, at the end of a paragraph, else of a line, else of a sentence.
pub(super) fn parts(page: &str, chars: usize) -> Vec<String> {
    let mut pieces: Vec<String> = vec![page.to_string()];
    for (separator, keep) in [("\n\n", "\n\n"), ("\n", "\n"), (". ", ". "), ("。", "。")] {
        pieces = pieces
            .into_iter()
            .flat_map(|piece| {
                if piece.chars().count() <= chars {
                    return vec![piece];
                }
                let count = piece.matches(separator).count();
                piece
                    .split(separator)
                    .enumerate()
                    .map(|(idx, text)| {
                        let end = if idx < count { keep } else { "" };
                        format!("{text}{end}")
                    })
                    .collect()
            })
            .collect();
    }
    let mut parts: Vec<String> = Vec::new();
    for piece in pieces {
        match parts.last_mut() {
            Some(part) if part.chars().count() + piece.chars().count() <= chars => {
                part.push_str(&piece)
            }
            _ => parts.push(piece),
        }
    }
    parts
        .into_iter()
        .map(|part| part.trim().to_string())
        .filter(|part| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_prompt_and_shows_its_values() {
        let text = |text: &str| Value::from(text);
        let list = || Value::from(vec!["QUESTION-1", "QUESTION-2"]);
        let prompts: [(&str, Vec<Value>); 7] = [
            ("system", vec![text("NAME")]),
            ("statements", vec![text("NAME"), text("PAGE")]),
            ("queries", vec![text("NAME"), text("STATEMENT"), list()]),
            ("relevance", vec![text("NAME"), text("STATEMENT"), list()]),
            (
                "replies",
                vec![text("NAME"), text("STATEMENT"), text("QUESTION-1")],
            ),
            (
                "nli",
                vec![
                    text("NAME"),
                    text("STATEMENT"),
                    text("QUESTION-1"),
                    text("REPLY"),
                ],
            ),
            ("again", vec![text("REASON")]),
        ];
        for language in Language::ALL {
            for (name, values) in &prompts {
                let rendered = prompt(language, name, values);
                let shown = ["NAME", "PAGE", "STATEMENT", "QUESTION-1", "REPLY", "REASON"];
                let wanted = values.iter().map(ToString::to_string).collect::<String>();
                for word in shown.iter().filter(|word| wanted.contains(**word)) {
                    assert!(rendered.contains(word), "{language:?} {name}: {rendered}");
                }
                assert!(
                    !rendered.contains("\n\n\n"),
                    "{language:?} {name}: {rendered}"
                );
            }
            let first = prompt(
                language,
                "queries",
                &[
                    text("NAME"),
                    text("STATEMENT"),
                    Value::from(Vec::<String>::new()),
                ],
            );
            assert!(!first.contains("- "), "nothing was asked yet: {first}");
        }
    }

    #[test]
    fn the_language_of_a_page_is_told_by_its_script() {
        assert_eq!(Language::of("Alice was born in Köln."), Language::English);
        assert_eq!(
            Language::of("小雨是一名园丁，住在 Köln。"),
            Language::Chinese
        );
        assert_eq!(
            Language::of("小雨は庭師で、町に住んでいる。"),
            Language::Japanese
        );
    }
}
