//! Numbers in words and in digits.

use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

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

/// A number from two to ninety-nine in words.
fn in_words(number: u32) -> String {
    match (number / 10, number % 10) {
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

#[cfg(test)]
mod tests {
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
    }
}
