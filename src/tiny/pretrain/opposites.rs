//! Words that exclude each other. A table of word embeddings has them next to one another, but cannot tell them from words that mean
//! the same.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::invented::pick;
use super::words::{hyphenated_words, replaced};
use crate::tiny::english;

/// `a b`: each may take the place of the other. `a > b`: b may take the place of a, but not the reverse, because b has other meanings
/// ("short of money").
const PAIRS: &str = "\
alive dead
married divorced
married widowed
married single
older younger
oldest youngest
elder younger
tall > short
taller shorter
tallest shortest
left-handed right-handed
rich > poor
richer poorer
big small
large small
bigger smaller
biggest smallest
hot > cold
warm > cold
warmer colder
indoors outdoors
inside outside
upstairs downstairs
morning evening
mornings evenings
mornings afternoons
summer winter
summer autumn
winter autumn
summer > spring
northern southern
eastern western
quiet loud
quietly loudly
sweet > sour
sweet > salty
slow > fast
slowly quickly
strong weak
wide narrow
thick thin
deep shallow
wet dry
clean dirty
cheap expensive
easy difficult
happy unhappy
shy > outgoing
tidy untidy
polite rude
honest dishonest
lazy hard-working
generous stingy
clever stupid
healthy > ill
awake asleep
curly > straight
bearded clean-shaven
legal illegal
guilty innocent
visible invisible
mortal immortal
optimist pessimist
introvert extrovert
amateur professional
beginner expert
better worse
wins loses
win lose
failed > passed
accepted refused
arrived > left
remembers forgets
remember forget
trusts distrusts
trust distrust
agrees disagrees
agree disagree
agreed disagreed
shouts whispers
shout whisper
city > village
countryside > city
";
/// Days and months; each excludes the others of its line.
const CALENDAR: [&str; 3] = [
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "Mondays Tuesdays Wednesdays Thursdays Fridays Saturdays Sundays",
    "January February April June July August September October November December",
];
/// Words that mean something else before a noun: "a single cigar".
const NOT_BEFORE_A_NOUN: [&str; 1] = ["single"];
/// Phrases in which such a word means something else.
const PHRASES: [&str; 6] = [
    "hot dog",
    "hot spring",
    "sweet pea",
    "small talk",
    "northern lights",
    "big toe",
];
/// Denials outside the verb: "has no brothers".
const BESIDE_THE_VERB: [&str; 11] = [
    "no", "no-one", "nobody", "nothing", "none", "neither", "nor", "nowhere", "hardly", "rarely",
    "seldom",
];
/// Denials of the verb, and "without". "t" is what [`hyphenated_words`] leaves of "n't", but not of "T-shirt".
const OF_THE_VERB: [&str; 5] = ["not", "never", "cannot", "without", "t"];

/// The reply with one word that it shares with the statement replaced by its opposite; none if it shares none that has one.
pub(super) fn opposite(statement: &str, reply: &str, rng: &mut ChaCha8Rng) -> Option<String> {
    let has_phrase = |text: &str| PHRASES.iter().any(|phrase| text.contains(phrase));
    if has_phrase(statement) || has_phrase(reply) {
        return None;
    }
    let stated: Vec<&str> = hyphenated_words(statement).collect();
    let replied: Vec<&str> = hyphenated_words(reply).collect();
    let others = |word: &str| -> Vec<&'static str> {
        let mut others = opposites(word);
        others.retain(|other| !stated.contains(other) && !replied.contains(other));
        others
    };
    let goes_on = |word: &str| {
        let texts = [statement, reply].into_iter();
        NOT_BEFORE_A_NOUN.contains(&word)
            && texts
                .flat_map(|text| text.split(word).skip(1))
                .any(|rest| rest.starts_with(' '))
    };
    let shared: Vec<(&str, Vec<&str>)> = (replied.iter())
        .filter(|word| stated.contains(word) && !goes_on(word))
        .map(|word| (*word, others(word)))
        .filter(|(_, others)| !others.is_empty())
        .collect();
    if shared.is_empty() {
        return None;
    }
    let (word, others) = &shared[rng.random_range(0..shared.len())];
    let other = pick(others, rng);
    let right = english::article(other);
    let wrong = if right == "an" { "a" } else { "an" };
    let swapped = replaced(reply, word, other);
    Some(swapped.replace(&format!(" {wrong} {other}"), &format!(" {right} {other}")))
}

/// The words that exclude this one.
fn opposites(word: &str) -> Vec<&'static str> {
    let of_pairs = PAIRS
        .lines()
        .filter_map(|pair| match pair.split_once(" > ") {
            Some((first, second)) => (first == word).then_some(second),
            None => {
                let (first, second) = pair.split_once(' ')?;
                match word == first {
                    true => Some(second),
                    false => (word == second).then_some(first),
                }
            }
        });
    let lines = CALENDAR.iter().map(|line| line.split(' '));
    let of_calendar = lines.filter(|line| line.clone().any(|other| other == word));
    of_pairs
        .chain(of_calendar.flatten().filter(|other| *other != word))
        .collect()
}

/// Whether a text says that something is not so, which turns what a swapped word means.
pub(super) fn denies(text: &str) -> bool {
    denies_beside_the_verb(text) || has_any(text, &OF_THE_VERB)
}

/// Whether a text denies something by another word than the verb, so that "yes" and "no" to a question about it would be unclear.
pub(super) fn denies_beside_the_verb(text: &str) -> bool {
    has_any(text, &BESIDE_THE_VERB)
}

fn has_any(text: &str, list: &[&str]) -> bool {
    hyphenated_words(text).any(|word| list.contains(&word.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::recipe::example_rng;
    use super::*;

    #[test]
    fn a_word_that_both_have_gives_way_to_one_that_excludes_it() {
        let found = |statement: &str, reply: &str| -> BTreeSet<String> {
            let numbers = 0..60;
            numbers
                .filter_map(|number| opposite(statement, reply, &mut example_rng(1, number)))
                .collect()
        };
        let strings = |texts: &[&str]| -> BTreeSet<String> {
            texts.iter().map(|text| text.to_string()).collect()
        };
        for (statement, reply, expected) in [
            (
                "Ada's father is dead.",
                "Is your father dead?",
                &["Is your father alive?"][..],
            ),
            (
                "Ada is single.",
                "Single? Yes, I am single.",
                &["Single? Yes, I am married."],
            ),
            (
                "Ada is left-handed and has a younger brother.",
                "I'm left-handed, with a younger brother.",
                &[
                    "I'm right-handed, with a younger brother.",
                    "I'm left-handed, with an older brother.",
                    "I'm left-handed, with an elder brother.",
                ],
            ),
            ("Ada is divorced.", "Yes, divorced.", &["Yes, married."]),
            ("Ada is deaf in her left ear.", "In the left ear.", &[]),
            ("Ada smoked a single cigar.", "A single one.", &[]),
            (
                "Ada sings on Mondays and Fridays, before noon.",
                "On Mondays, mostly.",
                &[
                    "On Tuesdays, mostly.",
                    "On Wednesdays, mostly.",
                    "On Thursdays, mostly.",
                    "On Saturdays, mostly.",
                    "On Sundays, mostly.",
                ],
            ),
            ("Ada is tall.", "I can't reach it.", &[]),
            ("Ada sells hot dogs.", "Hot dogs, and hot they are.", &[]),
        ] {
            assert_eq!(found(statement, reply), strings(expected), "{statement}");
        }
    }

    #[test]
    fn every_word_has_opposites_that_differ_from_it() {
        let words_of = |text: &'static str| {
            text.split([' ', '\n'])
                .filter(|word| !word.is_empty() && *word != ">")
        };
        for word in words_of(PAIRS).chain(CALENDAR.into_iter().flat_map(words_of)) {
            assert!(!opposites(word).contains(&word), "{word}");
        }
        assert_eq!(opposites("married"), ["divorced", "widowed", "single"]);
        assert_eq!(opposites("short"), [""; 0]);
        assert_eq!(opposites("Friday").len(), 6);
    }
}
