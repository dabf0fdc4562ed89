//! Wordings for fields on who the character is: name, age and gender, where it was born and lives.

use super::templates::Field;
use super::values::is_noun_phrase;
use crate::pattern::pattern;
use crate::tiny::english::clause::possessive::is_possessive;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon::{self, has_word};
use crate::tiny::english::words::tokens::{Token, tokenize};
use crate::tiny::english::words::wording::{genitive, is_month};

/// Name, age and gender.
pub(super) fn identity(field: &Field) -> Option<String> {
    let Field {
        name,
        key,
        text,
        low,
        ..
    } = field;
    let sentence = match *key {
        "name" | "full name" | "real name" | "birth name" => {
            format!("{} {key} is {text}.", genitive(name))
        }
        "age" => return age(field),
        "gender" | "sex" => match text.to_lowercase().as_str() {
            "female" | "woman" | "f" => format!("{name} is a woman."),
            "male" | "man" | "m" => format!("{name} is a man."),
            "girl" | "boy" => format!("{name} is a {low}."),
            _ => format!("{name} is {low}."),
        },
        _ => return None,
    };
    Some(sentence)
}

/// `26`, `around 40`, `thirty-four`, `in her thirties`.
fn age(field: &Field) -> Option<String> {
    let Field {
        name, tokens, low, ..
    } = field;
    let is_numeral = |token: &Token| {
        let is_part = |part: &str| lexicon::is_numeral(part) || is_tens(part);
        let is_digits = token.lower.bytes().all(|byte| byte.is_ascii_digit());
        is_digits || token.lower.split('-').all(is_part)
    };
    let is_near = tokens[0].is_in("about around roughly nearly almost over under");
    let number = &tokens[usize::from(is_near)..];
    let years = low
        .strip_suffix(" years old")
        .or(low.strip_suffix(" years"));
    match number {
        [number] if is_numeral(number) => Some(format!("{name} is {low} years old.")),
        [number, ..] if is_numeral(number) && tokens.len() <= 4 && years.is_some() => {
            Some(format!("{name} is {} years old.", years?))
        }
        _ if field.text.contains(',') => None,
        _ if tokens.len() > 2 && tokens[0].is("in") && is_possessive(tokens, 1) => {
            Some(format!("{name} is {low}."))
        }
        [number, ..] if is_numeral(number) => Some(format!("{} age is {low}.", genitive(name))),
        _ if DECADE.is_match(low) => Some(format!("{name} is in {} {low}.", field.possessive)),
        _ => None,
    }
}

// `late fifties`, `mid-20s`
pattern!(
    DECADE,
    r"^(?:(?:early|mid|late)[ -])?(?:teens|twenties|thirties|forties|fifties|sixties|seventies|eighties|nineties|\d0s)$"
);

fn is_tens(word: &str) -> bool {
    const TENS: &str = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty \
        ninety hundred";
    has_word(TENS, word)
}

/// When and where somebody was born or died: `on 3 March 1973 in Cork, Ireland`.
fn when_and_where(field: &Field) -> String {
    // `3 March`, `1973`, `12.5.1973`, `year 203`, but not `Deck 14`
    let is_date = |part: &&str| {
        let mut words = part.split(' ').map(str::to_lowercase);
        let is_year =
            |word: &str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = part
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"./-".contains(&byte));
        is_number || words.any(|word| is_month(&word) || is_year(&word) || word == "year")
    };
    let (dates, places): (Vec<&str>, Vec<&str>) = field.text.split(", ").partition(is_date);
    if dates.is_empty() || places.is_empty() || field.has_preposition() {
        return match grammar::is_preposition(&field.tokens[0].lower) {
            true => field.low.clone(),
            false => field.prefixed(field.on_or_in()),
        };
    }
    let date = format!("{} {}", field.on_or_in(), dates.join(", "));
    let place = places.join(", ");
    match tokenize(&place).first() {
        Some(first) if grammar::is_preposition(&first.lower) => format!("{date} {place}"),
        _ => format!("{date} in {place}"),
    }
}

/// Where the character was born, died, comes from and lives.
pub(super) fn whereabouts(field: &Field) -> Option<String> {
    let Field { name, .. } = field;
    let is_place = field.has_preposition() || is_noun_phrase(field.tokens);
    let sentence = match field.key {
        "born" | "birthday" | "birth date" | "date of birth" | "birthdate" | "birth" => {
            // `premature`, `1950s`
            let is_other = field.text.starts_with(char::is_lowercase) && !field.has_preposition()
                || field.text.ends_with("0s");
            if is_other {
                return None;
            }
            format!("{name} was born {}.", when_and_where(field))
        }
        "birthplace" | "place of birth" | "birth place" | "born in" if is_place => {
            format!("{name} was born {}.", field.prefixed("in"))
        }
        "died" | "death" | "date of death" => {
            format!("{name} died {}.", when_and_where(field))
        }
        "hometown" | "origin" | "from" | "home town" | "country" if is_place => {
            format!("{name} comes {}.", field.prefixed("from"))
        }
        "residence" | "lives in" | "home" | "location" | "lives" | "city" | "address"
            if is_place =>
        {
            let [first, rest @ ..] = field.tokens else {
                return None;
            };
            // `Lou's attic`
            if rest.first().is_some_and(Token::is_genitive) {
                return None;
            }
            // `Monastery of Saint Orsolt`
            let is_the = has_word(lexicon::PLACES, &first.lower)
                && rest.first().is_some_and(|next| next.is("of"));
            if is_the {
                format!("{name} lives in the {}.", field.text)
            } else if !field.has_preposition() && is_building(field.tokens) {
                format!("{name} lives in {}.", field.noun)
            } else if field.has_preposition() {
                format!("{name} lives {}.", decapitalized_first(field.text))
            } else {
                format!("{name} lives {}.", field.prefixed("in"))
            }
        }
        _ => return None,
    };
    Some(sentence)
}

/// `Small flat in Hove`: a building or a part of one.
fn is_building(tokens: &[Token]) -> bool {
    const NAMES: &str = "flat apartment house cottage hut cabin room farm tower studio attic caravan trailer tent boat houseboat bungalow \
        villa mansion";
    let head = tokens
        .iter()
        .take_while(|token| !grammar::is_preposition(&token.lower));
    head.last().is_some_and(|head| head.is_in(NAMES))
}

/// The text with a small first letter, whatever word that begins.
fn decapitalized_first(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
