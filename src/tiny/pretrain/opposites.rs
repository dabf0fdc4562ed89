//! Words that exclude each other. A table of word embeddings has them next to one another, but cannot tell them from words that mean
//! the same.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::invented::pick;
use super::named::{self, replaced};

/// Words that exclude each other, a pair on a line. Behind `>` stand words that mean several things: they take the place of the first, but
/// nothing takes theirs.
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
more less
wins loses
win lose
bought sold
buys sells
buy sell
lent borrowed
lends borrows
lend borrow
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
const ENDING: [&str; 1] = ["single"];

/// A reply with the opposite of a word that it shares with the statement, wherever it has that; none if it shares none that has one, or
/// if either of them denies something.
pub(super) fn opposite(statement: &str, reply: &str, rng: &mut ChaCha8Rng) -> Option<String> {
    if denies(statement) || denies(reply) {
        return None;
    }
    let stated: Vec<&str> = words(statement).collect();
    let replied: Vec<&str> = words(reply).collect();
    let others = |word: &str| -> Vec<&'static str> {
        let mut others = opposites(word);
        others.retain(|other| !stated.contains(other) && !replied.contains(other));
        others
    };
    let goes_on = |word: &str| {
        let texts = [statement, reply].into_iter();
        ENDING.contains(&word)
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
    let swapped = replaced(reply, word, other);
    let (right, wrong) = match wants_an(other) {
        true => ("an", "a"),
        false => ("a", "an"),
    };
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
    const DENYING: [&str; 15] = [
        "no", "not", "never", "nobody", "nothing", "none", "neither", "nor", "nowhere", "hardly",
        "rarely", "seldom", "cannot", "without", "t",
    ];
    named::words(text).any(|word| DENYING.contains(&word.to_lowercase().as_str()))
}

/// Whether "an" stands before a word.
fn wants_an(word: &str) -> bool {
    word.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U'])
        || word.starts_with("honest")
}

/// The words of a text, "left-handed" as one.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '-');
    words.filter(|word| !word.is_empty())
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
            ("Ada never sings on Mondays.", "Never on Mondays.", &[]),
            ("Ada doesn't trust her boss.", "I don't trust her.", &[]),
            ("Ada is tall.", "I can't reach it.", &[]),
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
