//! Rules that judge: is a statement needed for an answer, and does a reply agree with it?

use std::collections::HashSet;

use super::Label;
use super::clause::{self, Clause, Subject};
use super::lexicon::{KINDS, OPPOSITES};
use super::names::Names;
use super::page;
use super::phrases;
use super::tokens::{Token, content_of, stem};
use super::verbs;
use super::voice::{self, Person};

/// Words which ask for one another's statements.
const RELATED: &[&str] = &[
    "job work occupation profession career living employ profession", "home live house reside apartment residence move", "family mother father parent sister brother sibling daughter son grandmother grandfather relative wife husband",
    "hobby enjoy love like pastime interest free passion", "birth birthday bear born", "afraid fear scare phobia frighten", "study school university education learn teach lesson", "friend friendship befriend best",
    "look appearance hair eye tall wear", "speak language fluent", "eat food dish meal cook", "music instrument song sing guitar piano violin melody", "old age year", "personality character introvert kind shy", "goal dream want aspire ambition hope plan",
    "skill talent ability expert good able", "love romance relationship marry partner wife husband", "pet animal dog cat", "die death bury",
];
/// Verbs too common to decide anything alone.
const COMMON: &str = "have do make get take go come be become give find know think feel want live work use see start begin keep life people year time day first new good old lot often never always sometimes";

/// Whether the question wants yes or no.
pub(super) fn is_yes_no(question: &str) -> bool {
    question.split_whitespace().next().is_some_and(|first| verbs::is_auxiliary(&first.to_lowercase()) && !question.to_lowercase().contains("tell me") && !question.to_lowercase().starts_with("could you say"))
}

fn weight(stem_: &str) -> f32 {
    if super::tokens::is_stop(stem_) {
        0.1
    } else if COMMON.split(' ').any(|word| stem(word) == stem_) { 0.4 } else { 1.0 }
}

fn related(one: &str, other: &str) -> bool {
    RELATED.iter().any(|group| group.split(' ').any(|word| stem(word) == one) && group.split(' ').any(|word| stem(word) == other))
}

/// See [`super::is_relevant`].
pub(super) fn is_relevant(character: &str, statement: &str, question: &str) -> bool {
    let names = Names::new(character);
    let asked = content_of(&names.tag(question));
    let asked: Vec<String> = asked.into_iter().filter(|word| !matches!(word.as_str(), "tell" | "hear" | "talk" | "describ" | "mor" | "could" | "name" if word != "name")).collect();
    let tokens = names.tag(statement);
    let clause = clause::parse(&tokens);
    let lower = question.to_lowercase();
    let verb_only = asked.is_empty() && clause.as_ref().is_some_and(|clause| lower.split_whitespace().skip(2).any(|word| word.trim_matches(|c: char| !c.is_alphanumeric()) == verbs::base(&tokens[clause.main].lower)));
    if verb_only {
        return true;
    }
    if asked.iter().all(|word| matches!(word.as_str(), "lif" | "like" | "lik" | "describ") || word == "liv" && lower.contains("for a living")) {
        return answers_general(&tokens, clause.as_ref(), &lower);
    }
    let own: HashSet<String> = content_of(&tokens).into_iter().collect();
    let mut matched = 0.0;
    let mut total = 0.0;
    let mut exact = false;
    for word in &asked {
        let weight = weight(word);
        total += weight;
        if own.contains(word) {
            matched += weight;
            exact |= weight == 1.0;
        } else if own.iter().any(|other| related(word, other)) {
            matched += 0.6 * weight;
        }
    }
    let mut score = matched / total;
    if !evidence(&tokens, &lower) {
        score *= 0.6;
    }
    score >= if exact { 0.49 } else { 0.55 }
}

/// Whether the statement has what the question word asks for.
fn evidence(tokens: &[Token], question: &str) -> bool {
    let starts = |word: &str| question.starts_with(word);
    let locative = |at: usize| tokens[at].is_any(&["in", "at", "from", "to", "near", "on", "into", "inside"]) && phrases::kind_of(tokens, at).is_some_and(|(kind, _)| kind != phrases::Kind::Time);
    match () {
        () if starts("where") => (0..tokens.len()).any(locative),
        () if starts("when") || starts("at what age") => tokens.iter().any(|token| phrases::is_time(token) || token.is_number() || token.is_any(&["when", "after", "before", "until", "since", "ago", "early", "later"])),
        () if starts("how old") || starts("how many") => tokens.iter().any(|token| token.is_number() || super::lexicon::is_numeral(&token.lower)),
        () if starts("who") => tokens.iter().any(|token| super::names::is_person_word(&token.lower) || (token.is_capital() && !token.me)),
        () => true,
    }
}

/// Questions without a topic: who the character is, what it does, what it is like.
fn answers_general(tokens: &[Token], clause: Option<&Clause>, question: &str) -> bool {
    let Some(clause) = clause.filter(|clause| clause.kind == Subject::Me) else { return question.contains("name") && tokens.iter().any(|token| token.is("name")) };
    let copula = clause.main == clause.verb && verbs::is_be(&tokens[clause.verb].lower);
    let job = tokens.iter().any(|token| super::names::is_job(&token.lower) || token.is_any(&["works", "worked"]));
    match () {
        () if question.contains("for a living") || question.starts_with("what do you do") || question.starts_with("what did you do") => job,
        () if question.contains("old") => tokens.iter().any(|token| token.is("old") || token.is("age")),
        () => copula,
    }
}

/// See [`super::label`].
pub(super) fn label(character: &str, statement: &str, question: &str, reply: &str) -> Label {
    let names = Names::new(character);
    let stated = voice::to_person(&names.tag(statement), Person::First);
    let mut entailed = false;
    for sentence in page::sentences(reply) {
        let mut tokens = names.tag(&sentence);
        if !tokens.iter().any(|token| token.text == "I" || token.is_any(&["my", "me"])) {
            tokens = voice::to_person(&tokens, Person::First);
        }
        match compare(&stated, &tokens, statement, question) {
            Label::Contradicted => return Label::Contradicted,
            Label::Entailed => entailed = true,
            Label::Neutral => {}
        }
    }
    if entailed { Label::Entailed } else { Label::Neutral }
}

/// A content word with what is needed to compare it.
struct Item {
    stem: String,
    lower: String,
    number: bool,
    capital: bool,
}

fn items(tokens: &[Token]) -> Vec<Item> {
    const OPPOSABLE: &[&str] = &["often", "always", "rarely", "more", "most", "less", "few", "many", "before", "after", "first"];
    let kept = |token: &&Token| token.is_word() && !token.me && token.text != "I" && (!super::tokens::is_stop(&token.lower) || token.is_any(OPPOSABLE));
    tokens.iter().filter(kept).map(|token| Item { stem: stem(&token.lower), lower: token.lower.clone(), number: token.is_number(), capital: token.is_capital() || token.is_any(&["van", "von", "de", "of"]) }).collect()
}

fn compare(stated: &[Token], reply: &[Token], statement: &str, question: &str) -> Label {
    let yes_no = reply.iter().find(|token| token.is_word()).filter(|first| first.is_any(&["yes", "no", "indeed", "certainly", "never"]));
    let whether = is_yes_no(question) && overlap(question, statement) >= 0.6;
    let negations = |tokens: &[Token]| tokens.iter().skip(usize::from(yes_no.is_some())).filter(|token| token.is_any(&["not", "never", "no", "nor", "neither", "cannot", "without", "nobody"])).count() % 2;
    let stated_negation = negations(stated);
    let (mine, said) = (items(stated), items(reply));
    if said.is_empty() || mine.is_empty() {
        return match yes_no {
            Some(word) if whether => if word.is_any(&["no", "never"]) == (stated_negation == 1) { Label::Entailed } else { Label::Contradicted },
            _ => Label::Neutral,
        };
    }
    let asked: HashSet<String> = super::tokens::content(question).into_iter().collect();
    let fragment = clause::parse(reply).is_none() && said.len() <= 5;
    let matched_said: Vec<bool> = said.iter().map(|item| mine.iter().any(|other| other.stem == item.stem)).collect();
    let matched_mine: Vec<bool> = mine.iter().map(|item| said.iter().any(|other| other.stem == item.stem) || (fragment && asked.contains(&item.stem))).collect();
    let sum = |items: &[Item], matched: &[bool]| -> (f32, f32) {
        items.iter().zip(matched).fold((0.0, 0.0), |(hit, all), (item, &matched)| (hit + if matched { weight(&item.stem) } else { 0.0 }, all + weight(&item.stem)))
    };
    let (hit, all) = sum(&said, &matched_said);
    let (hit_mine, all_mine) = sum(&mine, &matched_mine);
    let topical = hit / all >= 0.5 || hit_mine / all_mine >= 0.5;
    let enough = hit_mine >= 1.0 || topical;
    let conflict = said.iter().zip(&matched_said).filter(|(_, matched)| !**matched).any(|(item, _)| {
        mine.iter().zip(&matched_mine).filter(|(_, matched)| !**matched).any(|(other, _)| opposes(other, item))
    });
    if enough && (conflict || (topical && substituted(&mine, &matched_mine, &said, &matched_said))) && (topical || hit_mine / all_mine >= 0.3) {
        return Label::Contradicted;
    }
    let affirmative = !stated.iter().any(|token| token.is_any(&["not", "never", "no", "cannot", "nor"]));
    let denied = yes_no.is_some_and(|word| word.is("no")) && whether && affirmative && negations(reply) == 0;
    if hit / all < 0.5 || hit < 0.9 && hit_mine / all_mine < 0.7 {
        return Label::Neutral;
    }
    if negations(reply) != partial_negation(stated, &said, stated_negation) || denied { Label::Contradicted } else { Label::Entailed }
}

/// The negation of the part of the statement which the reply repeats.
fn partial_negation(stated: &[Token], said: &[Item], whole: usize) -> usize {
    if whole == 0 {
        return 0;
    }
    let Some(at) = stated.iter().position(|token| token.is_any(&["not", "never", "no", "cannot", "without", "nor"])) else { return whole };
    let after = stated[at + 1..].iter().find(|token| token.is_word() && !super::tokens::is_stop(&token.lower));
    usize::from(after.is_none_or(|after| said.iter().any(|item| item.stem == stem(&after.lower))))
}

fn overlap(one: &str, other: &str) -> f32 {
    let own: HashSet<String> = super::tokens::content(other).into_iter().collect();
    let words = super::tokens::content(one);
    words.iter().filter(|word| own.contains(*word)).count() as f32 / words.len().max(1) as f32
}

/// Whether the two words cannot both be true: two numbers, two of a kind, two opposites.
fn opposes(one: &Item, other: &Item) -> bool {
    if one.number && other.number {
        return (one.lower.len() == 4) == (other.lower.len() == 4);
    }
    let opposite = OPPOSITES.split(", ").any(|pair| pair.split_once(' ').is_some_and(|(a, b)| (a == one.lower && b == other.lower) || (b == one.lower && a == other.lower)));
    opposite || KINDS.iter().any(|kind| kind.split(' ').any(|word| word == one.lower) && kind.split(' ').any(|word| word == other.lower))
}

/// A run of words without a match, and the stems on both sides.
struct Gap<'a> {
    items: &'a [Item],
    before: Option<&'a str>,
    after: Option<&'a str>,
}

fn gaps<'a>(items: &'a [Item], matched: &[bool]) -> Vec<Gap<'a>> {
    let mut gaps = Vec::new();
    let mut at = 0;
    while at < items.len() {
        let end = (at..items.len()).find(|&end| matched[end]).unwrap_or(items.len());
        if end > at && end - at <= 4 {
            let before = at.checked_sub(1).map(|before| items[before].stem.as_str());
            gaps.push(Gap { items: &items[at..end], before, after: items.get(end).map(|item| item.stem.as_str()) });
        }
        at = end + 1;
    }
    gaps
}

/// Whether one word or name stands where the statement has another, between words that agree.
fn substituted(mine: &[Item], matched_mine: &[bool], said: &[Item], matched_said: &[bool]) -> bool {
    let stated = gaps(mine, matched_mine);
    gaps(said, matched_said).iter().any(|gap| {
        stated.iter().any(|other| {
            let named = |gap: &Gap| gap.items.iter().all(|item| item.capital);
            let alike = named(gap) && named(other) || gap.items.len() == 1 && other.items.len() == 1 && gap.items[0].capital == other.items[0].capital && gap.items[0].number == other.items[0].number;
            let open = gap.after.is_none() && (gap.before.is_some() || other.after.is_none());
            alike && gap.before == other.before && (gap.after == other.after || open) && (gap.before.is_some() || gap.after.is_some())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_judged_against_the_statement() {
        let check = |statement: &str, question: &str, reply: &str, expected: Label| assert_eq!(label("Alice", statement, question, reply), expected, "{reply}");
        let guitar = "Alice plays the guitar.";
        check(guitar, "What do you play?", "I play the guitar.", Label::Entailed);
        check(guitar, "What do you play?", "I play the piano.", Label::Contradicted);
        check(guitar, "Do you play the guitar?", "No, I don't play the guitar.", Label::Contradicted);
        check(guitar, "Do you play the guitar?", "Yes, I do.", Label::Entailed);
        check(guitar, "Do you play the guitar?", "No.", Label::Contradicted);
        check(guitar, "What do you play?", "I would rather not say.", Label::Neutral);
        check(guitar, "What do you play?", "The piano.", Label::Contradicted);
        check(guitar, "Where do you live?", "I live in Paris with my sister.", Label::Neutral);
        check("Alice was born in Bonn in 1984.", "When were you born?", "I was born in 1991.", Label::Contradicted);
        check("Alice does not like dogs.", "Do you like dogs?", "I like dogs.", Label::Contradicted);
        check("Alice does not like dogs.", "Do you like dogs?", "No, I do not like dogs.", Label::Entailed);
        check("Alice's mother is a nurse.", "Who is your mother?", "My mother is a teacher.", Label::Contradicted);
    }

    #[test]
    fn relevance_needs_shared_words_and_the_right_kind() {
        let check = |statement: &str, question: &str, expected: bool| assert_eq!(is_relevant("Alice", statement, question), expected, "{statement} {question}");
        check("Alice plays the guitar.", "What do you play?", true);
        check("Alice lives in Paris.", "Where do you live, Alice?", true);
        check("Alice plays the guitar.", "Where do you live?", false);
        check("Alice's mother is a nurse.", "What can you tell me about your mother?", true);
        check("Alice is a painter.", "Who are you?", true);
        check("Alice is a painter.", "What can you tell me about your mother?", false);
        check("Alice is 26 years old.", "How old are you?", true);
    }
}
