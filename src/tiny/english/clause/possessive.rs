//! `her book` against `sees her`.

use crate::tiny::english::words::grammar;
use crate::tiny::english::words::tokens::Token;
use crate::tiny::english::words::verbs;

/// Whether `her` at this place is `her book` and not `sees her`.
pub(crate) fn is_possessive(tokens: &[Token], at: usize) -> bool {
    let token = &tokens[at];
    match token.lower.as_str() {
        "his" | "their" | "my" | "your" | "its" | "our" => true,
        "her" if causes(tokens, at) || describes(tokens, at) || opens(tokens, at) => false,
        "her" => {
            tokens.get(at + 1).is_some_and(|next| {
                next.is_word()
                    && !grammar::is_determiner(&next.lower)
                    && !grammar::is_preposition(&next.lower)
                    && !verbs::is_auxiliary(&next.lower)
                    && !next.is_any(&[
                        "and", "or", "but", "to", "because", "when", "while", "if", "that", "who",
                        "which", "he", "she", "they", "it", "i", "you", "not", "so", "again",
                        "too", "there", "here", "once", "also", "never", "always", "as", "enough",
                    ])
                    && (!verbs::is_adverb(&next.lower)
                        || tokens.get(at + 2).is_some_and(|after| {
                            after.is_word() && !grammar::is_preposition(&after.lower)
                        }))
            }) || tokens.get(at + 1).is_some_and(|next| {
                next.is_in("first second own next last two three much most many few third other")
            }) || is_only_one(tokens, at)
        }
        _ => false,
    }
}

/// Whether the words are `her one fear`, and not `gave her one of them`.
fn is_only_one(tokens: &[Token], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(|next| next.is("one"))
        && tokens
            .get(at + 2)
            .is_some_and(|after| after.is_word() && !grammar::is_preposition(&after.lower))
}

/// Whether the words are `helps her gather`, `lets her go`.
fn causes(tokens: &[Token], at: usize) -> bool {
    let verb = at
        .checked_sub(1)
        .and_then(|before| verbs::known_base(&tokens[before].lower));
    verb.is_some_and(|verb| ["help", "let", "make", "watch", "see", "hear"].contains(&verb))
        && tokens
            .get(at + 1)
            .is_some_and(|next| verbs::is_base(&next.lower))
        && tokens
            .get(at + 2)
            .is_some_and(|after| after.is_word() && !verbs::is_auxiliary(&after.lower))
}

/// Whether the words are `with her live a goose`, `saw her cross the bridge`.
fn opens(tokens: &[Token], at: usize) -> bool {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.lower.as_str());
    verbs::is_base(word(at + 1)) && matches!(word(at + 2), "a" | "an" | "the")
}

/// Whether the words are `consider her arrogant`.
fn describes(tokens: &[Token], at: usize) -> bool {
    let adjective = tokens
        .get(at + 1)
        .is_some_and(|next| grammar::is_adjective(&next.lower));
    let judged = at > 0
        && verbs::known_base(&tokens[at - 1].lower)
            .is_some_and(|verb| matches!(verb, "consider" | "find" | "call" | "think" | "make"))
        && tokens
            .get(at + 2)
            .is_none_or(|after| after.is_any(&[",", "."]));
    judged
        && tokens
            .get(at + 1)
            .is_some_and(|next| !grammar::is_plural(&next.lower))
        || adjective
            && tokens
                .get(at + 2)
                .is_none_or(|after| !after.is_word() || grammar::is_preposition(&after.lower))
}
