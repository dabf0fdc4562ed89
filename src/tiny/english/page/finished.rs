//! The last look at a statement: whose name it has, whether it is whole and of a fit length.

use std::borrow::Cow;

use crate::tiny::english::clause::case::{self, Case};
use crate::tiny::english::clause::inflection::verbs_in_third_person;
use crate::tiny::english::clause::{Clause, Subject};
use crate::tiny::english::words::tokens::{Token, capitalized, content_of, join, n_words};
use crate::tiny::english::words::wording;

const MAX_WORDS: usize = 45;
const MIN_WORDS: usize = 3;

/// Whether a part begins with a negation that its clause would lose: `Neither Alice nor Marco can swim`, `Nor can Alice swim`.
pub(super) fn loses_negation(part: &[Token]) -> bool {
    let begins = |word: &str| part.first().is_some_and(|first| first.is(word));
    begins("nor") || begins("neither") && part.iter().any(|token| token.is("nor"))
}

/// Makes the subject, or else the first mention, the character's name when no name is there, and the subject's owner also when one
/// comes later: `Her mother died when Alice was ten`.
pub(super) fn name_once(
    mut tokens: Vec<Token>,
    clause: &Clause,
    character: &str,
) -> Option<Vec<Token>> {
    let is_named = |token: &Token| token.me && token.text == character;
    let is_own = clause.kind == Subject::Mine && !tokens[..clause.start].iter().any(is_named);
    if tokens.iter().any(is_named) && (!is_own || is_named(&tokens[clause.start])) {
        return Some(tokens);
    }
    let at = if tokens[clause.start].me {
        clause.start
    } else {
        tokens.iter().position(|token| token.me)?
    };
    let text = match case::case_of(&tokens, at) {
        Case::Nominative => {
            if tokens[at].is("they") {
                let plural = tokens.clone();
                verbs_in_third_person(&plural, at, &mut tokens)?;
            }
            character.to_owned()
        }
        Case::Possessive => wording::genitive(character),
        Case::Accusative => character.to_owned(),
        Case::PossessiveAlone | Case::Reflexive => return None,
    };
    tokens[at].set(&text);
    Some(tokens)
}

/// What `Mira is Mira, a nurse` says besides the name.
fn without_own_name<'a>(tokens: &'a [Token], character: &str) -> Cow<'a, [Token]> {
    let is_name = |token: &Token| token.text == character;
    match tokens {
        [name, is, again, comma, article, ..]
            if is_name(name)
                && is.is("is")
                && is_name(again)
                && comma.is(",")
                && article.is_any(&["a", "an", "the"]) =>
        {
            [&tokens[..2], &tokens[4..]].concat().into()
        }
        _ => tokens.into(),
    }
}

/// The statement as text, if it is whole and of a fit length.
pub(super) fn finish(tokens: &[Token], character: &str) -> Option<String> {
    let words = n_words(tokens);
    if !(MIN_WORDS..=MAX_WORDS).contains(&words) || content_of(tokens).is_empty() {
        return None;
    }
    let text = join(&without_own_name(tokens, character));
    let text = text.replace(".\"", "\"").replace(",\"", "\",");
    let text = text
        .trim()
        .trim_end_matches(['.', '!', ';', ',', ':', ' ', '-', '–']);
    let last = tokens.iter().rev().find(|token| token.is_word())?;
    let unfinished = last.is_in("and or the a an of but which that because his her their my");
    let quotes = text.matches('"').count() % 2 == 1;
    let ended = if text.ends_with("etc") || text.ends_with("Jr") {
        format!("{text}.")
    } else {
        text.to_owned()
    };
    let ended = if ended.ends_with('.') {
        ended
    } else {
        format!("{ended}.")
    };
    let statement = capitalized(&ended);
    let tautology = tokens.len() <= 4
        && tokens
            .iter()
            .filter(|token| token.text == character)
            .count()
            > 1;
    (!unfinished && !tautology && !quotes && statement.contains(character)).then_some(statement)
}
