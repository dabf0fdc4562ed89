//! Replies that are wrong by a name or a number alone, and right ones with names that no text has.

use std::collections::BTreeSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::invented::invented_word;

/// Numbers as they are said.
const NUMBERS: &str = "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen \
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred";

/// The names and numbers that a statement and a reply share, but for the name of whom the statement is about, which is its first
/// word.
pub(super) fn shared_names<'a>(statement: &str, reply: &'a str) -> Vec<&'a str> {
    let mut stated = words(statement);
    let subject = stated.next();
    let stated: BTreeSet<&str> = stated.filter(|word| Some(*word) != subject).collect();
    let mut shared: Vec<&str> = Vec::new();
    for word in words(reply).filter(|word| stated.contains(word)) {
        if (is_name(word) || is_number(word)) && !shared.contains(&word) {
            shared.push(word);
        }
    }
    shared
}

/// A word of the same kind that is none of `others`: another number, or a name that was made up.
pub(super) fn another(others: &[&str], rng: &mut ChaCha8Rng) -> String {
    let numbers: Vec<&str> = NUMBERS.split_whitespace().collect();
    let word = others[0];
    loop {
        let other = match word.parse::<u32>() {
            Ok(number) => {
                let change = rng.random_range(1..=3 + number.min(1000) / 4);
                let more = rng.random_bool(0.5) || change >= number;
                (if more {
                    number + change
                } else {
                    number - change
                })
                .to_string()
            }
            Err(_) if is_number(word) => numbers[rng.random_range(0..numbers.len())].to_string(),
            Err(_) => invented_word(true, rng),
        };
        if !others.contains(&&other[..]) {
            return other;
        }
    }
}

/// A text with another word in the place of one, wherever that stands by itself.
pub(super) fn replaced(text: &str, word: &str, other: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, behind) = (&rest[..at], &rest[at + word.len()..]);
        let joins = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        let is_part = joins(before.chars().next_back()) || joins(behind.chars().next());
        made += before;
        made += if is_part { word } else { other };
        rest = behind;
    }
    made + rest
}

pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty())
}

fn is_name(word: &str) -> bool {
    word.len() > 2 && word.starts_with(char::is_uppercase)
}

fn is_number(word: &str) -> bool {
    word.parse::<u32>().is_ok() || NUMBERS.split_whitespace().any(|number| number == word)
}

#[cfg(test)]
mod tests {
    use super::super::recipe::example_rng;
    use super::*;

    #[test]
    fn shared_names_and_numbers_are_found_but_not_the_subjects() {
        let shared = |statement, reply| shared_names(statement, reply);
        let statement = "Roz plays three sets a week with Wet Pavement in Leeds since 1998.";
        let reply = "Since 1998, Leeds mostly. Wet Pavement! Roz does three sets, in Bath two.";
        assert_eq!(
            shared(statement, reply),
            ["1998", "Leeds", "Wet", "Pavement", "three"]
        );
        assert!(shared("Roz likes rain.", "I like rain.").is_empty());
    }

    #[test]
    fn a_word_is_replaced_where_it_stands_by_itself_by_another_of_its_kind() {
        assert_eq!(
            replaced("Ann's annex, Annex Ann", "Ann", "Bo"),
            "Bo's annex, Annex Bo"
        );
        let mut rng = example_rng(1, 0);
        for _ in 0..200 {
            let [number, word, name] =
                ["7", "seven", "Leeds"].map(|word| another(&[word], &mut rng));
            assert!(
                number.parse::<u32>().is_ok_and(|number| number != 7),
                "{number}"
            );
            assert!(is_number(&word) && word != "seven", "{word}");
            assert!(is_name(&name) && name != "Leeds", "{name}");
            let third = another(&["1", "2"], &mut rng);
            assert!(third != "1" && third != "2", "{third}");
        }
    }
}
