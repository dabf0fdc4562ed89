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

    /// Who the examples in the prompts are about.
    pub(super) fn example_name(self) -> &'static str {
        match self {
            Self::English => "Odile",
            Self::Chinese => "林晚",
            Self::Japanese => "織江",
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

/// How long a text is for a tokenizer, in quarters of a token: a letter of English is one, of other alphabets two, and a
/// character of Chinese, Japanese or Korean four.
pub(crate) fn length(text: &str) -> usize {
    let of = |c: char| match c {
        _ if c.is_ascii() => 1,
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'.. => 4,
        _ => 2,
    };
    text.chars().map(of).sum()
}

/// Splits a page into parts that are at most `most` long for a tokenizer, see [`length`]: at the end of a paragraph, else of a
/// line, else of a sentence, else between words, else anywhere.
pub(super) fn parts(page: &str, most: usize) -> Vec<String> {
    const ENDS: [&[&str]; 4] = [
        &["\n\n"],
        &["\n"],
        &[". ", "! ", "? ", "。", "！", "？"],
        &[" ", "、", "，"],
    ];
    let is_long = |piece: &str| length(piece) > most;
    let mut pieces: Vec<&str> = vec![page];
    for ends in ENDS {
        let split = |piece| {
            if is_long(piece) {
                split_behind(piece, ends)
            } else {
                vec![piece]
            }
        };
        pieces = pieces.into_iter().flat_map(split).collect();
    }
    let cut = |piece| {
        if is_long(piece) {
            cut_behind(piece, most / 4)
        } else {
            vec![piece]
        }
    };
    let mut parts: Vec<String> = Vec::new();
    for piece in pieces.into_iter().flat_map(cut) {
        match parts.last_mut() {
            Some(part) if length(part) + length(piece) <= most => part.push_str(piece),
            _ => parts.push(piece.to_string()),
        }
    }
    parts
        .into_iter()
        .map(|part| part.trim().to_string())
        .filter(|part| !part.is_empty())
        .collect()
}

/// Splits a text after each occurrence of one of `ends`.
fn split_behind<'a>(text: &'a str, ends: &[&str]) -> Vec<&'a str> {
    let (mut pieces, mut begin) = (Vec::new(), 0);
    for (at, _) in text.char_indices() {
        let end = ends
            .iter()
            .find(|end| at >= begin && text[at..].starts_with(**end));
        if let Some(end) = end {
            pieces.push(&text[begin..at + end.len()]);
            begin = at + end.len();
        }
    }
    pieces.push(&text[begin..]);
    pieces
}

/// Cuts a text every so many characters.
fn cut_behind(text: &str, chars: usize) -> Vec<&str> {
    let places = text.char_indices().map(|(at, _)| at).step_by(chars.max(1));
    let begins: Vec<usize> = places.chain([text.len()]).collect();
    begins
        .windows(2)
        .map(|ends| &text[ends[0]..ends[1]])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_split_by_tokens_in_every_script_and_nothing_of_it_is_lost() {
        let english = "She plays the cello. ".repeat(500);
        let chinese = "小雨是一名园丁。她喜欢雨！".repeat(200);
        let endless = "雨".repeat(3000);
        let word = "x".repeat(20_000);
        let mixed = format!("{english}\n\n{chinese}\n{endless} {word}");
        for page in [&english, &chinese, &endless, &word, &mixed] {
            let parts = parts(page, 3000);
            assert!(parts.iter().all(|part| length(part) <= 3000));
            let bare = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(bare(&parts.concat()), bare(page));
        }
        assert!(parts(&english, 3000)[0].ends_with("cello."));
        assert!(parts(&chinese, 3000)[0].ends_with(['。', '！']));
        assert_eq!(parts("Short.\n\nToo.", 3000), ["Short.\n\nToo."]);
    }

    #[test]
    fn every_language_has_every_prompt_and_shows_its_values() {
        let text = |text: &str| Value::from(text);
        let list = || Value::from(vec!["QUESTION-1", "QUESTION-2"]);
        let prompts: [(&str, Vec<Value>); 8] = [
            ("system", vec![text("NAME")]),
            ("statements", vec![text("NAME"), text("PAGE")]),
            ("queries", vec![text("NAME"), text("STATEMENT"), list()]),
            ("relevance", vec![text("NAME"), text("STATEMENT"), list()]),
            (
                "replies",
                vec![text("NAME"), text("STATEMENT"), text("QUESTION-1")],
            ),
            (
                "follow_up",
                vec![
                    text("NAME"),
                    text("STATEMENT"),
                    text("QUESTION-1"),
                    text("QUESTION-2"),
                ],
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
                let shown = [
                    "NAME",
                    "PAGE",
                    "STATEMENT",
                    "QUESTION-1",
                    "QUESTION-2",
                    "REPLY",
                    "REASON",
                ];
                let wanted = values.iter().map(ToString::to_string).collect::<String>();
                for word in shown.iter().filter(|word| wanted.contains(**word)) {
                    assert!(rendered.contains(word), "{language:?} {name}: {rendered}");
                }
                assert!(
                    !rendered.contains("\n\n\n"),
                    "{language:?} {name}: {rendered}"
                );
            }
            assert!(language.source().contains(language.example_name()));
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
