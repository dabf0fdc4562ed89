//! What a sentence owes to those around it: quotations, reports, pronouns without a noun.

use crate::tiny::english::clause::possessive::is_possessive;
use crate::tiny::english::clause::{Clause, Subject};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon;
use crate::tiny::english::words::people::{self, Gender};
use crate::tiny::english::words::tokens::{self, Token};
use crate::tiny::english::words::verbs;

/// Quotations of whole clauses are other people's words.
pub(crate) fn has_long_quote(sentence: &str) -> bool {
    let mut parts = sentence.split('"');
    parts.next();
    let parts: Vec<&str> = parts.collect();
    parts.len() % 2 == 1
        || parts.iter().step_by(2).any(|quoted| {
            quoted.split_whitespace().count() > 4 || quoted.contains(" I ") || quoted.ends_with('?')
        })
}

/// Whether the tokens name somebody for whom the character's pronoun may stand in the next sentence.
///
/// `of_me` is the main verb of a clause whose subject is the character.
pub(crate) fn names_rival(tokens: &[Token], gender: Option<Gender>, of_me: Option<usize>) -> bool {
    let Some(gender) = gender else { return false };
    let fits = |who: Gender| who == gender || who == Gender::They;
    // If the character is the subject, only the object can be mistaken for it later.
    let range = match of_me {
        // `She was the daughter of a nurse` says what she was.
        Some(verb) if verb > 0 && tokens[verb - 1].me && verbs::is_be(&tokens[verb].lower) => {
            return false;
        }
        Some(verb) => object_after(tokens, verb),
        None => 0..tokens.len(),
    };
    range.into_iter().any(|at| {
        let token = &tokens[at];
        if token.me || !token.is_word() {
            return false;
        }
        let lower = token.lower.as_str();
        // `Mira respects her.`
        let pronoun = Gender::of_pronoun(lower) == Some(gender) && gender.forms()[1] == lower;
        let is_object = pronoun && !is_possessive(tokens, at) && at > 0;
        let several = gender == Gender::They
            && Gender::of_pronoun(lower).is_none()
            && (grammar::is_plural(lower) || token.is("and"))
            && !verbs::can_be(lower, verbs::THIRD);
        let person = match Gender::of_word(lower) {
            Some(who) => fits(who),
            None => people::is_person(lower) || is_unknown_name(tokens, at),
        };
        // `her brother Marco`, `his niece, Carys`, `Mara is a captain`.
        let of_other = before_name(tokens, at)
            .and_then(|before| Gender::of_word(&before.lower))
            .is_some_and(|who| !fits(who));
        let is_one = gender == Gender::They || !grammar::is_plural(lower);
        let person = person && is_one && !of_other && !is_complement(tokens, at);
        is_object
            || several
            || person && gender != Gender::They
            || person && gender == Gender::They && !people::is_job(lower)
    })
}

/// The first noun phrase behind a verb, or behind the preposition that follows it: `hates Queen Adela`, `works for her sister`.
fn object_after(tokens: &[Token], verb: usize) -> std::ops::Range<usize> {
    let ends = |token: &Token| {
        grammar::is_preposition(&token.lower)
            || !token.is_word() && !token.is("\"")
            || token.is_in("that who which when while because so to")
    };
    let start = verb + 1;
    let is_first = |at: &usize| !verbs::is_adverb(&tokens[*at].lower);
    let first = (start..tokens.len()).find(is_first).unwrap_or(tokens.len());
    let inside = match tokens.get(first) {
        Some(token) if grammar::is_preposition(&token.lower) => first + 1,
        _ => first,
    };
    let end = (inside..tokens.len()).find(|&at| ends(&tokens[at]));
    inside..end.unwrap_or(tokens.len()).max(inside)
}

/// The word before a name, also where a comma stands between.
fn before_name(tokens: &[Token], at: usize) -> Option<&Token> {
    let mut before = tokens[..at].iter().rev();
    before.find(|token| token.is_word())
}

/// Whether a noun says what somebody is: `is a captain`, `as a nurse`, `became the youngest captain`.
fn is_complement(tokens: &[Token], at: usize) -> bool {
    let determiner = tokens[..at]
        .iter()
        .rposition(|token| grammar::is_determiner(&token.lower) || !token.is_word());
    let verb = determiner
        .filter(|&determiner| tokens[determiner].is_word() && !tokens[at].is_capital())
        .and_then(|determiner| determiner.checked_sub(1));
    verb.is_some_and(|verb| {
        let verb = &tokens[verb];
        verbs::is_be(&verb.lower)
            || verb.is_any(&["as", "became", "becomes", "remains", "remained"])
    })
}

/// Whether a word with a capital letter within a sentence may be the name of a person: not `in Ostend`, not `May`.
fn is_unknown_name(tokens: &[Token], at: usize) -> bool {
    let token = &tokens[at];
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    let in_place = before.is_some_and(|before| {
        before.is_in("in at from near to of on through into the until since")
    });
    let begins = before.is_none_or(|before| !before.is_word() && !before.is(","));
    token.is_capital()
        && !begins
        && !in_place
        && !token.is("i")
        && !is_of_country(&token.lower)
        && !lexicon::is_proper(&token.lower)
        && !lexicon::is_common(&token.lower)
        && !before
            .is_some_and(|before| before.is_capital() && !before.me && in_place_before(tokens, at))
}

/// Whether a sentence opens with the character's pronoun and has it as an object, too, so that one of them is somebody else: `He
/// likes him`.
pub(crate) fn pairs_pronouns(tokens: &[Token], gender: Gender) -> bool {
    let [nominative, accusative, ..] = gender.forms();
    let is_object = |at: usize| tokens[at].is(accusative) && !is_possessive(tokens, at);
    let opens = tokens.first().is_some_and(|first| first.is(nominative));
    let ends = (1..tokens.len())
        .find(|&at| tokens[at].is_any(&[",", ";", "and", "but", "that", "who", "when", "because"]));
    opens && (1..ends.unwrap_or(tokens.len())).any(is_object)
}

/// Whether a word says from where somebody or something comes: `Korean`, `Irish`, `Maltese`.
fn is_of_country(lower: &str) -> bool {
    let ends = ["ese", "ish", "ian", "ean", "ican"];
    lower.len() > 4 && ends.iter().any(|end| lower.ends_with(end))
}

/// Whether a sentence without a verb that is known opens with an animal or somebody: `His dog limps`.
pub(crate) fn opens_with_other(tokens: &[Token]) -> bool {
    let is_owned = tokens
        .first()
        .is_some_and(|first| grammar::is_determiner(&first.lower) || is_possessive(tokens, 0))
        || tokens.get(1).is_some_and(Token::is_genitive);
    let opening = tokens.iter().take(5).skip(1);
    let mut opening = opening.take_while(|token| !grammar::is_preposition(&token.lower));
    is_owned && opening.any(|token| people::is_living(std::slice::from_ref(token)))
}

/// Whether the capitals before this one begin behind a preposition: the second word of `in New Ostend`.
fn in_place_before(tokens: &[Token], at: usize) -> bool {
    let first = (0..at)
        .rev()
        .take_while(|&before| tokens[before].is_capital())
        .last();
    first
        .and_then(|first| first.checked_sub(1))
        .is_some_and(|before| {
            grammar::is_preposition(&tokens[before].lower) || tokens[before].is("the")
        })
}

/// Whether a sentence tells of a dream, a play, a tale or what might be, of which the next may tell, too.
pub(crate) fn is_framed(tokens: &[Token]) -> bool {
    const FRAMES: &str = "dream dreams nightmare play film movie story stories tale legend game version rumour rumours";
    let Some(first) = tokens.first() else {
        return false;
    };
    let opens = first.is_in("if imagine suppose pretend some rumour legend others")
        && !tokens.get(1).is_some_and(|next| next.is("of"));
    let end = tokens.iter().position(|token| token.is(",")).unwrap_or(6);
    let within = first.is("in")
        && tokens
            .iter()
            .take(end.min(8))
            .any(|token| token.is_in(FRAMES));
    opens || within
}

/// Whether a pronoun means something that only an earlier sentence names.
pub(crate) fn lacks_antecedent(tokens: &[Token], gender: Option<Gender>) -> bool {
    let mut person = false;
    let mut thing = false;
    let mut plural = false;
    for (idx, token) in tokens.iter().enumerate() {
        let object =
            matches!(token.lower.as_str(), "him" | "her" | "them") && !is_possessive(tokens, idx);
        if token.me
            || !token.is_word()
            || (gender.is_some() && Gender::of_pronoun(&token.lower) == gender && !object)
        {
            continue;
        }
        let missing = match token.lower.as_str() {
            "it" | "its" => {
                !thing
                    && !tokens.get(idx + 1).is_some_and(|next| {
                        verbs::is_be(&next.lower)
                            || grammar::is_adjective(&next.lower)
                            || next.is_in("upon rains rained snows snowed thunders thundered")
                    })
            }
            "he" | "him" | "his" | "she" | "her" | "himself" | "herself" => !person,
            "they" | "them" | "their" | "themselves" => !plural,
            _ => false,
        };
        if missing {
            return true;
        }
        let noun = !grammar::is_determiner(&token.lower)
            && !grammar::is_preposition(&token.lower)
            && !tokens::is_stop(&token.lower)
            && !verbs::is_adverb(&token.lower)
            && !grammar::is_adjective(&token.lower);
        person |= people::is_person_word(&token.lower) || token.is_capital();
        plural |= grammar::is_plural(&token.lower) && !verbs::can_be(&token.lower, verbs::THIRD)
            || token.is("and")
            || token.is_in("team family band group company couple someone anyone")
            // `She married Tom; they live in Cork`
            || token.is_in("married divorced dated");
        let before = &tokens[idx.saturating_sub(1)];
        let settled = idx > 0
            && (grammar::is_determiner(&before.lower)
                || grammar::is_adjective(&before.lower)
                || grammar::is_preposition(&before.lower)
                || before.is_genitive()
                || is_possessive(tokens, idx - 1));
        thing |= noun
            && (settled
                || token.is_capital()
                || grammar::is_plural(&token.lower) && !verbs::can_be(&token.lower, verbs::THIRD)
                || verbs::known(&token.lower).is_none())
            && !verbs::can_be(&token.lower, verbs::ING);
    }
    false
}

/// Whether the subject points to a sentence that is not there.
pub(crate) fn is_dangling(tokens: &[Token], clause: &Clause) -> bool {
    let subject = &tokens[clause.start..clause.subject_end];
    let first = &subject[0];
    let bare = subject.len() == 1
        && first.is_any(&[
            "this", "that", "these", "those", "it", "both", "others", "some", "one", "another",
            "which", "who", "such", "we", "all", "neither", "either", "none",
        ]);
    let object = tokens[0].is_any(&["this", "these"]) && tokens.get(1).is_some_and(|next| next.me);
    let other = first.me
        && Gender::of_pronoun(&first.lower).is_some()
        && clause.kind == Subject::Me
        && tokens[clause.verb..]
            .iter()
            .any(|token| token.me && Gender::of_pronoun(&token.lower).is_none());
    let vague = first.is("the")
        && subject.len() > 1
        && subject[1].is_in("latter former two three others same result first second")
        && clause.kind == Subject::Other;
    let of = subject.first().is_some_and(|first| {
        first.is_any(&["all", "some", "most", "many", "one", "both", "two", "three"])
    }) && subject
        .get(2)
        .is_some_and(|third| third.is_any(&["these", "those", "them", "which", "this"]));
    // `The money for it she hides`
    let within = subject
        .iter()
        .skip(1)
        .any(|token| token.is_any(&["it", "them"]));
    let pronoun = !first.me && Gender::of_pronoun(&first.lower).is_some();
    let opens = tokens[0].is_any(&["it", "that", "which", "who", "whose"]) && !tokens[0].me
        || tokens
            .get(1)
            .is_some_and(|next| next.is_any(&["which", "whom", "whose"]));
    // `By this year she had …`, of a year that an earlier sentence names.
    let then = grammar::is_preposition(&tokens[0].lower)
        && tokens
            .get(1)
            .is_some_and(|next| next.is_any(&["this", "these", "that", "those"]))
        && tokens.get(2).is_some_and(|next| {
            next.is_in("year years time period point day days month months stage")
        });
    bare || object || other || vague || of || within || pronoun || opens || then
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_quotations_are_seen() {
        assert!(has_long_quote("Bob said: \"I have never seen her here.\""));
        assert!(!has_long_quote("Alice wrote \"The Hill\" in May."));
    }
}
