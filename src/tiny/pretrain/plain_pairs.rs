//! Statements in a persona's own mouth, as small models reply: alone, with another of the same persona, and with what no statement says.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::corpus::{Line, Persona};
use super::denials::denies;
use super::forms::inside;
use super::invented::invented_word;
use super::named::KIN;
use super::neighbours::Neighbours;
use super::pairs::{Pair, others};
use super::whether::whether_pairs;
use crate::persona::Nli;
use crate::tiny::english;

/// The pairs of one persona, always as many.
pub(super) fn plain_pairs<'a>(
    persona: &'a Persona,
    neighbours: &Neighbours,
    rng: &mut ChaCha8Rng,
) -> Vec<Pair<'a>> {
    let statements = persona.statements();
    let mut pairs = Vec::new();
    for line in persona
        .lines
        .iter()
        .filter(|line| line.is_about_something())
    {
        let said = Said::new(persona.name(), line, neighbours, rng);
        pairs.extend(alone(&said, &statements, neighbours, rng));
        pairs.extend(with_another(persona.name(), &said, &statements, rng));
        pairs.extend(longer(&said, &statements, rng));
    }
    pairs
}

/// The pairs of one persona with replies of yes and no, always as many.
pub(super) fn yes_no_pairs<'a>(
    persona: &'a Persona,
    neighbours: &Neighbours,
    rng: &mut ChaCha8Rng,
) -> Vec<Pair<'a>> {
    let statements = persona.statements();
    let mut pairs = Vec::new();
    for line in &persona.lines {
        let Some(asked) = &line.whether else {
            continue;
        };
        let said = Said::new(persona.name(), line, neighbours, rng);
        // Where "no" is right, only "yes" with the statement turned round contradicts, not another instrument.
        let wrong = match asked.is_yes {
            true => said.wrong,
            false => turned_round(&said.plain),
        };
        pairs.extend(whether_pairs(
            line,
            asked,
            &statements,
            &said.plain,
            wrong.as_deref(),
            rng,
        ));
    }
    pairs
}

/// A line with what the persona says of it.
struct Said<'a> {
    line: &'a Line,
    query: &'a str,
    /// The statement in the first person.
    plain: String,
    /// The same with one fault, where one is easily made.
    wrong: Option<String>,
}

impl<'a> Said<'a> {
    fn new(name: &str, line: &'a Line, neighbours: &Neighbours, rng: &mut ChaCha8Rng) -> Self {
        let plain = english::first_person(name, &line.statement);
        Self {
            query: line.question(rng.random_range(0..line.questions.len())),
            wrong: wrong(&line.statement, &plain, neighbours, rng),
            line,
            plain,
        }
    }

    fn pair(&self, statement: &'a str, reply: impl Into<String>, label: Nli) -> Pair<'a> {
        Pair::new(statement, self.query, reply.into(), label)
    }
}

/// The statement, right and wrong, and replies that follow from it but for a word of the same kind.
fn alone<'a>(
    said: &Said<'a>,
    statements: &[&'a str],
    neighbours: &Neighbours,
    rng: &mut ChaCha8Rng,
) -> Vec<Pair<'a>> {
    let statement = said.line.statement.as_str();
    let Some(wrong) = &said.wrong else {
        return Vec::new();
    };
    let mut pairs = vec![
        said.pair(statement, wrong, Nli::Contradicted),
        said.pair(statement, &said.plain, Nli::Entailed),
    ];
    for other in others(statements, statement, 1, rng) {
        pairs.push(said.pair(other, &said.plain, Nli::Neutral));
    }
    for (place, reply) in said.line.entailed.iter().enumerate() {
        if let Some(swapped) = neighbours.swap(statement, reply, rng) {
            let query = said.line.question(place);
            pairs.push(Pair::new(statement, query, swapped, Nli::Contradicted));
        }
    }
    pairs
}

/// Replies that say two things of a persona: both statements follow, whatever is new to each; and where one half is wrong, the other
/// still follows.
fn with_another<'a>(
    name: &str,
    said: &Said<'a>,
    statements: &[&'a str],
    rng: &mut ChaCha8Rng,
) -> Vec<Pair<'a>> {
    let statement = said.line.statement.as_str();
    let others = others(statements, statement, 2, rng);
    let Some((&other, rest)) = others.split_first() else {
        return Vec::new();
    };
    let of_other = english::first_person(name, other);
    let replies = &said.line.entailed;
    let own = match !replies.is_empty() && rng.random_bool(0.5) {
        true => &replies[rng.random_range(0..replies.len())],
        false => &said.plain,
    };
    let both = in_one(own, &of_other, rng);
    let mut pairs = vec![
        said.pair(statement, &both, Nli::Entailed),
        said.pair(other, &both, Nli::Entailed),
    ];
    for open in rest {
        pairs.push(said.pair(open, &both, Nli::Neutral));
    }
    if let Some(wrong) = &said.wrong {
        let half_wrong = in_one(wrong, &of_other, rng);
        pairs.push(said.pair(statement, &half_wrong, Nli::Contradicted));
        pairs.push(said.pair(other, &half_wrong, Nli::Entailed));
    }
    pairs
}

/// Replies that go on with what the statement leaves open, which changes nothing of what they say of it.
fn longer<'a>(said: &Said<'a>, statements: &[&'a str], rng: &mut ChaCha8Rng) -> Vec<Pair<'a>> {
    let statement = said.line.statement.as_str();
    let tail = tail(statements, statement, rng);
    let mut pairs = vec![said.pair(statement, gone_on(&said.plain, &tail, rng), Nli::Entailed)];
    if let Some(wrong) = &said.wrong {
        let reply = gone_on(wrong, &tail, rng);
        pairs.push(said.pair(statement, reply, Nli::Contradicted));
    }
    pairs
}

/// A phrase that can stand behind most sentences: with whom, or the end of another statement.
fn tail(statements: &[&str], own: &str, rng: &mut ChaCha8Rng) -> String {
    const PLACES: [&str; 8] = [
        " with ",
        " in ",
        " at ",
        " near ",
        " since ",
        " every ",
        " when ",
        " because ",
    ];
    // Without "his" or "her", which would be "my".
    let ends = others(statements, own, statements.len(), rng).into_iter();
    let mut ends = ends.filter_map(|statement| {
        let statement = statement.trim_end_matches('.');
        // "In" two places would be a contradiction.
        let places = PLACES.iter().filter(|place| !own.contains(**place));
        let starts = places.filter_map(|place| statement.rfind(place));
        let end = &statement[starts.max()?..];
        let is_whole = |word: &str| !["he", "she", "his", "her", "their", "him"].contains(&word);
        (end.split(' ').all(is_whole) && end.split(' ').count() > 2).then_some(end)
    });
    match ends.next() {
        Some(end) if rng.random_bool(0.5) => end.to_string(),
        _ => {
            let who = KIN[rng.random_range(0..KIN.len())];
            let comma = if rng.random_bool(0.5) { "," } else { "" };
            format!(" with my {who}{comma} {}", invented_word(true, rng))
        }
    }
}

/// A sentence with a phrase behind it, or, where it says with whom, with a place in front of that.
fn gone_on(sentence: &str, tail: &str, rng: &mut ChaCha8Rng) -> String {
    let end = if rng.random_bool(0.2) { '!' } else { '.' };
    match sentence.split_once(" with ") {
        Some((before, behind)) if before.split(' ').count() <= 3 => {
            let place = invented_word(true, rng);
            let behind = behind.trim_end_matches('.');
            format!("{before} in {place} with {behind}{end}")
        }
        _ => format!("{}{tail}{end}", sentence.trim_end_matches('.')),
    }
}

/// Two sentences in either order, one after the other or as one.
fn in_one(one: &str, other: &str, rng: &mut ChaCha8Rng) -> String {
    let (first, second) = match rng.random_bool(0.5) {
        true => (one, other),
        false => (other, one),
    };
    match first.strip_suffix('.') {
        Some(first) if rng.random_bool(0.6) => {
            let joint = [" and ", ", and ", ", but ", "; "][rng.random_range(0..4)];
            format!("{first}{joint}{}", inside(second))
        }
        _ => format!("{first} {second}"),
    }
}

/// What a persona would say of a statement if it were not so: without its "not" or with one, or with a word of the same kind; none
/// if no such place is plain.
fn wrong(
    statement: &str,
    plain: &str,
    neighbours: &Neighbours,
    rng: &mut ChaCha8Rng,
) -> Option<String> {
    let swapped = neighbours.swap(statement, plain, rng);
    match (turned_round(plain), swapped) {
        (Some(turned), Some(swapped)) => Some(match rng.random_bool(0.5) {
            true => turned,
            false => swapped,
        }),
        (turned, swapped) => turned.or(swapped),
    }
}

/// A sentence in the first person without its "not", or with one; none if it is not plain where that goes.
fn turned_round(sentence: &str) -> Option<String> {
    const TURNS: [(&str, &str); 8] = [
        ("I do not ", "I "),
        ("I cannot ", "I can "),
        ("I am not ", "I am "),
        ("I have never ", "I have often "),
        ("I never ", "I always "),
        ("I can ", "I cannot "),
        ("I am ", "I am not "),
        ("I always ", "I never "),
    ];
    let (from, to) = TURNS.iter().find(|(from, _)| sentence.starts_with(from))?;
    // "I cannot no longer sing."
    if denies(&sentence[from.len()..]) {
        return None;
    }
    Some(sentence.replacen(from, to, 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::recipe::example_rng;
    use super::*;

    /// The pairs of somebody with these statements and replies, drawn many times.
    fn drawn(lines: [(&str, &str); 2]) -> Vec<(String, String, Nli)> {
        let lines = lines.map(|(statement, reply)| -> Line {
            let line = serde_json::json!({"s": statement, "q": ["And?"], "e": [reply]});
            serde_json::from_value(line).unwrap()
        });
        let persona = Persona {
            lines: lines.to_vec(),
        };
        let mut found = Vec::new();
        let mut n_pairs = BTreeSet::new();
        for number in 0..60 {
            let mut rng = example_rng(4, number);
            let pairs = plain_pairs(&persona, &Neighbours::default(), &mut rng);
            n_pairs.insert(pairs.len());
            found.extend(pairs.iter().map(|pair| {
                let input = pair.input();
                let [statement, reply] = [input.statement, input.response].map(str::to_string);
                (statement, reply, pair.label)
            }));
        }
        assert_eq!(n_pairs.len(), 1, "always as many");
        found
    }

    #[test]
    fn each_half_of_a_reply_counts_for_its_own_statement() {
        let (swims, boat) = ("Ada can swim.", "Ada has a boat.");
        let pairs = drawn([(swims, "Like a fish."), (boat, "Two masts.")]);
        let of_two = |reply: &str| {
            let has = |words: [&str; 2]| words.iter().any(|word| reply.contains(word));
            has(["swim", "fish"]) && has(["boat", "masts"])
        };
        let mut found = BTreeSet::new();
        for (statement, reply, label) in pairs.iter().filter(|(_, reply, _)| of_two(reply)) {
            let is_wrong = statement == swims && reply.contains("cannot");
            let wanted = match is_wrong {
                true => Nli::Contradicted,
                false => Nli::Entailed,
            };
            assert_eq!(*label, wanted, "{statement} {reply}");
            found.insert(reply.as_str());
        }
        for reply in [
            "I can swim and I have a boat.",
            "I have a boat. Like a fish.",
        ] {
            assert!(found.contains(reply), "{found:?}");
        }
    }

    #[test]
    fn what_a_reply_adds_changes_nothing_of_what_it_says() {
        let (swims, lives) = ("Ada can swim.", "Ada lives with her aunt.");
        let pairs = drawn([(swims, "Like a fish."), (lives, "Me and auntie.")]);
        let replies = |of: &str, label: Nli| -> Vec<&str> {
            let pairs = pairs.iter();
            let found = pairs.filter(|(statement, _, found)| statement == of && *found == label);
            found.map(|(_, reply, _)| reply.as_str()).collect()
        };
        let has = |replies: &[&str], start: &str, inside: &str| {
            replies
                .iter()
                .any(|reply| reply.starts_with(start) && reply.contains(inside))
        };
        assert!(has(
            &replies(swims, Nli::Entailed),
            "I can swim",
            " with my sister"
        ));
        assert!(has(
            &replies(swims, Nli::Contradicted),
            "I cannot swim",
            " with my sister"
        ));
        assert!(has(
            &replies(lives, Nli::Entailed),
            "I live in ",
            " with my aunt"
        ));
        assert!(
            replies(lives, Nli::Contradicted).is_empty(),
            "nothing to turn round"
        );
    }
}
