//! Words of a sentence put in another's place, so that it says something else.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::clause::{self, Clause};
use super::lexicon::{FEMALE, KINDS, MALE, OPPOSITES};
use super::names::{self, Gender};
use super::phrases;
use super::tokens::{self, Token, capitalized, tokenize};
use super::verbs::{self, BASE, PAST, THIRD};

/// A word of a reply, and whether it disagrees with the statement.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub token: Token,
    pub changed: bool,
}

/// The words of a sentence, none changed.
pub(super) fn words(tokens: &[Token]) -> Vec<Word> {
    tokens.iter().map(|token| Word { token: token.clone(), changed: false }).collect()
}

/// A replacement for some tokens.
struct Swap {
    range: std::ops::Range<usize>,
    text: String,
}

/// One key word swapped for another of its kind; `None` when no word has a kind.
pub(super) fn swapped(character: &str, tokens: &[Token], clause: Option<&Clause>, others: &[String], rng: &mut ChaCha8Rng) -> Option<Vec<Word>> {
    let from = clause.map_or(0, |clause| clause.start);
    let other_words: std::collections::HashSet<String> = others.iter().flat_map(|other| tokenize(other)).map(|token| token.lower).collect();
    let mut swaps: Vec<Swap> = Vec::new();
    let mut at = from;
    while at < tokens.len() {
        let length = name_length(tokens, at);
        if length > 0 {
            swaps.extend(other_name(character, tokens, at..at + length, others, rng));
            at += length;
            continue;
        }
        swaps.extend(other_word(tokens, at, &other_words, rng));
        at += 1;
    }
    let swap = swaps.get(..4.min(swaps.len()))?.choose(rng)?;
    let mut changed: Vec<Word> = words(&tokens[..swap.range.start]);
    if let Some(article) = changed.last_mut().filter(|word| word.token.is_any(&["a", "an"])) {
        let fitting = super::fields::article(&swap.text);
        article.token.set(fitting);
    }
    let mut space = tokens[swap.range.start].space;
    for token in tokenize(&swap.text) {
        let token = Token { space: space || token.space, ..token };
        changed.push(Word { token, changed: true });
        space = false;
    }
    changed.extend(words(&tokens[swap.range.end..]));
    Some(changed)
}

/// How many tokens of a proper name stand at `at`; none at the head of the sentence.
fn name_length(tokens: &[Token], at: usize) -> usize {
    let is_name = |token: &Token| token.is_capital() && token.is_word() && !token.me && !token.is("i") && !super::lexicon::is_proper(&token.lower) && token.text.chars().count() > 1;
    if at == 0 || !tokens.get(at).is_some_and(is_name) {
        return 0;
    }
    let mut end = at;
    while tokens.get(end).is_some_and(|token| is_name(token) || (end > at && matches!(token.lower.as_str(), "van" | "von" | "de") && tokens.get(end + 1).is_some_and(is_name))) {
        end += 1;
    }
    end - at
}

fn other_name(character: &str, tokens: &[Token], range: std::ops::Range<usize>, others: &[String], rng: &mut ChaCha8Rng) -> Option<Swap> {
    let name = &tokens[range.clone()];
    let gender = name.iter().find_map(|token| Gender::of_word(&token.lower));
    let person = gender.is_some();
    let genitive = tokens.get(range.end).is_some_and(|next| next.is_genitive() || next.is("of"));
    let known = name.len() == 1 && super::lexicon::is_city(&name[0].lower);
    let place = (known || range.start > 0 && tokens[range.start - 1].is_any(&["in", "at", "near"])) && !person && !genitive;
    if !person && !place {
        return None;
    }
    let mut candidates: Vec<String> = Vec::new();
    let sentence = tokens;
    for other in others.iter().take(60) {
        let tokens = tokenize(other);
        let mut at = 1;
        while at < tokens.len() {
            let length = name_length(&tokens, at);
            let found = &tokens[at..at + length];
            let found_gender = found.iter().find_map(|token| Gender::of_word(&token.lower));
            let located = tokens[at - 1].is_any(&["in", "at", "near"]);
            let shared = found.iter().any(|token| sentence.iter().any(|other| other.text == token.text) || character.contains(token.text.as_str()));
            let followed = tokens.get(at + length).is_some_and(|next| next.is_genitive() || next.is("of"));
            let same = found_gender.is_some() && found_gender == gender;
            if length > 0 && !shared && !followed && ((person && same) || (place && located && found_gender.is_none())) {
                candidates.push(tokens::join(found));
            }
            at += length.max(1);
        }
    }
    if candidates.is_empty() || rng.random_bool(0.4) {
        let pool: Vec<&str> = match gender {
            Some(Gender::He) => MALE.split_whitespace().take(120).collect(),
            Some(_) => FEMALE.split_whitespace().take(120).collect(),
            None => KINDS.iter().find(|kind| kind.starts_with("paris")).map_or_else(Vec::new, |kind| kind.split_whitespace().collect()),
        };
        candidates = pool.into_iter().filter(|word| !tokens.iter().any(|token| token.is(word)) && !character.to_lowercase().contains(word)).map(capitalized).collect();
    }
    let text = candidates.choose(rng)?.clone();
    let text = if name.len() > 1 && person && !text.contains(' ') && name.last().is_some_and(|last| Gender::of_word(&last.lower).is_none()) { format!("{text} {}", name[name.len() - 1].text) } else { text };
    Some(Swap { range, text })
}

fn other_word(tokens: &[Token], at: usize, other_words: &std::collections::HashSet<String>, rng: &mut ChaCha8Rng) -> Option<Swap> {
    let token = &tokens[at];
    if !token.is_word() || token.me {
        return None;
    }
    let one = |text: String| Some(Swap { range: at..at + 1, text });
    if token.is_number() {
        return other_number(token, rng).and_then(one);
    }
    let lower = token.lower.as_str();
    if let Some(opposite) = opposite_of(lower, rng) {
        if verbs::known(lower).is_some_and(|(_, forms)| forms & (BASE | THIRD | PAST) != 0) && !is_verb_here(tokens, at) && !verbs::can_be(lower, verbs::PARTICIPLE) {
            return None;
        }
        if matches!(lower, "with" | "without" | "before" | "after" | "first" | "last" | "left" | "right" | "more" | "most" | "less" | "like" | "many" | "few" | "like" | "open" | "light" | "kind" | "day" | "night" | "close") && !plain_use(tokens, at) {
            return None;
        }
        if tokens.iter().any(|token| token.is(opposite)) {
            return None;
        }
        return one(matching_case(token, opposite));
    }
    let fixed = tokens.get(at + 1).is_some_and(|next| next.text.starts_with('-')) || matches!(lower, "may" | "march" | "one" | "second" | "court" | "fall" | "spring") && !(token.is_capital() && at > 0);
    if fixed {
        return None;
    }
    let kind = KINDS.iter().find(|kind| kind.split(' ').any(|word| word == lower) && !(verbs::known(lower).is_some_and(|(_, forms)| forms & (BASE | THIRD | PAST) != 0) && is_verb_here(tokens, at)))?;
    if !fits_kind(kind, tokens, at) {
        return None;
    }
    let options: Vec<&str> = kind.split(' ').filter(|word| *word != lower && !other_words.contains(*word) && !tokens.iter().any(|token| token.is(word))).collect();
    let word = options.choose(rng)?;
    one(matching_case(token, word))
}

/// Whether another noun of this kind fits here: not as half of a compound, places only after a determiner.
fn fits_kind(kind: &str, tokens: &[Token], at: usize) -> bool {
    let starts = |words: &[&str]| words.iter().any(|word| kind.starts_with(&format!("{word} ")));
    let attributive = starts(&["red", "one", "first", "northern", "french", "monday", "january", "daily", "gold", "north", "spring", "france", "paris"]);
    let compound = tokens.get(at + 1).is_some_and(|next| next.is_word() && !clause::is_preposition(&next.lower) && !clause::is_subordinator(&next.lower) && !verbs::is_adverb(&next.lower) && !verbs::is_auxiliary(&next.lower) && !next.is_any(&["and", "or", "but", "to"]) && !verbs::can_be(&next.lower, verbs::ING | verbs::PARTICIPLE));
    let determined = at > 0 && (clause::is_determiner(&tokens[at - 1].lower) || names::is_possessive(tokens, at - 1) || at > 1 && clause::is_determiner(&tokens[at - 2].lower));
    (attributive || !compound) && (determined || !starts(&["university", "city", "river", "car", "novel", "accountant", "dog", "guitar"]))
}

fn is_verb_here(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    before.is_none_or(|before| before.me && !names::is_possessive(tokens, at - 1) && !before.is_any(&["my", "your"]) || before.is("to") || verbs::is_adverb(&before.lower) || before.is_any(&["and", "who", "that", "i", "not"]))
}

/// Whether an ambiguous word is an adjective or adverb here.
fn plain_use(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    let lower = tokens[at].lower.as_str();
    matches!(lower, "kind" | "light" | "open" | "close") && before.is_some_and(|before| verbs::is_be(&before.lower) || verbs::is_adverb(&before.lower)) && !tokens.get(at + 1).is_some_and(|next| next.is("of") || next.is("to")) || (lower == "like" && is_verb_here(tokens, at))
}

fn opposite_of(lower: &str, rng: &mut ChaCha8Rng) -> Option<&'static str> {
    let found: Vec<&'static str> = OPPOSITES
        .split(", ")
        .filter_map(|pair| {
            let (one, other) = pair.split_once(' ')?;
            if one == lower { Some(other) } else { (other == lower).then_some(one) }
        })
        .collect();
    found.choose(rng).copied()
}

fn matching_case(token: &Token, word: &str) -> String {
    if token.is_capital() || (super::lexicon::is_proper(word) && !super::lexicon::is_proper(&token.lower)) { capitalized(word) } else { word.to_owned() }
}

/// Another number of the same size; a year stays a year.
fn other_number(token: &Token, rng: &mut ChaCha8Rng) -> Option<String> {
    let digits: String = token.text.chars().take_while(char::is_ascii_digit).collect();
    let rest = &token.text[digits.len()..];
    let number: i64 = digits.parse().ok()?;
    let other = if phrases::is_year(token) {
        let shift = rng.random_range(2..30);
        if rng.random_bool(0.5) { number - shift } else { number + shift }
    } else {
        let spread = (number / 2).clamp(3, 1_000_000);
        let shift = rng.random_range(1..=spread);
        if number > shift && rng.random_bool(0.5) { number - shift } else { number + shift }
    };
    let suffix = match rest {
        "st" | "nd" | "rd" | "th" => match other % 10 {
            1 if other % 100 != 11 => "st",
            2 if other % 100 != 12 => "nd",
            3 if other % 100 != 13 => "rd",
            _ => "th",
        },
        _ => rest,
    };
    Some(format!("{other}{suffix}"))
}

/// The sentence with its main verb negated, or no longer negated.
pub(super) fn negated(tokens: &[Token], clause: &Clause, rng: &mut ChaCha8Rng) -> Vec<Word> {
    if clause.negated
        && let Some(affirmed) = affirmed(tokens, clause)
    {
        return affirmed;
    }
    let verb = &tokens[clause.verb];
    let insert = |before: &[Token], new: &[&str], after: &[Token]| {
        let mut sentence = words(before);
        sentence.extend(new.iter().map(|text| Word { token: Token::new(text, true), changed: true }));
        sentence.extend(words(after));
        sentence
    };
    let never = rng.random_bool(0.3);
    let (before, after) = (&tokens[..clause.verb], &tokens[clause.verb + 1..]);
    let after = match after.first() {
        Some(next) if next.is_any(&["also", "always", "often", "still", "already", "now"]) => &after[1..],
        _ => after,
    };
    let have = verb.is_any(&["have", "has", "had"]) && clause.main == clause.verb;
    let does = verb.is_any(&["do", "does", "did"]) && clause.main == clause.verb;
    if verbs::is_auxiliary(&verb.lower) && !have && !does {
        let mut sentence = words(&tokens[..=clause.verb]);
        let word = if never && !verbs::is_be(&verb.lower) { "never" } else { "not" };
        sentence.push(Word { token: Token::new(word, true), changed: true });
        sentence.extend(words(after));
        return sentence;
    }
    let forms = verbs::known(&verb.lower).map_or(0, |(_, forms)| forms);
    let past = forms & PAST != 0 && forms & (BASE | THIRD) == 0 || (forms == 0 && verbs::can_be(&verb.lower, PAST));
    let third = !past && (forms & THIRD != 0 || (forms == 0 && verb.lower.ends_with('s')));
    let base = if past || third { verbs::base(&verb.lower) } else { verb.lower.clone() };
    let (before, adverb) = match before.split_last() {
        Some((last, rest)) if last.is_any(&["also", "always", "often", "still", "already", "once", "now", "constantly", "usually", "sometimes", "later", "then", "first", "soon"]) => (rest, None),
        Some((last, rest)) if last.lower.ends_with("ly") && verbs::is_adverb(&last.lower) => (rest, Some(last)),
        _ => (before, None),
    };
    if never && adverb.is_none() {
        return insert(before, &["never"], &tokens[clause.verb..]);
    }
    let auxiliary = if past { "did" } else if third { "does" } else { "do" };
    let mut sentence = insert(before, &[auxiliary, "not"], &[]);
    sentence.extend(adverb.map(|adverb| Word { token: adverb.clone(), changed: false }));
    sentence.push(Word { token: Token::new(&base, true), changed: false });
    sentence.extend(words(after));
    sentence
}

/// Takes `not` or `never` out; what is left of the verb is what disagrees.
fn affirmed(tokens: &[Token], clause: &Clause) -> Option<Vec<Word>> {
    let not = (clause.verb.saturating_sub(1)..=clause.main.max(clause.verb + 1)).find(|&at| tokens.get(at).is_some_and(|token| token.is_any(&["not", "never"])))?;
    let mut sentence = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let dropped = at == not || (at == clause.verb && token.is_any(&["do"]) && clause.main > not);
        if !dropped {
            sentence.push(Word { token: token.clone(), changed: at == clause.main || (at == clause.verb && clause.main == clause.verb) });
        }
    }
    Some(sentence)
}

/// Whether a clause can be negated cleanly.
pub(super) fn can_negate(tokens: &[Token], clause: &Clause) -> bool {
    !tokens[clause.verb].is("cannot") && !clause::is_subordinator(&tokens[clause.start].lower)
}
