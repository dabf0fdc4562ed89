//! The noun phrase that is a subject, and the finite verb after it.

use super::possessive::is_possessive;
use crate::tiny::english::words::grammar::{
    SINGULAR_SET, is_adjective, is_determiner, is_plural, is_preposition,
};
use crate::tiny::english::words::people::{self, Gender};
use crate::tiny::english::words::tokens::Token;
use crate::tiny::english::words::verbs::{self, BASE, PARTICIPLE, PAST, THIRD};

pub(crate) const NOMINATIVES: &[&str] = &["he", "she", "they", "i", "we", "you", "it", "who"];
const RELATIVES: &[&str] = &["who", "which", "that"];

/// The finite verb after the noun phrase at `start`, whether the phrase is plural, and where it ends.
pub(crate) fn find_verb(tokens: &[Token], start: usize) -> Option<(usize, bool, usize)> {
    let nominative = tokens[start].is_any(&["he", "she", "it"]);
    let named = tokens[start].me && !is_possessive(tokens, start);
    let mut phrase = Phrase {
        nouns: 0,
        plural: tokens[start].is_any(&["they", "we", "you", "i"]),
        blocked: true,
        in_pp: false,
        and: false,
    };
    let mut direct = nominative || named || phrase.plural;
    let mut end = None;
    for at in start..tokens.len().min(start + 24) {
        let token = &tokens[at];
        if at > start {
            if phrase.is_verb(tokens, at, direct && !phrase.blocked) {
                return Some((at, phrase.plural, end.unwrap_or(at)));
            }
            if token.is(",") {
                if phrase.lists(tokens, at) {
                    phrase.and = true;
                    phrase.blocked = true;
                    continue;
                }
                let close =
                    (at + 1..tokens.len().min(at + 18)).filter(|&close| tokens[close].is(","));
                let mut found = None;
                for verb in close
                    .filter_map(|close| verb_after_apposition(tokens, close + 1, phrase.plural))
                {
                    if verbs::is_auxiliary(&tokens[verb].lower)
                        || !verbs::is_participle(&tokens[verb].lower)
                    {
                        return Some((verb, phrase.plural, at));
                    }
                    found = found.or(Some(verb));
                }
                return found.map(|verb| (verb, phrase.plural, at));
            }
            if token.is_in("; : . ! ? - – although because but if while whose when where then") {
                return None;
            }
            if token.is_any(NOMINATIVES) && !token.is("who") && !phrase.and {
                return None;
            }
            if token.me && phrase.nouns > 0 && !phrase.blocked && !tokens[at - 1].is(",") {
                return None;
            }
            if token.is_any(RELATIVES) {
                return after_relative(tokens, at, &phrase).map(|verb| (verb, phrase.plural, at));
            }
            if verbs::is_adverb(&token.lower) && !token.is_any(&["first", "both"]) {
                end = end.or(Some(at));
                continue;
            }
            end = None;
        }
        if token.is_genitive() {
            direct = false;
            phrase.blocked = true;
            phrase.nouns = 0;
        } else {
            direct &= at == start;
            phrase.take(token, at == start && (named || nominative), at == 0);
        }
    }
    None
}

/// Whether the word at `at` is a verb in a finite form, right after the character as the subject.
pub(crate) fn is_finite_after_me(tokens: &[Token], at: usize) -> bool {
    let Some(token) = tokens.get(at) else {
        return false;
    };
    if !token.is_word()
        || token.me
        || verbs::is_adverb(&token.lower)
        || (token.is_capital() && at > 0)
    {
        return false;
    }
    if verbs::is_auxiliary(&token.lower) {
        return true;
    }
    match verbs::known(&token.lower) {
        Some((_, forms)) => forms & (THIRD | PAST) != 0,
        None => {
            !token.is_capital()
                && (verbs::can_be(&token.lower, PAST)
                    || (token.lower.len() > 3
                        && token.lower.ends_with('s')
                        && !token.lower.ends_with("ss")
                        && !SINGULAR_SET.contains(token.lower.as_str())
                        && !people::is_person_word(&token.lower)
                        && !is_adjective(&token.lower)
                        && !is_preposition(&token.lower)))
        }
    }
}

/// The place of the verb after a subject at `at - 1`, when it is next but for adverbs.
pub(crate) fn verb_after(tokens: &[Token], mut at: usize, plural: bool) -> Option<usize> {
    while tokens
        .get(at)
        .is_some_and(|token| verbs::is_adverb(&token.lower))
    {
        at += 1;
    }
    let token = tokens.get(at)?;
    (is_finite_after_me(tokens, at) || (plural && verbs::is_base(&token.lower))).then_some(at)
}

/// What is known of a noun phrase while it is read.
struct Phrase {
    nouns: usize,
    plural: bool,
    /// A determiner, preposition or adjective came last: a verb cannot follow.
    blocked: bool,
    in_pp: bool,
    and: bool,
}

impl Phrase {
    fn take(&mut self, token: &Token, whole: bool, first: bool) {
        let lower = token.lower.as_str();
        if lower == "and" || lower == "&" || lower == "or" {
            self.and |= lower != "or" && !self.in_pp;
            self.blocked = true;
        } else if is_preposition(lower) || lower == "to" {
            self.in_pp = true;
            self.blocked = true;
        } else if !whole
            && (is_determiner(lower) || is_possessive(std::slice::from_ref(token), 0))
            && !token.is_number()
        {
            self.blocked = true;
            self.nouns += usize::from(matches!(lower, "this" | "these" | "those" | "both" | "all"));
            self.plural |= matches!(lower, "these" | "those" | "both");
        } else if token.is_word() {
            self.nouns += 1;
            self.blocked = is_adjective(lower) && !whole;
            if !self.in_pp {
                self.plural = is_plural(lower)
                    && (!token.is_capital() || first && Gender::of_word(lower).is_none())
                    || self.and
                    || matches!(lower, "they" | "we" | "you" | "i");
            }
        }
    }

    fn is_verb(&self, tokens: &[Token], at: usize, direct: bool) -> bool {
        let token = &tokens[at];
        let lower = token.lower.as_str();
        if token.is_capital() {
            return false;
        }
        if self.blocked && !(self.nouns > 0 && verbs::is_auxiliary(lower))
            || self.nouns == 0
            || !token.is_word()
        {
            return false;
        }
        if verbs::is_auxiliary(lower) {
            return !self.blocked
                || !tokens[at - 1].is_any(&["her", "his", "the", "their", "my", "your"]);
        }
        if direct {
            return is_finite_after_me(tokens, at) || (self.plural && verbs::is_base(lower));
        }
        let next = tokens[at + 1..]
            .iter()
            .find(|token| !verbs::is_adverb(&token.lower));
        if next.is_some_and(|next| verbs::is_auxiliary(&next.lower)) || token.is_capital() {
            return false;
        }
        let forms = verbs::known(lower).map_or(0, |(_, forms)| forms);
        let finite = (forms & THIRD != 0 && !self.plural)
            || (forms & BASE != 0 && self.plural && !is_adjective(lower))
            || (forms & PAST != 0 && forms & PARTICIPLE == 0);
        finite || (verbs::can_be(lower, PAST) && !is_reduced_relative(tokens, at))
    }

    /// Whether the comma separates the members of a list of names or nouns.
    fn lists(&self, tokens: &[Token], at: usize) -> bool {
        let rest = &tokens[at + 1..tokens.len().min(at + 8)];
        let Some(and) = rest.iter().position(|token| token.is("and")) else {
            return false;
        };
        rest[0].is("and") && self.and
            || rest[..and]
                .iter()
                .all(|token| token.is_capital() || token.is(","))
                && tokens[at - 1].is_capital()
    }
}

/// Whether a participle belongs to the noun before it, because the finite verb comes later.
fn is_reduced_relative(tokens: &[Token], at: usize) -> bool {
    for token in &tokens[at + 1..tokens.len().min(at + 14)] {
        if token.is_any(&[
            ",", ";", ".", "and", "but", "that", "who", "which", "when", "where", "because",
            "while", "if", "as", "although", "after", "before",
        ]) || token.is_any(NOMINATIVES)
            || token.me
        {
            return false;
        }
        let past_only = verbs::known(&token.lower)
            .is_some_and(|(_, forms)| forms & PAST != 0 && forms & (PARTICIPLE | BASE) == 0);
        if verbs::is_auxiliary(&token.lower) || past_only {
            return true;
        }
    }
    false
}

fn verb_after_apposition(tokens: &[Token], at: usize, plural: bool) -> Option<usize> {
    let verb = verb_after(tokens, at, plural)?;
    let lower = tokens[verb].lower.as_str();
    // `made of` describes the noun, `died of` tells what it did.
    let takes_of = verbs::known_base(lower).is_some_and(|base| {
        matches!(
            base,
            "die" | "dream" | "think" | "speak" | "tire" | "complain" | "approve" | "smell"
        )
    });
    if !takes_of && tokens.get(verb + 1).is_some_and(|next| next.is("of")) {
        return None;
    }
    (verbs::is_auxiliary(lower) || verbs::known(lower).is_some()).then_some(verb)
}

/// The verb of the main clause when a relative clause without commas comes first.
fn after_relative(tokens: &[Token], at: usize, phrase: &Phrase) -> Option<usize> {
    let inner = (at + 1..tokens.len().min(at + 4))
        .find(|&idx| is_finite_after_me(tokens, idx) || verbs::is_base(&tokens[idx].lower))?;
    let mut idx = inner + 1;
    while idx < tokens.len().min(inner + 14) {
        if tokens[idx].is_any(&[",", ";", "."]) {
            return verb_after_apposition(tokens, idx + 1, phrase.plural)
                .filter(|_| tokens[idx].is(","));
        }
        if verbs::is_auxiliary(&tokens[idx].lower)
            && !is_determiner(&tokens[idx - 1].lower)
            && !tokens[idx - 1].is_any(NOMINATIVES)
        {
            return Some(idx);
        }
        idx += 1;
    }
    None
}
