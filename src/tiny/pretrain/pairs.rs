//! What NLI judges learn from a corpus: a statement, a question and a reply, and the class.

use std::borrow::Cow;

use rand::RngExt;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;

use super::corpus::{Line, Persona};
use super::invented::invented_word;
use super::liking::liking_pairs;
use super::named::{other_name_or_number, shared_names, with_surname};
use super::neighbours::Neighbours;
use super::numbers::in_digits;
use super::plain_pairs::{plain_pairs, yes_no_pairs};
use super::spoiled::{Around, spoiled};
use super::words::replaced;
use crate::persona::{JudgeInput, Nli};

/// One statement in this many is paired with a reply of somebody else.
const OTHERS_OF: usize = 8;
/// One in this many of the pairs with a statement in the persona's own mouth is learnt from.
const PLAIN_OF: usize = 4;
/// One in this many of the yes-or-no pairs is learnt from.
const YES_NO_OF: usize = 2;
/// The share of statements and of replies with their numbers in digits.
const IN_DIGITS: f64 = 0.15;
/// The share of statements that get an invented surname, which replies seldom say.
const WITH_SURNAME: f64 = 0.2;

/// What a judge is asked, and the class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    statement: Cow<'a, str>,
    query: Cow<'a, str>,
    reply: Cow<'a, str>,
    pub(super) label: Nli,
}

impl<'a> Pair<'a> {
    pub(super) fn new(
        statement: impl Into<Cow<'a, str>>,
        query: impl Into<Cow<'a, str>>,
        reply: impl Into<Cow<'a, str>>,
        label: Nli,
    ) -> Self {
        Self {
            statement: statement.into(),
            query: query.into(),
            reply: reply.into(),
            label,
        }
    }

    /// What the judge reads.
    pub(super) fn input(&self) -> JudgeInput<'_> {
        JudgeInput {
            character: "",
            statement: &self.statement,
            query: &self.query,
            response: &self.reply,
        }
    }
}

/// What a judge learns from in a pass, in a random order:
///
/// - each reply with its own statement, and with other statements, which it leaves open
/// - replies with another name or number, right where the statement has it, too, and wrong where not
/// - the statement in the first person, plain yes and no, likes and dislikes
/// - replies that have come apart, and replies of another persona
///
/// Every call returns the same number.
pub(super) fn nli_pairs<'a>(
    personas: &'a [Persona],
    neighbours: &Neighbours,
    rng: &mut ChaCha8Rng,
) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    let mut plain = Vec::new();
    let mut yes_or_no = Vec::new();
    for persona in personas {
        let statements = persona.statements();
        for line in &persona.lines {
            for (query, reply, label) in replies(line) {
                if line.is_about_something() {
                    pairs.push(Pair::new(&line.statement, query, reply, label));
                }
                // A right reply leaves all other statements of the persona open.
                let n_others = if label == Nli::Entailed { 2 } else { 1 };
                for statement in others(&statements, &line.statement, n_others, rng) {
                    pairs.push(Pair::new(statement, query, reply, Nli::Neutral));
                }
            }
        }
        plain.extend(plain_pairs(persona, neighbours, rng));
        yes_or_no.extend(yes_no_pairs(persona, neighbours, rng));
    }
    pairs.extend(one_in(PLAIN_OF, plain, rng));
    pairs.extend(one_in(YES_NO_OF, yes_or_no, rng));
    pairs.extend(spoiled_replies(personas, rng));
    pairs.extend(replies_of_others(personas, rng));
    pairs.extend(named_replies(personas, rng));
    pairs.extend(liking_pairs(personas, rng));
    for pair in &mut pairs {
        if rng.random_bool(WITH_SURNAME) {
            pair.statement = with_surname(&pair.statement, &invented_word(true, rng)).into();
        }
        for text in [&mut pair.statement, &mut pair.reply] {
            if rng.random_bool(IN_DIGITS)
                && let Some(digits) = in_digits(text)
            {
                *text = digits.into();
            }
        }
    }
    pairs.shuffle(rng);
    pairs
}

/// One in so many of the pairs, drawn at random.
fn one_in<'a>(n: usize, mut pairs: Vec<Pair<'a>>, rng: &mut ChaCha8Rng) -> Vec<Pair<'a>> {
    pairs.shuffle(rng);
    pairs.truncate(pairs.len() / n);
    pairs
}

/// The replies of a line with the question of each and what the statement says of it.
fn replies(line: &Line) -> impl Iterator<Item = (&str, &str, Nli)> {
    let lists = [
        (&line.entailed, Nli::Entailed),
        (&line.contradicted, Nli::Contradicted),
        (&line.neutral, Nli::Neutral),
    ];
    lists.into_iter().flat_map(move |(list, label)| {
        let replies = list.iter().enumerate();
        replies.map(move |(place, reply)| (line.question(place), reply.as_str(), label))
    })
}

/// For each reply that follows from a statement and shares a name or a number with it: both with another one, and the reply
/// alone with another one, which contradicts the statement.
fn named_replies<'a>(personas: &'a [Persona], rng: &mut ChaCha8Rng) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    for line in personas.iter().flat_map(|persona| &persona.lines) {
        for (place, reply) in line.entailed.iter().enumerate() {
            let (statement, query) = (line.statement.as_str(), line.question(place));
            let shared = shared_names(statement, reply);
            if shared.is_empty() {
                continue;
            }
            let word = shared[rng.random_range(0..shared.len())];
            let one = other_name_or_number(&[word], rng);
            let other = other_name_or_number(&[word, &one], rng);
            let exchanged = |text: &'a str, with: &str| Cow::Owned(replaced(text, word, with));
            pairs.push(Pair::new(
                exchanged(statement, &one),
                exchanged(query, &one),
                exchanged(reply, &one),
                Nli::Entailed,
            ));
            // Half of them with the name that the corpus has.
            let (statement, query) = match rng.random_bool(0.5) {
                true => (exchanged(statement, &one), exchanged(query, &one)),
                false => (statement.into(), query.into()),
            };
            let wrong = exchanged(reply, &other);
            pairs.push(Pair::new(statement, query, wrong, Nli::Contradicted));
        }
    }
    pairs
}

/// For each statement with a reply that follows from it, that reply after it has come apart. It counts as neutral, whatever can still be made out.
fn spoiled_replies<'a>(personas: &'a [Persona], rng: &mut ChaCha8Rng) -> Vec<Pair<'a>> {
    let lines = answered(personas);
    let mut pairs = Vec::with_capacity(lines.len());
    for (_, line) in &lines {
        let place = rng.random_range(0..line.entailed.len());
        let (_, stranger) = lines[rng.random_range(0..lines.len())];
        let query = line.question(place);
        let around = Around {
            question: query,
            statement: &line.statement,
            other: &stranger.entailed[0],
        };
        let reply = spoiled(&line.entailed[place], around, rng);
        pairs.push(Pair::new(&line.statement, query, reply, Nli::Neutral));
    }
    pairs
}

/// Replies of somebody else to something else.
fn replies_of_others<'a>(personas: &'a [Persona], rng: &mut ChaCha8Rng) -> Vec<Pair<'a>> {
    let lines = answered(personas);
    let mut pairs = Vec::new();
    for line_idx in index::sample(rng, lines.len(), lines.len() / OTHERS_OF) {
        let (persona, line) = lines[line_idx];
        let query = line.question(rng.random_range(0..line.questions.len()));
        let strangers: Vec<&Line> = (lines.iter())
            .filter(|(other, _)| *other != persona)
            .map(|(_, line)| *line)
            .collect();
        if strangers.is_empty() {
            continue;
        }
        let stranger = strangers[rng.random_range(0..strangers.len())];
        let reply = &stranger.entailed[rng.random_range(0..stranger.entailed.len())];
        pairs.push(Pair::new(&line.statement, query, reply, Nli::Neutral));
    }
    pairs
}

/// The lines with a reply that follows from the statement, each with the place of its persona.
fn answered(personas: &[Persona]) -> Vec<(usize, &Line)> {
    let places = personas.iter().enumerate();
    let lines =
        places.flat_map(|(place, persona)| persona.lines.iter().map(move |line| (place, line)));
    lines
        .filter(|(_, line)| line.is_about_something() && !line.entailed.is_empty())
        .collect()
}

/// As many statements as asked for, or as there are, that are not a line's own.
pub(super) fn others<'a>(
    statements: &[&'a str],
    own: &str,
    n: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<&'a str> {
    let others: Vec<&str> = (statements.iter().copied())
        .filter(|statement| *statement != own)
        .collect();
    let drawn = index::sample(rng, others.len(), n.min(others.len()));
    drawn.into_iter().map(|place| others[place]).collect()
}

/// The share of each class.
pub(super) fn shares(pairs: &[Pair<'_>], n_classes: usize) -> Vec<f64> {
    let share = |class| {
        let count = pairs
            .iter()
            .filter(|pair| pair.label as usize == class)
            .count();
        count as f64 / pairs.len().max(1) as f64
    };
    (0..n_classes).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::super::corpus::Corpus;
    use super::super::corpus::tests::small_corpus;
    use super::super::recipe::example_rng;
    use super::*;

    fn personas(n: usize) -> Vec<Persona> {
        Corpus::load(small_corpus(n).path()).unwrap().share(0)
    }

    #[test]
    fn a_reply_comes_with_its_statement_and_with_another_that_it_leaves_open() {
        let personas = personas(30);
        let pairs = nli_pairs(&personas, &Neighbours::default(), &mut example_rng(1, 0));
        // Two statements with six replies each; these with the only other one; and what declines with both.
        let (n_own, n_open) = (personas.len() * 2 * 6, personas.len() * (2 * 6 + 2));
        let n_odd = 2 * personas.len() + 2 * personas.len() / OTHERS_OF;
        // With another statement, twice, and with something new.
        let n_plain = personas.len() * 2 * 3 / PLAIN_OF;
        let lines = personas.iter().flat_map(|persona| &persona.lines);
        // A right answer, a wrong one, and one beside another statement.
        let n_asked = lines.filter(|line| line.whether.is_some()).count() * 3 / YES_NO_OF;
        assert!(n_asked > 0);
        assert_eq!(pairs.len(), n_own + n_open + n_odd + n_plain + n_asked);
        let is_plain = |pair: &Pair| {
            let has = |thing| pair.reply.contains(thing);
            let is_natural = ["What have", "Anything of"]
                .iter()
                .any(|words| pair.query.starts_with(words));
            has("boat") && has("cello") || has(" with my ") || !is_natural
        };
        let of = |label: Nli| {
            let of_one = pairs.iter().filter(|pair| !is_plain(pair));
            of_one.filter(move |pair| pair.label == label)
        };
        for (label, beginnings) in [
            (Nli::Entailed, ["I have got", "Yes, a"]),
            (Nli::Contradicted, ["I never", "No "]),
        ] {
            assert_eq!(of(label).count(), personas.len() * 2 * 2);
            for pair in of(label) {
                assert!(beginnings.iter().any(|words| pair.reply.starts_with(words)));
                let thing = if pair.statement.contains("boat") {
                    "boat"
                } else {
                    "cello"
                };
                assert!(pair.reply.contains(thing) && pair.query.contains(thing));
            }
        }
        let shares = shares(&pairs, 3);
        assert!(shares[0] < shares[2] && shares[2] < shares[1], "{shares:?}");
    }

    #[test]
    fn a_right_reply_comes_with_two_other_statements_and_any_other_reply_with_one() {
        let line = |thing: &str| {
            let line = serde_json::json!({"s": format!("Ada has a {thing}."), "q": ["And?"], "e": [format!("A {thing}, yes.")],
                "c": [format!("No {thing} here.")], "n": [format!("{thing}, is it?")]});
            serde_json::from_value::<Line>(line).unwrap()
        };
        let personas = [Persona {
            lines: ["boat", "cello", "harp", "drum"].map(line).to_vec(),
        }];
        let pairs = nli_pairs(&personas, &Neighbours::default(), &mut example_rng(1, 0));
        for thing in ["boat", "cello", "harp", "drum"] {
            let n_open = |reply: String| {
                let pairs = pairs.iter().filter(|pair| pair.reply == reply);
                let others = pairs.filter(|pair| !pair.statement.contains(thing));
                others.filter(|pair| pair.label == Nli::Neutral).count()
            };
            assert_eq!(n_open(format!("A {thing}, yes.")), 2);
            assert_eq!(n_open(format!("No {thing} here.")), 1);
            assert_eq!(n_open(format!("{thing}, is it?")), 1);
        }
    }

    #[test]
    fn passes_are_of_one_length_and_differ_while_a_seed_gives_the_same_again() {
        let personas = personas(30);
        let drawn = |number| {
            nli_pairs(
                &personas,
                &Neighbours::default(),
                &mut example_rng(3, number),
            )
        };
        assert_eq!(drawn(0), drawn(0));
        assert_ne!(drawn(0), drawn(1));
        assert_eq!(drawn(0).len(), drawn(1).len());
        let [first, second] = [0, 1].map(|number| shares(&drawn(number), 3));
        for (first, second) in first.iter().zip(&second) {
            assert!((first - second).abs() < 0.01, "{first} {second}");
        }
    }

    #[test]
    fn a_reply_with_the_statements_own_number_never_contradicts_it() {
        let line = r#"{"s": "Ada has 2 cats in Leeds.", "q": ["How many?", "Where?"], "e": ["I have 2.", "In Leeds."],
            "c": [], "n": []}"#;
        let line: Line = serde_json::from_str(&line.replace('\n', "")).unwrap();
        let personas = [Persona { lines: vec![line] }];
        let words = |text: &str| -> Vec<String> {
            let words = text.split(|c: char| !c.is_alphanumeric());
            let told = words.filter(|word| word.parse::<u32>().is_ok() || word.len() > 3);
            told.map(str::to_string).collect()
        };
        for number in 0..200 {
            let pairs = named_replies(&personas, &mut example_rng(2, number));
            assert_eq!(pairs.len(), 2 * 2);
            for pair in pairs {
                let [stated, replied] = [&pair.statement, &pair.reply].map(|text| words(text));
                let agrees = replied
                    .iter()
                    .filter(|word| *word != "have")
                    .all(|word| stated.contains(word));
                assert_eq!(agrees, pair.label == Nli::Entailed, "{pair:?}");
            }
        }
    }
}
