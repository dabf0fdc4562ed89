//! Who is meant: the character's names, the pronoun, and the people beside.

use super::pronouns::{guess_gender, mark_pronouns};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people::{Gender, PARTICLES, is_place_word};
use crate::tiny::english::words::tokens::{self, Token, expand, tokenize};
use crate::tiny::english::words::verbs;

/// The names a page gives the character.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// As the caller wrote it.
    pub character: String,
    /// Names to be read as the character, the longest first.
    aliases: Vec<Vec<String>>,
    n_words: usize,
    /// What the page or the name tells about the pronoun.
    pub gender: Option<Gender>,
}

impl Names {
    /// The names known from the character's name alone.
    pub(crate) fn new(character: &str) -> Self {
        let words = words_of(character);
        let gender = words
            .iter()
            .find_map(|word| Gender::of_word(&word.to_lowercase()));
        let n_words = words.len();
        let aliases = if words.is_empty() {
            Vec::new()
        } else {
            vec![words]
        };
        Self {
            character: character.trim().to_owned(),
            aliases,
            n_words,
            gender,
        }
    }

    /// Adds another name for the character.
    pub(crate) fn add(&mut self, alias: &str) {
        let words = words_of(alias);
        if !words.is_empty() && !self.aliases.contains(&words) {
            self.aliases.push(words);
            self.aliases
                .sort_by_key(|alias| std::cmp::Reverse(alias.len()));
        }
    }

    /// How many tokens at `at` name the character.
    fn length_at(&self, tokens: &[Token], at: usize) -> Option<usize> {
        self.aliases
            .iter()
            .map(Vec::as_slice)
            .find(|alias| matches_at(tokens, at, alias))
            .map(<[String]>::len)
    }

    /// The tokens of a text, each mention of the character by name being one marked token.
    pub(crate) fn tag_names(&self, text: &str) -> Vec<Token> {
        self.collapse(expand(tokenize(text)))
    }

    fn collapse(&self, tokens: Vec<Token>) -> Vec<Token> {
        let mut collapsed: Vec<Token> = Vec::with_capacity(tokens.len());
        let mut at = 0;
        while at < tokens.len() {
            let Some(mut length) = self.length_at(&tokens, at) else {
                collapsed.push(tokens[at].clone());
                at += 1;
                continue;
            };
            let opening = opening_names(&collapsed, &tokens[at]);
            while opening_expands(&collapsed, opening)
                && extends_name(&tokens, at + length)
                && length < 4
            {
                length += 1;
            }
            let longer = length > self.n_words && collapsed.iter().any(|token| token.me);
            let someone_else =
                longer || opening.is_none() && is_someone_else(&collapsed, tokens.get(at + length));
            let mut name = Token {
                me: !someone_else,
                ..tokens[at].clone()
            };
            if let Some(start) = opening {
                name.space = collapsed.get(start).is_some_and(|token| token.space);
                collapsed.truncate(start);
            }
            if someone_else {
                collapsed.extend_from_slice(&tokens[at..at + length]);
            } else {
                name.set(&self.character);
                collapsed.push(name);
            }
            at += length;
        }
        collapsed
    }

    /// The tokens of a text, with every name and pronoun that means the character marked.
    pub(crate) fn tag(&self, text: &str) -> Vec<Token> {
        let mut tokens = self.tag_names(text);
        let shown = |gender: Gender| {
            tokens
                .iter()
                .any(|token| Gender::of_pronoun(&token.lower) == Some(gender))
        };
        let gender = match self.gender {
            Some(known) if shown(known) => Some(known),
            known => guess_gender(&tokens)
                .filter(|&guess| known.is_none() || guess == Gender::They)
                .or(known),
        };
        if let Some(gender) = gender {
            mark_pronouns(&mut tokens, gender);
        }
        tokens
    }
}

fn words_of(name: &str) -> Vec<String> {
    tokenize(name).into_iter().map(|token| token.text).collect()
}

fn matches_at(tokens: &[Token], at: usize, alias: &[String]) -> bool {
    tokens.len() >= at + alias.len()
        && alias.iter().zip(&tokens[at..]).all(|(word, token)| {
            *word == token.text || (at == 0 && word.to_lowercase() == token.lower)
        })
}

/// Where given names before the name begin, when they open the sentence: `Maria van` before `Aalten`.
fn opening_names(before: &[Token], name: &Token) -> Option<usize> {
    if before.is_empty() {
        return Some(0);
    }
    let is_name = |token: &Token| {
        token.is_word()
            && (token.is_capital() && !is_function_word(&token.lower)
                || PARTICLES[..12].contains(&token.lower.as_str()))
    };
    let fits = before.len() <= 4
        && before.iter().all(is_name)
        && before[0].is_capital()
        && name.is_capital();
    (fits && !is_title(&before[0].lower)).then_some(0)
}

/// A word that may open a sentence without being a name.
fn is_function_word(lower: &str) -> bool {
    matches!(lower, "neither" | "nor" | "either")
        || grammar::is_intro_word(lower)
        || grammar::is_determiner(lower)
        || verbs::is_adverb(lower)
        || verbs::known(lower).is_some()
        || tokens::is_stop(lower)
        || crate::tiny::english::words::lexicon::ADJECTIVES
            .split_whitespace()
            .any(|word| word == lower)
}

fn opening_expands(before: &[Token], opening: Option<usize>) -> bool {
    before.is_empty() && opening.is_some()
}

fn extends_name(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| {
        token.is_word()
            && token.space
            && token.is_capital()
            && !is_place_word(&token.text)
            && !is_function_word(&token.lower)
            && !token.is("i")
    })
}

fn is_title(lower: &str) -> bool {
    matches!(lower, "mrs." | "miss" | "madam" | "lady" | "frau")
}

/// Whether the words before a name make it the name of someone or something else.
fn is_someone_else(before: &[Token], next: Option<&Token>) -> bool {
    let Some(last) = before.last() else {
        return false;
    };
    let opens = before.len() == 1;
    let named = last.is_capital()
        && last.is_word()
        && (!opens || !is_function_word(&last.lower))
        && !last.is("i")
        && !last.me
        && !matches!(last.lower.as_str(), "mr." | "dr." | "professor" | "young");
    let after_name = last.is_any(&["named", "called"])
        || (last.is("is") && before.len() > 1 && before[before.len() - 2].is("name"));
    after_name && !next.is_some_and(|next| next.is_any(&["after", "as"]))
        || named && !is_function_word(&last.lower)
        || PARTICLES.contains(&last.lower.as_str()) && !last.is("of")
        || last.is_any(&["a", "an", "another"])
        || is_title(&last.lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(character: &str, text: &str) -> Vec<String> {
        Names::new(character)
            .tag(text)
            .into_iter()
            .filter(|token| token.me)
            .map(|token| token.text)
            .collect()
    }
    #[test]
    fn full_names_are_one_mention() {
        assert_eq!(marked("Alice", "Alice Moreau is a cook."), ["Alice"]);
        assert_eq!(
            marked("Aalten", "Maria van Aalten was a painter."),
            ["Aalten"]
        );
    }
}
