//! Numbers in words and in digits, and replies that are right or wrong by a number alone.

use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::corpus::{Line, Persona};
use super::invented::pick;
use super::opposites::denies;
use super::pairs::{Pair, others};
use super::whether;
use super::words::words;
use crate::persona::Nli;
use crate::tiny::english::{self, capitalized};

/// How often a statement with a number is learnt from in a pass.
const DRAWS: usize = 2;
/// The share of wrong numbers that are a little more or less.
const NEAR: f64 = 0.6;
/// The share that are ten more or less.
const TEN_OFF: f64 = 0.2;
/// Questions to which an age is the answer.
const ASKS_AGE: [&str; 5] = [
    "How old are you?",
    "What's your age?",
    "And how old are you now?",
    "Your age, please?",
    "How old are you, if I may ask?",
];
/// The numbers that are read. "One" is none of them: it is more often a pronoun.
const KNOWN: Range<u32> = 2..100;

const BELOW_20: [&str; 18] = [
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
/// Words that make more of the number before them.
const LARGE: [&str; 3] = ["hundred", "thousand", "million"];

/// A number from two to ninety-nine in a text: its place and what it is.
type Number = (Range<usize>, u32);

/// The places and values of a text's numbers; empty if one of them is only a part of a number, such as a year in words or "three
/// hundred".
fn numbers(text: &str) -> Vec<Number> {
    let mut found: Vec<Number> = Vec::new();
    let mut before = None;
    let mut at = 0;
    for word in text.split(' ') {
        let lower = word.to_lowercase();
        let is_large = LARGE.iter().any(|large| lower.starts_with(large));
        // "Nineteen oh two"
        if is_large || lower == "oh" {
            return Vec::new();
        }
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        let value = value(bare);
        // "Nineteen ninety-eight"
        if value.is_some() && before.is_some() {
            return Vec::new();
        }
        found.extend(value.map(|value| (at..at + bare.len(), value)));
        before = value.filter(|_| bare.len() == word.len());
        at += word.len() + 1;
    }
    found
}

/// What a word says, if that is a number from two to ninety-nine.
pub(super) fn value(word: &str) -> Option<u32> {
    // Not "007" or "+5".
    let is_digits = word.starts_with(|c: char| matches!(c, '1'..='9'))
        && word.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits {
        return word.parse().ok().filter(|number| KNOWN.contains(number));
    }
    let word = word.to_lowercase();
    let place =
        |words: &[&str], word: &str| Some(words.iter().position(|other| *other == word)? as u32);
    if let Some(place) = place(&BELOW_20, &word) {
        return Some(place + 2);
    }
    let (tens, ones) = word.split_once('-').unwrap_or((&word, ""));
    let ones = match ones {
        "" => 0,
        "one" => 1,
        _ => place(&BELOW_20[..8], ones)? + 2,
    };
    Some((place(&TENS, tens)? + 2) * 10 + ones)
}

/// A number from two to ninety-nine in words; in digits beyond.
fn in_words(number: u32) -> String {
    match (number / 10, number % 10) {
        _ if !KNOWN.contains(&number) => number.to_string(),
        (0..2, _) => BELOW_20[number as usize - 2].to_string(),
        (tens, 0) => TENS[tens as usize - 2].to_string(),
        (tens, 1) => format!("{}-one", TENS[tens as usize - 2]),
        (tens, ones) => format!(
            "{}-{}",
            TENS[tens as usize - 2],
            BELOW_20[ones as usize - 2]
        ),
    }
}

/// A text with digits for its numbers from two to ninety-nine; none if it has no such number in words by itself.
pub(super) fn in_digits(text: &str) -> Option<String> {
    let mut written = text.to_string();
    for (place, number) in numbers(text).into_iter().rev() {
        written.replace_range(place, &number.to_string());
    }
    (written != text).then_some(written)
}

/// Pairs of all statements with one number: replies with the same and with another, in words and in digits; as many in every call.
pub(super) fn number_pairs<'a>(personas: &'a [Persona], rng: &mut ChaCha8Rng) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    for persona in personas {
        let mut without = persona.statements();
        without.retain(|statement| numbers(statement).is_empty());
        for line in &persona.lines {
            let Some(counted) = Counted::of(persona.name(), line) else {
                continue;
            };
            for _ in 0..DRAWS {
                let wrong = wrong_number(counted.number, rng);
                let asked = counted.question(wrong, rng);
                for (number, label) in [(counted.number, Nli::Entailed), (wrong, Nli::Contradicted)]
                {
                    let statement = with_number(&line.statement, counted.number, rng);
                    let reply = counted.reply(&asked, number, rng);
                    pairs.push(Pair::new(statement, asked.text.clone(), reply, label));
                }
                for other in others(&without, &line.statement, 1, rng) {
                    let reply = counted.reply(&asked, counted.number, rng);
                    pairs.push(Pair::new(other, asked.text.clone(), reply, Nli::Neutral));
                }
            }
        }
    }
    pairs
}

/// A statement with one number.
struct Counted<'a> {
    name: &'a str,
    line: &'a Line,
    number: u32,
    /// The statement in the first person.
    plain: String,
}

/// A question to which a number matters.
struct NumberQuestion {
    text: String,
    wants: Wants,
}

/// What a question wants to know.
enum Wants {
    Age,
    Count,
    /// Whether it is this one.
    Whether(u32),
    /// Something else.
    Anything,
}

impl<'a> Counted<'a> {
    /// None unless the statement has exactly one number, and that is exact: not "over ten", "can lift ten", "for ten years".
    fn of(name: &'a str, line: &'a Line) -> Option<Self> {
        const BOUNDS: [&str; 25] = [
            "over", "under", "about", "nearly", "almost", "around", "roughly", "before", "after",
            "until", "till", "by", "least", "most", "than", "up", "above", "below", "within",
            "every", "only", "can", "could", "able", "for",
        ];
        let plain = english::first_person(name, &line.statement);
        let found = numbers(&line.statement);
        let [(place, number)] = &found[..] else {
            return None;
        };
        let mut before = words(&line.statement[..place.start]);
        let is_bound = before.any(|word| BOUNDS.contains(&word.to_lowercase().as_str()));
        let is_exact = !is_bound && !denies(&line.statement) && numbers(&plain).len() == 1;
        is_exact.then_some(Self {
            name,
            line,
            number: *number,
            plain,
        })
    }

    /// Asks whether the number is the right or the wrong one, for the age, for how many, or else what the corpus asks.
    fn question(&self, wrong: u32, rng: &mut ChaCha8Rng) -> NumberQuestion {
        let whether = self.line.whether.as_ref();
        let whether = whether.filter(|asked| asked.is_yes && numbers(&asked.question).len() == 1);
        if let Some(whether) = whether.filter(|_| rng.random_bool(0.4)) {
            // Who has three cats has two.
            let is_within = wrong < self.number && !self.is_age();
            let number = match is_within || rng.random_bool(0.5) {
                true => self.number,
                false => wrong,
            };
            return NumberQuestion {
                text: with_number(&whether.question, number, rng),
                wants: Wants::Whether(number),
            };
        }
        if self.is_age() {
            return NumberQuestion {
                text: pick(&ASKS_AGE, rng).to_string(),
                wants: Wants::Age,
            };
        }
        let mut asked = english::questions(self.name, &self.line.statement, rng).into_iter();
        if let Some(question) = asked.find(|question| self.asks_how_many(question)) {
            return NumberQuestion {
                text: question,
                wants: Wants::Count,
            };
        }
        let questions = &self.line.questions;
        NumberQuestion {
            text: questions[rng.random_range(0..questions.len())].clone(),
            wants: Wants::Anything,
        }
    }

    /// Whether a question asks for what the number counts: not "How many cats?" of one cat and three dogs.
    fn asks_how_many(&self, question: &str) -> bool {
        let behind = numbers(&self.line.statement)
            .first()
            .map(|(place, _)| place.end);
        let counted = behind.and_then(|end| words(&self.line.statement[end..]).next());
        let asked = question
            .strip_prefix("How many ")
            .and_then(|asked| words(asked).next());
        asked.is_some() && asked == counted
    }

    /// The reply of somebody for whom `number` is true.
    fn reply(&self, asked: &NumberQuestion, number: u32, rng: &mut ChaCha8Rng) -> String {
        const AGES: [&str; 5] = ["{}.", "I'm {}.", "I am {}!", "{} years old.", "Just {}."];
        const COUNTS: [&str; 5] = ["{}.", "{} of them.", "Just {}.", "{}, all told.", "{}!"];
        let sentence = with_number(&self.plain, number, rng);
        let short = match asked.wants {
            Wants::Age => pick(&AGES, rng),
            Wants::Count => pick(&COUNTS, rng),
            Wants::Whether(other) => {
                return whether::reply(&asked.text, number == other, Some(&sentence), rng);
            }
            Wants::Anything => return sentence,
        };
        match rng.random_bool(0.7) {
            true => capitalized(&short.replace("{}", &written(number, rng))),
            false => sentence,
        }
    }

    /// Whether the number is the persona's age.
    fn is_age(&self) -> bool {
        let Some(words) = self.plain.strip_prefix("I am ") else {
            return false;
        };
        let rest = words.split_once(' ').map_or("", |(_, rest)| rest);
        let is_first = numbers(words)
            .first()
            .is_some_and(|(place, _)| place.start == 0);
        // Not "ten years older".
        let is_old = rest
            .strip_prefix("years old")
            .is_some_and(|rest| !rest.starts_with(char::is_alphabetic));
        is_first && is_old
    }
}

/// The text with `number`, in words or digits, in the place of its only number; unchanged if it has none or several.
fn with_number(text: &str, number: u32, rng: &mut ChaCha8Rng) -> String {
    let mut text = text.to_string();
    if let [(place, _)] = &numbers(&text)[..] {
        let number = written(number, rng);
        let number = match text[place.clone()].starts_with(char::is_uppercase) {
            true => capitalized(&number),
            false => number,
        };
        text.replace_range(place.clone(), &number);
    }
    text
}

/// Any number, in words.
pub(super) fn any_in_words(rng: &mut ChaCha8Rng) -> String {
    in_words(rng.random_range(KNOWN))
}

/// In words or in digits.
pub(super) fn written(number: u32, rng: &mut ChaCha8Rng) -> String {
    match rng.random_bool(0.5) {
        true => in_words(number),
        false => number.to_string(),
    }
}

/// Another number, more often near than far.
fn wrong_number(number: u32, rng: &mut ChaCha8Rng) -> u32 {
    loop {
        let drawn = rng.random_range(0.0..1.0);
        let change = match drawn {
            _ if drawn < NEAR => rng.random_range(1..=3),
            _ if drawn < NEAR + TEN_OFF => 10,
            _ => rng.random_range(1..KNOWN.end),
        };
        let other = match rng.random_bool(0.5) {
            true => number + change,
            false => number.saturating_sub(change),
        };
        if KNOWN.contains(&other) {
            return other;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::corpus;
    use super::super::recipe::example_rng;
    use super::super::whether::tests::says_yes;
    use super::*;

    #[test]
    fn numbers_are_written_in_digits_where_they_stand_alone() {
        for (text, expected) in [
            ("Forty-two, since May.", Some("42, since May.")),
            (
                "I have three cats and twelve hens.",
                Some("I have 3 cats and 12 hens."),
            ),
            ("Twenty-one, or ninety?", Some("21, or 90?")),
            (
                "One cat, none of two minds.",
                Some("One cat, none of 2 minds."),
            ),
            ("Three hundred ewes.", None),
            ("Hundred and two.", None),
            ("Since nineteen oh two.", None),
            ("Since nineteen ninety-eight.", None),
            ("A well-known twenty-something.", None),
            ("Since 1998.", None),
            ("Agent 007.", None),
            ("", None),
        ] {
            assert_eq!(in_digits(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_number_is_the_same_in_words_and_in_digits() {
        for number in KNOWN {
            assert_eq!(value(&in_words(number)), Some(number));
            assert_eq!(value(&number.to_string()), Some(number));
        }
        assert_eq!(in_words(147), "147");
    }

    #[test]
    fn an_age_and_a_count_are_asked_for_where_the_number_is_one() {
        for (statement, is_age, question) in [
            ("Ada is ten years old.", true, ""),
            ("Ada is ten years older than her sister.", false, ""),
            (
                "Ada has one cat and three dogs.",
                false,
                "How many dogs do you have?",
            ),
        ] {
            let line = corpus::tests::line(statement);
            let counted = Counted::of("Ada", &line);
            assert_eq!(
                counted.as_ref().is_some_and(Counted::is_age),
                is_age,
                "{statement}"
            );
            let asks = |question: &str| {
                counted
                    .as_ref()
                    .is_some_and(|counted| counted.asks_how_many(question))
            };
            assert!(!asks("How many cats do you have?"));
            assert!(question.is_empty() || asks(question));
        }
    }

    #[test]
    fn other_numbers_are_near_more_often_than_not() {
        let rng = &mut example_rng(1, 0);
        for number in KNOWN {
            let others: Vec<u32> = (0..200).map(|_| wrong_number(number, rng)).collect();
            assert!(
                others
                    .iter()
                    .all(|other| *other != number && KNOWN.contains(other))
            );
            let near = others.iter().filter(|other| other.abs_diff(number) <= 3);
            assert!((100..170).contains(&near.count()), "{number}");
        }
    }

    #[test]
    fn a_reply_with_the_statements_number_follows_and_with_another_contradicts() {
        let line = |statement: &str, n: u64| {
            let mut line = corpus::tests::line(statement);
            line.whether = whether::whether("Ada", statement, &mut example_rng(1, n));
            line
        };
        let persona = Persona {
            lines: vec![
                line("Ada is thirty-four years old.", 0),
                line("Ada has 3 cats.", 1),
                line("Ada has 2 hens and 5 ducks.", 2),
                line("Ada's brother drives a lorry.", 3),
                line("Ada never gets up before nine.", 4),
                line("Ada can juggle four balls.", 5),
                line("Ada has been married for twenty years.", 6),
            ],
        };
        let personas = [persona];
        let mut found = BTreeSet::new();
        for number in 0..200 {
            let pairs = number_pairs(&personas, &mut example_rng(2, number));
            assert_eq!(pairs.len(), 2 * DRAWS * 3);
            for pair in pairs {
                let input = pair.input();
                let other = ["brother", "nine", "juggle", "married"]
                    .iter()
                    .any(|word| input.statement.contains(word));
                assert_eq!(pair.label == Nli::Neutral, other, "{input:?}");
                if other {
                    continue;
                }
                let [stated, asked, replied] = [input.statement, input.query, input.response]
                    .map(|text| numbers(text).first().map(|(_, number)| *number));
                let is_yes = says_yes(input.response);
                if let (Some(asked), false) = (asked, input.statement.contains("old")) {
                    assert!(Some(asked) >= stated, "who has three has two: {input:?}");
                }
                let is_right = match replied {
                    Some(_) => replied == stated,
                    None => (asked == stated) == is_yes,
                };
                assert_eq!(is_right, pair.label == Nli::Entailed, "{input:?}");
                found.insert(input.response.to_string());
            }
        }
        for reply in [
            "34.",
            "Thirty-four.",
            "I'm 34.",
            "3 of them.",
            "Just three.",
            "No.",
            "Yes, I have 3 cats.",
        ] {
            assert!(found.contains(reply), "{reply} is not in {found:?}");
        }
    }
}
