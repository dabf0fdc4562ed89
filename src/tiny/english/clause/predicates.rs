//! What somebody does or is, without the subject: `Plays the guitar`, `Never sleeps past dawn`, `Born in Bonn`.

use super::inflection;
use super::possessive::is_possessive;
use super::{Clause, Subject};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon::has_word;
use crate::tiny::english::words::tokens::{Token, expand, tokenize};
use crate::tiny::english::words::verbs::{self, BASE, PARTICIPLE, PAST, THIRD};
use crate::tiny::english::words::wording::decapitalized;

/// Verbs that take no object, so that their past is no participle.
const WITHOUT_OBJECT: &str =
    "work live move travel study serve retire graduate stay swim sleep return emigrate volunteer";

/// Whether the words begin with a verb that has no subject: `hates goats`, `is afraid of bats`, `never lies`.
pub(crate) fn opens_with_verb(tokens: &[Token]) -> bool {
    let n_adverbs = n_adverbs(tokens);
    let opening = &tokens[n_adverbs..];
    opening.first().is_some_and(|first| {
        let forms = verbs::known(&first.lower).map_or(0, |(_, forms)| forms);
        let is_day = opening.get(1).is_some_and(Token::is_number) && first.is("may");
        forms & THIRD != 0
            || verbs::is_auxiliary(&first.lower) && !is_day
            || first.is_any(&["ca", "wo"])
            || is_past(opening)
            || n_adverbs > 0 && is_unknown_verb(first)
    })
}

/// Whether the subject that was found in a sentence begins with a verb, so that there is none: `Bites her nails and is late`.
pub(crate) fn lacks_subject(tokens: &[Token], clause: &Clause) -> bool {
    let before = &tokens[..clause.start];
    let begins = before.iter().all(|token| !token.is_word());
    // `Bowls slow spin, although he is hurt`
    let is_subordinate = before.last().is_some_and(|last| {
        grammar::is_subordinator(&last.lower) && !last.is_any(&["since", "before"])
    }) && before[..before.len() - 1]
        .iter()
        .any(|token| token.is_word() && !verbs::is_adverb(&token.lower));
    before.iter().any(|token| token.is(";"))
        || is_subordinate
        || clause.kind == Subject::Other && begins && opens_with_verb(&tokens[clause.start..])
}

/// A predicate with the name in front; `None` where it is not sure that it begins with its verb.
pub(crate) fn from_predicate(name: &str, text: &str) -> Option<String> {
    let tokens = expand(tokenize(text));
    let n_adverbs = n_adverbs(&tokens);
    let predicate = &tokens[n_adverbs..];
    let (first, second) = (predicate.first()?, predicate.get(1)?);
    // `likes etc`, which announces what comes
    if second.is_any(&["etc", "etc."]) {
        return None;
    }
    let verb = match first.lower.as_str() {
        "born" | "raised" | "adopted" if grammar::is_preposition(&second.lower) => "was ",
        "married" if second.is("to") => "is ",
        "known" if second.is_any(&["for", "as", "to"]) => "is ",
        _ if is_finite(predicate) || n_adverbs > 0 && is_unknown_verb(first) => "",
        // `Never learned to swim`
        _ if tokens[0].is_any(&["never", "once"]) && verbs::can_be(&first.lower, PAST) => "",
        _ => return None,
    };
    let is_listed = text.contains(": ");
    (!is_listed).then(|| {
        format!(
            "{name} {verb}{}.",
            decapitalized(&tokenize(text.trim_end_matches('.')))
        )
    })
}

/// How many adverbs stand before the verb, at most two.
fn n_adverbs(tokens: &[Token]) -> usize {
    const OFTEN: &str =
        "never once always often also still sometimes usually rarely seldom hardly now";
    let is_adverb = |token: &&Token| {
        token.is_in(OFTEN) || token.lower.ends_with("ly") && verbs::is_adverb(&token.lower)
    };
    tokens.iter().take(2).take_while(is_adverb).count()
}

/// Whether words begin with a verb that is surely one in a finite form.
fn is_finite(tokens: &[Token]) -> bool {
    let (Some(first), Some(second)) = (tokens.first(), tokens.get(1)) else {
        return false;
    };
    // `Is she …`, `Works by her …`, `Hopes, fears`
    let is_inverted = second.is_in("he she they it i you we there of by is are was were");
    if is_inverted || !second.is_word() {
        return false;
    }
    let third =
        |token: &Token| verbs::known(&token.lower).is_some_and(|(_, forms)| forms & THIRD != 0);
    let has_object = |at: usize| {
        tokens.get(at).is_some_and(|token| {
            grammar::is_determiner(&token.lower)
                || is_possessive(tokens, at)
                || token.is_any(&["him", "them", "it"])
        })
    };
    match first.lower.as_str() {
        "is" | "was" | "has" | "had" => true,
        "does" | "did" if has_object(1) || second.is_any(&["everything", "nothing"]) => true,
        _ if verbs::is_auxiliary(&first.lower) => {
            let behind = tokens[1..]
                .iter()
                .find(|token| !token.is("not") && !verbs::is_adverb(&token.lower));
            !first.is_any(&["are", "am", "were", "have", "do"])
                && behind.is_some_and(|verb| verbs::is_base(&verb.lower))
        }
        _ if second.is_any(&["and", "or", "but"]) => {
            third(first) && !inflection::is_noun(first) && tokens.get(2).is_some_and(third)
        }
        // `trims his beard`, but not `Sundays the shop is shut`
        _ if is_unknown_verb(first) => has_object(1) && !has_other_verb(tokens),
        _ if third(first) => {
            has_object(1) || !verbs::is_base(&second.lower) || inflection::is_noun(second)
        }
        _ => is_past(tokens),
    }
}

/// Whether a word in no list is a verb in the third person, where an adverb stands before it or an object behind it: `never haggles`.
pub(crate) fn is_unknown_verb(token: &Token) -> bool {
    verbs::known(&token.lower).is_none() && grammar::is_plural(&token.lower)
}

/// Whether a verb comes that no `and` or comma adds: `songs the sailors sing`.
fn has_other_verb(tokens: &[Token]) -> bool {
    tokens.windows(2).any(|pair| {
        let forms = verbs::known(&pair[1].lower).map_or(0, |(_, forms)| forms);
        let is_added = pair[0].is_in("and or but , who which that to")
            || grammar::is_determiner(&pair[0].lower);
        verbs::is_auxiliary(&pair[1].lower)
            || !is_added && forms & (BASE | THIRD) != 0 && !inflection::is_noun(&pair[1])
    })
}

/// Whether words begin with a verb in the past that is no participle: `grew up`, `lost her father`, but not `lost keys`.
fn is_past(tokens: &[Token]) -> bool {
    let (Some(first), Some(second)) = (tokens.first(), tokens.get(1)) else {
        return false;
    };
    let Some((base, forms)) = verbs::known(&first.lower) else {
        return false;
    };
    if forms & PAST == 0 || forms & BASE != 0 {
        return false;
    }
    let has_object =
        grammar::is_determiner(&second.lower) && !second.is("by") || is_possessive(tokens, 1);
    forms & PARTICIPLE == 0
        || has_object
        || has_word(WITHOUT_OBJECT, base) && grammar::is_preposition(&second.lower)
        || first.is("trained") && second.is("as")
}
