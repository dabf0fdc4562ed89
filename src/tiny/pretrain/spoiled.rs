//! Replies that have come apart.

use std::ops::RangeInclusive;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Words behind which a sentence does not end.
const OPEN: &str = "the a an of in at to with for from and my is are i on but as";

/// What a reply is spoiled with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) question: &'a str,
    pub(super) statement: &'a str,
    /// What somebody else replied to something else.
    pub(super) other: &'a str,
}

/// Turns a right reply into nonsense, never the reply itself: words in disorder, its own, the question's, the statement's or mixed; a word
/// or a phrase again and again; a sentence cut off; the end of another reply, or some of its words.
pub(super) fn spoiled(reply: &str, around: Around<'_>, rng: &mut ChaCha8Rng) -> String {
    let words: Vec<&str> = reply.split_whitespace().collect();
    loop {
        let spoiled = spoiled_words(words.clone(), around, rng);
        // Words in disorder may come back in order; an empty reply stays empty where its own words are used.
        if spoiled != words || words.is_empty() {
            return spoiled.join(" ");
        }
    }
}

fn spoiled_words<'a>(
    words: Vec<&'a str>,
    around: Around<'a>,
    rng: &mut ChaCha8Rng,
) -> Vec<&'a str> {
    let n_words = words.len();
    let (question, statement) = (bare(around.question), bare(around.statement));
    match rng.random_range(0..10) {
        0 if n_words > 3 => in_disorder(words, rng),
        1 => in_disorder(question, rng),
        2 => in_disorder(statement, rng),
        3 => in_disorder(some([question, statement].concat(), rng), rng),
        4 if n_words > 2 => in_disorder(some([words, statement].concat(), rng), rng),
        5 if n_words > 3 => again(words, 2..=3, 2..=5, rng),
        6 => match words.iter().rposition(|word| is_open(word)) {
            Some(last) => words[..=last].to_vec(),
            None => again(words, 1..=1, 4..=12, rng),
        },
        7 if n_words > 2 => {
            let end: Vec<&str> = around.other.split_whitespace().collect();
            let (kept, from) = (rng.random_range(1..=n_words / 2), end.len() / 2);
            [&words[..kept], &end[from..]].concat()
        }
        8 if n_words > 2 => mixed(words, &bare(around.other), rng),
        _ => again(words, 1..=1, 4..=12, rng),
    }
}

fn is_open(word: &str) -> bool {
    OPEN.split(' ').any(|open| open.eq_ignore_ascii_case(word))
}

/// Between a third and all of the words.
fn some<'a>(mut words: Vec<&'a str>, rng: &mut ChaCha8Rng) -> Vec<&'a str> {
    words.shuffle(rng);
    let n_words = words.len();
    words.truncate(rng.random_range(n_words.div_ceil(3)..=n_words));
    words
}

/// A sentence in which half of the words that mean something are others.
fn mixed<'a>(mut words: Vec<&'a str>, others: &[&'a str], rng: &mut ChaCha8Rng) -> Vec<&'a str> {
    let mut places: Vec<usize> = (0..words.len())
        .filter(|&place| !is_open(words[place]))
        .collect();
    places.shuffle(rng);
    places.truncate(places.len().div_ceil(2));
    for place in places {
        if !others.is_empty() {
            words[place] = others[rng.random_range(0..others.len())];
        }
    }
    words
}

/// The words of a sentence without its marks.
fn bare(sentence: &str) -> Vec<&str> {
    let words = sentence.split_whitespace();
    let bare = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    bare.filter(|word| !word.is_empty()).collect()
}

/// Words in another order, some of them twice, with small words between them.
fn in_disorder<'a>(mut words: Vec<&'a str>, rng: &mut ChaCha8Rng) -> Vec<&'a str> {
    let small: Vec<&str> = OPEN.split(' ').collect();
    for _ in 0..rng.random_range(0..=words.len() / 3) {
        words.push(match rng.random_bool(0.5) {
            true => small[rng.random_range(0..small.len())],
            false => words[rng.random_range(0..words.len())],
        });
    }
    words.shuffle(rng);
    words
}

/// Words up to some place, and the last few of them again and again.
fn again<'a>(
    mut words: Vec<&'a str>,
    length: RangeInclusive<usize>,
    times: RangeInclusive<usize>,
    rng: &mut ChaCha8Rng,
) -> Vec<&'a str> {
    if words.is_empty() {
        return words;
    }
    words.truncate(rng.random_range(0..words.len()) + 1);
    let length = rng.random_range(length).min(words.len());
    let last = words[words.len() - length..].to_vec();
    for _ in 0..rng.random_range(times) {
        words.extend(&last);
    }
    words
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const AROUND: Around<'_> = Around {
        question: "Which smells wake you?",
        statement: "Ada lives above a bakery.",
        other: "Nine goats, all mine.",
    };

    #[test]
    fn replies_of_any_length_can_be_spoiled() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for reply in [
            "",
            "No.",
            "My my my.",
            "Ja, natürlich!",
            "I play the trumpet in Dunmore.",
        ] {
            let all = format!(
                "{reply} {OPEN} {} {} {}",
                AROUND.question, AROUND.statement, AROUND.other
            );
            for _ in 0..100 {
                let text = spoiled(reply, AROUND, &mut rng);
                let mut words = text.split_whitespace();
                assert!(words.all(|word| all.contains(word)), "{text}");
                assert!(reply.is_empty() || text != reply, "{text}");
            }
        }
    }

    #[test]
    fn a_spoiled_reply_is_never_what_was_said_and_comes_in_many_kinds() {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let reply = "I bake fresh bread in Dunmore every single morning.";
        let texts: Vec<String> = (0..300).map(|_| spoiled(reply, AROUND, &mut rng)).collect();
        assert!(texts.iter().all(|text| text != reply));
        for (kind, is_of) in [
            (
                "of the question",
                (|text| text.contains("smells") && !text.contains("bakery")) as fn(&str) -> bool,
            ),
            ("of the statement", |text| {
                let is_of_others = ["smells", "Dunmore", "bread"].map(|word| text.contains(word));
                text.contains("bakery") && !is_of_others.contains(&true)
            }),
            ("a word again and again", |text| {
                text.contains("bread bread bread")
            }),
            ("a phrase again", |text| {
                text.contains("fresh bread fresh bread")
            }),
            ("no end", |text| text == "I bake fresh bread in"),
            ("of question and statement", |text| {
                text.contains("wake") && text.contains("bakery")
            }),
            ("of reply and statement", |text| {
                text.contains("Dunmore") && text.contains("bakery")
            }),
            ("others here and there", |text| {
                text.contains("goats") && text.ends_with("morning.")
            }),
            ("another end", |text| text.ends_with("all mine.")),
            ("in disorder", |text| {
                let is_of_others = ["smells", "bakery", "goats"].map(|word| text.contains(word));
                text.starts_with("morning.") && !is_of_others.contains(&true)
            }),
        ] {
            assert!(texts.iter().any(|text| is_of(text)), "{kind}");
        }
    }
}
