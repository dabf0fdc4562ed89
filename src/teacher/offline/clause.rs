//! The main clause of a sentence: who does what, found by word order and agreement.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::lexicon::{ADJECTIVES, DETERMINERS, IRREGULAR_PLURALS, PREPOSITIONS, S_SINGULARS, SUBORDINATORS, set_of};
use super::names;
use super::tokens::Token;
use super::verbs::{self, BASE, ING, PARTICIPLE, PAST, THIRD};

/// What the subject has to do with the character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The character.
    Me,
    /// The character and someone else.
    WithMe,
    /// Something of the character's: `Alice's mother`.
    Mine,
    /// Anything else.
    Other,
}

/// The parts of the main clause, as places in the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    pub kind: Subject,
    pub start: usize,
    pub subject_end: usize,
    /// The finite verb.
    pub verb: usize,
    /// The verb that carries the meaning; the finite verb itself, when that is no auxiliary here.
    pub main: usize,
    pub plural: bool,
    pub negated: bool,
}

static PREPOSITION_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(PREPOSITIONS));
static SUBORDINATOR_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(SUBORDINATORS));
static DETERMINER_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(DETERMINERS));
static ADJECTIVE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(ADJECTIVES));
static PLURAL_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(IRREGULAR_PLURALS));
static SINGULAR_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(S_SINGULARS));
const NOMINATIVES: &[&str] = &["he", "she", "they", "i", "we", "you", "it", "who"];
const CONJUNCTIONS: &[&str] = &["when", "while", "although", "though", "because", "if", "unless", "whereas", "once", "whenever"];
const RELATIVES: &[&str] = &["who", "which", "that"];

/// Whether the word is a preposition.
pub(super) fn is_preposition(lower: &str) -> bool {
    PREPOSITION_SET.contains(lower)
}

/// Whether the word begins a subordinate clause.
pub(super) fn is_subordinator(lower: &str) -> bool {
    SUBORDINATOR_SET.contains(lower)
}

/// Whether the word is an article, a numeral or the like.
pub(super) fn is_determiner(lower: &str) -> bool {
    DETERMINER_SET.contains(lower)
}

/// Whether the word is a known adjective.
pub(super) fn is_adjective(lower: &str) -> bool {
    ADJECTIVE_SET.contains(lower)
        || (lower.len() > 5 && ["ous", "ful", "less", "ish", "ive", "ical", "able", "ible"].iter().any(|end| lower.ends_with(end)) && !lower.ends_with("ness") && !verbs::is_base(lower) && !matches!(lower, "english" | "detective" | "relative" | "motive" | "vegetable" | "archive" | "polish"))
}

/// Whether the noun is a plural.
pub(super) fn is_plural(lower: &str) -> bool {
    PLURAL_SET.contains(lower) || (lower.len() > 3 && lower.ends_with('s') && !lower.ends_with("ss") && !lower.ends_with("us") && !lower.ends_with("is") && !SINGULAR_SET.contains(lower))
}

/// Whether the word may open a phrase before the subject.
pub(super) fn is_intro_word(lower: &str) -> bool {
    is_preposition(lower) || is_subordinator(lower) || verbs::known(lower).is_some_and(|(_, forms)| forms & ING != 0) || matches!(lower, "to" | "due" | "even" | "early" | "later" | "late" | "deep" | "when" | "thanks" | "prior" | "born" | "trained" | "raised" | "known" | "according" | "only")
}

/// Whether the word at `at` is a verb in a finite form, right after the character as the subject.
pub(super) fn is_finite_after_me(tokens: &[Token], at: usize) -> bool {
    let Some(token) = tokens.get(at) else { return false };
    if !token.is_word() || token.me || (token.is_capital() && at > 0) {
        return false;
    }
    if verbs::is_auxiliary(&token.lower) {
        return true;
    }
    match verbs::known(&token.lower) {
        Some((_, forms)) => forms & (THIRD | PAST) != 0,
        None => !token.is_capital() && (verbs::can_be(&token.lower, PAST) || (token.lower.len() > 3 && token.lower.ends_with('s') && !token.lower.ends_with("ss") && !SINGULAR_SET.contains(token.lower.as_str()) && !names::is_person_word(&token.lower) && !is_adjective(&token.lower) && !is_preposition(&token.lower))),
    }
}

/// The place of the verb after a subject at `at - 1`, when it is next but for adverbs.
pub(super) fn verb_after(tokens: &[Token], mut at: usize, plural: bool) -> Option<usize> {
    while tokens.get(at).is_some_and(|token| verbs::is_adverb(&token.lower)) {
        at += 1;
    }
    let token = tokens.get(at)?;
    (is_finite_after_me(tokens, at) || (plural && verbs::is_base(&token.lower))).then_some(at)
}

/// Whether `at` begins something that can be a subject.
fn starts_subject(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| {
        token.me || token.is_capital() || token.is("\"") || (token.is_any(NOMINATIVES) && !token.is("who")) || (is_determiner(&token.lower) && !token.is("that"))
    })
}

/// Finds the main clause.
pub(super) fn parse(tokens: &[Token]) -> Option<Clause> {
    let first = tokens.iter().position(Token::is_word)?;
    let mut fallback = None;
    let opening = &tokens[first];
    if opening.me || !is_intro_word(&opening.lower) || (opening.is_capital() && tokens.get(first + 1).is_some_and(Token::is_genitive)) {
        match parse_at(tokens, first) {
            Some(clause) if clause.kind != Subject::Other => return Some(clause),
            other => fallback = other,
        }
    }
    let mut commas = 0;
    for at in first + 1..tokens.len().min(first + 40) {
        if fallback.is_some() {
            break;
        }
        if tokens[at - 1].is(",") && starts_subject(tokens, at) {
            commas += 1;
            match parse_at(tokens, at) {
                Some(clause) if clause.kind != Subject::Other => return Some(clause),
                other => fallback = fallback.or(other),
            }
        }
    }
    if fallback.is_none() && commas == 0 && opening.is_any(CONJUNCTIONS) {
        let mut subjects = (first + 1..tokens.len().min(first + 24)).filter(|&at| (tokens[at].me && !names::is_possessive(tokens, at) || tokens[at].is_any(NOMINATIVES)) && parse_at(tokens, at).is_some());
        let inner = subjects.next()?;
        return subjects.find(|&at| at > inner + 2 && !tokens[at - 1].is_any(&["and", "that", "or", "where", "when", "which"]) && !is_preposition(&tokens[at - 1].lower)).and_then(|at| parse_at(tokens, at));
    }
    if fallback.is_none() && commas == 0 {
        fallback = (first + 1..tokens.len().min(first + 12)).filter(|&at| tokens[at].me).find_map(|at| parse_at(tokens, at));
    }
    fallback
}

fn parse_at(tokens: &[Token], start: usize) -> Option<Clause> {
    let (verb, plural, subject_end) = find_verb(tokens, start)?;
    let kind = subject_kind(tokens, start, subject_end)?;
    let (main, negated) = main_verb(tokens, verb);
    Some(Clause { kind, start, subject_end, verb, main, plural, negated })
}

fn subject_kind(tokens: &[Token], start: usize, end: usize) -> Option<Subject> {
    let first = &tokens[start];
    if first.me {
        let possessive = tokens.get(start + 1).is_some_and(Token::is_genitive) || names::is_possessive(tokens, start);
        if possessive {
            return Some(Subject::Mine);
        }
        if first.is_any(&["him", "me", "them"]) {
            return None;
        }
        let with = tokens[start + 1..end].iter().any(|token| token.is("and"));
        return Some(if with { Subject::WithMe } else { Subject::Me });
    }
    let with = (start + 1..end).any(|at| tokens[at].me && !tokens.get(at + 1).is_some_and(Token::is_genitive) && !names::is_possessive(tokens, at) && tokens[at - 1].is_any(&["and", ",", "both"]));
    Some(if with { Subject::WithMe } else { Subject::Other })
}

/// The finite verb after the noun phrase at `start`, whether the phrase is plural, and where it ends.
fn find_verb(tokens: &[Token], start: usize) -> Option<(usize, bool, usize)> {
    let nominative = tokens[start].is_any(&["he", "she", "it"]);
    let named = tokens[start].me && !names::is_possessive(tokens, start);
    let mut phrase = Phrase { nouns: 0, plural: tokens[start].is_any(&["they", "we", "you", "i"]), blocked: true, in_pp: false, and: false };
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
                let close = (at + 1..tokens.len().min(at + 18)).filter(|&close| tokens[close].is(","));
                let mut found = None;
                for verb in close.filter_map(|close| verb_after_apposition(tokens, close + 1, phrase.plural)) {
                    if verbs::is_auxiliary(&tokens[verb].lower) || !verbs::is_participle(&tokens[verb].lower) {
                        return Some((verb, phrase.plural, at));
                    }
                    found = found.or(Some(verb));
                }
                return found.map(|verb| (verb, phrase.plural, at));
            }
            if token.is_any(&[";", ":", ".", "!", "?", "-", "–", "although", "because", "but", "if", "while", "whose", "when", "where", "then"]) {
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
            phrase.take(token, at == start && (named || nominative));
        }
    }
    None
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
    fn take(&mut self, token: &Token, whole: bool) {
        let lower = token.lower.as_str();
        if lower == "and" || lower == "&" || lower == "or" {
            self.and |= lower != "or" && !self.in_pp;
            self.blocked = true;
        } else if is_preposition(lower) || lower == "to" {
            self.in_pp = true;
            self.blocked = true;
        } else if !whole && (is_determiner(lower) || names::is_possessive(std::slice::from_ref(token), 0)) && !token.is_number() {
            self.blocked = true;
            self.nouns += usize::from(matches!(lower, "this" | "these" | "those" | "both" | "all"));
            self.plural |= matches!(lower, "these" | "those" | "both");
        } else if token.is_word() {
            self.nouns += 1;
            self.blocked = is_adjective(lower) && !whole;
            if !self.in_pp {
                self.plural = is_plural(lower) && !token.is_capital() || self.and || matches!(lower, "they" | "we" | "you" | "i");
            }
        }
    }

    fn is_verb(&self, tokens: &[Token], at: usize, direct: bool) -> bool {
        let token = &tokens[at];
        let lower = token.lower.as_str();
        if token.is_capital() {
            return false;
        }
        if self.blocked && !(self.nouns > 0 && verbs::is_auxiliary(lower)) || self.nouns == 0 || !token.is_word() {
            return false;
        }
        if verbs::is_auxiliary(lower) {
            return !self.blocked || !tokens[at - 1].is_any(&["her", "his", "the", "their", "my", "your"]);
        }
        if direct {
            return is_finite_after_me(tokens, at) || (self.plural && verbs::is_base(lower));
        }
        let next = tokens[at + 1..].iter().find(|token| !verbs::is_adverb(&token.lower));
        if next.is_some_and(|next| verbs::is_auxiliary(&next.lower)) || token.is_capital() {
            return false;
        }
        let forms = verbs::known(lower).map_or(0, |(_, forms)| forms);
        let finite = (forms & THIRD != 0 && !self.plural) || (forms & BASE != 0 && self.plural && !is_adjective(lower)) || (forms & PAST != 0 && forms & PARTICIPLE == 0);
        finite || (verbs::can_be(lower, PAST) && !is_reduced_relative(tokens, at))
    }

    /// Whether the comma separates the members of a list of names or nouns.
    fn lists(&self, tokens: &[Token], at: usize) -> bool {
        let rest = &tokens[at + 1..tokens.len().min(at + 8)];
        let Some(and) = rest.iter().position(|token| token.is("and")) else { return false };
        rest[0].is("and") && self.and || rest[..and].iter().all(|token| token.is_capital() || token.is(",")) && tokens[at - 1].is_capital()
    }
}

/// Whether a participle belongs to the noun before it, because the finite verb comes later.
fn is_reduced_relative(tokens: &[Token], at: usize) -> bool {
    for token in &tokens[at + 1..tokens.len().min(at + 14)] {
        if token.is_any(&[",", ";", ".", "and", "but", "that", "who", "which", "when", "where", "because", "while", "if", "as", "although", "after", "before"]) || token.is_any(NOMINATIVES) || token.me {
            return false;
        }
        let past_only = verbs::known(&token.lower).is_some_and(|(_, forms)| forms & PAST != 0 && forms & (PARTICIPLE | BASE) == 0);
        if verbs::is_auxiliary(&token.lower) || past_only {
            return true;
        }
    }
    false
}

fn verb_after_apposition(tokens: &[Token], at: usize, plural: bool) -> Option<usize> {
    let verb = verb_after(tokens, at, plural)?;
    let lower = tokens[verb].lower.as_str();
    if tokens.get(verb + 1).is_some_and(|next| next.is("of")) {
        return None;
    }
    (verbs::is_auxiliary(lower) || verbs::known(lower).is_some()).then_some(verb)
}

/// The verb of the main clause when a relative clause without commas comes first.
fn after_relative(tokens: &[Token], at: usize, phrase: &Phrase) -> Option<usize> {
    let inner = (at + 1..tokens.len().min(at + 4)).find(|&idx| is_finite_after_me(tokens, idx) || verbs::is_base(&tokens[idx].lower))?;
    let mut idx = inner + 1;
    while idx < tokens.len().min(inner + 14) {
        if tokens[idx].is_any(&[",", ";", "."]) {
            return verb_after_apposition(tokens, idx + 1, phrase.plural).filter(|_| tokens[idx].is(","));
        }
        if verbs::is_auxiliary(&tokens[idx].lower) && !is_determiner(&tokens[idx - 1].lower) && !tokens[idx - 1].is_any(NOMINATIVES) {
            return Some(idx);
        }
        idx += 1;
    }
    None
}

/// From the finite verb to the verb that carries the meaning, and whether there is a negation between.
fn main_verb(tokens: &[Token], verb: usize) -> (usize, bool) {
    let mut main = verb;
    let mut negated = false;
    let mut at = verb + 1;
    while verbs::is_auxiliary(&tokens[main].lower) || matches!(tokens[main].lower.as_str(), "be" | "been" | "have" | "being") {
        while tokens.get(at).is_some_and(|token| verbs::is_adverb(&token.lower) || token.is("not")) {
            negated |= tokens[at].is_any(&["not", "never"]);
            at += 1;
        }
        let Some(next) = tokens.get(at) else { break };
        let lower = next.lower.as_str();
        let fits = match tokens[main].lower.as_str() {
            "is" | "are" | "am" | "was" | "were" | "be" | "been" | "being" => (verbs::can_be(lower, PARTICIPLE) && !is_adjective(lower) || lower == "born" || verbs::can_be(lower, ING)) && !next.is_capital(),
            "has" | "have" | "had" => verbs::can_be(lower, PARTICIPLE) && !is_adjective_phrase(tokens, at),
            "do" | "does" | "did" => verbs::is_base(lower),
            _ => verbs::is_base(lower) || (!is_determiner(lower) && next.is_word()),
        };
        if !fits {
            break;
        }
        main = at;
        at += 1;
    }
    let before = tokens[..verb].last().is_some_and(|token| token.is("never"));
    (main, negated || before)
}

/// `has bushy hair`, `has trained dogs`: a participle that belongs to a noun.
fn is_adjective_phrase(tokens: &[Token], at: usize) -> bool {
    let lower = tokens[at].lower.as_str();
    verbs::known(lower).is_none() && tokens.get(at + 1).is_some_and(|next| next.is_word() && !is_determiner(&next.lower) && !is_preposition(&next.lower) && !next.is_capital() && !verbs::is_adverb(&next.lower))
}

#[cfg(test)]
mod tests {
    use super::*;
    use names::Names;

    fn check(text: &str, kind: Subject, verb: &str, main: &str) {
        let tokens = Names::new("Alice").tag(text);
        let clause = parse(&tokens).unwrap_or_else(|| panic!("no clause in {text}"));
        assert_eq!((clause.kind, tokens[clause.verb].text.as_str(), tokens[clause.main].text.as_str()), (kind, verb, main), "{text}");
    }

    #[test]
    fn the_main_verb_is_found() {
        check("Alice often plays the guitar.", Subject::Me, "plays", "plays");
        check("Alice's parents work in a bank.", Subject::Mine, "work", "work");
        check("Alice's role often requires her to travel.", Subject::Mine, "requires", "requires");
        check("Alice's opera, Fidelio, first performed in 1805, was revised.", Subject::Mine, "was", "revised");
        check("Despite her fear, Alice has never been afraid of water.", Subject::Me, "has", "been");
        check("When she was six, Alice moved to Paris.", Subject::Me, "moved", "moved");
        check("In 1783 Alice began to write.", Subject::Me, "began", "began");
        check("Alice and Bob share a flat.", Subject::WithMe, "share", "share");
        check("Harry, Ron, and Alice are friends.", Subject::WithMe, "are", "are");
        check("Bob taught Alice composition.", Subject::Other, "taught", "taught");
        check("An avid reader, Alice often embeds messages in letters.", Subject::Me, "embeds", "embeds");
        check("Alice's first work published in Vienna was a song.", Subject::Mine, "was", "was");
    }
}
