//! Pages that say `I` or `you`, put into the third person.

use crate::tiny::english::clause::names::Names;
use crate::tiny::english::clause::possessive::is_possessive;
use crate::tiny::english::clause::voice::{Person, first_verb, is_nominative_name};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people::Gender;
use crate::tiny::english::words::tokens::{Token, capitalized};
use crate::tiny::english::words::verbs;

/// Whether a sentence is not put into the third person word by word: another's words in quotation marks, `nor do I`, `Myself, I …`.
pub(crate) fn is_no_plain_sentence(tokens: &[Token]) -> bool {
    let is_own = |token: &Token| token.is_any(&["i", "my", "me", "mine", "myself", "you", "your"]);
    let mut is_quoted = false;
    let quotes_own = tokens.iter().any(|token| {
        is_quoted ^= token.is("\"");
        is_quoted && is_own(token)
    });
    let is_inverted = tokens
        .windows(2)
        .any(|pair| verbs::is_auxiliary(&pair[0].lower) && pair[1].is_any(&["i", "you"]));
    let opens = tokens
        .first()
        .is_some_and(|first| first.is_any(&["myself", "yourself"]));
    quotes_own || is_inverted || opens
}

/// A sentence of the character's own, or one that says `you` to the character, in the third person.
pub(crate) fn to_third(tokens: &[Token], names: &Names, person: Person) -> Vec<Token> {
    let tokens = without_introduction(tokens);
    let gender = names.gender.unwrap_or(Gender::They);
    let [nominative, accusative, possessive, alone, reflexive] = gender.forms();
    let plural = gender == Gender::They;
    let mut out = tokens.to_vec();
    let mut named = tokens.iter().any(|token| token.me);
    for at in 0..tokens.len() {
        let lower = tokens[at].lower.as_str();
        let word = match (person, lower) {
            (Person::First, "i") => nominative,
            (Person::First, "me") => accusative,
            (Person::First, "my") | (Person::Second, "your") => possessive,
            (Person::First, "mine") | (Person::Second, "yours") => alone,
            (Person::First, "myself") | (Person::Second, "yourself") => reflexive,
            (Person::Second, "you") if is_nominative_name(&tokens, at) => nominative,
            (Person::Second, "you") => accusative,
            _ => continue,
        };
        let subject = word == nominative;
        let name = (!named || (plural && (subject || word == accusative)))
            && word != reflexive
            && word != alone;
        if subject {
            disagree_verbs(&tokens, at, plural && !name, &mut out);
        }
        out[at].me = true;
        if name {
            let text = if word == possessive {
                crate::tiny::english::words::wording::genitive(&names.character)
            } else {
                names.character.clone()
            };
            out[at].set(&text);
            named = true;
        } else {
            out[at].set(word);
        }
    }
    if let Some(first) = out.first_mut() {
        first.text = capitalized(&first.text);
    }
    out.into_iter()
        .flat_map(|token| split_genitive(token, &names.character))
        .collect()
}

/// Puts the verbs after the subject at `at` into the third person singular.
pub(crate) fn disagree_verbs(tokens: &[Token], at: usize, plural: bool, out: &mut [Token]) {
    if plural {
        return;
    }
    let Some(verb) = first_verb(tokens, at, true) else {
        return;
    };
    let text = verbs::disagree(&tokens[verb].lower);
    out[verb].set(&text);
    for idx in verb + 1..tokens.len() {
        let token = &tokens[idx];
        if token.is_any(&[
            ";", ".", "he", "she", "they", "i", "you", "we", "it", "who", "which", "that", "where",
            "to", "when",
        ]) {
            return;
        }
        let next = (idx + 1..tokens.len()).find(|&next| !verbs::is_adverb(&tokens[next].lower));
        if let Some(next) = next.filter(|_| token.is_any(&["and", "but", "or"])) {
            let lower = tokens[next].lower.as_str();
            let followed = tokens.get(next + 1).is_some_and(|after| {
                grammar::is_determiner(&after.lower)
                    || grammar::is_preposition(&after.lower)
                    || is_possessive(tokens, next + 1)
                    || after.is_any(&[".", ",", "to"])
            });
            if verbs::is_auxiliary(lower)
                || (verbs::is_base(lower)
                    && (followed || idx == verb + 1 || verbs::is_adverb(&tokens[next - 1].lower)))
            {
                let text = verbs::disagree(lower);
                out[next].set(&text);
            }
        }
    }
}

/// `I am Alice, a painter`: `I am a painter`.
fn without_introduction(tokens: &[Token]) -> Vec<Token> {
    let introduced = tokens.len() > 4
        && tokens[0].is_any(&["i", "you"])
        && tokens[1].is_any(&["am", "are"])
        && tokens[2].me
        && tokens[3].is(",");
    // `I'm Zoe and I fix bicycles`: the first half says nothing.
    let twice = tokens.len() > 5
        && tokens[0].is_any(&["i", "you"])
        && tokens[1].is_any(&["am", "are"])
        && tokens[2].me
        && tokens[3].is("and")
        && tokens[4].lower == tokens[0].lower;
    let mut tokens = tokens.to_vec();
    // `Today I, Alice, went to the sea.`
    let apposed = tokens.windows(4).position(|words| {
        words[0].is_any(&["i", "you", "me"]) && words[1].is(",") && words[2].me && words[3].is(",")
    });
    if let Some(at) = apposed {
        tokens.drain(at + 1..at + 4);
    }
    if introduced {
        tokens.drain(2..4);
    } else if twice {
        tokens.drain(..4);
    }
    tokens
}

/// `Alice's` as the name and its ending.
fn split_genitive(token: Token, character: &str) -> Vec<Token> {
    match token
        .text
        .strip_prefix(character)
        .filter(|rest| token.me && rest.starts_with('\''))
    {
        Some(rest) => {
            let ending = Token::new(rest, false);
            let mut name = token.clone();
            name.set(character);
            vec![name, ending]
        }
        None => vec![token],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::english::words::tokens::join;

    #[test]
    fn a_page_in_the_first_person_is_put_in_the_third() {
        let names = Names::new("Alice");
        let third = |text: &str, person| join(&to_third(&names.tag_names(text), &names, person));
        assert_eq!(
            third("I am a painter and I have two cats.", Person::First),
            "Alice is a painter and she has two cats."
        );
        assert_eq!(
            third("today I, Alice, went to the sea.", Person::First),
            "Today Alice went to the sea."
        );
        assert_eq!(
            third("My mother taught me to paint.", Person::First),
            "Alice's mother taught her to paint."
        );
        assert_eq!(
            third(
                "You live in Paris and often visit your sister.",
                Person::Second
            ),
            "Alice lives in Paris and often visits her sister."
        );
    }
}
