//! Questions that a page answers itself (`Favourite film? Alien.`), and those that it asks for effect.

use super::blocks::has_finite_verb;
use super::templates::is_field_name;
use crate::pattern::pattern;
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{Token, capitalized, expand, n_words, tokenize};
use crate::tiny::english::words::verbs;

// `Is she brave? Very.`
pattern!(ASKED, r"^([^?.!]{2,60})\?[:\s]+([^?.!]{1,40})[.!]?$");
// `Did you know that Alice has three cats?`
pattern!(
    KNOWN,
    r"(?i)^(?:did|do) you know(?: that)? ((?:\S+ ){2,}\S+)\?$"
);

/// A sentence, or a question with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Sentence(String),
    /// A question with the answer that says nothing without it.
    Answered(String),
}

/// Whether a line is a question and its short answer.
pub(crate) fn is_answered(line: &str) -> bool {
    ASKED.is_match(line)
}

/// A question with its answer gets no longer than this many bytes, which a judge still reads.
const MOST: usize = 600;

/// `Favourite film? Alien.` as a field.
pub(crate) fn as_field(line: &str) -> Option<String> {
    let asked = ASKED.captures(line)?;
    let (name, text) = (asked[1].trim(), asked[2].trim());
    let lower = name.to_lowercase();
    let is_favourite = ["favourite ", "favorite ", "fave ", "fav "]
        .iter()
        .any(|start| lower.starts_with(start));
    (is_favourite || is_field_name(name)).then(|| format!("{name}: {text}"))
}

/// Whether a sentence only asks: not `She loves cake, doesn't she?`
pub(crate) fn is_question(sentence: &str) -> bool {
    const OPENING: &str = "who what when where why how which whose whom";
    let is_asked = sentence.ends_with('?') || sentence.ends_with("?\"");
    let tokens = expand(tokenize(sentence));
    let words = tokens.iter().filter(|token| token.is_word());
    let first = words
        .clone()
        .find(|word| !word.is_in("and but so well or oh ok"));
    let opens = first.is_none_or(|first| first.is_in(OPENING) || verbs::is_auxiliary(&first.lower));
    is_asked && (opens || words.count() < 4 || !has_finite_verb(sentence))
}

/// The sentences of a text, a question with its answer as one where the answer says nothing without it.
pub(crate) fn with_answers(text: &str) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let mut sentences = sentences::sentences(text).into_iter().peekable();
    while let Some(sentence) = sentences.next() {
        if let Some(known) = KNOWN.captures(&sentence) {
            said.push(Said::Sentence(format!("{}.", capitalized(&known[1]))));
            continue;
        }
        // `He says he doesn't mind. He does.`
        if is_elliptical(&sentence)
            && let Some(Said::Sentence(before)) = said.last()
        {
            let whole = format!("{before} {sentence}");
            said.pop();
            said.push(Said::Answered(whole));
            continue;
        }
        let explains = sentence.to_lowercase().starts_with("why ");
        let is_asked = is_question(&sentence);
        let mut whole = sentence.clone();
        while is_asked && whole.len() < MOST {
            let needs = |next: &String| {
                !is_question(next) && (needs_question(next) || explains && whole == sentence)
            };
            match sentences.next_if(needs) {
                Some(answer) => whole = format!("{whole} {answer}"),
                None => break,
            }
        }
        said.push(match whole == sentence {
            true => Said::Sentence(sentence),
            false => Said::Answered(whole),
        });
    }
    said
}

/// Whether a sentence leaves out what the one before it says: `He does.`, `Neither can Noor.`
fn is_elliptical(sentence: &str) -> bool {
    let tokens = expand(tokenize(sentence));
    let words: Vec<&Token> = tokens.iter().filter(|token| token.is_word()).collect();
    let is_auxiliary =
        |word: Option<&&Token>| word.is_some_and(|word| verbs::is_auxiliary(&word.lower));
    let last = words
        .iter()
        .rfind(|word| !word.is_in("not too either still though however anymore"));
    let is_inverted = words
        .first()
        .is_some_and(|first| first.is_any(&["so", "nor", "neither"]))
        && is_auxiliary(words.get(1))
        && !words.iter().skip(2).any(|word| verbs::is_base(&word.lower));
    // `Neither wants to.`, `Not since the accident.`
    let wants = |word: &&Token| verbs::known(&word.lower).is_some();
    let is_cut = last.is_some_and(|last| last.is("to"))
        && words.iter().rev().nth(1).is_some_and(wants)
        || words.first().is_some_and(|first| first.is("not")) && !has_finite_verb(sentence);
    let is_bare = words.len() > 1 && !is_auxiliary(words.first()) && (is_auxiliary(last) || is_cut);
    words.len() <= 5 && !sentence.ends_with('?') && (is_inverted || is_bare)
}

/// Whether an answer says nothing without its question: `No.`, `Alien.`, `It is too loud.`
fn needs_question(answer: &str) -> bool {
    const OPENING: &str = "yes no nope yep never always sometimes not only because maybe perhaps it that this they those them there both neither none nothing";
    let tokens = tokenize(answer);
    let first = tokens.iter().find(|token| token.is_word());
    // `She says no.`
    let is_reported = n_words(&tokens) < 5 && tokens.iter().any(|token| token.is_in("yes no"));
    is_reported
        || first.is_none_or(|first| first.is_in(OPENING))
        || n_words(&tokens) < 3
        || !has_finite_verb(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_goes_with_an_answer_that_says_nothing_alone() {
        let answered = |text: &str| Said::Answered(text.to_string());
        let sentence = |text: &str| Said::Sentence(text.to_string());
        for (text, expected) in [
            (
                "She is tall. Favourite food? Soup. Cats? No. Never.",
                vec![
                    sentence("She is tall."),
                    answered("Favourite food? Soup."),
                    answered("Cats? No. Never."),
                ],
            ),
            (
                "Why does she live alone? She likes silence.",
                vec![answered("Why does she live alone? She likes silence.")],
            ),
            (
                "Who needs sleep? She works all night.",
                vec![
                    sentence("Who needs sleep?"),
                    sentence("She works all night."),
                ],
            ),
            (
                "She doesn't drink. Not since the accident. He says he doesn't mind. He does. He can't swim. Neither can Tom.",
                vec![
                    answered("She doesn't drink. Not since the accident."),
                    answered("He says he doesn't mind. He does."),
                    answered("He can't swim. Neither can Tom."),
                ],
            ),
            (
                "Did you know that she has three cats?",
                vec![sentence("She has three cats.")],
            ),
        ] {
            assert_eq!(with_answers(text), expected);
        }
    }

    #[test]
    fn what_is_asked_for_effect_is_no_question() {
        for text in [
            "She loves cake, doesn't she?",
            "He never learned to swim, and who can blame him?",
        ] {
            assert!(!is_question(text), "{text}");
        }
        for text in [
            "Who is she?",
            "Tea?",
            "So what does she eat?",
            "Isn't she tall?",
        ] {
            assert!(is_question(text), "{text}");
        }
    }
}
