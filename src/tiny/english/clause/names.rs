//! Who is meant: the character's names, the pronoun, and the people beside.

use std::ops::Range;

use super::pronouns::{guess_gender, mark_pronouns};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon::{self, ADJECTIVES};
use crate::tiny::english::words::people::{Gender, PARTICLES, is_job, is_place_word};
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
    /// Whether these are all names of the character, so that a longer one is somebody else's.
    pub is_settled: bool,
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
            is_settled: false,
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
            let Some(length) = self.length_at(&tokens, at) else {
                collapsed.push(tokens[at].clone());
                at += 1;
                continue;
            };
            let opening = opening_names(&collapsed, &tokens[at]);
            let end = name_end(&tokens, at + length, collapsed.is_empty());
            if self.is_another(&collapsed, opening, &tokens, at..at + length, end) {
                collapsed.extend_from_slice(&tokens[at..end]);
            } else {
                let mut name = Token {
                    me: true,
                    ..tokens[at].clone()
                };
                if let Some(start) = opening {
                    name.space = collapsed.get(start).is_some_and(|token| token.space);
                    collapsed.truncate(start);
                }
                name.set(&self.character);
                collapsed.push(name);
            }
            at = end;
        }
        collapsed
    }

    /// Whether the name at `name`, which goes on to `end`, is somebody else's: `Alice Walker`, `Aunt Alice`, `Mark Jr.`
    fn is_another(
        &self,
        before: &[Token],
        opening: Option<usize>,
        tokens: &[Token],
        name: Range<usize>,
        end: usize,
    ) -> bool {
        let is_longer = end > name.end;
        if tokens[name.end..end]
            .iter()
            .any(|token| is_suffix(&token.lower))
            || is_longer && before.iter().any(|token| token.me)
        {
            return true;
        }
        match opening {
            // `her husband, Mr. Vane`
            None if before
                .last()
                .is_some_and(|title| title.is_in("mr mr. mrs mrs. miss ms ms.")) =>
            {
                true
            }
            None => is_longer || is_someone_else(before, tokens.get(end)),
            // `Captain Alice`, but not `Aunt Alice` or, on a page about Alice Bell, `Tom Bell`
            Some(_) if !before.is_empty() => {
                let is_titled = before.iter().all(|token| is_title(&token.lower));
                let is_given =
                    self.n_words > 1 || Gender::of_word(&self.character.to_lowercase()).is_some();
                let is_kin = before.iter().any(|token| is_kin(&token.lower));
                // `Mr Marsh`, on a page about Tilda Marsh
                let is_man = self.gender == Some(Gender::She)
                    && before
                        .iter()
                        .any(|token| token.is_in("mr mr. sir king lord prince"));
                is_kin || is_man || !is_titled && (self.is_settled || is_given)
            }
            // `Alice Moreau is a cook`, but not `Alice Walker is whom Alice admires`
            Some(_) if is_longer => self.is_settled || self.is_named_plainly(tokens, end),
            Some(_) => false,
        }
    }

    /// Whether the character's name stands by itself from `from`.
    fn is_named_plainly(&self, tokens: &[Token], from: usize) -> bool {
        (from..tokens.len()).any(|at| {
            self.length_at(tokens, at)
                .is_some_and(|length| name_end(tokens, at + length, false) == at + length)
        })
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
    fits.then_some(0)
}

/// A word that may open a sentence without being a name.
fn is_function_word(lower: &str) -> bool {
    matches!(lower, "neither" | "nor" | "either")
        || grammar::is_intro_word(lower)
        || grammar::is_determiner(lower)
        || verbs::is_adverb(lower)
        || verbs::known(lower).is_some()
        || tokens::is_stop(lower)
        || lexicon::has_word(ADJECTIVES, lower)
}

/// Where a name ends that goes on at `from`: `Walker` and `Jr.` behind a first name.
fn name_end(tokens: &[Token], from: usize, opens: bool) -> usize {
    let mut end = from;
    while end < from + 3 && extends_name(tokens, end, opens) {
        end += 1;
    }
    end
}

fn extends_name(tokens: &[Token], at: usize, opens: bool) -> bool {
    tokens.get(at).is_some_and(|token| {
        token.is_word()
            && token.space
            && token.is_capital()
            && !is_place_word(&token.text)
            && !token.is("i")
            // Within a sentence a word with a capital letter is a name, whatever it may be else.
            && !(opens && is_function_word(&token.lower))
            && (opens || !lexicon::is_proper(&token.lower))
    })
}

/// `Jr.` and the like behind a name.
pub(crate) fn is_suffix(lower: &str) -> bool {
    matches!(
        lower,
        "jr" | "jr." | "sr" | "sr." | "junior" | "senior" | "ii" | "iii" | "iv"
    )
}

/// A word before a name that says what its bearer is.
fn is_title(lower: &str) -> bool {
    const TITLES: &str = "captain dr dr. doctor mr mr. prof prof. professor sir sergeant lieutenant colonel general inspector officer judge \
        president senator agent detective chief master commander admiral major corporal private chef coach king queen prince \
        princess lord duke duchess count countess baron baroness dame emperor empress young little old poor dear";
    is_job(lower) || lexicon::has_word(TITLES, lower)
}

/// A word before a name that makes it a relative's, a saint's or a spouse's.
pub(crate) fn is_kin(lower: &str) -> bool {
    const KIN: &str = "aunt auntie aunty uncle mother father mom mum mama dad papa sister brother cousin grandmother grandfather grandma \
        grandpa granny gran nana great-aunt great-uncle st st. saint mrs mrs. miss madam lady frau";
    lexicon::has_word(KIN, lower)
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
        && !is_title(&last.lower);
    let after_name = last.is_any(&["named", "called"])
        || (last.is("is") && before.len() > 1 && before[before.len() - 2].is("name"));
    after_name && !next.is_some_and(|next| next.is_any(&["after", "as"]))
        || named && !is_function_word(&last.lower)
        || PARTICLES.contains(&last.lower.as_str()) && !last.is("of")
        || last.is_any(&["a", "an", "another"])
        || is_kin(&last.lower)
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

    #[test]
    fn a_name_that_holds_the_characters_may_be_somebody_elses() {
        for (character, text) in [
            ("Alice", "Bob admires Alice Walker."),
            ("Alice", "Aunt Alice lives next door."),
            ("Alice", "Tom visits his aunt and Cousin Alice."),
            ("Alice", "Mary Alice sings."),
            ("Mark", "Mark Jr. is five."),
            ("Rosa Bell", "John Bell built it."),
        ] {
            let mut names = Names::new(character);
            names.add("Bell");
            let tokens = names.tag_names(text);
            assert!(tokens.iter().all(|token| !token.me), "{text}");
        }
        for text in [
            "Captain Alice sails.",
            "Bob taught Alice French.",
            "Alice, Tom and Ruth left.",
        ] {
            assert_eq!(marked("Alice", text), ["Alice"], "{text}");
        }
        assert_eq!(
            marked("Alice", "Alice Walker is whom Alice admires."),
            ["Alice"]
        );
    }
}
