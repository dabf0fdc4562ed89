//! Finds the names and numbers that a statement and its reply share, and draws others to put in their place.

use std::collections::BTreeSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::invented::invented_word;
use super::numbers;
use super::words::hyphenated_words;

/// Words behind which somebody is named.
pub(super) const KIN: [&str; 22] = [
    "sister",
    "brother",
    "mother",
    "father",
    "husband",
    "wife",
    "cousin",
    "aunt",
    "uncle",
    "friend",
    "son",
    "daughter",
    "neighbour",
    "grandmother",
    "grandfather",
    "niece",
    "nephew",
    "mum",
    "dad",
    "boss",
    "teacher",
    "twin",
];
/// Words behind which anything may be named.
const CALLED: [&str; 2] = ["called", "named"];

/// The names and numbers that a statement and a reply share, but for the name of whom the statement is about, which is its first
/// word.
pub(super) fn shared_names<'a>(statement: &str, reply: &'a str) -> Vec<&'a str> {
    let mut stated = hyphenated_words(statement);
    let subject = stated.next();
    let stated: BTreeSet<&str> = stated.filter(|word| Some(*word) != subject).collect();
    let mut shared: Vec<&str> = Vec::new();
    for word in hyphenated_words(reply).filter(|word| stated.contains(word)) {
        if (is_name(word) || is_number(word)) && !shared.contains(&word) {
            shared.push(word);
        }
    }
    shared
}

/// Adds a surname to the subject and to relatives with a first name only; replies rarely repeat it.
pub(super) fn with_surname(statement: &str, surname: &str) -> String {
    /// Words with a large letter that begin a sentence and are no names.
    const STARTS: [&str; 10] = [
        "The", "On", "In", "Every", "At", "Once", "When", "After", "There", "Her",
    ];
    let mut before = "";
    let words: Vec<&str> = statement.split(' ').collect();
    let named = words.iter().enumerate().map(|(place, word)| {
        let end = word.find(|c: char| !c.is_alphanumeric());
        let (name, rest) = word.split_at(end.unwrap_or(word.len()));
        let is_whose = before.is_empty() || KIN.contains(&before) || CALLED.contains(&before);
        before = name;
        let next = words
            .get(place + 1)
            .filter(|_| rest.is_empty() || rest == "'s");
        let goes_on = rest.is_empty() && next.is_some_and(|next| is_name(next));
        let is_name = is_name(name) && !STARTS.contains(&name);
        match is_whose && is_name && !goes_on && !rest.starts_with('-') {
            true => format!("{name} {surname}{rest}"),
            false => word.to_string(),
        }
    });
    named.collect::<Vec<String>>().join(" ")
}

/// A word of the same kind that is none of `others`: another number, or a name that was made up.
pub(super) fn other_name_or_number(others: &[&str], rng: &mut ChaCha8Rng) -> String {
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
            Err(_) if is_number(word) => numbers::any_in_words(rng),
            Err(_) => invented_word(true, rng),
        };
        if !others.contains(&&other[..]) {
            return other;
        }
    }
}

fn is_name(word: &str) -> bool {
    word.len() > 2 && word.starts_with(char::is_uppercase)
}

fn is_number(word: &str) -> bool {
    word.parse::<u32>().is_ok() || numbers::value(word).is_some()
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
    fn somebody_with_one_name_gets_a_second_one() {
        for (statement, expected) in [
            (
                "Roz lives with her sister, Ada.",
                "Roz Orr lives with her sister, Ada Orr.",
            ),
            (
                "Roz's cousin Jo Bell likes her aunt Bea's goat.",
                "Roz Orr's cousin Jo Bell likes her aunt Bea Orr's goat.",
            ),
            ("Roz Lind lives in Leeds.", "Roz Lind lives in Leeds."),
        ] {
            assert_eq!(with_surname(statement, "Orr"), expected);
        }
    }

    #[test]
    fn another_name_or_number_is_of_the_same_kind() {
        let mut rng = example_rng(1, 0);
        for _ in 0..200 {
            let [number, word, name] =
                ["7", "seven", "Leeds"].map(|word| other_name_or_number(&[word], &mut rng));
            assert!(
                number.parse::<u32>().is_ok_and(|number| number != 7),
                "{number}"
            );
            assert!(is_number(&word) && word != "seven", "{word}");
            assert!(is_name(&name) && name != "Leeds", "{name}");
            let third = other_name_or_number(&["1", "2"], &mut rng);
            assert!(third != "1" && third != "2", "{third}");
        }
    }
}
